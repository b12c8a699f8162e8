"""Many and difficult clients of the mupdate server: thousands of connections and one too many, some that send an octet at
a time, followers that never read, sockets closed by half. The others are answered as if they were alone."""
import base64
import os
import re
import resource
import selectors
import socket
import threading
import time

import pytest

from mupdate import Directory, Mupdate, is_plain, state
from roost import PASSWORD, Raw, wait_for

LOCATION = "backenda!default"
CONNECTIONS = 5000
LOGIN_S = 2


@pytest.fixture(scope="module")
def server():
    # The tests need descriptors; the server raises its own limit, so it is started with the usual, old one.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    m = Directory(max_connections=str(CONNECTIONS), mupdate_login_timeout_s=str(LOGIN_S), mupdate_max_pending="1M", mupdate_max_pending_all="16M", log_level="info",
                  index_map_size="256M").start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield m
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    m.stop()


class Pace:
    """A client that goes on changing and a follower that goes on reading, in threads: how long each change took to be
    answered, and to be seen."""

    def __init__(self, server, name):
        self.writer, self.reader = Mupdate(server, "admin"), Mupdate(server, "frontend")
        self.reader.follow()
        self.name, self.is_over, self.began = name, False, {}
        self.answered, self.seen, self.problem = [], [], None
        self.threads = [threading.Thread(target=self.run, args=(f,)) for f in (self.write, self.read)]
        for t in self.threads:
            t.start()

    def run(self, f):
        try:
            f()
        except Exception as e:
            self.problem = e

    def write(self):
        while not self.is_over:
            key = f"{self.name}.{len(self.answered)}"
            self.began[key] = time.monotonic()
            self.writer.ok("RESERVE", key, LOCATION)
            self.answered.append(time.monotonic() - self.began[key])
            time.sleep(0.001)
        self.writer.ok("RESERVE", self.name + ".last", LOCATION)

    def read(self):
        while True:
            line = self.reader.record()
            name = line.split('"')[1]
            if name == self.name + ".last":
                return
            if name in self.began:
                self.seen.append(time.monotonic() - self.began[name])

    def end(self, patience=0.5):
        """Nothing took longer than PATIENCE and everything was seen."""
        self.is_over = True
        for t in self.threads:
            t.join(30)
        assert self.problem is None and len(self.seen) == len(self.answered)
        self.writer.close()
        self.reader.close()
        slow = patience if is_plain() else 10 * patience
        assert max(self.answered) < slow and max(self.seen) < slow, (max(self.answered), max(self.seen))


def connect(server):
    return socket.create_connection(("127.0.0.1", server.mupdate_port), timeout=20)


def is_dropped(s):
    s.setblocking(False)
    try:
        while s.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_a_follower_that_never_reads_is_dropped(server):
    """... when mupdate_max_pending waits for it; the others see every change in time meanwhile."""
    pace = Pace(server, "user.pace")
    readers = [Mupdate(server, "frontend") for _ in range(3)]
    for r in readers:
        r.follow()
    deaf = []
    for _ in range(5):
        d = Mupdate(server, "frontend")
        d.send("u UPDATE\r\n")
        deaf.append(d)
    c = Mupdate(server, "admin")
    before = server.rss()
    acl = "x" * 60000
    count, peak = 150, 0
    for i in range(count):
        c.ok("ACTIVATE", f"user.loud{i % 10}", LOCATION, acl + str(i))
        peak = max(peak, server.rss())
        for r in readers:
            assert f"{acl}{i}" in next(x for x in iter(r.record, None) if "user.loud" in x)
    assert server.mupdate.text().count("directory.follower.dropped") >= 1
    for d in deaf:
        end = d.ends()  # what was under way, then nothing
        assert acl + str(count - 1) not in end
        d.close()
        again = Mupdate(server, "frontend")
        assert any(acl + str(count - 1) in x for x in again.follow()), "it comes again and has all"
        again.close()
    pace.end()
    if is_plain():
        assert peak - before < (len(deaf) + 2) * (2 << 20), (before, peak)
    for x in (*readers, c):
        x.close()


def test_a_follower_that_never_reads_its_list(server):
    """The list waits for it in the directory, not in memory; what changes meanwhile is held up to mupdate_max_pending."""
    c = Mupdate(server, "admin")
    acl = "x" * 60000
    for i in range(100):
        c.ok("ACTIVATE", f"user.long{i}", LOCATION, acl)
    before = server.rss()
    deaf = []
    for _ in range(5):
        d = Mupdate(server, "frontend")
        d.send("u UPDATE\r\n")
        deaf.append(d)
    c.ok("NOOP")
    for i in range(5):
        c.ok("ACTIVATE", f"user.long{i}", LOCATION, acl + "y")
    if is_plain():
        assert server.rss() - before < len(deaf) * (2 << 20)
    for d in deaf[:2]:
        lines, done = d.until("u")
        assert done.startswith("OK") and sum("user.long" in x for x in lines) >= 100
        d.send("n NOOP\r\n")
        lines = [d.record() for _ in range(5)]
        assert [f'"user.long{i}"' in x and x.endswith('y"') for i, x in enumerate(lines)] == [True] * 5
        d.close()
    for i in range(25):
        c.ok("ACTIVATE", f"user.long{i}", LOCATION, acl + "z")
    for d in deaf[2:]:
        assert "u OK" not in d.ends(), "dropped before its list was over"
        d.close()
    c.close()


