"""A local murder under `roost murder`, and what a test does to it: deliver, kill, look.

Everything polls with a deadline. A murder that ends with a daemon that crashed, or an error in a log that the test did
not announce (`expect_event`), fails the test.
"""
import glob
import hashlib
import imaplib
import json
import os
import re
import signal
import socket
import subprocess
import time

import scratch
from roost import ROOST, http, ports, wait_for

ADMIN = "adminsecret"


def password_of(user):
    return "pw-" + user


class LocalMurder:
    def __init__(self, users=("fred", "mary"), pairs=2, frontends=1, restart=True, directory=None):
        self.dir = directory or scratch.directory("roost-murder.")
        self.users, self.pairs, self.frontends, self.restart = list(users), pairs, frontends, restart
        self.expected = set()
        self.process = None
        self.port_base = None
        self.own = {}  # daemons that the test started itself

    def start(self):
        if self.port_base is None:  # not any free ports: while a daemon is away, an outgoing connection may get its port then
            self.port_base = ports.block()
        argv = [ROOST, "murder", "--dir", self.dir, "--pairs", str(self.pairs), "--frontends", str(self.frontends),
                "--port-base", str(self.port_base), "--user", "admin:" + ADMIN]
        for u in self.users:
            argv += ["--user", f"{u}:{password_of(u)}"]
        if not self.restart:
            argv.append("--no-restart")
        if os.path.exists(os.path.join(self.dir, "murder.json")):
            os.unlink(os.path.join(self.dir, "murder.json"))  # of one that was killed
        self.output = open(os.path.join(self.dir, "supervisor.out"), "ab")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                        start_new_session=True)

        def ready():
            assert self.process.poll() is None, self.supervisor_text()
            return os.path.exists(os.path.join(self.dir, "murder.json"))
        wait_for(ready, "the murder is up", 90)
        self.hashes = self.config_hashes()
        return self

    def supervisor_text(self):
        with open(os.path.join(self.dir, "supervisor.out"), errors="replace") as f:
            return f.read()

    @property
    def info(self):
        with open(os.path.join(self.dir, "murder.json")) as f:
            return json.load(f)

    def daemon(self, name):
        info = self.info
        if name == "mupdate":
            return info["mupdate"]
        for f in info["frontends"]:
            if f["name"] == name:
                return f
        return next(s["members"][name] for s in info["servers"].values() if name in s["members"])

    def member_names(self, server):
        return sorted(self.info["servers"][server]["members"])

    def http(self, address, path, timeout=5):
        """Status code and body; 0 where nobody answers."""
        return http(address, path, timeout)

    def master(self, server):
        """The member that says it is master, or None."""
        for name in self.member_names(server):
            if self.http(self.daemon(name)["admin"], "/role")[0] == 200:
                return name
        return None

    def replica(self, server):
        return next(n for n in self.member_names(server) if n != self.master(server))

    def own_status(self, name):
        code, body = self.http(self.daemon(name)["admin"], "/status.json")
        return json.loads(body) if code == 200 else {}

    def kill(self, name, signo=signal.SIGKILL):
        pid = self.own[name].pid if name in self.own else self.daemon(name)["pid"]
        os.kill(pid, signo)
        if name in self.own and signo in (signal.SIGKILL, signal.SIGTERM):
            self.own.pop(name).wait()

    def revive(self, name):
        """Start a daemon that was killed under --no-restart."""
        role = "mupdate" if name == "mupdate" else re.match("backend|frontend", name).group()
        log = open(f"{self.dir}/log/{name}.log", "ab")
        self.own[name] = subprocess.Popen([ROOST, role, "-C", self.daemon(name)["config"]], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)

    def roost(self, *args, check=True, timeout=60, text=None):
        r = subprocess.run([ROOST, *args], capture_output=True, text=True, timeout=timeout, input=text)
        if check:
            assert r.returncode == 0, f"roost {args}: {r.returncode} {r.stdout} {r.stderr}"
        return r

    def imap(self, user, frontend=0, mailbox=None):
        host, port = self.info["frontends"][frontend]["imap"].rsplit(":", 1)
        c = imaplib.IMAP4(host, int(port), timeout=60)
        c.login(user, ADMIN if user == "admin" else password_of(user))
        if mailbox:
            typ, data = c.select(mailbox)
            assert typ == "OK", data
        return c

    def lmtp(self, frontend=0, timeout=60):
        return Lmtp(self.info["frontends"][frontend]["lmtp"], timeout)

    def wait_in_sync(self, server, timeout=60):
        """Both members are up, in sync, and have applied the same LSN. Returns the master's name."""
        def same():
            name = self.master(server)
            if not name:
                return None
            states = {n: self.own_status(n) for n in self.member_names(server)}
            if set(states[name].get("in_sync", "").split()) != set(states):
                return None
            return name if len({s.get("applied") for s in states.values()}) == 1 else None
        try:
            return wait_for(same, f"{server} is in sync", timeout)
        except AssertionError:
            states = {n: self.own_status(n) for n in self.member_names(server)}
            raise AssertionError(f"{server} does not get in sync: {states}\n{self.tails()}") from None

    def dumps_equal(self, server):
        """roost dump of all members, at the same LSN, is the same; returns it."""
        def same():
            dumps = [self.roost("dump", "-C", self.daemon(n)["config"]).stdout for n in self.member_names(server)]
            return dumps[0] if len(set(dumps)) == 1 and dumps[0] else None
        self.wait_in_sync(server)
        return wait_for(same, f"the dumps of {server} are equal", 20)

    def config_hashes(self):
        return {p: hashlib.sha256(open(p, "rb").read()).hexdigest() for p in glob.glob(self.dir + "/*.conf")}

    def tails(self, lines=15):
        text = ""
        for p in sorted(glob.glob(self.dir + "/log/*.log")):
            with open(p, errors="replace") as f:
                text += f"--- {os.path.basename(p)}\n" + "".join(f.readlines()[-lines:])
        return text

    def expect_event(self, name):
        self.expected.add(name)

    def problems(self):
        found = []
        for p in sorted(glob.glob(self.dir + "/log/*.log")):
            with open(p, errors="replace") as f:
                for line in f:
                    m = re.match(r"\S+ error (\S+)", line)
                    if (m and m.group(1) not in self.expected) or "Sanitizer" in line or "runtime error:" in line or "ssertion" in line:
                        found.append(f"{os.path.basename(p)}: {line.rstrip()}")
        text = self.supervisor_text()
        found += re.findall(r".*ended by signal (?!9\b)\d+.*", text)
        return found

    def stop(self, keep=False):
        for name, p in list(self.own.items()):
            p.terminate()
        for name, p in list(self.own.items()):
            p.wait(30)
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)
        self.output.close()
        problems = self.problems()
        assert self.config_hashes() == self.hashes, "a configuration file changed"
        assert not problems, "\n".join(problems)
        assert self.process.returncode == 0, self.supervisor_text()
        if not keep:
            self.give_back()
            scratch.remove(self.dir)

    def give_back(self):
        ports.give_back(self.port_base)
        self.port_base = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
            return
        print(self.tails())
        if self.process and self.process.poll() is None:
            for p in self.own.values():
                p.kill()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.give_back()
        print("kept:", self.dir)


