"""Passwords that saslauthd knows: the real one, which asks another mail server (-a rimap), and one that is silent, slow, broken or full."""
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

import scratch
from login import Client, plain
from roost import PASSWORD, Murder, http, scram_line, wait_for

WHERE = ["backend-imap", "backend-pop3", "frontend-imap", "frontend-pop3"]
FAST = {"login_delay_ms": "5", "login_delay_max_ms": "10", "login_max_failures": "1000"}


class Fake:
    """Answers each question as `behave` says: a function of (name, password, service, realm) that gives octets, None to say nothing, or
    a float to sleep before an OK."""

    def __init__(self, path):
        self.path, self.asked = path, []
        self.behave = lambda *question: b"OK" if question[1] == "right" else b"NO"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(64)
        self.over = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        f = s.makefile("rb")
        try:
            question = []
            for _ in range(4):
                n, = struct.unpack(">H", f.read(2))
                question.append(f.read(n).decode())
            self.asked.append(tuple(question))
            answer = self.behave(*question)
            if answer is None:
                self.over.wait(30)
            elif isinstance(answer, float):
                self.over.wait(answer)
                s.sendall(struct.pack(">H", 2) + b"OK")
            elif isinstance(answer, tuple):
                s.sendall(answer[0])  # as it is
            else:
                s.sendall(struct.pack(">H", len(answer)) + answer)
        except (OSError, struct.error):
            pass
        finally:
            f.close()
            s.close()

    def stop(self):
        self.over.set()
        self.socket.close()


class Place:
    def __init__(self):
        self.dir = scratch.directory("roost-saslauthd.")
        self.path = self.dir + "/mux"
        self.fake = Fake(self.path)
        self.values = {"sasl_pwcheck_method": "saslauthd", "sasl_saslauthd_path": self.path, "login_check_timeout_ms": "1000",
                       "proxyservers": "frontend gone", **FAST}
        self.m = Murder(users=["bob"], limits=self.values).start()
        self.m.add_frontend(self.values)
        for u in ("fred", "bob"):  # fred has no account in users_file
            self.m.create_user(u)

    def stop(self):
        self.m.stop()
        self.fake.stop()


@pytest.fixture(scope="module")
def place():
    p = Place()
    yield p
    p.stop()


@pytest.fixture(autouse=True)
def well_behaved(place):
    place.fake.behave = lambda *question: b"OK" if question[1] == "right" else b"NO"
    place.fake.asked.clear()


@pytest.mark.parametrize("where", WHERE)
def test_saslauthd_decides(place, where):
    service = "imap" if where.endswith("imap") else "pop"
    c = Client(place.m, where)
    assert c.login("fred", "wrong") == "no"
    assert c.bare("fred", "wronger") == "no"
    assert c.login("fred", "") == "no", "nobody is asked about no password"
    assert c.auth("LOGIN", b"fred", b"right", initial=False)[0] == "ok"
    c.close()
    c = Client(place.m, where)
    assert c.bare("fred", "right") == "ok"
    c.close()
    assert place.fake.asked == [("fred", p, service, "") for p in ("wrong", "wronger", "right", "right")]
    log = (place.m.first if where.startswith("backend") else place.m.frontends[0]).text()
    assert re.search("login.attempt.refused .*user=fred mechanism=PLAIN reason=credentials", log) and "wronger" not in log


@pytest.mark.parametrize("where", WHERE)
def test_accounts_of_the_file_are_the_file_s(place, where):
    place.fake.behave = lambda *question: b"OK"
    c = Client(place.m, where)
    assert c.login("bob", "wrong") == "no" and c.login("frontend", "wrong") == "no" and c.login("admin", "wrong") == "no"
    assert c.scram("bob", "wrong")[0] == "no"
    assert c.login("bob") == "ok"
    c.close()
    assert place.fake.asked == []
    c = Client(place.m, where)
    assert c.scram("bob")[0] == "ok"
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_daemons_are_nobody_s_but_the_file_s(place, where):
    """A person who has at saslauthd the name of a daemon that the file does not have (any more) would act as everybody."""
    place.fake.behave = lambda *question: b"OK"
    c = Client(place.m, where)
    assert c.login("gone", "right") == "no"
    c.close()
    assert place.fake.asked == []


def test_a_realm_stands_behind_the_last_at(place):
    place.fake.behave = lambda *question: b"NO"
    c = Client(place.m, "frontend-imap")
    for name in ("fred@example.org", "a@b@c", "@x", "fred@"):
        assert c.login(name, "right") == "no"
    c.close()
    assert [(q[0], q[3]) for q in place.fake.asked] == [("fred", "example.org"), ("a@b", "c"), ("", "x"), ("fred", "")]


