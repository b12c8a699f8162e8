"""IMAP4rev2 (RFC 9051) beside rev1, UTF8=ACCEPT (RFC 6855), BINARY (RFC 3516), I18NLEVEL=1 (RFC 5255), on a backend and through a
frontend."""
import re

import pytest

from mail import crlf
from test_imap_search import esearch, fill
from test_imap_session import no, ok

PARTS = crlf(b"""From: a@example.org
Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: BASE64

AAECAwQ=
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: x-of-its-own

abc
--b
Content-Type: text/plain

plain
--b--
""")


@pytest.fixture
def c(session):
    c = session()
    fill(c)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


@pytest.fixture
def r2(session, c):
    d = session()
    assert "* ENABLED IMAP4rev2" in ok(d.cmd("ENABLE IMAP4rev2"))
    yield d


def test_both_are_offered(c):
    words = ok(c.cmd("CAPABILITY"))[0].split()
    assert {"IMAP4rev1", "IMAP4rev2", "UTF8=ACCEPT", "I18NLEVEL=1", "BINARY"} <= set(words)


def test_select_in_rev2(r2):
    lines = ok(r2.cmd("SELECT Box"))
    text = "\n".join(lines)
    assert '* LIST () "/" Box' in lines and "RECENT" not in text.upper() and "[UNSEEN" not in text
    assert "* OK [CLOSED]" in "\n".join(ok(r2.cmd("SELECT INBOX")))


def test_nothing_is_recent_in_rev2(session, r2, c):
    ok(c.cmd("UNSELECT"))
    text = "Subject: x\r\n\r\nx\r\n"
    ok(r2.cmd("SELECT Box"))
    ok(r2.cmd(f"APPEND Box {{{len(text)}+}}\r\n{text}"))
    lines = ok(r2.cmd("FETCH 1:* FLAGS")) + ok(r2.cmd("NOOP"))
    assert "Recent" not in "".join(lines) and "RECENT" not in "".join(lines)
    assert any(x.startswith("* 9 EXISTS") for x in lines) or "* 9 FETCH (FLAGS ())" in lines
    d = session()
    assert any(re.match(r"\* [1-9]\d* RECENT", x) for x in ok(d.cmd("SELECT Box"))), "for rev1 they still are"


def test_search_answers_esearch_in_rev2(r2):
    ok(r2.cmd("SELECT Box"))
    assert esearch(r2.cmd("SEARCH FLAGGED")) == "ALL 1,3,5,7"
    assert esearch(r2.cmd("UID SEARCH DELETED")) == "UID"
    assert esearch(r2.cmd("SEARCH CHARSET UTF-8 SUBJECT 3")) == "ALL 3"


NAMES = ["Grüße", "日本語", "Entwürfe/März", "a & b", "🙂", "é/à"]
IN_UTF7 = {"Grüße": "Gr&APwA3w-e", "日本語": "&ZeVnLIqe-", "Entwürfe/März": "Entw&APw-rfe/M&AOQ-rz", "a & b": "a &- b", "🙂": "&2D3eQg-",
           "é/à": "&AOk-/&AOA-"}


@pytest.mark.parametrize("feature", ["IMAP4rev2", "UTF8=ACCEPT"])
@pytest.mark.parametrize("name", NAMES)
def test_names_in_utf8(session, feature, name):
    d, old = session(), session()
    ok(d.cmd("ENABLE " + feature))
    ok(d.cmd(f'CREATE "{name}"'))
    assert any(f'"{IN_UTF7[name]}"' in x or x.endswith(" " + IN_UTF7[name]) for x in ok(old.cmd('LIST "" "*"'))), "the same to others"
    shown = ok(d.cmd(f'LIST "" "{name}" RETURN (STATUS (MESSAGES))'))
    assert any(x.startswith("* LIST") and f'"{name}"' in x for x in shown) and f'* STATUS "{name}" (MESSAGES 0)' in shown
    text = "Subject: x\r\n\r\nx\r\n"
    ok(d.cmd(f'APPEND "{name}" {{{len(text)}+}}\r\n{text}'))
    ok(d.cmd(f'SELECT "{name}"'))
    ok(d.cmd(f'COPY 1 "{name}"'))
    ok(d.cmd(f'SUBSCRIBE "{name}"'))
    assert any(f'"{name}"' in x for x in ok(d.cmd('LIST (SUBSCRIBED) "" "*"')))
    assert any(f'"{name}"' in x for x in ok(d.cmd('LSUB "" "*"')))
    ok(d.cmd(f'UNSUBSCRIBE "{name}"'))
    assert f'* STATUS "{IN_UTF7[name]}" (MESSAGES 2)' in [x.replace(f" {IN_UTF7[name]} (", f' "{IN_UTF7[name]}" (')
                                                         for x in ok(old.cmd(f'STATUS "{IN_UTF7[name]}" (MESSAGES)'))]
    ok(d.cmd("UNSELECT"))
    ok(d.cmd(f'DELETE "{name}"'))


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a\x7f", b"\xc2\x85"])
def test_names_that_are_not_utf8(session, name):
    d = session()
    ok(d.cmd("ENABLE UTF8=ACCEPT"))
    assert no(d.cmd(b'CREATE "' + name + b'"')[1])
    ok(d.cmd("NOOP"))
    e = session()
    assert no(e.cmd(b'CREATE "' + "ü".encode() + b'"')[1]), "and without ENABLE none in UTF-8"


