"""Real Cyrus clients that compress what they say to `roost mupdate`: mupdatetest, and members with `proxy_compress: 1`.

Cyrus's own mupdate server offers `* COMPRESS "DEFLATE"` and mupdatetest looks for that; but Cyrus's members want it
without the quotes, which no server sends, so that they never compress. Here these are taken off on the way, and they do."""
import subprocess
import zlib

import pytest

from cyrus_murder import CyrusMurder, Follower, available
from mupdate import Directory, Mupdate, state
from roost import PASSWORD, wait_for
from test_cyrus_murder import Directory as CyrusDirectory, ok

MUPDATETEST = "/usr/lib/cyrus/bin/mupdatetest"
pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")


def test_mupdatetest():
    d = Directory().start()
    try:
        c = Mupdate(d, "admin")
        for i in range(1000):
            c.ok("RESERVE", f"user.box{i}", "backenda!default")
        c.close()
        login = ["-m", "PLAIN", "-a", "admin", "-u", "admin", "-w", PASSWORD]
        p = subprocess.run([MUPDATETEST, "-q", *login, "-p", str(d.mupdate_port), "127.0.0.1"], capture_output=True, timeout=20,
                           input=b"a1 NOOP\r\na2 COMPRESS \"DEFLATE\"\r\na3 UPDATE\r\na4 LOGOUT\r\n")
        text = p.stdout.decode()
        assert 'C: Z01 COMPRESS "DEFLATE"\r\nS: Z01 OK "DEFLATE active"' in text.replace("\n", "\r\n").replace("\r\r", "\r"), text
        assert 'a1 OK "Noop done"' in text and "a2 NO" in text and 'a3 OK "streaming starts"' in text and 'a4 BYE "bye-bye"' in text
        assert text.count("a3 RESERVE") == 1000
    finally:
        d.stop()


class Told:
    """A socket to whose owner the capability is told as it looks for it."""

    def __init__(self, s):
        self.s, self.shutdown = s, s.shutdown

    def sendall(self, data):
        self.s.sendall(data.replace(b'* COMPRESS "DEFLATE"', b"* COMPRESS DEFLATE"))


def said(talk):
    """What was said under compression by the client, then by the server; None where nothing was."""
    marks = {"C": b'COMPRESS "DEFLATE"\r\n', "S": b'Z01 OK "DEFLATE active"\r\n'}
    if any(marks[side] not in talk[side] for side in marks):
        return None
    return b"".join(zlib.decompressobj(-15).decompress(bytes(talk[side]).split(marks[side], 1)[1]) for side in marks)


def test_members_and_a_frontend():
    d = CyrusDirectory().start()
    m = CyrusMurder(d.mupdate_port, users=["u1"], extra="proxy_compress: 1\n")
    for r in m.to_mupdate.values():
        r.pump = lambda source, to, heard, pump=r.pump: pump(source, Told(to), heard)
    try:
        m.start()
        follower = Follower(d, "frontend")
        admin = m.imap("cyrus")
        ok(admin.create("user/u1 backenda!default"))
        ok(admin.create("user/u1/Sent"))
        ok(admin.rename("user/u1/Sent", "user/u1/Out"))
        ok(admin.setacl("user/u1/Out", "u1", "lrs"))
        c = Mupdate(d, "admin")
        assert state(c, "user.u1.Out") == ("MAILBOX", "backenda!default")
        wait_for(lambda: len(ok(m.imap("u1").list())) == 2, "the frontend has heard of it")
        assert ("MAILBOX", "user.u1.Out", "backenda!default") in follower.flush()
        for name in ("backenda1", "frontend"):
            asked = [said(talk) for talk in m.to_mupdate[name].talks]
            assert asked and all(asked), f"{name} compresses whatever it says"
            assert any(b"ACTIVATE" in a for a in asked) == (name == "backenda1")
            assert any(b"UPDATE" in a and b"user.u1.Out" in a for a in asked) == (name == "frontend")
        follower.close()
        c.close()
    finally:
        m.stop()
        d.stop()
