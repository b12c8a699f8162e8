"""IMAP that is wrong, on a backend and through a frontend: each production of the grammar that is served violated once, then mutations of
valid commands. A violation is answered BAD (or NO) under its tag with a text that says what is wrong, and the connection goes on."""
import random
import re

import pytest

from roost import Raw
from test_imap_session import ok

# Production (RFC 3501 and 9051 section 9, or that of the extension) to commands that violate it, each but for that a command that is served.
WRONG = {
    "tag": [b"+a NOOP", b"a{b NOOP", b"a\"b NOOP", b"a(b NOOP", b"a%b NOOP", b"a*b NOOP", b"a\\b NOOP", b"a\x01b NOOP", b"\xc3\xa4 NOOP", b"t" * 65 + b" NOOP",
            b"a", b"a  NOOP", b" NOOP", b"a\tNOOP"],
    "command": [b"a NO OP", b"a NOOPE", b"a {4+}\r\nNOOP", b'a "NOOP"', b"a UID", b"a UID ", b"a UID SELECT INBOX", b"a UID UID FETCH 1 UID", b"a N\0OP",
                b"a \xe2\x98\x83", b"a BODY[]", b"a *", b"a ()"],
    "command-any": [b"a CAPABILITY NOW", b"a LOGOUT 1", b"a NOOP (x)", b"a NOOP {1+}\r\nx"],
    "astring": [b"a SELECT a(b", b"a SELECT a{b", b"a SELECT a%b", b"a SELECT a*b", b'a SELECT a"b', b"a SELECT a\\b", b"a SELECT a\x7fb", b"a SELECT a\x01b",
                b"a SELECT a\xe4b", b"a SELECT \x80", b"a SELECT (INBOX)", b"a SELECT"],
    "quoted": [b'a SELECT "INBOX', b'a SELECT "IN\\BOX"', b'a SELECT "IN\rBOX"', b'a SELECT "IN\0BOX"', b'a SELECT "INBOX\\"', b'a SELECT "INBOX"x',
               b'a SELECT INBOX"', b'a SELECT ""INBOX'],
    "literal": [b"a SELECT {5}x", b"a SELECT {}", b"a SELECT {-1}", b"a SELECT {5", b"a SELECT {5 }", b"a SELECT { 5}", b"a SELECT {5++}", b"a SELECT {+5}", b"a SELECT {0x5}",
                b"a SELECT {1e3}", b"a SELECT {99999999999999999999999}", b"a SELECT ~{5+}\r\nINBOX", b"a SELECT {5-}\r", b"a SELECT {5+} \r"],
    "date-text": [f"a SEARCH ON {d}".encode() for d in (
        "1-Jan", "Jan-1-2020", "1-1-2020", "32-Jan-2020", "30-Feb-2020", "0-Jan-2020", "1-Jan-20", "1-Jan-20200", "1 Jan 2020", "2020-01-01", '"1-Jan-2020', "1-Jän-2020",
        "1-January-2020", "-1-Jan-2020", "29-Feb-2021")],
    "date-time": [f'a APPEND INBOX "{d}" {{1+}}\r\nx'.encode() for d in (
        "17-Jul-1996", "17-Jul-1996 02:44:25", "17-Jul-1996 02:44 -0700", "17-Jul-1996 25:44:25 -0700", "17-Jul-1996 02:60:25 -0700", "17-Jul-1996 02:44:61 -0700",
        "17-Jul-1996 02:44:25 PDT", "17-Jul-1996 02:44:25 0700", "17-Jul-1996 02:44:25 -070", "17-7-1996 02:44:25 -0700",
        "31-Feb-1996 02:44:25 -0700")],
    "flag": [rb"a STORE 1 FLAGS (\Recent)", rb"a STORE 1 FLAGS (\Seen", rb"a STORE 1 FLAGS \Seen)", rb"a STORE 1 FLAGS (\ Seen)", rb"a STORE 1 FLAGS (\)", b"a STORE 1 FLAGS (a  b)",
             b"a STORE 1 FLAGS ( a)", b"a STORE 1 FLAGS (a )", b"a STORE 1 FLAGS (a\"b)", b"a STORE 1 FLAGS (]x)", b'a STORE 1 FLAGS ("x")', b"a STORE 1 FLAGS ({1+}\r\nx)",
             rb"a STORE 1 FLAGS (\*)", rb"a STORE 1 FLAGS (\NoSuch)", b"a STORE 1 FLAGS (\xc3\xa4)", b"a STORE 1 FLAGS (" + b"k" * 300 + b")"],
    "store": [b"a STORE", b"a STORE 1", b"a STORE 1 FLAG (x)", b"a STORE 1 ++FLAGS (x)", b"a STORE 1 *FLAGS (x)", b"a STORE 1 FLAGS.LOUD (x)", b"a STORE 1 FLAGS", b"a STORE 1 FLAGS  (x)",
              b"a STORE FLAGS (x)", b"a STORE 1 + FLAGS (x)", b"a STORE 1 FLAGS.SILENT", b"a UID STORE 1 FLAGS (x) y"],
    "sequence-set": [f"a FETCH {s} UID".encode() for s in (
        "0", "1:", ":1", "1,", ",1", "1,,2", "1::2", "1:2:3", "1-2", "*:*:*", "**", "4294967296", "18446744073709551617", "1.5", "0x1", "+1", "1:0", "$1", "$,1", "(1)", '"1"',
        "{1+}\r\n1", "a", "1;2", "")] + [b"a UID FETCH 1:x UID", b"a COPY 1:* ", b"a UID EXPUNGE", b"a UID EXPUNGE 0", b"a UID MOVE 1 "],
    "fetch-att": [f"a FETCH 1 {s}".encode() for s in (
        "", "()", "(", "(UID", "UID)", "(UID,FLAGS)", "(UID  FLAGS)", "( UID)", "(UID )", "UID FLAGS", "(ALL)", "(FAST FLAGS)", "FLAG", "FLAGSX", "INTERNALDATES", "RFC822.FOO", "RFC822.SIZES",
        "ENVELOPES", "BODYSTRUCTURE[1]", "BODY.PEEK", "BODY.PEEK[]<1>", "ALLX", '"UID"')],
    "section": [f"a FETCH 1 {s}".encode() for s in (
        "BODY[", "BODY[]x", "BODY[ ]", "BODY[1", "BODY[1.]", "BODY[.1]", "BODY[1..2]", "BODY[0]", "BODY[1.0]", "BODY[-1]", "BODY[4294967296]", "BODY[MIME]", "BODY[1.MIME.2]", "BODY[HEADER.1]",
        "BODY[1HEADER]", "BODY[HEADERX]", "BODY[TEXT.1]", "BODY[1.TEXT.MIME]", "BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ]", "BODY[HEADER.FIELDS ()]", "BODY[HEADER.FIELDS (a]",
        "BODY[HEADER.FIELDS a]", "BODY[HEADER.FIELDS(a)]", "BODY[HEADER.FIELDS (a  b)]", "BODY[HEADER.FIELDS.NOT]", "BODY[HEADER.FIELDS.NOT ()]", "BODY[HEADER.FIELD (a)]", "BODY[NOSUCH]",
        "BODY[]<", "BODY[]<>", "BODY[]<1>", "BODY[]<1.>", "BODY[]<.1>", "BODY[]<1.0>", "BODY[]<1.2", "BODY[]<-1.2>", "BODY[]<1.2.3>", "BODY[]<4294967296.1>", "BODY[]<0.4294967296>", "BODY[] <0.1>",
        "BODY[" + "1." * 200 + "1]", "RFC822<0.1>", "BINARY[HEADER]", "BINARY[1.MIME]", "BINARY[TEXT]", "BINARY.SIZE[1]<0.1>", "BINARY", "BINARY[1]<5>")],
    "search-key": [f"a SEARCH {s}".encode() for s in (
        "", "NOSUCH", "(", ")", "()", "(ALL", "ALL)", "ALL  ALL", "ALL,ALL", "NOT", "NOT ", "NOT NOT", "OR", "OR ALL", "OR ALL ", "OR (ALL ALL)", "FROM", "FROM ", 'FROM "x', "FROM (x)", "SUBJECT",
        "HEADER", "HEADER x", "HEADER (x) y", "KEYWORD", "KEYWORD (x)", 'KEYWORD "x"', "KEYWORD \\Seen", "UNKEYWORD \\Seen", "LARGER", "LARGER x", "LARGER -1", "LARGER 1.5", "LARGER 4294967296", "SMALLER",
        "SMALLER (1)", "ON", "BEFORE x", "SINCE", "SENTON 1-Foo-2020", "SENTBEFORE", "SENTSINCE (", "UID", "UID x", "UID 0", "UID 1:", "1:", "0", "1,0", "CHARSET", "CHARSET UTF-8", "CHARSET UTF-8 ",
        "CHARSET (UTF-8) ALL", "ALL CHARSET UTF-8", "RETURN ALL", "RETURN", "RETURN (ALL", "RETURN (ALL)", "RETURN (FOO) ALL", "RETURN (ALL,MIN) ALL", "RETURN (PARTIAL) ALL", "RETURN (PARTIAL 0:1) ALL",
        "RETURN (PARTIAL 1) ALL", "RETURN (PARTIAL -1:1) ALL", "RETURN (PARTIAL 1:2 ALL) ALL", "RETURN (ALL)ALL", "OLDER", "OLDER 0", "OLDER x", "OLDER -1", "YOUNGER", "YOUNGER 4294967296", "MODSEQ",
        'MODSEQ "/flags/x"', 'MODSEQ "/flags/x" all', 'MODSEQ "/flags/x" mine 1', "MODSEQ x", "EMAILID", "EMAILID (x)", "THREADID", "NEW OLD RECENTLY", "ALLUNSEEN")],
    "sort": [f"a SORT {s}".encode() for s in (
        "", "()", "DATE UTF-8 ALL", "(DATE", "(DATE) ", "(DATE) UTF-8", "(DATE) UTF-8 ", "(NOSUCH) UTF-8 ALL", "(REVERSE) UTF-8 ALL", "(REVERSE REVERSE DATE) UTF-8 ALL", "(DATE  SUBJECT) UTF-8 ALL",
        "(DATE,SUBJECT) UTF-8 ALL", "(DATE)UTF-8 ALL", "(DATE) (UTF-8) ALL", "RETURN (MIN) UTF-8 ALL", "RETURN (FOO) (DATE) UTF-8 ALL", "(" + "DATE " * 17 + "DATE) UTF-8 ALL")],
    "thread": [f"a THREAD {s}".encode() for s in (
        "", "REFERENCES", "REFERENCES ", "REFERENCES UTF-8", "REFERENCES UTF-8 ", "NOSUCH UTF-8 ALL", "(REFERENCES) UTF-8 ALL", "REFERENCES (UTF-8) ALL", "REFERENCES UTF-8 NOSUCH")],
    "append": [b"a APPEND", b"a APPEND INBOX", b"a APPEND INBOX ", b"a APPEND INBOX x", b'a APPEND INBOX "x"', rb"a APPEND INBOX \Seen {1+}" + b"\r\nx", b"a APPEND INBOX (\\Seen {1+}\r\nx",
               b"a APPEND INBOX (\\Recent) {1+}\r\nx", b"a APPEND INBOX () () {1+}\r\nx", b"a APPEND INBOX {1+}\r\nxy", b"a APPEND INBOX {1+}\r\nx)", b"a APPEND INBOX{1+}\r\nx",
               b"a APPEND INBOX UTF8 {1+}\r\nx", b"a APPEND INBOX UTF8 (~{1+}\r\nx", b"a APPEND INBOX UTF9 (~{1+}\r\nx)", b"a APPEND (INBOX) {1+}\r\nx"],
    "list": [f"a LIST {s}".encode() for s in (
        "", '""', '"" ', '"" (', '"" ()', '"" ("a"', '"" "a', '"" a(b', '"" a"b', '"" a{b', '"" a b', '() ""', '(SUBSCRIBED "" *', '(SUBSCRIBED,REMOTE) "" *', '(NOSUCH) "" *', '(RECURSIVEMATCH) "" *',
        '(SUBSCRIBED)"" *', '"" * RETURN', '"" * RETURN ', '"" * RETURN CHILDREN', '"" * RETURN (CHILDREN', '"" * RETURN (NOSUCH)', '"" * RETURN (STATUS)', '"" * RETURN (STATUS MESSAGES)',
        '"" * RETURN (STATUS (NOSUCH))', '"" * RETURNS (CHILDREN)', '"" * (CHILDREN)', '"" * RETURN (CHILDREN) x', '(SUBSCRIBED  REMOTE) "" *')],
    "lsub": [b"a LSUB", b'a LSUB ""', b'a LSUB (SUBSCRIBED) "" *', b'a LSUB "" (a b)', b'a LSUB "" * RETURN (CHILDREN)', b'a LSUB "" "*'],
    "status": [f"a STATUS {s}".encode() for s in (
        "", "INBOX", "INBOX ", "INBOX MESSAGES", "INBOX ()", "INBOX (MESSAGES", "INBOX MESSAGES)", "INBOX (NOSUCH)", "INBOX (MESSAGES,UNSEEN)", "INBOX (MESSAGES  UNSEEN)", "(INBOX) (MESSAGES)", 'INBOX ("MESSAGES")',
        "INBOX (MESSAGES) x")],
    "select-params": [f"a SELECT INBOX {s}".encode() for s in (
        "()", "(", "(CONDSTORE", "(NOSUCH)", "(CONDSTORE CONDSTORE)", "CONDSTORE", "(QRESYNC)", "(QRESYNC 1 1)", "(QRESYNC (1))", "(QRESYNC (0 1))", "(QRESYNC (1 0))", "(QRESYNC (x 1))",
        "(QRESYNC (1 1 *))", "(QRESYNC (1 1 1 (1 1:2)))", "(QRESYNC (1 1 1 (1)))", "(QRESYNC (1 1", "(QRESYNC (1 1)")],
    "fetch-modifiers": [f"a UID FETCH 1 UID {s}".encode() for s in (
        "()", "(", "(CHANGEDSINCE)", "(CHANGEDSINCE x)", "(CHANGEDSINCE -1)", "(CHANGEDSINCE 9223372036854775808)", "(CHANGEDSINCE 1", "(VANISHED)", "(NOSUCH 1)", "(CHANGEDSINCE 1 CHANGEDSINCE 1)",
        "(PARTIAL)", "(PARTIAL 0:1)", "(PARTIAL 1:2 PARTIAL 1:2)", "CHANGEDSINCE 1", "(CHANGEDSINCE 1) x")],
    "store-modifiers": [f"a STORE 1 {s}".encode() for s in (
        "() FLAGS (x)", "(UNCHANGEDSINCE) FLAGS (x)", "(UNCHANGEDSINCE x) FLAGS (x)", "(UNCHANGEDSINCE 1 FLAGS (x)", "(UNCHANGEDSINCE 1)FLAGS (x)", "(UNCHANGEDSINCE 9223372036854775808) FLAGS (x)",
        "UNCHANGEDSINCE 1 FLAGS (x)", "(NOSUCH 1) FLAGS (x)", "(UNCHANGEDSINCE 1)")],
    "mailbox commands": [b"a CREATE", b"a CREATE ", b"a CREATE a b c", b"a CREATE a (USE", b"a CREATE a (USE x)", b"a CREATE a (USE (\\Sent)", b"a CREATE a (NOSUCH (x))", b"a CREATE a ()", b"a DELETE",
                         b"a DELETE a b", b"a RENAME", b"a RENAME a", b"a RENAME a ", b"a RENAME a b c d", b"a SUBSCRIBE", b"a SUBSCRIBE a b", b"a UNSUBSCRIBE", b"a UNSUBSCRIBE (a)", b"a EXAMINE",
                         b"a EXAMINE a b", b"a COPY", b"a COPY 1", b"a COPY INBOX", b"a COPY 1 a b", b"a MOVE 1", b"a MOVE x INBOX", b"a UID COPY 1", b"a EXPUNGE 1", b"a CHECK now", b"a CLOSE INBOX",
                         b"a UNSELECT INBOX", b"a NAMESPACE x", b"a IDLE x"],
    "acl": [b"a SETACL", b"a SETACL INBOX", b"a SETACL INBOX bob", b"a SETACL INBOX bob ", b"a SETACL INBOX bob l r", b"a SETACL INBOX bob (lr)", b"a SETACL INBOX (bob) lr", b"a DELETEACL INBOX",
            b"a DELETEACL INBOX bob x", b"a GETACL", b"a GETACL INBOX bob", b"a LISTRIGHTS INBOX", b"a LISTRIGHTS INBOX bob x", b"a MYRIGHTS", b"a MYRIGHTS INBOX bob",
            b"a SETACL INBOX bob lrZ", b"a SETACL INBOX bob ++l", b"a SETACL INBOX bob l+r"],
    "enable, id, compress": [b"a ENABLE", b"a ENABLE ", b"a ENABLE (CONDSTORE)", b'a ENABLE "CONDSTORE"', b"a ENABLE CONDSTORE  QRESYNC", b"a ID", b"a ID x", b'a ID "x"', b'a ID ("a")', b'a ID ("a" "b"',
                             b'a ID ("a" "b" "c")', b'a ID (a b)', b'a ID ("a" "b" )', b"a ID NIL x", b"a ID (" + b'"a" "b" ' * 31 + b'"a" "b")', b"a COMPRESS", b"a COMPRESS (DEFLATE)", b"a COMPRESS LZMA"],
    "not in this state": [b"a LOGIN fred secret", b"a AUTHENTICATE PLAIN", b"a STARTTLS"],
}
CASES = [(production, command) for production, commands in WRONG.items() for command in commands]