def test_utf8_accept(session, c):
    d = session()
    ok(d.cmd("ENABLE UTF8=ACCEPT"))
    ok(d.cmd("SELECT Box"))
    assert d.cmd("SEARCH CHARSET UTF-8 SUBJECT x")[1].startswith("BAD")
    text = "Subject: Grüße\r\n\r\nx\r\n".encode()
    ok(d.cmd(b"APPEND Box (\\Seen) UTF8 (~{%d+}\r\n%s)" % (len(text), text)))
    assert "* SEARCH 9" in ok(d.cmd('SEARCH SUBJECT "grüsse"')), "compared without case, with unicode's folding"
    assert d.cmd(b"APPEND Box UTF8 ({%d+}\r\n%s)" % (len(text), text))[1].startswith("BAD")
    assert d.cmd(b"APPEND Box UTF8 (~{%d+}\r\n%s" % (len(text), text))[1].startswith("BAD")


def binary(c, what, uid=""):
    """The value of one BINARY item of the last message, as octets."""
    c.tags += 1
    c.send(f"b{c.tags} {uid}FETCH 9 ({what})\r\n")
    line = c.f.readline()
    value = None
    m = re.search(rb"(~?)\{(\d+)\}\r\n$", line)
    if m:
        value = c.f.read(int(m.group(2)))
        assert bool(m.group(1)) == (b"\0" in value), "literal8 where it must be"
        c.f.readline()
    elif b"BINARY.SIZE" in line:
        value = int(re.search(rb"BINARY.SIZE\[[\d.]*\] (\d+)", line).group(1))
    lines, done = c.until(f"b{c.tags}")
    return value, done


def test_binary(c):
    ok(c.cmd(b"APPEND Box {%d+}\r\n%s" % (len(PARTS), PARTS)))
    assert binary(c, "BINARY.PEEK[1]")[0] == "Grüße".encode()
    assert binary(c, "BINARY.SIZE[1]")[0] == len("Grüße".encode())
    assert binary(c, "BINARY.PEEK[2]")[0] == b"\0\1\2\3\4"
    assert binary(c, "BINARY.PEEK[2]<1.2>")[0] == b"\1\2"
    assert binary(c, "BINARY.PEEK[2]<9.2>")[0] == b""
    assert binary(c, "BINARY.SIZE[2]")[0] == 5
    assert binary(c, "BINARY.PEEK[4]")[0] == b"plain"
    assert binary(c, "BINARY.PEEK[]")[0] == PARTS
    value, done = binary(c, "BINARY.PEEK[3]")
    assert value is None and "UNKNOWN-CTE" in no(done)
    assert binary(c, "BINARY.PEEK[7]")[0] is None
    assert "Seen" not in "".join(ok(c.cmd("FETCH 9 FLAGS")))
    assert binary(c, "BINARY[1]")[1].startswith("OK")
    assert "Seen" in "".join(ok(c.cmd("FETCH 9 FLAGS")))


def test_append_of_a_literal8(c):
    text = b"Subject: x\r\n\r\nx\r\n"
    ok(c.cmd(b"APPEND Box ~{%d+}\r\n%s" % (len(text), text)))
    ok(c.cmd(b"APPEND Box (\\Seen) ~{%d+}\r\n%s" % (len(text), text)))
    text = b"Subject: x\r\n\r\na\0b\r\n"
    assert "UNKNOWN-CTE" in no(c.cmd(b"APPEND Box ~{%d+}\r\n%s" % (len(text), text))[1])


@pytest.mark.parametrize("item", ["BINARY", "BINARY[", "BINARY[1", "BINARY[1.]", "BINARY[HEADER]", "BINARY[1.MIME]", "BINARY[0]",
                                  "BINARY.SIZE[1]<0.1>", "BINARY.PEEK[1]<0.0>", "BINARY.PEEK", "BINARY.SIZE"])
def test_malformed_binary(c, item):
    assert c.cmd(f"FETCH 1 ({item})")[1].startswith("BAD")
