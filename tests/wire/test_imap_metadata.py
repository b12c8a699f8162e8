"""METADATA (RFC 5464) and LIST-METADATA (RFC 9590), on a backend and through a frontend: the RFCs' examples, rights, limits and bad input."""
import re

import pytest

from test_imap_session import no, ok

TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|(NIL)(?=[ )])|([()])|([^\s()"]+))')


def entries(answer):
    """Mailbox to entry to value of all METADATA responses; None is NIL."""
    text, found = "\r\n".join(ok(answer)) + "\r\n", {}
    for m in re.finditer(r"\* METADATA ", text):
        at, words = m.end(), []
        while True:
            t = TOKEN.match(text, at)
            at = t.end()
            if t.group(2) is not None:
                words.append(text[at:at + int(t.group(2))])
                at += int(t.group(2))
            elif t.group(1) is not None:
                words.append(re.sub(r"\\(.)", r"\1", t.group(1)))
            elif t.group(3):
                words.append(None)
            elif t.group(4) == ")":
                break
            elif not t.group(4):
                words.append(t.group(5))
        mine = found.setdefault(words[0], {})
        for name, value in zip(words[1::2], words[2::2]):
            assert name not in mine, f"{name} is told twice"
            mine[name] = value
    return found


@pytest.fixture
def c(session, fronted):
    """Fred, whose INBOX and server entries are empty at first."""
    c = session("fred")
    for box in ('""', "INBOX"):
        for mailbox, found in entries(c.cmd(f'GETMETADATA (DEPTH infinity) {box} ("/private" "/shared")')).items():
            names = [n for n in found if n != "/shared/admin" and (mailbox or n.startswith("/private"))]
            if names:
                ok(c.cmd(f"SETMETADATA {box} ({' '.join(n + ' NIL' for n in names)})"))
    return c


@pytest.fixture
def admin(session):
    return session("admin")


def get(c, mailbox, *names, options=""):
    answer = c.cmd(f"GETMETADATA {options}{mailbox} ({' '.join(names)})")
    return entries(answer).get(mailbox.strip('"'), {})


def test_offered(c):
    line = " ".join(ok(c.cmd("CAPABILITY")))
    assert {"METADATA", "LIST-METADATA", "CREATE-SPECIAL-USE"} <= set(line.split())


def test_the_rfcs_examples_of_one_mailbox(c):
    comment = "My new comment across\r\ntwo lines.\r\n"
    ok(c.cmd(f"SETMETADATA INBOX (/private/comment {{{len(comment)}+}}\r\n{comment})"))
    assert get(c, "INBOX", "/private/comment") == {"/private/comment": comment}
    ok(c.cmd("SETMETADATA INBOX (/private/comment NIL)"))
    assert get(c, "INBOX", "/private/comment") == {"/private/comment": None}
    ok(c.cmd('SETMETADATA INBOX (/private/comment "My new comment" /shared/comment "This one is for you!")'))
    both = {"/private/comment": "My new comment", "/shared/comment": "This one is for you!"}
    assert get(c, '"INBOX"', "/shared/comment", "/private/comment") == both
    # Without parentheses, as in an example of section 4.4.1.
    assert entries(c.cmd('GETMETADATA "INBOX" /private/comment /shared/comment')) == {"INBOX": both}


def test_maxsize(c):
    long = "x" * 1500
    ok(c.cmd(f'SETMETADATA INBOX (/private/comment "My own comment" /shared/comment {{1500+}}\r\n{long})'))
    for options in ('(MAXSIZE 1024) "INBOX"', '"INBOX" (MAXSIZE 1024)', '(DEPTH 0 MAXSIZE 1024) INBOX'):
        lines, done = c.cmd(f"GETMETADATA {options} (/shared/comment /private/comment)")
        assert done.startswith("OK [METADATA LONGENTRIES 1500] "), done
        assert entries((lines, done)) == {"INBOX": {"/private/comment": "My own comment"}}
    done = c.cmd("GETMETADATA (MAXSIZE 1500) INBOX (/shared/comment)")[1]
    assert "LONGENTRIES" not in done


def test_depth(c):
    names = {"/private/filters/values": "top", "/private/filters/values/small": "SMALLER 5000",
             "/private/filters/values/boss": 'FROM "boss@example.com"', "/private/filters/values/boss/deep": "",
             "/private/filters/valuesx": "not below"}
    quoted = " ".join('%s "%s"' % (n, v.replace('"', '\\"')) for n, v in names.items())
    ok(c.cmd(f"SETMETADATA INBOX ({quoted})"))

    def those(*ends):
        return {n: names[n] for n in ("/private/filters/values" + e for e in ends)}
    want = ["/private/filters/values"]
    assert get(c, "INBOX", *want) == get(c, "INBOX", *want, options="(DEPTH 0) ") == those("")
    assert get(c, "INBOX", *want, options="(DEPTH 1) ") == those("", "/small", "/boss")
    assert get(c, "INBOX", *want, options="(DEPTH infinity) ") == those("", "/small", "/boss", "/boss/deep")
    assert get(c, "INBOX", "/private", options="(DEPTH INFINITY) ") == names
    assert get(c, "INBOX", "/private/nothing", options="(DEPTH 1) ") == {}
    # What two of the entries cover is told once (entries() looks).
    assert get(c, "INBOX", "/private", "/private/filters/values", "/PRIVATE/Filters", options="(DEPTH infinity) ") == names


def test_names_are_case_insensitive_and_values_octets(c):
    ok(c.cmd(b"SETMETADATA inbox (/Private/Vendor/X/Y ~{4+}\r\na\0b\xe9)"))
    c.send("b GETMETADATA INBOX /private/vendor/x/y\r\n")
    assert c.line() == "* METADATA INBOX (/private/vendor/x/y ~{4}"
    assert c.read(4) == b"a\0b\xe9"
    assert c.line() == ")" and c.line().startswith("b OK")
    ok(c.cmd('SETMETADATA INBOX (/private/comment "")'))
    assert get(c, "INBOX", "/private/comment") == {"/private/comment": ""}
    ok(c.cmd("SETMETADATA INBOX (/private/vendor/x/y NIL /private/comment NIL)"))


def test_private_ones_are_one_users(c, session):
    ok(c.cmd("CREATE Both"))
    ok(c.cmd("SETACL Both bob lr"))
    bob = session("bob")
    theirs = '"Other Users/fred/Both"'
    ok(c.cmd('SETMETADATA Both (/private/comment "fred" /shared/comment "ours")'))
    ok(bob.cmd(f'SETMETADATA {theirs} (/private/comment "bob")'))
    assert get(bob, theirs, "/private/comment", "/shared/comment") == {"/private/comment": "bob", "/shared/comment": "ours"}
    assert get(c, "Both", "/private/comment") == {"/private/comment": "fred"}
    ok(c.cmd("DELETE Both"))
    ok(c.cmd("CREATE Both"))
    assert get(c, "Both", "/private/comment", "/shared/comment") == {"/private/comment": None, "/shared/comment": None}
    ok(c.cmd("DELETE Both"))


@pytest.mark.parametrize("rights,may_get,may_set_private,may_set_shared", [
    ("l", False, False, False), ("lr", True, True, False), ("ls", True, True, False), ("li", True, True, False), ("lp", True, True, False),
    ("lw", True, True, True), ("rw", False, False, False), ("lk", False, False, False)])
def test_rights(c, session, rights, may_get, may_set_private, may_set_shared):
    ok(c.cmd("CREATE Shown"))
    ok(c.cmd('SETMETADATA Shown (/shared/comment "seen")'))
    ok(c.cmd("SETACL Shown bob " + rights))
    bob, name = session("bob"), '"Other Users/fred/Shown"'
    try:
        code = "NOPERM" if "l" in rights else "NONEXISTENT"
        for may, command in ((may_get, f"GETMETADATA {name} /shared/comment"), (may_set_private, f'SETMETADATA {name} (/private/comment "x")'),
                             (may_set_shared, f'SETMETADATA {name} (/shared/comment "x")')):
            answer = bob.cmd(command)
            if may:
                ok(answer)
            else:
                no(answer[1], "NO [" + (code if not may_get else "NOPERM"))
        rows = entries(bob.cmd('LIST "" "Other Users/fred/*" RETURN (METADATA (/shared/comment))'))
        assert (name.strip('"') in rows) == may_get
    finally:
        ok(c.cmd("DELETE Shown"))
    no(c.cmd("GETMETADATA Nowhere /shared/comment")[1], "NONEXISTENT")
    no(c.cmd('SETMETADATA Nowhere (/shared/comment "x")')[1], "NONEXISTENT")


def test_entries_follow_the_mailbox(c):
    ok(c.cmd("CREATE Before"))
    ok(c.cmd('SETMETADATA Before (/private/comment "x")'))
    ok(c.cmd("RENAME Before After"))
    assert get(c, "After", "/private/comment") == {"/private/comment": "x"}
    ok(c.cmd("DELETE After"))
    # An INBOX's are copied.
    ok(c.cmd('SETMETADATA INBOX (/private/comment "mine" /shared/comment "ours")'))
    ok(c.cmd("RENAME INBOX Old"))
    both = {"/private/comment": "mine", "/shared/comment": "ours"}
    assert get(c, "Old", *both) == get(c, "INBOX", *both) == both
    ok(c.cmd("DELETE Old"))


def test_the_servers(c, admin, session, fronted):
    assert get(c, '""', "/shared/admin") == {"/shared/admin": "mailto:postmaster@example.com"}
    assert "/shared/admin" in get(c, '""', "/shared", options="(DEPTH 1) ")
    no(admin.cmd('SETMETADATA "" (/shared/admin "x")')[1], "NO [CANNOT]", "read-only")
    no(c.cmd('SETMETADATA "" (/shared/comment "x")')[1], "NO [NOPERM]")
    ok(admin.cmd('SETMETADATA "" (/shared/comment "Shared comment")'))
    assert entries(c.cmd('GETMETADATA "" /shared/comment')) == {"": {"/shared/comment": "Shared comment"}}
    ok(c.cmd('SETMETADATA "" (/private/vendor/x/y "mine")'))
    assert get(c, '""', "/private/vendor/x/y", "/shared/comment") == {"/private/vendor/x/y": "mine", "/shared/comment": "Shared comment"}
    assert get(session("bob"), '""', "/private/vendor/x/y") == {"/private/vendor/x/y": None}
    # Private and shared ones at once, all or none.
    no(c.cmd('SETMETADATA "" (/private/vendor/x/y "other" /shared/comment "x")')[1], "NOPERM")
    assert get(c, '""', "/private/vendor/x/y") == {"/private/vendor/x/y": "mine"}
    # Through the frontend it is one answer, whatever backend the session is busy with.
    if admin.s.getpeername()[1] == fronted.frontends[0].imap:
        ok(admin.cmd("CREATE far backendb"))
        ok(admin.cmd("SELECT far"))
        assert get(admin, '""', "/shared/comment") == {"/shared/comment": "Shared comment"}
        ok(admin.cmd("CLOSE"))
        ok(admin.cmd("DELETE far"))
    ok(admin.cmd('SETMETADATA "" (/shared/comment NIL)'))


def test_limits(c):
    no(c.cmd("SETMETADATA INBOX (/private/comment {2049+}\r\n" + "x" * 2049 + ")")[1], "NO [METADATA MAXSIZE 2048]")
    ok(c.cmd("SETMETADATA INBOX (/private/comment {2048+}\r\n" + "x" * 2048 + ")"))
    no(c.cmd("SETMETADATA INBOX (/private/comment {9000}")[1], "literal")
    no(c.cmd('SETMETADATA INBOX (/private/' + 'n' * 56 + ' "x")')[1], "NO [LIMIT]", "name")
    ok(c.cmd('SETMETADATA INBOX (/private/' + 'n' * 55 + ' "x")'))
    ok(c.cmd("SETMETADATA INBOX (" + " ".join(f'/private/n{i} "x"' for i in range(10)) + ")"))
    # Twelve there may be; nothing of what is refused is done.
    no(c.cmd('SETMETADATA INBOX (/private/n0 "y" /private/more "x")')[1], "NO [METADATA TOOMANY]")
    assert get(c, "INBOX", "/private/n0") == {"/private/n0": "x"}
    ok(c.cmd('SETMETADATA INBOX (/private/n0 NIL /private/more "x")'))
    ok(c.cmd('SETMETADATA INBOX (/shared/comment "x")'))
    no(c.cmd("SETMETADATA INBOX (" + " ".join(f'/private/m{i} "x"' for i in range(1001)) + ")")[1])


BAD = ["GETMETADATA", "GETMETADATA INBOX", "GETMETADATA INBOX ()", 'GETMETADATA INBOX ""', "GETMETADATA () INBOX /shared/comment",
       "GETMETADATA (MAXSIZE) INBOX /shared/comment", "GETMETADATA (MAXSIZE -1) INBOX /shared/comment",
       "GETMETADATA (MAXSIZE 4294967296) INBOX /shared/comment", "GETMETADATA (DEPTH 2) INBOX /shared/comment",
       "GETMETADATA (DEPTH) INBOX /shared/comment", "GETMETADATA (DEPTH 1 DEPTH 1) INBOX /shared/comment",
       "GETMETADATA (MAXSIZE 1 DEPTH 1 INBOX /shared/comment", "GETMETADATA (FOO 1) INBOX /shared/comment",
       "GETMETADATA INBOX (/shared/comment", "GETMETADATA INBOX /shared/comment)", "SETMETADATA INBOX", "SETMETADATA INBOX ()",
       "SETMETADATA INBOX /shared/comment x", "SETMETADATA INBOX (/shared/comment)", "SETMETADATA INBOX (/shared/comment x",
       "SETMETADATA INBOX (/shared/comment x y)", "SETMETADATA INBOX (/shared/comment ~x)", "SETMETADATA INBOX (/shared/comment (x))",
       'SETMETADATA INBOX (/shared/comment "x', "UID GETMETADATA INBOX /shared/comment", 'LIST "" * RETURN (METADATA)',
       'LIST "" * RETURN (METADATA ())', 'LIST "" * RETURN (METADATA (/shared/*))', 'LIST (METADATA (/shared/comment)) "" *']
NAMES = ["/shared/*", "/shared/com%", "/shared//comment", "/shared/comment/", "shared/comment", "/shared", "/private", "/", "/other/comment",
         "/sharedx/comment", "/shared/vendor/x", "/private/vendor", '"/shared/a b\x01"', '"/shared/\xe9"', "{15+}\r\n/shared/com\0ment"]


@pytest.mark.parametrize("command", BAD)
def test_bad_commands(c, command):
    no(c.cmd(command.replace(" x", ' "x"') if "SETMETADATA" in command and '"' not in command and "~x" not in command else command)[1], "BAD")
    ok(c.cmd("NOOP"))


@pytest.mark.parametrize("name", NAMES)
def test_bad_names(c, name):
    assert c.cmd(f"GETMETADATA INBOX {name}".encode("latin-1"))[1].startswith("BAD")
    assert c.cmd(f"SETMETADATA INBOX ({name} NIL)".encode("latin-1"))[1].startswith("BAD")
    ok(c.cmd("NOOP"))


def test_nul_needs_a_literal8(c):
    no(c.cmd(b"SETMETADATA INBOX (/private/comment {3+}\r\na\0b)")[1], "BAD")


def test_list_metadata(c):
    """The example of RFC 9590 section 4."""
    color = "/shared/vendor/cmu/cyrus-imapd/color"
    for name in ("Fruit", "Fruit/Apple"):
        ok(c.cmd("CREATE " + name))
    try:
        ok(c.cmd(f'SETMETADATA INBOX ({color} "#b71c1c")'))
        answer = c.cmd(f'LIST "" * RETURN (METADATA ("{color}") CHILDREN)')
        rows = entries(answer)
        assert rows["INBOX"] == {color: "#b71c1c"} and rows["Fruit"] == rows["Fruit/Apple"] == {color: None}
        names = [x for x in answer[0] if x.startswith("* LIST")]
        assert any("Fruit/Apple" in x for x in names)
        ok(c.cmd("DELETE Fruit"))
        answer = c.cmd(f'LIST "" Fruit* RETURN (METADATA {color} STATUS (MESSAGES))')
        assert set(entries(answer)) == {"Fruit/Apple"}
        assert any("NonExistent" in x for x in answer[0]) and any(x.startswith("* STATUS Fruit/Apple") for x in answer[0])
        assert entries(c.cmd(f'LIST "" "" RETURN (METADATA ({color}))')) == {}
    finally:
        c.cmd("DELETE Fruit/Apple")
        c.cmd("DELETE Fruit")


def test_much_is_told_as_it_is_taken(c):
    """A client that takes its time gets all of many long values."""
    value = "y" * 2000
    for i in range(12):
        ok(c.cmd(f"SETMETADATA INBOX (/private/long{i} {{2000+}}\r\n{value})"))
    for i in range(40):
        c.send(f"l{i} GETMETADATA (DEPTH infinity) INBOX /private\r\n")
    for i in range(40):
        answer = c.until(f"l{i}")
        assert entries(answer)["INBOX"] == {f"/private/long{k}": value for k in range(12)}