@pytest.fixture(scope="module")
def connected(fronted):
    """Sessions of one user with a message selected, one for each port; kept as long as they serve."""
    made = {}

    def get(port):
        if port not in made:
            c = made[port] = Raw(port).login("bob")
            c.cmd("CREATE Wrong")
            text = b"Subject: x\r\n\r\nx\r\n"
            ok(c.cmd(b"APPEND Wrong {%d+}\r\n%s" % (len(text), text)))
            ok(c.cmd("SELECT Wrong"))
        return made[port]
    yield get
    for c in made.values():
        c.close()


def answer(c, command):
    """The tagged answer (or the one to no tag) to what stands behind "a", under a tag that no other answer has."""
    c.tags += 1
    tag = b"w%d" % c.tags
    data = tag + command[1:] if command.startswith(b"a ") or command == b"a" else command
    c.send(data + b"\r\n")
    c.send(b"n%d NOOP\r\n" % c.tags)
    lines, done = c.until(f"n{c.tags}")
    assert done.startswith("OK"), (command, lines, done)
    return [x for x in lines if not re.match(r"\* (\d|OK|FLAGS|VANISHED|CAPABILITY)", x)], tag.decode()


@pytest.mark.parametrize("production", sorted(WRONG))
def test_each_production_violated(connected, port, production):
    c = connected(port)
    for command in WRONG[production]:
        lines, tag = answer(c, command)
        last = lines[-1] if lines else ""
        assert len(lines) == 1, (command, lines)
        first, status, text = (last.split(" ", 2) + ["", ""])[:3]
        assert status in ("BAD", "NO"), (command, last)
        assert first == (tag if command.startswith(b"a ") and command != b"a  NOOP" else first), (command, last)
        assert len(text) >= 8 and re.search(r"[a-z]{3}", text), (command, last)
        assert "\r" not in text and all(" " <= x <= "~" for x in text), (command, last)
    ok(c.cmd("FETCH 1 UID"))


