"""What a frontend offers: what all its backends can. Beside a Roost backend there is one of another kind, or of an earlier version, which
says what the test lets it say; it is a host of that name with port 143, as Cyrus's are."""
import base64
import random
import re
import socket
import threading
import time

import pytest

from mupdate import Mupdate
from roost import PASSWORD, Murder, http, wait_for
from test_imap_session import ok

OLD = "IMAP4rev1 LITERAL+ ID ENABLE SASL-IR NAMESPACE UIDPLUS MOVE UNSELECT ACL RIGHTS=kxten ESEARCH condstore IDLE APPENDLIMIT=9999"


class Backend:
    """Answers as a mail server that serves nothing but one empty mailbox."""

    def __init__(self, address, capabilities, tells_at_login=True):
        self.capabilities, self.tells_at_login, self.is_silent = capabilities, tells_at_login, False
        self.logins, self.lines = [], []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, 143))
        self.listener.listen(50)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s, s.makefile("rb") as f:
            if self.is_silent:
                f.readline()
                return
            s.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] old\r\n")
            for line in f:
                self.lines.append(line.decode())
                tag, verb, *rest = line.decode().split()
                untagged, text = "", "done"
                if verb == "AUTHENTICATE":
                    self.logins.append(base64.b64decode(rest[1]).split(b"\0")[0].decode())
                    text = f"[CAPABILITY {self.capabilities}] in" if self.tells_at_login else "in"
                elif verb == "CAPABILITY":
                    untagged = f"* CAPABILITY {self.capabilities}\r\n"
                elif verb == "SELECT":
                    untagged = "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n"
                elif verb == "ENABLE":
                    untagged = "* ENABLED CONDSTORE\r\n"
                s.sendall(f"{untagged}{tag} OK {text}\r\n".encode())
                if verb == "LOGOUT":
                    return

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


def some_address():
    """Of loopback, most likely nobody else's."""
    return f"127.{random.randrange(16, 250)}.{random.randrange(250)}.{random.randrange(1, 250)}"


def may_listen_there():
    try:
        with socket.socket() as s:
            s.bind((some_address(), 143))
        return True
    except PermissionError:
        return False


pytestmark = pytest.mark.skipif(not may_listen_there(), reason="port 143 is not to be had")


@pytest.fixture
def murder():
    m = Murder(users=["fred"]).start()
    m.create_user("fred")
    m.add_frontend()
    yield m
    m.stop()


@pytest.fixture
def old():
    made = []

    def make(**how):
        address = some_address()
        made.append(Backend(address, how.pop("capabilities", OLD), **how))
        made[-1].address = address
        return made[-1]
    yield make
    for b in made:
        b.close()


def place(murder, name, server):
    c = Mupdate(murder, "admin")
    c.ok("RESERVE", name, f"{server}!default")
    c.ok("ACTIVATE", name, f"{server}!default", "fred\tlrswipkxtea\tanyone\tlrs\t")
    c.close()


def words(lines):
    return set(re.search(r"CAPABILITY ([^\]\r\n]*)", " ".join(lines)).group(1).split())


def inside_now(murder):
    """Behind LOGIN: for whoever waits for another list."""
    c = murder.raw(murder.frontends[0].imap)
    c.line()
    lines, done = c.cmd(f"LOGIN fred {PASSWORD}")
    c.close()
    return words([done])


def offered(murder, port=None):
    """At the greeting, and behind LOGIN; as CAPABILITY says it, too."""
    c = murder.raw(port or murder.frontends[0].imap)
    greeting = words([c.line()])
    assert words(ok(c.cmd("CAPABILITY"))) == greeting
    lines, done = c.cmd(f"LOGIN fred {PASSWORD}")
    inside = words([done])
    assert words(ok(c.cmd("CAPABILITY"))) == inside
    c.close()
    return greeting, inside


def test_all_that_the_backends_have(murder):
    greeting, inside = offered(murder)
    own = {x for x in offered(murder, murder.first.imap)[1] if not x.startswith("MUPDATE=")}
    assert inside == own
    assert "IMAP4rev2" in greeting and {x for x in greeting if not x.startswith(("AUTH=", "STARTTLS"))} <= inside