def test_octet_by_octet(server):
    """Clients that send an octet a second delay nobody; those that do not get to authenticate are timed out."""
    pace = Pace(server, "user.drip")
    words = base64.b64encode(f"\0admin\0{PASSWORD}".encode()).decode()
    strangers = [(connect(server), time.monotonic()) for _ in range(50)]
    friends = [Mupdate(server, "admin") for _ in range(50)]
    text = b'u RESERVE "user.dripping" "backenda!default"\r\n'
    end = time.monotonic() + LOGIN_S + 10
    sent, gone = 0, {}
    for s, _ in strangers:
        s.setblocking(False)
    while len(gone) < len(strangers) and time.monotonic() < end or sent < len(text):
        for s, began in strangers:
            if s in gone:
                continue
            try:
                s.send(b'a AUTHENTICATE "PLAIN" "'[sent:sent + 1] or b"A")
                while s.recv(4096):
                    pass
                gone[s] = time.monotonic() - began
            except BlockingIOError:
                pass
            except OSError:
                gone[s] = time.monotonic() - began
        for f in friends:
            if sent < len(text):
                f.s.send(text[sent:sent + 1])
        sent += 1
        time.sleep(0.05)
    assert len(gone) == len(strangers), "timed out, though never silent"
    assert all(LOGIN_S - 0.5 < t < LOGIN_S + (4 if is_plain() else 8) for t in gone.values()), gone
    for f in friends:
        assert f.record().startswith("u OK")
        f.close()
    for s, _ in strangers:
        s.close()
    pace.end()


def test_who_is_timed_out_is_told(server):
    c = Mupdate(server)
    began = time.monotonic()
    assert re.match(r'\* BYE "[^"]+"\r\n$', c.ends()) and time.monotonic() - began < LOGIN_S + 3
    c.close()
    d = Mupdate(server)
    d.send('a AUTHENTICATE "PLAIN"\r\n')
    assert re.search(r'\* BYE "[^"]+"\r\n$', d.ends())
    d.close()