class Lmtp:
    """An LMTP client that pipelines as MTAs do."""

    def __init__(self, address, timeout=60):
        host, port = address.rsplit(":", 1)
        self.s = socket.create_connection((host, int(port)), timeout=timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")
        self.expect(2)
        self.say("LHLO test.example")
        self.expect(2)

    def say(self, line):
        self.s.sendall(line.encode() + b"\r\n")

    def reply(self):
        text = b""
        while True:
            line = self.f.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the connection ended")
            text += line
            if line[3:4] != b"-":
                return int(line[:3]), text.decode("utf-8", "replace").strip()

    def expect(self, first):
        code, text = self.reply()
        if code // 100 != first:
            raise Refused(code, text)
        return code, text

    def deliver(self, sender, recipients, message):
        """The codes for each recipient. EOFError or OSError: nobody knows."""
        head = [f"MAIL FROM:<{sender}> BODY=8BITMIME"] + [f"RCPT TO:<{r}>" for r in recipients] + ["DATA"]
        self.s.sendall("".join(h + "\r\n" for h in head).encode())
        mail = self.reply()
        answers = [self.reply() for _ in recipients]
        data = self.reply()
        if data[0] != 354:
            return [(a if a[0] // 100 != 2 else data) if mail[0] == 250 else mail for a in answers]
        body = re.sub(rb"(?m)^\.", b"..", message)
        self.s.sendall(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return [self.reply() if a[0] == 250 else a for a in answers]

    def close(self):
        try:
            self.say("QUIT")
        except OSError:
            pass
        self.f.close()
        self.s.close()


class Refused(Exception):
    pass
