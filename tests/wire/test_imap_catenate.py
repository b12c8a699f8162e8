"""CATENATE (RFC 4469), on a backend and through a frontend: messages put together from texts and from what URLs name."""
import re

import pytest

from test_imap_append import literal, subjects
from test_imap_search import fill
from test_imap_session import no, ok

PARTED = (b"From: fred@example.org\r\nSubject: parted\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
          b"--b\r\nContent-Type: text/plain\r\n\r\nfirst part\r\n--b\r\nContent-Type: text/html\r\nContent-Id: <x>\r\n\r\n<p>second</p>\r\n--b--\r\n")


def fill_parted(c):
    """Two messages, and one of two parts."""
    fill(c, count=2)
    ok(c.cmd(b"APPEND Box " + literal(PARTED)))
    ok(c.cmd("NOOP"))


@pytest.fixture
def c(session):
    c = session()
    fill_parted(c)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def text(octets):
    return b"TEXT " + literal(octets)


def url(u):
    return f'URL "{u}"'.encode()


def cat(c, *parts, command="APPEND Box"):
    return c.cmd(command.encode() + b" CATENATE (" + b" ".join(parts) + b")")


def body(c, n):
    ok(c.cmd("NOOP"))
    c.send(f"b FETCH {n} BODY.PEEK[]\r\n")
    m = re.search(r"\{(\d+)\}$", c.line())
    octets = c.read(int(m.group(1)))
    assert c.until("b")[1].startswith("OK")
    return octets


def uidvalidity(c):
    return re.search(r"UIDVALIDITY (\d+)", ok(c.cmd("STATUS Box (UIDVALIDITY)"))[0]).group(1)


def test_parts_of_a_message_become_another(c):
    """As the first example of RFC 4469 section 4: a header, texts, and parts by their MIME headers."""
    assert any(" CATENATE" in x for x in ok(c.cmd("CAPABILITY")))
    v = uidvalidity(c)
    done = cat(c, url(f"/Box;UIDVALIDITY={v}/;UID=3/;section=HEADER"), text(b"--b\r\n"), url(f"/Box;UIDVALIDITY={v}/;UID=3/;section=1.MIME"),
               url(f"/Box;UIDVALIDITY={v}/;UID=3/;section=1"), text(b"\r\n--b--\r\n"))[1]
    assert re.match(r"OK \[APPENDUID \d+ 4\]", done), done
    header = PARTED[:PARTED.index(b"\r\n\r\n") + 4]
    assert body(c, 4) == header + b"--b\r\nContent-Type: text/plain\r\n\r\nfirst part\r\n--b--\r\n"
    assert "fred" in ok(c.cmd("FETCH 4 (ENVELOPE)"))[0]


@pytest.mark.parametrize("u,octets", [
    ("/Box/;UID=3", PARTED), (";UID=3", PARTED), ("/;UID=3/;SECTION=2", b"<p>second</p>"), ("/Box/;UID=3/;SECTION=2.MIME", b"Content-Type: text/html\r\nContent-Id: <x>\r\n\r\n"),
    ("/Box/;UID=3/;SECTION=HEADER.FIELDS%20(SUBJECT)", b"Subject: parted\r\n\r\n"), ("/Box/;UID=3/;SECTION=TEXT/;PARTIAL=3.6", b"\r\nCont"),
    ("/Box/;UID=3/;PARTIAL=6.5", b"fred@"), ("/Box/;UID=3/;SECTION=2/;PARTIAL=3", b"second</p>"), ("/Box/;UID=3/;PARTIAL=100000", b""),
    ("imap://host.example.org/Box/;UID=3/;SECTION=1", b"first part"), ("imap://fred@host/Box/;UID=3/;SECTION=1", b"first part"),
    ("imap://fred;AUTH=*@host:143/Box/;UID=3/;SECTION=1", b"first part"), ("//fred@host/B%6fx/;uid=3/;section=1", b"first part"),
])
def test_what_a_url_names(c, u, octets):
    done = cat(c, text(b"A: b\r\n\r\n"), url(u), text(b"|"))[1]
    assert done.startswith("OK"), done
    assert body(c, 4) == b"A: b\r\n\r\n" + octets + b"|"


@pytest.mark.parametrize("u", [
    "/Sent;UIDVALIDITY=9999999/;UID=30/;section=BODY", "/Nowhere/;UID=1", "/Box;UIDVALIDITY=1/;UID=3", "/Box/;UID=9", "/Box/;UID=3/;SECTION=3",
    "/Box/;UID=3/;SECTION=1.2", "/Box", "/Box/;UID=0", "/Box/;UID=3/;SECTION=FOO", "/B%zzx/;UID=3", "Box/;UID=3", "http://host/Box/;UID=3",
    "imap://bob@host/Box/;UID=3", "/Other%20Users/bob/;UID=1", "/Box/;UID=3;URLAUTH=user+fred:INTERNAL:91354a473744909de610943775f92038",
    "", "/..%2f..%2fetc/;UID=1", "/Box/;UID=3/;SECTION=1%5D", "/Box/;UID=3/;PARTIAL=0.0",
])
def test_a_bad_url_names_itself_and_leaves_nothing(c, u):
    for parts in ((text(b"A: b\r\n\r\n"), url(u)), (url(u), text(b"x"))):
        done = cat(c, *parts)[1]
        assert done.startswith(f'NO [BADURL "{u.replace("]", "%5D")}"] '), done
    assert subjects(c)[-1] == "parted" and len(subjects(c)) == 3