def test_no_more_than_an_old_backend_has(murder, old):
    whole = offered(murder)[1]
    c = murder.raw(murder.frontends[0].imap).login("fred")
    b = old()
    place(murder, "user.fred.far", b.address)
    wait_for(lambda: inside_now(murder) != whole, "less is offered")
    greeting, inside = offered(murder)
    assert "IMAP4rev2" not in greeting | inside
    assert {"UIDPLUS", "MOVE", "CONDSTORE", "ESEARCH", "ACL", "IDLE", "UNSELECT"} <= inside
    assert not {"QRESYNC", "SORT", "BINARY", "OBJECTID", "SEARCHRES", "UTF8=ACCEPT"} & inside
    assert "RIGHTS=kxte" in inside and "APPENDLIMIT=9999" in inside, "the rights that all know, the lowest limit"
    assert {"LIST-EXTENDED", "LIST-STATUS", "NAMESPACE", "COMPRESS=DEFLATE", "LITERAL+"} <= inside, "the frontend's own"
    # A session that was told more hears of it.
    lines = ok(c.cmd("NOOP"))
    assert words(lines) == inside
    assert ok(c.cmd("NOOP")) == []
    assert ok(c.cmd("ENABLE QRESYNC IMAP4rev2 CONDSTORE")) == ["* ENABLED CONDSTORE"]
    ok(c.cmd("SELECT INBOX"))
    assert ok(c.cmd("ENABLE UTF8=ACCEPT")) == ["* ENABLED"], "also where the selected mailbox's server could"
    ok(c.cmd("SELECT far"))
    assert [x.split()[1:] for x in b.lines if "ENABLE" in x] == [["ENABLE", "CONDSTORE"]]
    c.close()
    assert "" in b.logins, "it was looked at in the frontend's own name"


def test_what_was_learned_is_kept_and_forgotten_with_the_server(murder, old):
    b = old(tells_at_login=False)
    whole = offered(murder)[1]
    place(murder, "user.fred.far", b.address)
    wait_for(lambda: inside_now(murder) != whole, "less is offered")
    less = offered(murder)[1]
    b.close()
    f = murder.frontends[0]
    assert f.stop() == 0
    f.start()
    # The server is away, and the frontend knows from before.
    wait_for(lambda: http(f"127.0.0.1:{f.admin}", "/readyz")[0] == 200, "the frontend serves")
    assert offered(murder)[1] == less
    c = Mupdate(murder, "admin")
    c.ok("DELETE", "user.fred.far")
    c.close()
    assert f.stop() == 0
    f.start()
    wait_for(lambda: http(f"127.0.0.1:{f.admin}", "/readyz")[0] == 200, "the frontend serves")
    wait_for(lambda: inside_now(murder) == whole, "with its last mailbox the server is gone")


def test_a_session_tells_of_another_version(murder, old):
    """As after an upgrade that the directory does not know of."""
    b = old()
    place(murder, "user.fred.far", b.address)
    wait_for(lambda: "QRESYNC" not in inside_now(murder), "less is offered")
    b.capabilities += " QRESYNC SORT"
    c = murder.raw(murder.frontends[0].imap).login("fred")
    ok(c.cmd("SELECT far"))
    wait_for(lambda: {"QRESYNC", "SORT"} <= inside_now(murder), "more is offered")
    assert {"QRESYNC", "SORT"} <= words(ok(c.cmd("NOOP")))
    c.close()


def test_a_silent_server_keeps_nobody_waiting(murder, old):
    b = old()
    b.is_silent = True
    whole = offered(murder)[1]
    place(murder, "user.fred.far", b.address)
    f = murder.frontends[0]
    assert f.stop() == 0
    began = time.monotonic()
    f.start()
    wait_for(lambda: http(f"127.0.0.1:{f.admin}", "/readyz")[0] == 200, "the frontend serves")
    assert time.monotonic() - began < 8
    assert offered(murder)[1] == whole, "who says nothing takes nothing away"
    b.is_silent = False
    wait_for(lambda: inside_now(murder) != whole, "it is asked again", 20)


def test_without_any_server_the_frontends_own(old):
    m = Murder(users=["fred"])
    m.mupdate.start()
    f = m.add_frontend()
    greeting, inside = offered(m)
    assert "IMAP4rev2" not in greeting and {"LITERAL+", "LIST-EXTENDED", "NAMESPACE"} <= inside and "QRESYNC" not in inside
    # The first backend comes: all that it has is offered.
    m.first.start()
    wait_for(lambda: "QRESYNC" in inside_now(m), "the backend is known")
    assert f.stop() == 0 and m.first.stop() == 0 and m.mupdate.stop() == 0
