"""A Roost frontend before real Cyrus backends: it offers what they can, and everything offered works."""
import os
import re

import pytest

from cyrus_murder import CyrusMurder, Directory, available
from local import Lmtp
from roost import PASSWORD, Daemon, Raw, free_port, http, scram_line, wait_for

pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")
USERS = ["u1", "u2"]


class Frontend(Daemon):
    """Finds backends by their names, as Cyrus's do in this murder."""

    def __init__(self, directory, cyrus):
        self.cyrus = cyrus
        self.imap, self.lmtp, self.admin = free_port(), free_port(), free_port()
        with open(directory.dir + "/frontend.users", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for user in ("cyrus", *USERS):
                f.write(scram_line(user, PASSWORD))
        os.mkdir(directory.dir + "/front")
        super().__init__(directory.dir, "frontend", "front", {
            "member": "front", "configdirectory": directory.dir + "/front", "users_file": f.name, "admins": "cyrus",
            "proxy_authname": "murder", "proxy_password": "secret", "mupdate_server": "127.0.0.1", "mupdate_port": directory.mupdate_port,
            "mupdate_authname": "frontend", "mupdate_password": PASSWORD, "altnamespace": "no", "index_map_size": "64M",
            "imap_listen": f"127.0.0.1:{self.imap}", "lmtp_listen": f"127.0.0.1:{self.lmtp}", "admin_listen": f"127.0.0.1:{self.admin}"})
        with open(directory.dir + "/names", "w") as f:
            ports = {"backenda": cyrus.a1.ports, "backendb": cyrus.b.ports}
            f.writelines(f"{server} {service} 127.0.0.1 {p[kind]}\n" for server, p in ports.items()
                         for service, kind in (("143", "imap"), ("2003", "lmtp")))
        self.names = f.name

    def start(self):
        os.environ.update(LD_PRELOAD=f"{self.cyrus.base}/names.so", CYRUS_TEST_NAMES=self.names)
        try:
            return super().start()
        finally:
            del os.environ["LD_PRELOAD"], os.environ["CYRUS_TEST_NAMES"]


@pytest.fixture(scope="module")
def murder():
    """The mailboxes are there before the frontend starts."""
    d = Directory().start()
    m = CyrusMurder(d.mupdate_port, users=USERS).start()
    m.a1.imap().create("user/u1")
    m.b.imap().create("user/u2")
    m.a1.imap("u1").create("INBOX/Work")
    m.b.imap().create("shared")
    m.b.imap().setacl("shared", "anyone", "lrswipkxtea")
    m.front = Frontend(d, m)
    m.front.start()
    wait_for(lambda: http(f"127.0.0.1:{m.front.admin}", "/readyz")[0] == 200, "the frontend serves")
    yield m
    print(m.front.tail())
    assert m.front.stop() == 0
    m.stop()
    d.stop()


@pytest.fixture
def c(murder):
    c = Raw(murder.front.imap).login("u1")
    yield c
    c.close()


def ok(answer):
    lines, done = answer
    assert done.startswith("OK"), done
    return lines


def words(line):
    return set(re.search(r"CAPABILITY ([^\]]*)", line).group(1).split())


def test_it_offers_what_cyrus_can(murder, c):
    own = {x.upper() for x in murder.a1.imap("u1").capability()[1][0].decode().split()}
    offered = words(ok(c.cmd("CAPABILITY"))[0])
    assert {"UIDPLUS", "MOVE", "CONDSTORE", "QRESYNC", "ESEARCH", "SORT", "THREAD=REFERENCES", "ACL", "UNSELECT", "IDLE"} <= offered
    assert "IMAP4rev2" not in offered and "PARTIAL" not in offered
    by_itself = {"IMAP4REV1", "LITERAL+", "ID", "ENABLE", "SASL-IR", "NAMESPACE", "CHILDREN", "SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS",
                 "LIST-MYRIGHTS", "COMPRESS=DEFLATE", "UNAUTHENTICATE"}
    assert {x.upper() for x in offered if not x.startswith(("APPENDLIMIT=", "RIGHTS="))} <= own | by_itself


MESSAGES = [f"From: a@example.org\r\nTo: b@example.org\r\nSubject: number {i}\r\nDate: Mon, {i + 1} Jun 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{i}@example.org>\r\n\r\nbody {i}\r\n" for i in range(5)]


def test_a_days_work(murder, c):
    assert [Lmtp(f"127.0.0.1:{murder.front.lmtp}").deliver("s@example.org", ["u1"], m.encode())[0][0] for m in MESSAGES[:2]] == [250, 250]
    for m in MESSAGES:
        assert "APPENDUID" in c.cmd(f"APPEND INBOX/Work (\\Flagged) {{{len(m)}+}}\r\n{m}")[1]
    found = " ".join(ok(c.cmd('LIST "" * RETURN (CHILDREN STATUS (MESSAGES) MYRIGHTS)')))
    assert "* STATUS INBOX/Work (MESSAGES 5)" in found and "* STATUS shared (MESSAGES 0)" in found and "* MYRIGHTS" in found
    ok(c.cmd("SUBSCRIBE INBOX/Work"))
    assert r"\Subscribed" in " ".join(ok(c.cmd('LIST (SUBSCRIBED) "" *')))
    assert ok(c.cmd("ENABLE QRESYNC IMAP4rev2")) == ["* ENABLED CONDSTORE QRESYNC"]
    assert "* 5 EXISTS" in ok(c.cmd("SELECT INBOX/Work"))
    assert ok(c.cmd("SORT (REVERSE DATE) UTF-8 ALL")) == ["* SORT 5 4 3 2 1"]
    assert any("ALL 2:3" in x for x in ok(c.cmd("UID SEARCH RETURN (ALL) UID 2:3 FLAGGED")))
    assert any("\\Seen" in x and "MODSEQ" in x for x in ok(c.cmd("UID STORE 2 +FLAGS (\\Seen)")))
    assert "COPYUID" in " ".join(x for part in [c.cmd("UID MOVE 5 INBOX")] for x in [*part[0], part[1]])
    assert any("VANISHED" in x for x in [*ok(c.cmd("UID STORE 4 +FLAGS.SILENT (\\Deleted)")), *ok(c.cmd("EXPUNGE"))])
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK")
    ok(c.cmd("CREATE INBOX/New"))
    ok(c.cmd("RENAME INBOX/New INBOX/Newer"))
    ok(c.cmd("DELETE INBOX/Newer"))


def test_copies_to_the_other_server(murder, c):
    m = MESSAGES[0]
    ok(c.cmd("CREATE INBOX/From"))
    for _ in range(3):
        ok(c.cmd(f"APPEND INBOX/From (\\Seen) {{{len(m)}+}}\r\n{m}"))
    ok(c.cmd("SELECT INBOX/From"))
    assert "COPYUID" in c.cmd("COPY 1:2 shared")[1]
    lines, done = c.cmd("MOVE 3 shared")
    assert done.startswith("OK"), done
    assert any(x.startswith("* 3 EXPUNGE") for x in lines), lines
    other = Raw(murder.front.imap).login("u2")
    assert "* 3 EXISTS" in ok(other.cmd("SELECT shared"))
    other.close()


def test_an_administrator_chooses_the_server(murder):
    admin = Raw(murder.front.imap).login("cyrus")
    ok(admin.cmd("CREATE user/u3 backendb"))
    ok(admin.cmd("CREATE user/u4"))
    assert b"user/u3" in b" ".join(murder.b.imap().list()[1])
    assert admin.cmd("CREATE user/u5 nowhere")[1].startswith("NO [CANNOT] no such server")
    admin.close()