def test_the_text_says_what_and_where(connected, port):
    c = connected(port)
    for command, words in [(b"a FETCH 1 (UID", ["FETCH", "the end of the items", "at the end"]), (b"a SELECT a(b", ["SELECT", '"(b"']), (b"a FETCH 1: UID", ["FETCH", "sequence set", '" UID"']),
                           (b"a SEARCH ON 1-Foo-2020", ["SEARCH", "date", "1-Foo-2020"]), (b"a STATUS INBOX (NOSUCH)", ["STATUS", "NOSUCH"]), (b"a NOSUCH x", ["unknown command", "NOSUCH"]),
                           (b"a SEARCH FOO", ["SEARCH", "FOO"]), (b"a STORE 1 FLAGS (\\Bar)", ["STORE", "\\Bar"]), (b"a LIST \"\" * RETURN (BAZ)", ["LIST", "BAZ"]),
                           (b'a SEARCH MODSEQ "/flags/x" mine 1', ["SEARCH", "mine"]), (b"a SEARCH RETURN (PARTIAL 0:1) ALL", ["PARTIAL", "0:1"])]:
        lines, tag = answer(c, command)
        assert lines[0].startswith(tag + " BAD ") and all(w in lines[0] for w in words), (command, lines)


# Valid commands that between them have every production; what is done to them is seeded.
VALID = [
    b'a FETCH 1:3,5,* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[1.2.HEADER.FIELDS (Subject "From" {4+}\r\nDate)]<0.10>)',
    b"a UID FETCH 1:* (UID MODSEQ BINARY.PEEK[1]<0.5> BINARY.SIZE[1]) (CHANGEDSINCE 1)",
    b'a SEARCH RETURN (MIN MAX COUNT) CHARSET UTF-8 OR (SUBJECT "x" NOT FROM {1+}\r\ny) (SENTSINCE 1-Jan-2020 LARGER 10) HEADER X y UNKEYWORD z 1:* UID 1:5',
    b"a UID SORT RETURN (PARTIAL 1:10) (REVERSE DATE SUBJECT) UTF-8 SINCE 1-Feb-2020 MODSEQ \"/flags/x\" all 5",
    b"a THREAD REFERENCES UTF-8 TEXT x",
    b'a LIST (SUBSCRIBED RECURSIVEMATCH) "" ("*" % {3+}\r\nabc) RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN))',
    b"a STORE 1:2 (UNCHANGEDSINCE 5) +FLAGS.SILENT (x)", b"a STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)", b'a ID ("name" "x" "version" NIL)',
    b'a APPEND NoSuch (\\Seen x) "17-Jul-1996 02:44:25 -0700" {5+}\r\na: b\r', b"a EXAMINE {5+}\r\nNoSuc (CONDSTORE)", b"a MYRIGHTS INBOX", b"a LSUB \"\" \"*\"", b"a ENABLE X-A X-B", b"a UID COPY 1 NoSuch",
    b'a GETMETADATA (MAXSIZE 10 DEPTH infinity) "INBOX" (/private/comment {9+}\r\n/shared/x)', b"a SETMETADATA NoSuch (/private/comment {3+}\r\nabc /shared/x NIL)", b'a SETQUOTA "x" (STORAGE 10 MESSAGE 5)', b"a GETQUOTAROOT INBOX",
    b'a ESEARCH IN (mailboxes ("INBOX" NoSuch) subtree NoSuch personal) RETURN (COUNT) CHARSET UTF-8 SUBJECT "x"', b"a UID REPLACE 1 NoSuch (\\Seen) {6+}\r\na: b\r\n", b"a APPEND NoSuch {6+}\r\na: b\r\n (x) {6+}\r\na: c\r\n",
    b'a APPEND NoSuch CATENATE (URL "/INBOX/;UID=1/;SECTION=1.2" TEXT {3+}\r\nabc)', b'a GENURLAUTH "imap://bob@h/NoSuch/;UID=1;EXPIRE=2030-01-01T00:00:00Z;URLAUTH=anonymous" INTERNAL', b'a URLFETCH "imap://bob@h/INBOX/;UID=1" {3+}\r\nabc',
    b"a FETCH 1 (PREVIEW (LAZY) SAVEDATE EMAILID THREADID)", b'a SEARCH RETURN (UPDATE (x) COUNT) FUZZY SUBJECT "x" SAVEDBEFORE 1-Jan-2020', b'a CANCELUPDATE "x" {1+}\r\ny',
]
OCTETS = b" ()[]{}<>\"\\%*+-.,:~$\0\r\n\x01\x7f\x80\xff0a1A"


