"""COMPRESS=DEFLATE (RFC 4978), UNAUTHENTICATE (RFC 8437), APPENDLIMIT (RFC 7889), OBJECTID (RFC 8474), on a backend and through a
frontend."""
import re
import zlib

import pytest

from roost import PASSWORD
from test_imap_search import fill
from test_imap_session import no, ok


class Compressed:
    """A connection from the OK of COMPRESS on."""

    def __init__(self, c):
        self.s, self.out, self.inflate = c.s, zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
        self.pending, self.tags = b"", 0

    def cmd(self, text, octets=b""):
        self.tags += 1
        tag = b"z%d " % self.tags
        self.s.sendall(self.out.compress(tag + text.encode() + octets + b"\r\n") + self.out.flush(zlib.Z_SYNC_FLUSH))
        while not re.search(rb"(?m)^" + tag + rb".*\r\n", self.pending):
            data = self.s.recv(65536)
            assert data, self.pending
            self.pending += self.inflate.decompress(data)
        lines = self.pending.split(b"\r\n")
        self.pending = b""
        return [x.decode("utf-8", "replace") for x in lines[:-2]], lines[-2][len(tag):].decode()


def test_compress(session):
    c = session()
    fill(c)
    ok(c.cmd("COMPRESS DEFLATE"))
    z = Compressed(c)
    assert len([x for x in ok(z.cmd("FETCH 1:* (FLAGS ENVELOPE)")) if "FETCH" in x]) == 8
    assert "COMPRESSIONACTIVE" in no(z.cmd("COMPRESS DEFLATE")[1])
    text = b"Subject: big\r\n\r\n" + b"line of a large message\r\n" * 4000
    ok(z.cmd(f"APPEND Box {{{len(text)}+}}\r\n", text))
    lines = ok(z.cmd("FETCH 9 (BODY.PEEK[])"))
    assert len([x for x in lines if x == "line of a large message"]) == 4000
    ok(z.cmd("UNSELECT"))
    ok(z.cmd("DELETE Box"))


def test_compress_is_refused_before_login_and_for_others(fronted, port):
    c = fronted.raw(port)
    c.line()
    assert no(c.cmd("COMPRESS DEFLATE")[1])
    ok(c.cmd(f"LOGIN fred {PASSWORD}"))
    assert no(c.cmd("COMPRESS LZW")[1])
    assert c.cmd("COMPRESS")[1].startswith("BAD")
    ok(c.cmd("NOOP"))
    c.close()


def test_what_is_no_deflate_ends_the_connection(session):
    c = session()
    ok(c.cmd("COMPRESS DEFLATE"))
    c.s.sendall(b"\xff\xff\xff\xff NOOP\r\n")
    assert c.s.recv(100) == b""
    ok(session().cmd("NOOP"))


def test_unauthenticate(fronted, session):
    c = session()
    fill(c)
    ok(c.cmd("ENABLE QRESYNC UTF8=ACCEPT"))
    ok(c.cmd("SELECT Box"))
    lines, done = c.cmd("UNAUTHENTICATE")
    assert done.startswith("OK") and lines == []
    for command in ("SELECT INBOX", "FETCH 1 FLAGS", "UNAUTHENTICATE", 'LIST "" *', "STATUS INBOX (MESSAGES)"):
        assert no(c.cmd(command)[1]), command
    assert any("AUTH=" in x for x in ok(c.cmd("CAPABILITY")))
    assert no(c.cmd("LOGIN bob wrong")[1])
    ok(c.cmd(f"LOGIN bob {PASSWORD}"))
    assert no(c.cmd("FETCH 1 FLAGS")[1]), "nothing is selected"
    assert not any(x.endswith(" Box") for x in ok(c.cmd('LIST "" *'))), "it is another's session"
    assert no(c.cmd("SELECT INBOX (QRESYNC (1 1))")[1]), "what was enabled is no more"
    ok(c.cmd("SELECT INBOX"))
    d = session()
    ok(d.cmd("DELETE Box"))


def test_appendlimit(fronted, session):
    c = session()
    limit = 1 << 20
    assert f"APPENDLIMIT={limit}" in ok(c.cmd("CAPABILITY"))[0].split()
    assert f"* STATUS INBOX (APPENDLIMIT {limit})" in ok(c.cmd("STATUS INBOX (APPENDLIMIT)"))
    assert f"* STATUS INBOX (APPENDLIMIT {limit})" in ok(c.cmd('LIST "" INBOX RETURN (STATUS (APPENDLIMIT))'))
    assert "TOOBIG" in no(c.cmd(f"APPEND INBOX {{{limit + 1}}}")[1])


def test_mailboxid(session):
    c = session()
    c.cmd("DELETE Box")
    created = re.search(r"\[MAILBOXID \(([\w-]+)\)\]", c.cmd("CREATE Box")[1]).group(1)
    other = re.search(r"\[MAILBOXID \(([\w-]+)\)\]", c.cmd("CREATE Other")[1]).group(1)
    assert created != other
    selected = re.search(r"\[MAILBOXID \(([\w-]+)\)\]", "\n".join(ok(c.cmd("SELECT Box")))).group(1)
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("RENAME Box Renamed"))
    assert selected == created and f"* STATUS Renamed (MAILBOXID ({created}))" in ok(c.cmd("STATUS Renamed (MAILBOXID)"))
    ok(c.cmd("DELETE Renamed"))
    assert created not in c.cmd("CREATE Box")[1], "never again"
    for name in ("Box", "Other"):
        ok(c.cmd("DELETE " + name))


def test_emailid(session):
    c = session()
    fill(c, count=3)
    ok(c.cmd("COPY 2 Box"))
    ok(c.cmd("NOOP"))
    rows = [re.search(r"EMAILID \((\w+)\) THREADID NIL", x).group(1) for x in ok(c.cmd("FETCH 1:* (EMAILID THREADID)"))]
    assert len(rows) == 4 and rows[1] == rows[3] and len(set(rows)) == 3
    assert "* SEARCH 2 4" in ok(c.cmd("SEARCH EMAILID " + rows[1]))
    assert "* SEARCH" in ok(c.cmd("SEARCH EMAILID E0")) and "* SEARCH" in ok(c.cmd("SEARCH THREADID x"))
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))


@pytest.mark.parametrize("command", ["SEARCH EMAILID", "SEARCH THREADID", "UNAUTHENTICATE x", "COMPRESS DEFLATE x", "FETCH 1 (EMAILID[1])",
                                     "STATUS INBOX (MAILBOXID 1)"])
def test_malformed(session, command):
    c = session()
    ok(c.cmd("SELECT INBOX"))
    assert c.cmd(command)[1].startswith("BAD")
    ok(c.cmd("NOOP"))


def test_the_last_number_ends_a_range(session):
    """Some clients (interimap) have no "*" but the highest number there can be."""
    c = session()
    fill(c)
    assert len(ok(c.cmd("UID FETCH 1:4294967295 UID"))) == 8 and len(ok(c.cmd("UID FETCH 5:4294967295 UID"))) == 4
    assert ok(c.cmd("UID FETCH 4294967295 UID")) == [] and ok(c.cmd("UID FETCH 9:4294967295 UID")) == [], "it is no \"*\""
    assert "* SEARCH 7 8" in ok(c.cmd("SEARCH UID 7:4294967295"))
    ok(c.cmd(r"UID STORE 1:4294967295 +FLAGS.SILENT (\Deleted)"))
    assert len(ok(c.cmd("UID EXPUNGE 1:4294967295"))) == 8
    no(c.cmd("UID FETCH 1:4294967296 UID")[1])
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))
