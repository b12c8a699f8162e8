"""Real Cyrus backends and a real Cyrus frontend with `roost mupdate` as their mupdate server."""
import os
import tempfile

import pytest

from cyrus_murder import CyrusMurder, Follower, available
from mupdate import Mupdate, state
from roost import PASSWORD, Daemon, free_port, scram_line, wait_for

USERS = ["u1", "u2", "u3", "u4"]
pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")


class Directory:
    """`roost mupdate` as it replaces Cyrus's: accounts of backends, of the frontend, of an administrator."""

    def __init__(self, **values):
        self.dir = tempfile.mkdtemp(prefix="roost-test.")
        with open(self.dir + "/users", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for account in ("admin", "frontend", "backenda1", "backenda2", "backendb"):
                f.write(scram_line(account, PASSWORD))
        self.mupdate_port, self.admin_port = free_port(), free_port()
        self.daemon = Daemon(self.dir, "mupdate", "mupdate", {
            "configdirectory": self.dir, "users_file": self.dir + "/users", "admins": "admin", "proxyservers": "frontend",
            "members-backenda": "backenda1=backenda1 backenda2=backenda2", "members-backendb": "backendb=backendb",
            "mupdate_listen": f"127.0.0.1:{self.mupdate_port}", "admin_listen": f"127.0.0.1:{self.admin_port}",
            "log_level": "debug", "index_map_size": "64M", **values})

    def start(self):
        self.daemon.start()
        wait_for(lambda: Mupdate(self, "admin").close() or True, "the mupdate server serves")
        return self

    def stop(self):
        assert self.daemon.stop() == 0
        errors = [line for line in self.daemon.text().splitlines() if " error " in line]
        assert not errors, errors


@pytest.fixture(scope="module")
def directory():
    d = Directory().start()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def murder(directory, request):
    before = request.session.testsfailed
    m = CyrusMurder(directory.mupdate_port, users=USERS).start()
    yield m
    if request.session.testsfailed > before:
        print(m.tails(), directory.daemon.tail(), sep="\n")
    m.stop()


def ok(answer):
    typ, data = answer
    assert typ == "OK", data
    return data


def test_create_and_log_in_through_the_frontend(directory, murder):
    follower = Follower(directory, "frontend")
    admin = murder.imap("cyrus")
    ok(admin.create("user/u1 backenda!default"))
    ok(admin.create("user/u3 backendb!default"))
    ok(admin.create("user/u2"))
    c = Mupdate(directory, "admin")
    assert state(c, "user.u1") == ("MAILBOX", "backenda!default")
    assert state(c, "user.u3") == ("MAILBOX", "backendb!default")
    for user in ("u1", "u2", "u3"):
        ok(murder.imap(user).select("INBOX"))
    assert [e[0] for e in follower.flush() if e[1] == "user.u1"] == ["RESERVE", "MAILBOX"]
    follower.close()