def test_any_octets_of_a_password_and_long_ones(place):
    password = "pässwörd \"\\ \t%" + "x" * 900
    place.fake.behave = lambda *question: b"OK yes" if question[1] == password else b"NO no"
    c = Client(place.m, "frontend-imap")
    assert c.login("fred", "y" * 1025) == "no", "too long, nobody is asked"
    assert c.login("fred", password) == "ok"
    c.close()
    assert len(place.fake.asked) == 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("answer", [None, b"", b"X", b"MAYBE", (b"\0",), (b"",), (b"\xff\xff" + b"O" * 70000,), (b"\0\5OK",)],
                         ids=["silent", "empty", "short", "neither", "half", "gone", "endless", "cut"])
def test_a_saslauthd_that_gives_no_answer(place, where, answer):
    place.fake.behave = lambda *question: answer
    c = Client(place.m, where)
    begin = time.monotonic()
    assert c.login("fred", "right") == "busy"
    assert time.monotonic() - begin < 4
    place.fake.behave = lambda *question: b"OK"
    assert c.login("fred", "right") == "ok", "it is no failure of the client's, who may try again"
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_a_slow_one_holds_up_nobody_else(place, where):
    place.fake.behave = lambda *question: 0.6
    slow = Client(place.m, where)
    slow.begin("PLAIN", plain("fred", "right"))
    begin = time.monotonic()
    c = Client(place.m, where)
    assert c.login("bob") == "ok" and time.monotonic() - begin < 0.5
    assert slow.result(slow.line()) == "ok"
    slow.close()
    c.close()


def test_many_ask_a_silent_one(place):
    place.fake.behave = lambda *question: None
    crowd = [Client(place.m, "frontend-imap") for _ in range(40)]
    begin = time.monotonic()
    for i, c in enumerate(crowd):
        c.begin("PLAIN", plain("fred", f"p{i}"))
        if i % 4 == 0:
            c.close()  # does not wait for it
    c = Client(place.m, "frontend-imap")
    assert c.login("bob") == "ok" and c.raw.cmd("NOOP")[1].startswith("OK") and time.monotonic() - begin < 0.9
    for i, x in enumerate(crowd):
        if i % 4:
            assert x.result(x.line()) == "busy"
            x.close()
    assert time.monotonic() - begin < 6
    c.close()
    text = http(f"127.0.0.1:{place.m.frontends[0].admin}", "/metrics")[1]
    assert int(re.search(r"^roost_login_unavailable_total (\d+)", text, re.M)[1]) >= 30


def test_without_a_socket(place):
    hidden = place.path + ".away"
    os.rename(place.path, hidden)
    c = Client(place.m, "backend-imap")
    assert c.login("fred", "right") == "busy"
    assert c.login("bob") == "ok"
    c.close()
    os.rename(hidden, place.path)
    assert re.search(f'login.check.unavailable .*saslauthd at {place.path}: cannot connect', place.m.first.text())


def test_a_daemon_stops_while_it_is_asked(place):
    place.fake.behave = lambda *question: None
    front = place.m.add_frontend({**place.values, "login_check_timeout_ms": "60000"})
    c = Client(place.m, "frontend-imap", port=front.imap)
    c.begin("PLAIN", plain("fred", "right"))
    wait_for(lambda: place.fake.asked, "it is asked")
    begin = time.monotonic()
    place.m.frontends.remove(front)
    assert front.stop() == 0
    assert time.monotonic() - begin < 5
    c.close()


def test_debian_s_saslauthd():
    """It asks a backend by IMAP (rimap); the frontend's file has only the daemons."""
    program = shutil.which("saslauthd", path="/usr/sbin:/usr/bin")
    if program is None or os.geteuid() != 0:
        pytest.skip("saslauthd is not there, or may not run")
    m = Murder(users=["fred"], limits=FAST).start()
    m.create_user("fred")
    run = scratch.directory("roost-mux.")
    daemons = os.path.join(run, "users")
    with open(daemons, "w") as f:
        f.write(scram_line("frontend", PASSWORD) + scram_line("admin", PASSWORD))
    with open(os.path.join(run, "log"), "wb") as log:
        p = subprocess.Popen([program, "-d", "-n", "2", "-m", run, "-a", "rimap", "-O", f"127.0.0.1/{m.first.imap}"], stdout=log, stderr=log,
                             start_new_session=True)
    try:
        wait_for(lambda: os.path.exists(run + "/mux"), "saslauthd listens")
        m.add_frontend({"users_file": daemons, "sasl_pwcheck_method": "saslauthd", "sasl_saslauthd_path": run + "/mux", **FAST})
        for where in ("frontend-imap", "frontend-pop3"):
            c = Client(m, where)
            assert c.login("fred", "wrong") == "no" and c.bare("nobody", "secret") == "no"
            assert c.login("fred", "sec\"ret\\") == "no", "what IMAP has to quote"
            assert c.login("fred") == "ok", open(run + "/log").read()
            c.close()
    finally:
        os.killpg(p.pid, 15)
        p.wait()
    c = Client(m, "frontend-imap")
    assert c.login("fred") == "busy"
    c.close()
    m.stop()