def test_a_url_with_line_ends_does_not_break_the_answer(c):
    lines, done = c.cmd(b"APPEND Box CATENATE (URL {14+}\r\n/Box]\r\n* BYE \")")
    assert done.startswith('NO [BADURL "/Box%5D%0D%0A* BYE %22"]') and not any("BYE" in x for x in lines), (lines, done)


@pytest.mark.parametrize("command", [
    "CATENATE", "CATENATE ()", "CATENATE (TEXT)", "CATENATE (TEXT foo)", "CATENATE (URL)", "CATENATE (FOO {1+}\r\nx)", "CATENATE (TEXT {1+}\r\nx",
    "CATENATE (TEXT {1+}\r\nx )", "CATENATE (TEXT {1+}\r\nxURL /Box/;UID=1)", "CATENATE TEXT {1+}\r\nx", "CATENATE (TEXT {1+}\r\nx) (\\Seen)",
    "CATENATE(TEXT {1+}\r\nx)", "UTF8 (CATENATE (TEXT {1+}\r\nx))",
])
def test_malformed(c, command):
    assert c.cmd("APPEND Box " + command)[1].startswith("BAD")
    assert len(subjects(c)) == 3


def test_octets_that_cannot_be_kept(c):
    assert cat(c, text(b"a\0b"))[1].startswith("NO [CANNOT]")
    assert cat(c, b"TEXT ~" + literal(b"a\0b"))[1].startswith("NO [UNKNOWN-CTE]")
    assert cat(c, text(b""))[1].startswith("NO [CANNOT]")
    assert cat(c, url("/Box/;UID=3/;PARTIAL=100000"))[1].startswith("NO [CANNOT]")


def test_too_much(c):
    big = b"Subject: big\r\n\r\n" + b"x" * 700000
    ok(c.cmd(b"APPEND Box " + literal(big)))
    assert cat(c, url("/Box/;UID=4"), url("/Box/;UID=4"))[1].startswith("NO [TOOBIG]")
    assert cat(c, url("/Box/;UID=4"), text(b"x" * 400000))[1].startswith("NO [TOOBIG]")
    # Each is small enough, all are not.
    once = b" CATENATE (" + url("/Box/;UID=4") + b")"
    assert c.cmd(b"APPEND Box" + once * 5)[1].startswith("NO [TOOBIG]")
    ok(c.cmd(b"APPEND Box" + once * 2))
    assert cat(c, *[text(b"x")] * 101)[1].startswith("BAD")
    assert len(subjects(c)) == 6


def test_among_others_and_in_a_replacement(c):
    done = c.cmd(b"APPEND Box (\\Seen) " + literal(b"Subject: plain\r\n\r\n") + b" (\\Draft) CATENATE (" + text(b"Subject: put together\r\n\r\n") +
                 b" " + url(";UID=3/;SECTION=1") + b")")[1]
    assert re.search(r"\[APPENDUID \d+ 4:5\]", done), done
    assert subjects(c)[3:] == ["plain", "put together"]
    assert c.cmd(b"APPEND Box " + literal(b"Subject: plain\r\n\r\n") + b" CATENATE (" + url("/Nowhere/;UID=1") + b")")[1].startswith("NO [BADURL")
    assert len(subjects(c)) == 5
    # As in RFC 8508 section 4.2.
    lines, done = cat(c, text(b"To: Mitzy <miss.mitzy@example.org>\r\n"), url("/Box/;UID=3"), command="UID REPLACE 3 Box")
    assert "APPENDUID" in lines[0] and done == "OK replaced"
    assert body(c, 5) == b"To: Mitzy <miss.mitzy@example.org>\r\n" + PARTED


def test_rights_are_those_of_the_reader(session, c):
    bob = session("bob")
    name = '"Other Users/fred/Box"'
    u = url("/Other%20Users/fred/Box/;UID=3/;SECTION=1")
    bob.cmd("DELETE Mine")
    ok(bob.cmd("CREATE Mine"))
    assert cat(bob, u, command="APPEND Mine")[1].startswith("NO [BADURL")
    ok(c.cmd("SETACL Box bob ls"))
    assert cat(bob, u, command="APPEND Mine")[1].startswith("NO [BADURL")
    ok(c.cmd("SETACL Box bob lr"))
    ok(cat(bob, u, command="APPEND Mine"))
    assert no(cat(bob, u, command="APPEND " + name)[1]).startswith("NO [NOPERM]")
    ok(bob.cmd("DELETE Mine"))


def test_names_are_utf8_in_urls(c):
    c.cmd("DELETE Gr&APwA3w-e")
    ok(c.cmd("CREATE Gr&APwA3w-e"))
    ok(c.cmd(b"APPEND Gr&APwA3w-e " + literal(PARTED)))
    ok(cat(c, url("/Gr%C3%BC%C3%9Fe/;UID=1/;SECTION=1")))
    assert body(c, 4) == b"first part"
    ok(c.cmd("DELETE Gr&APwA3w-e"))
