"""Daemons for tests: a mupdate server and backends on loopback with free ports, in a directory of their own.

What a daemon logs goes to DIR/NAME.log. A test that ends with an error-level event in a log that it did not announce
(`expect_event`), a core, or a daemon that does not stop cleanly, fails.
"""
import base64
import fcntl
import hashlib
import hmac
import imaplib
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from http.client import HTTPException

import scratch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOST = os.environ.get("ROOST", os.path.join(ROOT, "build", "src", "roost"))
PASSWORD = "secret"


class Ports:
    """Ports for daemons that are started later. They are none that the system gives to outgoing connections, as one of those
    may be there first, and none that another test process has been given, which locks its octet of a file for as long as it
    lives. Below them are blocks of ports beside each other, which are given back."""

    BLOCKS, BLOCK = 10000, 200
    FIRST = BLOCKS + 25 * BLOCK

    def __init__(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            self.end = int(f.read().split()[0])
        assert self.end > self.FIRST + 1000, f"the system uses ports from {self.end} on for outgoing connections"
        self.given, self.locks = set(), None

    def lock(self, port):
        if self.locks is None:
            self.locks = os.open(f"{tempfile.gettempdir()}/roost-test-ports.{os.getuid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self.locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        self.given.add(port)
        return True

    def is_mine(self, port):
        if not self.lock(port):
            return False
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def free(self):
        for _ in range(1000):
            port = random.randrange(self.FIRST, self.end)
            if port not in self.given and self.is_mine(port):
                return port
        raise AssertionError("no port is free")

    def block(self):
        """The first of BLOCK ports beside each other, none of which is listened at."""
        bases = range(self.BLOCKS, self.FIRST, self.BLOCK)
        for base in random.sample(bases, len(bases)):
            if base not in self.given and self.lock(base):
                if all(self.is_silent(port) for port in range(base, base + self.BLOCK)):
                    return base
                self.give_back(base)
        raise AssertionError("no block of ports is free")

    @staticmethod
    def is_silent(port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who was here may be in TIME_WAIT
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True

    def give_back(self, base):
        self.given.discard(base)
        fcntl.lockf(self.locks, fcntl.LOCK_UN, 1, base)


ports = Ports()
free_port = ports.free


def scram_line(name, password, iterations=4096):
    salt = os.urandom(12)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    b64 = lambda b: base64.b64encode(b).decode()
    return f"{name}:SCRAM-SHA-256${iterations}:{b64(salt)}${b64(stored)}:{b64(server)}\n"


def wait_for(condition, what, timeout=30):
    """Poll CONDITION until it is true; its value. An exception counts as not yet, as does a status page without the key that is looked for:
    that of a daemon that is about to start or to end."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (OSError, imaplib.IMAP4.error, HTTPException, EOFError, KeyError) as e:
            last = e
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {timeout} s ({last!r})")


def http(address, path, timeout=5):
    """Status code and body of a GET; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except (OSError, HTTPException):
        return 0, ""


class Daemon:
    def __init__(self, directory, role, name, config):
        self.name, self.role, self.directory = name, role, directory
        self.config = os.path.join(directory, name + ".conf")
        self.log = os.path.join(directory, name + ".log")
        self.values = dict(config)
        self.process = None

    def write(self):
        with open(self.config, "w") as f:
            for key, value in self.values.items():
                f.write(f"{key}: {value}\n")

    def start(self):
        self.write()
        self.process = subprocess.Popen([ROOST, self.role, "-C", self.config], stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "ab"), cwd=self.directory)
        return self

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        self.process.wait()
        self.process = None

    def stop(self, timeout=30):
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            rc = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"{self.name} does not stop:\n{self.tail()}")
        self.process = None
        return rc

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def tail(self, lines=30):
        return "\n".join(self.text().splitlines()[-lines:])


class Murder:
    """A mupdate server and backends. BACKENDS: {"backenda": ["backenda1"]}: members by server."""

    def __init__(self, users=("fred", "bob"), backends=None, limits=None, loops=2):
        self.dir = scratch.directory("roost-test.")
        self.expected = set()
        backends = backends or {"backenda": ["backenda1"]}
        self.users = os.path.join(self.dir, "users")
        accounts = ["admin", "frontend", *backends, *users]
        with open(self.users, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for a in accounts:
                f.write(scram_line(a, PASSWORD))
        self.mupdate_port = free_port()
        self.mupdate = Daemon(self.dir, "mupdate", "mupdate", {
            "configdirectory": self.dir + "/mupdate", "mupdate_listen": f"127.0.0.1:{self.mupdate_port}",
            "users_file": self.users, "admins": "admin", "proxyservers": "frontend", "log_level": "debug",
            "servers": " ".join(backends), "index_map_size": "64M", "login_delay_ms": "10"})
        os.mkdir(self.dir + "/mupdate")
        self.members, self.servers = {}, backends
        for server, names in backends.items():
            ports = {n: {k: free_port() for k in ("imap", "lmtp", "pop3", "sync", "admin")} for n in names}
            peers = " ".join(f"{n}=127.0.0.1:{p['sync']}" for n, p in ports.items())
            for n, p in ports.items():
                config = {"servername": server, "member": n, "configdirectory": f"{self.dir}/{n}",
                          "partition-default": f"{self.dir}/{n}/mail", "users_file": self.users, "admins": "admin",
                          "proxyservers": "frontend", "mupdate_server": "127.0.0.1", "mupdate_port": self.mupdate_port,
                          "mupdate_authname": server, "mupdate_password": PASSWORD, "sync_peers": peers,
                          "log_level": "debug", "loops": loops, "index_map_size": "256M", "login_delay_ms": "10"}
                config.update({k + "_listen": f"127.0.0.1:{v}" for k, v in p.items()})
                config.update(limits or {})
                d = Daemon(self.dir, "backend", n, config)
                d.imap, d.lmtp, d.pop3, d.admin = p["imap"], p["lmtp"], p["pop3"], p["admin"]
                self.members[n] = d
        self.first = next(iter(self.members.values()))
        self.frontends = []

    def add_frontend(self, limits=None):
        """A frontend beside it, serving when this returns."""
        name = f"frontend{len(self.frontends) + 1}"
        ports = {k: free_port() for k in ("imap", "lmtp", "pop3", "admin")}
        config = {"member": name, "configdirectory": f"{self.dir}/{name}", "users_file": self.users, "admins": "admin",
                  "proxyservers": "frontend", "proxy_authname": "frontend", "proxy_password": PASSWORD,
                  "mupdate_server": "127.0.0.1", "mupdate_port": self.mupdate_port, "mupdate_authname": "frontend",
                  "mupdate_password": PASSWORD, "log_level": "debug", "index_map_size": "64M", "login_delay_ms": "10"}
        config.update({k + "_listen": f"127.0.0.1:{v}" for k, v in ports.items()})
        config.update(limits or {})
        d = Daemon(self.dir, "frontend", name, config)
        d.imap, d.lmtp, d.pop3, d.admin = ports["imap"], ports["lmtp"], ports["pop3"], ports["admin"]
        self.frontends.append(d)
        d.start()
        wait_for(lambda: http(f"127.0.0.1:{d.admin}", "/readyz")[0] == 200, "the frontend serves")
        return d

    def start(self):
        self.mupdate.start()
        for m in self.members.values():
            m.start()
        try:
            wait_for(lambda: self.imap("admin"), "the backend serves").logout()
            wait_for(lambda: all(any(self.is_master(n) for n in names) for names in self.servers.values()), "all servers serve")
        except AssertionError as e:
            for d in [*self.members.values(), self.mupdate]:
                d.kill()
            raise AssertionError(f"{e}\n{self.first.tail()}\n{self.mupdate.tail()}") from None
        return self

    def start_pair(self):
        """Start the two members there are one after the other, so that the first is master, until both are in sync; and make fred."""
        one, two = self.members.values()
        self.mupdate.start()
        one.start()
        wait_for(lambda: self.imap("admin"), "the first serves").logout()
        two.start()
        wait_for(lambda: len(json.loads(http(f"127.0.0.1:{one.admin}", "/status.json")[1] or "{}")["in_sync"].split()) == 2, "in sync")
        self.create_user("fred")

    def is_master(self, name):
        return http(f"127.0.0.1:{self.members[name].admin}", "/role")[0] == 200

    def imap(self, user, password=PASSWORD, member=None, mailbox=None):
        c = imaplib.IMAP4("127.0.0.1", (member or self.first).imap, timeout=20)
        c.login(user, password)
        if mailbox:
            typ, data = c.select(mailbox)
            assert typ == "OK", data
        return c

    def create_user(self, name):
        c = self.imap("admin")
        typ, data = c.create("user/" + name)
        assert typ == "OK", data
        c.logout()

    def raw(self, port=None):
        return Raw(port or self.first.imap)

    def expect_event(self, name):
        self.expected.add(name)

    def stop(self):
        problems = []
        for d in [*self.frontends, *self.members.values(), self.mupdate]:
            if d.process is None:
                continue
            if d.process.poll() is not None:
                problems.append(f"{d.name} died: {d.process.returncode}\n{d.tail()}")
                d.process = None
                continue
            rc = d.stop()
            if rc != 0:
                problems.append(f"{d.name} ended with {rc}\n{d.tail()}")
        for d in [*self.frontends, *self.members.values(), self.mupdate]:
            for line in d.text().splitlines() if os.path.exists(d.log) else []:
                m = re.match(r"\S+ error (\S+)", line)
                if (m and m.group(1) not in self.expected) or "ERROR: AddressSanitizer" in line or "runtime error" in line:
                    problems.append(f"{d.name}: {line}")
        assert not problems, "\n".join(problems)


class Raw:
    """A socket that speaks lines."""

    def __init__(self, port, timeout=20, source=None, host="127.0.0.1"):
        """From the loopback address SOURCE."""
        self.s = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.f = self.s.makefile("rb")
        self.tags = 0

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        return self.f.readline().decode("utf-8", "replace").rstrip("\r\n")

    def read(self, n):
        return self.f.read(n)

    def cmd(self, text):
        """Send an IMAP command under a tag of its own; the untagged lines and the tagged one (without its tag)."""
        self.tags += 1
        tag = f"x{self.tags}"
        self.send(tag.encode() + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag):
        lines = []
        while True:
            octets = self.f.readline()
            if octets == b"":
                raise EOFError(lines)
            line = octets.decode("utf-8", "replace").rstrip("\r\n")
            if line.startswith(tag + " "):
                return lines, line[len(tag) + 1:]
            lines.append(line)

    def login(self, user, password=PASSWORD):
        self.line()
        lines, done = self.cmd(f"LOGIN {user} {password}")
        assert done.startswith("OK"), done
        return self

    def reply(self):
        """One LMTP reply: code and text of all its lines."""
        text = []
        while True:
            line = self.line()
            text.append(line[4:])
            if len(line) < 4 or line[3] != "-":
                return (int(line[:3]) if line[:3].isdigit() else 0), text

    def close(self):
        self.f.close()
        self.s.close()