def mutated(rng, command):
    """A line or more that may be anything."""
    data = bytearray(command)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, kind = rng.randrange(2, len(data) + 1), rng.randrange(6)
        if kind == 0:
            data[at:at] = bytes([rng.choice(OCTETS)])
        elif kind == 1:
            del data[at:at + rng.choice([1, 1, 2, 5])]
        elif kind == 2 and at < len(data):
            data[at] = rng.choice(OCTETS)
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = data[rng.randrange(2, len(data) + 1):][:rng.randrange(1, 9)]
        else:
            data[at:at] = rng.choice([b"{3+}\r\n", b"{3+}\r\nabc", b"(((", b")))", b"NIL", b"4294967295", b"\\\\", b"\xc3\xa4", b"&AOQ-"])
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_commands_are_answered(fronted, port, seed):
    """Whatever comes is answered, and what comes behind it: three lines more than a literal that a mutation has announced may swallow."""
    rng = random.Random(seed)
    c = Raw(port).login("bob")
    ok(c.cmd("SELECT INBOX"))
    seen = {}
    for i in range(1000):
        command = mutated(rng, rng.choice(VALID))
        sent = f"seed {seed}, command {i}: {command!r}"
        c.send(b"m%d" % i + command[1:] + b"\r\n" + (b" " * 400 + b"\r\n") * 3 + b"e%d NOOP\r\n" % i)
        lines = []
        while not lines or not lines[-1].startswith(f"e{i} "):
            try:
                octets = c.f.readline()
            except TimeoutError:
                raise AssertionError(f"no answer: {sent}: {lines}") from None
            assert octets, (sent, lines)
            lines.append(octets.decode("utf-8", "replace").rstrip("\r\n"))
            if lines[-1].startswith("* BYE"):
                break
        if lines[-1].startswith("* BYE"):
            # A literal that is not worth waiting for.
            assert re.search(rb"\{\d{8,}\+\}\r\n", command) and "[LIMIT]" in lines[-1], (sent, lines)
            c.close()
            c = Raw(port).login("bob")
            ok(c.cmd("SELECT INBOX"))
            continue
        assert lines[-1] == f"e{i} OK done", (sent, lines)
        for line in lines:
            m = re.match(rf"(?:m{i}|\*) (OK|NO|BAD) ", line)
            if m:
                seen[m[1]] = seen.get(m[1], 0) + 1
    assert seen["BAD"] > 500 and seen["OK"] > 20, seen
    c.close()