def test_a_long_string_octet_by_octet(server):
    """Reading it costs as much as it is long, not as its square."""
    c = Mupdate(server, "admin")
    c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ticks = lambda: sum(map(int, open(f"/proc/{server.mupdate.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    c.send(b'u ACTIVATE "user.drops" "backenda!default" "')
    for i in range(20000):
        c.s.send(b"x")
    c.send(b'"\r\n')
    assert c.record().startswith("u OK")
    assert not is_plain() or ticks() - before < 100, "in hundredths of a second"
    c.ok("DELETE", "user.drops")
    c.close()


def half_close(c, text):
    c.send(text)
    c.s.shutdown(socket.SHUT_WR)
    return c.ends()


def test_half_closed_sockets(server):
    words = base64.b64encode(f"\0admin\0{PASSWORD}".encode()).decode()
    login = f'a AUTHENTICATE "PLAIN" "{words}"\r\n'
    # All that was asked is answered, then the server closes, too.
    end = half_close(Mupdate(server), login + "".join(f'r{i} RESERVE "user.half{i}" "{LOCATION}"\r\n' for i in range(1000)) + "l LIST\r\n")
    assert end.startswith("a OK") and all(f"\nr{i} OK" in end for i in range(1000))
    assert sum("user.half" in x for x in end.split("l RESERVE")) == 1000 and re.search(r"\nl OK [^\n]*\n$", end)
    end = half_close(Mupdate(server), login + "u UPDATE\r\n")
    assert end.count("user.half") == 1000 and re.search(r"\nu OK [^\n]*\n$", end)
    # What is not whole is not done.
    end = half_close(Mupdate(server), login + f'r RESERVE "user.part" "{LOCATION}"')
    assert end.startswith("a OK") and "\nr " not in end
    for text in ("", "a", 'a AUTHENTICATE "PLAIN" {4}\r\n', 'a AUTHENTICATE "PLAIN"\r\n', login[:-2], login + "r FIND {10+}\r\nab"):
        half_close(Mupdate(server), text)
    c = Mupdate(server, "admin")
    assert state(c, "user.half999") == ("RESERVE", LOCATION) and state(c, "user.part") is None
    c.close()


def test_connections_torn_at_every_moment(server):
    """Reset, with commands under way: nobody else notices, nothing is left open."""
    pace = Pace(server, "user.torn")
    for i in range(100):
        c = Mupdate(server, "admin")
        c.send("u UPDATE\r\n" if i % 3 == 0 else "".join(f'r{j} RESERVE "user.tear{j}" "{LOCATION}"\r\n' for j in range(50)) + 'r FIND {9}\r\n')
        if i % 2:
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    pace.end()
    wait_for(lambda: len(os.listdir(f"/proc/{server.mupdate.process.pid}/fd")) < 100, "all are closed")


def test_thousands_of_connections(server):
    """As many as max_connections are served, idle and as followers that read or do not; one more is told; memory is a few KB
    each."""
    before = server.rss()
    words = base64.b64encode(f"\0frontend\0{PASSWORD}".encode()).decode()
    hello = f'a AUTHENTICATE "PLAIN" "{words}"\r\nn NOOP\r\n'.encode()
    socks = []
    pace = Pace(server, "user.crowd")
    while len(socks) < CONNECTIONS - 2:
        s = connect(server)
        s.sendall(hello)
        socks.append(s)
    texts = {s: b"" for s in socks}
    with selectors.DefaultSelector() as sel:
        for s in socks:
            sel.register(s, selectors.EVENT_READ)
        left = len(socks)
        deadline = time.monotonic() + 30
        while left and time.monotonic() < deadline:
            for key, _ in sel.select(1):
                texts[key.fileobj] += key.fileobj.recv(65536)
                if b"\nn OK" in texts[key.fileobj]:
                    sel.unregister(key.fileobj)
                    left -= 1
    assert left == 0, f"{left} were not served"
    for _ in range(20):
        extra = Raw(server.mupdate_port)
        assert extra.line() == '* BYE "too many connections"' and extra.line() == ""
        extra.close()
    pace.end()  # there is room for two more
    c = wait_for(lambda: Mupdate(server, "admin"), "one is let in")
    assert c.cmd("NOOP")[1].startswith("OK")
    each = (server.rss() - before) / len(socks)
    assert not is_plain() or each < 4096, each
    for s in socks[-10:]:
        s.close()
    followers, deaf, quiet = socks[:1000], socks[1000:1050], socks[1050:-10]
    wait_for(lambda: Mupdate(server, "admin").close() or True, "there is room for some more")
    many_follow(server, c, followers, deaf)
    for s in quiet[::100]:
        s.sendall(b"n NOOP\r\n")
        assert s.recv(1000).startswith(b"n OK"), "the quiet ones are still there"
    for s in (*followers, *deaf, *quiet):
        s.close()
    c.close()


def many_follow(server, c, followers, deaf):
    """A thousand read what they follow, fifty never do: changes reach the first at once; the others take a bounded share of
    memory together, beyond what the system holds for them, and are dropped then."""
    for s in followers:
        s.sendall(b'u UPDATE "somebody"\r\n')
    for s in deaf:
        s.sendall(b'u UPDATE "nobody"\r\n')
    for s in followers:
        text = b""
        while not text.endswith(b"\n"):
            text += s.recv(65536)
        assert text.startswith(b"u OK")
    before, peak, slowest = server.rss(), 0, 0
    pace = Pace(server, "user.among")
    acl, count = b"x" * 60000, 120
    for i in range(count):
        began = time.monotonic()
        c.ok("ACTIVATE", f"user.tonobody{i % 3}", "nobody!default", acl + b"%d" % i)
        peak = max(peak, server.rss())
        if i % 6 == 0:
            c.ok("RESERVE", f"user.tosomebody{i}", "somebody!default")
            for s in followers:
                assert b"user.tosomebody%d " % i in s.recv(65536)
        slowest = max(slowest, time.monotonic() - began)
    pace.end(2)
    for i in range(count):
        if i < 3:
            c.ok("DELETE", f"user.tonobody{i}")
        if i % 6 == 0:
            c.ok("DELETE", f"user.tosomebody{i}")
    dropped = re.findall(r"directory\.follower\.dropped .*pending=(\d+)", server.mupdate.text())
    assert any(int(n) < 1 << 20 for n in dropped), "it was what waits for all that was too much"
    assert sum(map(is_dropped, deaf)) > len(deaf) // 2
    if is_plain():
        assert slowest < 2, slowest
        assert peak - before < 40 << 20, (before, peak)


def test_out_of_descriptors(server):
    """Whatever max_connections says: who calls when there is no descriptor left is told, and those within go on."""
    pid = server.mupdate.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, before[1]))
    within, told = [], 0
    for _ in range(100):
        c = Raw(server.mupdate_port)
        if c.line() == '* BYE "too many connections"':
            told += 1
            c.close()
        else:
            within.append(c)
    assert told > 40 and len(within) > 20
    for c in within:
        for _ in range(5):
            if c.line().startswith("* OK"):
                break
        assert c.cmd("LOGOUT")[1].startswith("BYE")
        c.close()
    wait_for(lambda: Mupdate(server, "admin").close() or True, "there is room again")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
