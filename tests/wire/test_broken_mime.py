"""Messages that are not what RFC 5322 and MIME say, on a backend, through a frontend and by LMTP: they are kept to the octet, every section is what
the structure says, ENVELOPE and BODYSTRUCTURE are read by a strict parser, and searches, sorting and threading over all of them are answered."""
import base64
import random
import re

import pytest

from imap_answer import fetch
from mail import crlf, samples
from roost import Raw
from test_imap_session import no, ok

MAX = 1 << 20
HEAD = b"From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def multipart(boundary=b"b", *parts, end=b"--b--\r\n"):
    return HEAD + b"Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n" % boundary + b"".join(b"--%s\r\n%s" % (boundary, p) for p in parts) + end


def nested(levels, kind=b"mixed"):
    """Multiparts within each other, each with a boundary of its own, none closed."""
    return HEAD + b"".join(b"Content-Type: multipart/%s; boundary=n%d\r\n\r\n--n%d\r\n" % (kind, i, i) for i in range(levels)) + b"\r\ndeep\r\n"


def forwarded(levels):
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" * levels + b"\r\ndeep\r\n"


BROKEN = {
    "a CRLF": b"\r\n", "an LF": b"\n", "a CR": b"\r", "CRs": b"\r\r\r\n\r", "one octet": b"x", "a colon": b":", "colons": b":\r\n:\r\n\r\n:", "no header": b"no header at all", "no body": b"Subject: x",
    "no blank line": b"Subject: x\r\nFrom: y\r\n", "no blank line, no end": b"Subject: x\r\nFrom: y", "blank line first": b"\r\nSubject: in the body\r\n", "bare LFs": b"Subject: x\nFrom: y\n\nbody\nbody\n",
    "bare CRs": b"Subject: x\rFrom: y\r\rbody\r", "mixed line ends": b"Subject: x\r\nFrom: y\nTo: z\r\r\n\n\r\nbody\r\r\n", "eight bit": b"Subject: \xe4\xf6\xfc\r\nFrom: \xff\xfe <\x80@\x81>\r\n\r\n\xff\xfe\x80\r\n",
    "utf-8": "Subject: Grüße 日本\r\nFrom: Jürgen <jürgen@exämple.org>\r\n\r\nß\r\n".encode(), "controls": b"Subject: \x01\x02\x7f\x1b[31m\r\n\r\n\x01\x1b\r\n", "mbox From": b"From someone Mon Jan  1\r\nSubject: x\r\n\r\nbody\r\n",
    "folds": b"Subject:\r\n a\r\n\tb\r\n \r\n c\r\n\r\nx", "fold first": b" folded\r\nSubject: x\r\n\r\nx", "name with blanks": b"Sub ject: x\r\nFrom : y\r\n\r\nx", "no name": b": x\r\nSubject: y\r\n\r\nx",
    "twice": b"Subject: one\r\nSubject: two\r\nFrom: a@b\r\nFrom: c@d\r\nContent-Type: text/plain\r\nContent-Type: image/png\r\n\r\nx", "addresses": b"From: <, \"a\\\" <b>, c@, @d, (((, group:;, g:a,b;;, <@x,@y:z@w>, a b c, \"q\" r@s\r\nTo: ,,,\r\nCc: ()\r\nBcc: <>\r\nSender: \"\r\nReply-To: =?x?y?z?=\r\n\r\nx",
    "many addresses": b"To: " + b", ".join(b"user%d@example.org" % i for i in range(2000)) + b"\r\n\r\nx", "nested comments": b"From: " + b"(" * 5000 + b"a@b" + b")" * 5000 + b"\r\nDate: " + b"(" * 5000 + b"\r\n\r\nx",
    "date": b"Date: 99 Foo 99999 99:99:99 +9999999\r\n\r\nx", "dates": b"Date: \r\nDate: Mon, 1 Jan 2020\r\nDate: 1\r\n\r\nx", "date far": b"Date: 1 Jan 9999999999999999999 00:00:00 +0000\r\n\r\nx",
    "encoded words": b"Subject: =?utf-8?q?=?=?utf-8?b?=?= =?utf-8?x?y?= =?nosuch?q?a?= =?utf-8?b?!!!?= =?utf-8?q?=ZZ=4?= =?" + b"x" * 3000 + b"?q?a?=\r\n\r\nx", "quoted": b"Subject: \"a \\\" b \\\\ c\r\nMessage-ID: <\"a\\\"b\"@c>\r\nIn-Reply-To: <<<>>>\r\nReferences: <a <b <c> d> e>\r\n\r\nx",
    "type": b"Content-Type: /\r\n\r\nx", "type 2": b"Content-Type: text\r\n\r\nx", "type 3": b"Content-Type: ;;;=;\r\n\r\nx", "type 4": b"Content-Type: text/plain; charset; =x; a=\"b; c=d\r\n\r\nx", "type 5": b"Content-Type: \"text\"/\"plain\"\r\n\r\nx", "type 6": b"Content-Type: te\xe4xt/pl(ain)\r\n\r\nx",
    "type 7": b"Content-Type: multipart/mixed\r\n\r\n--\r\nx\r\n----\r\n", "type 8": b"Content-Type: multipart/; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--", "type 9": b"Content-Type: message/rfc822\r\n\r\n", "params": b"Content-Type: text/plain" + b"; a=b" * 3000 + b"\r\n\r\nx",
    "rfc 2231": b"Content-Type: text/plain; n*0*=utf-8''%e2; n*1=x; n*99999999999=y; n*=''\r\nContent-Disposition: attachment; filename*=x'y'%%%\r\n\r\nx", "disposition": b"Content-Disposition: \r\nContent-Language: ,,en,(x)\r\nContent-Location: \x80\r\nContent-MD5: !\r\nContent-ID: \r\nContent-Description: \r\n\r\nx",
    "encoding": b"Content-Transfer-Encoding: \r\n\r\nx", "base64": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n=\r\n====A\r\n!!!\r\nQUJ\r\n", "quoted-printable": HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=Z\r\n=4\r\n==\r\n= \t\r\n=", "uuencode": HEAD + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n",
    "boundary empty": multipart(b"", b"\r\nx\r\n"), "boundary blank": multipart(b" ", b"\r\nx\r\n"), "boundary long": multipart(b"b" * 2000, b"\r\nx\r\n", end=b""), "boundary 8 bit": multipart(b"\xe4\xf6", b"\r\nx\r\n"), "no parts": multipart(b"b", end=b""), "no end": multipart(b"b", b"\r\nx\r\n", end=b""), "only an end": multipart(b"b"), "ends twice": multipart(b"b", b"\r\nx\r\n", end=b"--b--\r\n--b\r\n\r\ny\r\n--b--\r\n"),
    "empty parts": multipart(b"b", b"", b"", b"\r\n", b""), "part without blank line": multipart(b"b", b"Content-Type: text/html\r\n", b"Content-Type: text/html"), "boundary within": multipart(b"b", b"\r\nx--b\r\n --b\r\n--bx\r\n--b \t\r\n\r\ny\r\n"), "same boundary": multipart(b"b", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", b"\r\ny\r\n"),
    "boundary LF": multipart(b"b", b"\r\nx\r\n").replace(b"\r\n", b"\n"), "boundary CR": multipart(b"b", b"\r\nx\r\n").replace(b"\r\n", b"\r"), "digest": nested(2, b"digest") + b"--n1\r\nSubject: y\r\n\r\nz\r\n--n1--\r\n", "prefix boundaries": HEAD + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--\r\n",
    "external": HEAD + b"Content-Type: message/external-body; access-type=x\r\n\r\nContent-Type: image/gif\r\n\r\n", "partial": HEAD + b"Content-Type: message/partial; number=1; total=2; id=x\r\n\r\nSubject: y\r\n\r\nz", "forwarded nothing": multipart(b"b", b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: message/rfc822\r\n"),
    "forwarded encoded": HEAD + b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"Subject: in\r\n\r\nx") + b"\r\n", "one line": b"x" * 100000, "one header line": b"Subject: " + b"x" * 100000 + b"\r\n\r\nx", "many header lines": b"X: y\r\n" * 20000 + b"\r\nx",
    "header of nearly a megabyte": b"Subject: s\r\nX-Long: " + b"y" * 900000 + b"\r\nFrom: z@z\r\n\r\nx", "header without end": b"Subject: s\r\n" + b"X-Fold:\r\n" + b" " * 70 + b"z\r\n" + b" more\r\n" * 100000, "deep multiparts": nested(3000), "deep messages": forwarded(3000), "deep alternately": HEAD + b"".join(b"Content-Type: multipart/mixed; boundary=n%d\r\n\r\n--n%d\r\nContent-Type: message/rfc822\r\n\r\n" % (i, i) for i in range(1500)),
    "ten thousand parts": multipart(b"b", *[b"\r\n%d\r\n" % i for i in range(10001)]), "parts of parts": multipart(b"b", *[b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c\r\n\r\ny\r\n--c--\r\n"] * 1000),
}


def mutated(rng, data):
    """Cut, repeated, swapped, with octets and line ends changed; no NUL, which APPEND refuses."""
    data = bytearray(data[:20000])
    for _ in range(rng.choice([1, 2, 5, 20])):
        if not data:
            break
        at, n = rng.randrange(len(data)), rng.choice([1, 1, 2, 10, 100, 1000])
        kind = rng.randrange(7)
        if kind == 0:
            del data[at:at + n]
        elif kind == 1:
            data[at:at] = data[rng.randrange(len(data)):][:n]
        elif kind == 2:
            data[at] = rng.choice(b"\r\n \t:;\"\\()<>@,=?-\x80\xff\x01aA0")
        elif kind == 3:
            data[at:at] = rng.choice([b"\r\n\r\n", b"\n\n", b"\r", b"--", b'"', b"=?utf-8?b?", b"?=", b"Content-Type: multipart/mixed; boundary=x\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"--x\r\n", b"; boundary="])
        elif kind == 4:
            data = data[:at] if rng.random() < 0.3 else data
        elif kind == 5:
            data = bytearray(bytes(data).replace(b"\r\n", rng.choice([b"\n", b"\r", b"\r\n"]), rng.choice([1, 5, -1])))
        else:
            boundaries = re.findall(rb'boundary="?([^";\r\n]+)', bytes(data))
            if boundaries:
                data[at:at] = b"\r\n--" + rng.choice(boundaries) + rng.choice([b"\r\n", b"--\r\n", b"", b"--"])
    return bytes(data).replace(b"\0", b"?")


def mutations(seed, count):
    rng = random.Random(seed)
    sources = samples() + [m for m in BROKEN.values() if len(m) < 5000]
    return [mutated(rng, rng.choice(sources)) or b"x" for _ in range(count)]


MESSAGES = [*BROKEN.values(), *samples(), *mutations(1, 150)]


@pytest.fixture(scope="module")
def stored(fronted):
    """All of them in a mailbox of ann's, half of them through the frontend."""
    ports = [fronted.first.imap, fronted.frontends[0].imap]
    sessions = [Raw(p, timeout=60).login("ann") for p in ports]
    sessions[0].cmd("CREATE Broken")
    for i, m in enumerate(MESSAGES):
        sent = m.replace(b"\0", b"")
        ok(sessions[i % 2].cmd(b"APPEND Broken {%d+}\r\n%s" % (len(sent), sent)))
    for c in sessions:
        c.close()
    yield [m.replace(b"\0", b"") for m in MESSAGES]
    c = Raw(ports[0]).login("ann")
    ok(c.cmd("DELETE Broken"))
    c.close()


@pytest.fixture
def c(session, stored):
    c = session("ann")
    c.s.settimeout(60)
    ok(c.cmd("EXAMINE Broken"))
    return c


def check_part(c, number, part, path, whole):
    """PART of the message is where the structure has it, and so is what is within it."""
    name = ".".join(map(str, path))
    items = f"BODY.PEEK[{name}] BODY.PEEK[{name}.MIME]"
    if "envelope" in part:
        items += f" BODY.PEEK[{name}.HEADER] BODY.PEEK[{name}.TEXT]"
    found, done = fetch(c, number, items)
    assert done.startswith("OK"), done
    found = found[number]
    octets, mime = found[f"BODY[{name}]"], found[f"BODY[{name}.MIME]"]
    assert octets is not None and octets in whole and mime in whole
    if part["parts"] is None:
        assert len(octets) == part["octets"], name
    if "lines" in part:
        assert abs(octets.count(b"\n") - part["lines"]) <= 1, name
    if "envelope" in part:
        assert found[f"BODY[{name}.HEADER]"] + found[f"BODY[{name}.TEXT]"] == octets
    inner = part["parts"] if part["parts"] is not None else (part["body"]["parts"] or [part["body"]]) if "body" in part else []
    return [(path + [i + 1], p) for i, p in enumerate(inner[:3] + inner[-1:] if len(inner) > 4 else inner) if len(inner) <= 4 or i < 3]


def test_they_are_kept_and_taken_apart(c, stored):
    for first in range(1, len(stored) + 1, 20):
        last = min(first + 19, len(stored))
        found, done = fetch(c, f"{first}:{last}", "RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[]")
        assert done.startswith("OK") and sorted(found) == list(range(first, last + 1)), done
        for number, f in found.items():
            message = stored[number - 1]
            assert f["BODY[]"] == message and f["RFC822.SIZE"] == len(message), number
            assert f["BODY[HEADER]"] + f["BODY[TEXT]"] == message, number
            structure = f["BODYSTRUCTURE"]
            waiting = [([i + 1], p) for i, p in enumerate((structure["parts"] or [structure])[:4])]
            checked = 0
            while waiting and checked < 25:
                path, part = waiting.pop()
                waiting += check_part(c, number, part, path, message)
                checked += 1


def same(short, long):
    """BODY is BODYSTRUCTURE without what is behind."""
    if short["type"] != long["type"] or (short["parts"] is None) != (long["parts"] is None):
        return False
    if short["parts"] is not None:
        return len(short["parts"]) == len(long["parts"]) and all(same(a, b) for a, b in zip(short["parts"], long["parts"]))
    return all(short.get(k) == long.get(k) for k in ("params", "id", "description", "encoding", "octets", "lines", "envelope")) and \
        ("body" not in short or same(short["body"], long["body"]))


def test_both_structures_say_the_same(c, stored):
    found, done = fetch(c, f"1:{len(stored)}", "BODY BODYSTRUCTURE")
    assert done.startswith("OK") and len(found) == len(stored)
    assert [n for n, f in found.items() if not same(f["BODY"], f["BODYSTRUCTURE"])] == []


def test_binary_and_preview(c, stored):
    for number in range(1, len(stored) + 1):
        found, done = fetch(c, number, "BINARY.SIZE[1] BINARY.PEEK[1]")
        if done.startswith("OK") and found.get(number, {}).get("BINARY[1]") is not None:
            assert len(found[number]["BINARY[1]"]) == found[number]["BINARY.SIZE[1]"], number
        else:
            assert done.startswith(("OK", "NO [UNKNOWN-CTE]")), (number, done)
    lines = ok(c.cmd("FETCH 1:* (UID)"))
    assert len(lines) == len(stored)


@pytest.mark.parametrize("program", [b"TEXT zzz", b"BODY x", b"SUBJECT x", b"FROM a", b"HEADER Content-Type multipart", b"SENTSINCE 1-Jan-2000", b"OR TO example CC example", b"NOT (HEADER References a)", b"LARGER 100000",
                                     b"CHARSET UTF-8 TEXT {3+}\r\nx\xc3\xa4"])
def test_searches(c, stored, program):
    (found,) = [x for x in ok(c.cmd(b"SEARCH " + program)) if x.startswith("* SEARCH")]
    assert all(1 <= int(n) <= len(stored) for n in found.split()[2:])


@pytest.mark.parametrize("criteria", ["ARRIVAL", "CC", "DATE", "FROM", "REVERSE SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO DATE"])
def test_sort(c, stored, criteria):
    (found,) = [x for x in ok(c.cmd(f"SORT ({criteria}) UTF-8 ALL")) if x.startswith("* SORT")]
    assert sorted(map(int, found.split()[2:])) == list(range(1, len(stored) + 1))


@pytest.mark.parametrize("algorithm", ["ORDEREDSUBJECT", "REFERENCES", "REFS"])
def test_thread(c, stored, algorithm):
    (found,) = [x for x in ok(c.cmd(f"THREAD {algorithm} UTF-8 ALL")) if x.startswith("* THREAD")]
    assert sorted(map(int, re.findall(r"\d+", found))) == list(range(1, len(stored) + 1))
    assert found.count("(") == found.count(")")


def test_copies_are_the_same(session, c, stored):
    ok(c.cmd("CREATE Copies"))
    ok(c.cmd("COPY 1:* Copies"))
    ok(c.cmd("EXAMINE Copies"))
    found, done = fetch(c, "1:*", "BODY.PEEK[]")
    assert [found[n]["BODY[]"] for n in sorted(found)] == stored
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Copies"))


def test_nul_is_refused_and_said_so(session):
    """And a message of nothing, which is how a client that cannot go on takes its APPEND back."""
    c = session("ann")
    assert "no octets" in no(c.cmd(b"APPEND INBOX {0+}\r\n")[1])
    for m in (b"\0", b"Subject: x\r\n\r\na\0b", b"Sub\0ject: x\r\n\r\n"):
        assert "NUL" in no(c.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(m), m))[1])


def stuffed(message):
    """What DATA carries of it: lines end with CRLF there (RFC 2821 section 2.3.7)."""
    return re.sub(rb"(?m)^\.", b"..", message) + (b"" if message.endswith(b"\r\n") else b"\r\n") + b".\r\n"


@pytest.mark.parametrize("where", ["backend", "frontend"])
def test_by_lmtp(fronted, where):
    """What can be sent so (no NUL, line ends as a mail server makes them) arrives to the octet behind the lines that delivery puts before it."""
    daemon = fronted.first if where == "backend" else fronted.frontends[0]
    # A Return-Path that is there already gives way to that of the delivery.
    wanted = [crlf(m) for m in [*BROKEN.values(), *mutations(2, 40)] if len(m) < MAX - 1000 and b"eturn-" not in m]
    l = Raw(daemon.lmtp, timeout=60)  # noqa: E741
    l.reply()
    l.send("LHLO x\r\n")
    assert l.reply()[0] == 250
    c = Raw(fronted.first.imap, timeout=60).login("bob")
    ok(c.cmd("SELECT INBOX"))
    had = int(re.search(r"\* (\d+) EXISTS", "\n".join(c.cmd("SELECT INBOX")[0]))[1])
    for m in wanted:
        l.send("MAIL FROM:<s@example.org> BODY=8BITMIME\r\nRCPT TO:<bob>\r\nDATA\r\n")
        assert [l.reply()[0] for _ in range(3)] == [250, 250, 354]
        l.send(stuffed(m))
        code, text = l.reply()
        assert code == 250, (m[:200], text)
    l.close()
    ok(c.cmd("NOOP"))
    found, done = fetch(c, f"{had + 1}:*", "BODYSTRUCTURE ENVELOPE BODY.PEEK[]")
    assert len(found) == len(wanted) and done.startswith("OK")
    for m, (number, f) in zip(wanted, sorted(found.items())):
        ended = m if m.endswith(b"\r\n") or not m else m + b"\r\n"
        assert f["BODY[]"].endswith(ended) and re.match(rb"Return-Path: ", f["BODY[]"]), (number, m[:100])
    c.close()


def test_by_lmtp_nul_and_bare_line_ends(fronted):
    """They are answered, whatever the answer, and the session goes on."""
    l = Raw(fronted.frontends[0].lmtp)  # noqa: E741
    l.reply()
    l.send("LHLO x\r\n")
    l.reply()
    for m in (b"Subject: \0\r\n\r\n\0\r\n", b"Subject: x\n\nbody\n.\nmore\n", b"Subject: x\r\rbody\r.\rmore\r", b"\n.\n", b"\r\n.\n\r.\r\n..\r\n"):
        l.send("MAIL FROM:<s@example.org>\r\nRCPT TO:<bob>\r\nDATA\r\n")
        assert [l.reply()[0] for _ in range(3)] == [250, 250, 354]
        l.send(re.sub(rb"\r\n\.", b"\r\n..", m) + b"\r\n.\r\n")
        code, text = l.reply()
        assert code in (250, 554, 550), (m, text)
    l.send("NOOP\r\n")
    assert l.reply()[0] == 250
    l.close()
