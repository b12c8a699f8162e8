"""A murder of Debian's Cyrus IMAP: backends, a frontend, a pair under one server name behind a service address, and its
mupdate server, Cyrus's own or any other. Needs root (Cyrus runs as its own user).

The daemons find each other by name, as they would in earnest; names lead to free ports of loopback by a library that is
preloaded (cyrus_names.c), so that nothing of the machine is changed or needed: no namespace, no well-known port.
"""
import functools
import glob
import hashlib
import imaplib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import scratch
from local import Lmtp
from mupdate import Mupdate
from relay import Relay
from roost import PASSWORD, ROOST, Daemon, free_port, scram_line, wait_for

MASTER = "/usr/sbin/cyrmaster"
NAMES_C = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cyrus_names.c")

COMMON = """servername: {server}
configdirectory: {dir}/conf
proc_path: {dir}/conf/proc
mboxname_lockpath: {dir}/conf/lock
partition-default: {dir}/spool
defaultpartition: default
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {base}/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
sasl_minimum_layer: 0
unixhierarchysep: yes
altnamespace: no
virtdomains: off
allowusermoves: yes
syslog_prefix: {name}
"""

# A retry delay of 1 would end Cyrus's mupdate by a division by zero when it has lost its server.
CLIENT = """mupdate_server: directory
mupdate_config: standard
mupdate_authname: {login}
mupdate_password: secret
mupdate_retry_delay: 2
"""

BACKEND = CLIENT + """admins: cyrus murder
proxyservers: murder
lmtp_admins: cyrus murder
proxy_authname: murder
proxy_password: secret
delete_mode: delayed
expunge_mode: delayed
"""

MEMBER = BACKEND + """sync_log: yes
sync_host: partner
sync_port: csync
sync_try_imap: no
sync_authname: cyrus
sync_password: secret
sync_repeat_interval: 1
sync_reconnect_maxtime: 1
"""

FRONTEND = CLIENT + """admins: cyrus
serverlist: backenda backendb
defaultserver: backenda
proxy_authname: murder
proxy_password: secret
proxyd_disable_mailbox_referrals: 1
lmtp_admins: cyrus murder
"""

DIRECTORY = """admins: cyrus backenda backenda1 backenda2 backendb frontend
mupdate_connections_max: 512
"""

PUSH = 'push cmd="ctl_mboxlist {c} -m"'
MAIL = """imap cmd="imapd {c} -U 30" listen="here:imap" prefork=1
 lmtp cmd="lmtpd {c}" listen="here:lmtp" prefork=1
"""

# What each kind runs: its part of imapd.conf, then START, SERVICES and DAEMON of cyrus.conf, and on which ports it listens.
KINDS = {
    "backend": (BACKEND, PUSH, MAIL, "", ("imap", "lmtp")),
    "member": (MEMBER, PUSH, MAIL + ' csync cmd="sync_server {c}" listen="here:csync" prefork=1\n',
               'sync cmd="sync_client {c} -r"', ("imap", "lmtp", "csync")),
    "frontend": (FRONTEND, "", """mupdate cmd="mupdate {c}" listen="here:mupdate" prefork=1
 imap cmd="imapd {c}" listen="here:imap" prefork=1
 lmtp cmd="lmtpd {c} -a" listen="here:lmtp" prefork=1
""", "", ("imap", "lmtp", "mupdate")),
    "mupdate": (DIRECTORY, "", 'mupdate cmd="mupdate -m {c}" listen="here:mupdate" prefork=1\n', "", ("mupdate",)),
}


def available():
    return os.path.exists(MASTER) and os.path.exists("/usr/lib/cyrus/bin/sync_client") and os.geteuid() == 0


class Instance:
    """One machine's Cyrus. NAMES: what other names lead to, "name service" to port; may change while it runs."""

    def __init__(self, base, name, server, kind, extra=""):
        self.base, self.name, self.server, self.kind, self.extra = base, name, server, kind, extra
        # Members of a pair log in as their server: their configurations are the same.
        self.login = server if kind == "member" else name
        self.dir = f"{base}/{name}"
        self.ports = {service: free_port() for service in KINDS[kind][4]}
        self.names, self.process = {}, None

    def write(self):
        conf, start, services, daemons, _ = KINDS[self.kind]
        for sub in ("conf/socket", "conf/proc", "conf/lock", "conf/log", "conf/db", "conf/sync", "spool/stage."):
            os.makedirs(f"{self.dir}/{sub}")
        with open(f"{self.dir}/imapd.conf", "w") as f:
            f.write((COMMON + conf + self.extra).format(dir=self.dir, base=self.base, name=self.name, server=self.server,
                                                              login=self.login))
        text = f"START {{\n recover cmd=\"ctl_cyrusdb {{c}} -r\"\n {start}\n}}\nSERVICES {{\n {services}}}\nEVENTS {{\n}}\n"
        if daemons:
            text += f"DAEMON {{\n {daemons}\n}}\n"
        with open(f"{self.dir}/cyrus.conf", "w") as f:
            f.write(text.replace("{c}", f"-C {self.dir}/imapd.conf"))
        self.write_names()
        open(f"{self.dir}/log", "w").close()
        subprocess.run(["chown", "-R", "cyrus:mail", self.dir], check=True)

    def write_names(self):
        own = {f"here {service}": port for service, port in self.ports.items()}
        with open(f"{self.dir}/names.new", "w") as f:
            for name, port in {**own, **self.names}.items():
                f.write(f"{name} 127.0.0.1 {port}\n")
        os.chmod(f.name, 0o644)
        os.rename(f.name, f"{self.dir}/names")

    def environment(self):
        return {**os.environ, "LD_PRELOAD": f"{self.base}/names.so", "CYRUS_TEST_NAMES": f"{self.dir}/names",
                "CYRUS_TEST_LOG": f"{self.dir}/log"}

    def start(self):
        self.process = subprocess.Popen(
            [MASTER, "-C", f"{self.dir}/imapd.conf", "-M", f"{self.dir}/cyrus.conf", "-p", f"{self.dir}/master.pid", "-D"],
            stdin=subprocess.DEVNULL, stdout=open(f"{self.dir}/out", "ab"), stderr=subprocess.STDOUT, start_new_session=True,
            env=self.environment(), cwd=self.dir)
        return self

    def pids(self):
        """All its processes: those whose log is this one's."""
        mark, found = f"CYRUS_TEST_LOG={self.dir}/log\0".encode(), []
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as f:
                    if mark in f.read() + b"\0":
                        found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return found

    def kill(self):
        """As if the machine's power went: all processes at once."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

        def gone():
            left = self.pids()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left
        wait_for(gone, f"{self.name} is gone")

    def stop(self):
        """In order, as an operator would."""
        self.process.terminate()
        self.process.wait(30)
        self.kill()

    def run(self, tool, *args):
        """A tool of Cyrus with this one's configuration."""
        return subprocess.run([f"/usr/lib/cyrus/bin/{tool}", "-C", f"{self.dir}/imapd.conf", *args], capture_output=True,
                              text=True, env=self.environment(), user="cyrus", group="mail", timeout=60)

    def imap(self, user="cyrus", mailbox=None):
        c = Session("127.0.0.1", self.ports["imap"], timeout=30)
        c.login(user, "secret")
        if mailbox:
            typ, data = c.select(mailbox)
            assert typ == "OK", data
        return c

    def mailboxes(self):
        """Internal names of the mailboxes that it holds, but for deleted ones."""
        held = json.loads(self.run("ctl_mboxlist", "-d").stdout)
        return {name for name, m in held.items() if "d" not in m["mbtype"] and not name.startswith("DELETED.")}

    def text(self):
        with open(f"{self.dir}/log", errors="replace") as f:
            return f.read()

    def tail(self, lines=25):
        return f"--- {self.name}\n" + "\n".join(self.text().splitlines()[-lines:])


def is_unavailable(answer):
    text = b" ".join(x or b"" for x in answer[1])
    return answer[0] == "NO" and (b"unavailable" in text or b"no connection to server" in text)


class Session(imaplib.IMAP4):
    """Gives a command again that has gone nowhere.

    Now and then a Cyrus frontend's connection to a backend, whichever command it is made for, fails ("couldn't authenticate to
    backend server: generic failure", within milliseconds, with its own mupdate server as with ours), and the command is
    answered "Server(s) unavailable"; and a backend's to its own mupdate server ("no mechanism available"), which answers CREATE with "no
    connection to server" and takes the mailbox back. A person would try again.
    """

    def _simple_command(self, name, *args):
        for _ in range(TRIES):
            answer = super()._simple_command(name, *args)
            if not is_unavailable(answer):
                break
        return answer


TRIES = 5
MEMBER_ADDRESSES = {"backenda1": "127.0.0.2", "backenda2": "127.0.0.3"}


class CyrusMurder:
    """backenda (behind a service address; backenda1 and, with PAIR, its replica backenda2), backendb, a frontend.

    All reach the mupdate server at MUPDATE_PORT through relays of their own, which record what is said; the members of a
    pair from addresses of their own (MEMBER_ADDRESSES). Without MUPDATE_PORT: at Cyrus's own mupdate server.
    """

    def __init__(self, mupdate_port, pair=False, users=(), extra=""):
        self.base = scratch.directory("cyrus-murder.")
        os.chmod(self.base, 0o755)
        self.users, self.mupdate_port = users, mupdate_port
        make = functools.partial(Instance, self.base, extra=extra)
        kind = "member" if pair else "backend"
        self.a1 = make("backenda1", "backenda", kind)
        self.a2 = make("backenda2", "backenda", kind) if pair else None
        self.b = make("backendb", "backendb", "backend")
        self.f = make("frontend", "frontend", "frontend")
        self.d = None if mupdate_port else make("mupdate", "mupdate", "mupdate")
        self.mupdate_port = mupdate_port or self.d.ports["mupdate"]
        self.all = [i for i in (self.d, self.a2, self.a1, self.b, self.f) if i]
        self.service = {s: Relay(self.a1.ports[s]) for s in ("imap", "lmtp")}
        self.to_mupdate = {i.name: Relay(self.mupdate_port, True, MEMBER_ADDRESSES.get(i.name, "127.0.0.1"))
                           for i in self.all if i is not self.d}
        # The way of replication to each member: open to the replica only.
        self.sync = {m.name: Relay(m.ports["csync"]) for m in (self.a1, self.a2)} if pair else {}
        for i in self.all:
            if i is self.d:
                continue
            i.names = {"directory mupdate": self.to_mupdate[i.name].port}
            i.names.update({f"backenda {s}": r.port for s, r in self.service.items()})
            i.names.update({f"backendb {s}": self.b.ports[s] for s in ("imap", "lmtp")})
        if pair:
            self.a1.names["partner csync"] = self.sync["backenda2"].port
            self.a2.names["partner csync"] = self.sync["backenda1"].port
            self.sync["backenda1"].move(None)

    def write(self):
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O", "-o", f"{self.base}/names.so", NAMES_C, "-ldl"], check=True)
        for realm in sorted({i.server for i in self.all}):
            logins = sorted({i.login for i in self.all}) if realm == "mupdate" else []
            for user in ["cyrus", "murder", *logins, *self.users]:
                subprocess.run(["saslpasswd2", "-p", "-c", "-f", f"{self.base}/sasldb2", "-u", realm, user], input=b"secret", check=True)
        subprocess.run(["chown", "cyrus:mail", f"{self.base}/sasldb2"], check=True)
        for i in self.all:
            i.write()
        return self

    def start(self):
        self.write()
        for i in self.all:
            i.start()
            if i is self.d:
                wait_for(lambda: Mupdate(self, "cyrus").close() or True, "Cyrus's mupdate server serves", 30)
        try:
            self.wait_ready()
        except AssertionError as e:
            tails = self.tails()
            self.stop()
            raise AssertionError(f"{e}\n{tails}") from None
        self.hashes = self.config_hashes()
        return self

    def wait_ready(self):
        for i in self.all:
            if i is self.d:
                continue
            wait_for(lambda: i.imap().logout(), f"{i.name} serves", 30)

    def imap(self, user, mailbox=None):
        """A client's session at the frontend, which has its connection to the INBOX's server and keeps it."""
        for _ in range(TRIES):
            c = self.f.imap(user)
            if user == "cyrus" or not is_unavailable(c.status("INBOX", "(MESSAGES)")):
                break
            c.logout()
        if mailbox:
            ok(c.select(mailbox))
        return c

    def config_hashes(self):
        paths = [p for i in self.all for p in (f"{i.dir}/imapd.conf", f"{i.dir}/cyrus.conf", f"{i.dir}/names")]
        return {p: hashlib.sha256(open(p, "rb").read()).hexdigest() for p in paths}

    def said(self, name, patience=5):
        """What NAME asked the mupdate server and was told: (verb, first argument, OK, NO, BAD or None).

        Answers that are on their way are waited for; who cut its connection has none to come.
        """
        end = time.monotonic() + patience
        while True:
            found = self.heard(name)
            if all(status for _, _, status in found) or time.monotonic() > end:
                return found
            time.sleep(0.05)  # until the answers are there

    def heard(self, name):
        found = []
        for talk in self.to_mupdate[name].talks:
            answers = dict(re.findall(rb"(?m)^(\w+) (OK|NO|BAD)\b", bytes(talk["S"])))
            for words in commands(bytes(talk["C"])):
                if len(words) > 1:  # else an answer within AUTHENTICATE
                    status = answers.get(words[0])
                    found.append((words[1].decode(), b" ".join(words[2:3]).decode().strip('"'), status and status.decode()))
        return found

    def tails(self):
        relays = {**self.service, **self.to_mupdate, **self.sync}
        failures = [f"relay {name}: {why}" for name, r in relays.items() for why in r.failures]
        return "\n".join([*failures, *(i.tail() for i in self.all)])

    def stop(self):
        for i in self.all:
            i.kill()
        for r in [*self.service.values(), *self.to_mupdate.values(), *self.sync.values()]:
            r.close()
        scratch.remove(self.base)


def commands(data):
    """The commands in what a client sent, each as its words, literals among them."""
    words, at = [], 0
    while (end := data.find(b"\r\n", at)) >= 0:
        line, at = data[at:end], end + 2
        literal = re.search(rb"\{(\d+)\+?\}$", line)
        words += (line[:literal.start()] if literal else line).split()
        if literal:
            words.append(data[at:at + int(literal[1])])
            at += int(literal[1])
        elif words:
            yield words
            words = []


class Follower:
    """An UPDATE session that another thread reads: every event in its order, as (kind, name, location)."""

    def __init__(self, murder, user):
        self.session = Mupdate(murder, user, timeout=None)
        self.events = [self.parse(line) for line in self.session.follow()]
        self.flushed, self.asked, self.ended = 0, 0, False
        threading.Thread(target=self.read, daemon=True).start()

    @staticmethod
    def parse(line):
        m = re.match(r'\w+ (MAILBOX|RESERVE|DELETE) "([^"]*)"(?: "([^"]*)")?', line)
        return m.groups() if m else None

    def read(self):
        try:
            while line := self.session.record():
                if line.startswith("flush"):
                    self.flushed += 1
                elif event := self.parse(line):
                    self.events.append(event)
        except (OSError, ValueError):
            pass
        self.ended = True

    def flush(self):
        """All events until now."""
        self.asked += 1
        self.session.send(f"flush{self.asked} NOOP\r\n")
        wait_for(lambda: self.flushed >= self.asked or self.ended, "the follower is up to date")
        assert not self.ended, "the UPDATE session ended"
        return self.events

    def of(self, name):
        return [kind for kind, mailbox, _ in self.flush() if mailbox == name]

    def close(self):
        self.session.s.shutdown(socket.SHUT_RDWR)


class Directory:
    """`roost mupdate` as it replaces Cyrus's: accounts of backends, of the frontend, of an administrator."""

    def __init__(self, **values):
        self.dir = scratch.directory("roost-test.")
        with open(self.dir + "/users", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for account in ("admin", "frontend", "backenda", "backenda1", "backenda2", "backendb"):
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

    def client(self):
        """A configuration for the verbs, as an administrator."""
        path = self.dir + "/client.conf"
        with open(path, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(f"mupdate_server: 127.0.0.1\nmupdate_port: {self.mupdate_port}\nmupdate_authname: admin\n"
                    f"mupdate_password: {PASSWORD}\n")
        return path

    def roost(self, *args):
        return subprocess.run([ROOST, *args, "-C", self.client()], capture_output=True, text=True, timeout=30)

    def stop(self):
        assert self.daemon.stop() == 0
        errors = [line for line in self.daemon.text().splitlines() if " error " in line]
        assert not errors, errors


def ok(answer):
    """The answer's data. Anything but OK is IMAP4.error, which wait_for() takes for "not yet"."""
    typ, data = answer
    if typ != "OK":
        raise imaplib.IMAP4.error(f"{typ}: {data}")
    return data


def records(directory, user="admin"):
    """The directory's names and what it holds of each."""
    c = Mupdate(directory, user)
    lines = c.ok("LIST")
    c.close()
    return {m[2]: (m[1], m[3]) for m in (re.match(r'\S+ (\w+) "([^"]*)" "([^"]*)"', x) for x in lines)}


def message(subject):
    return f"From: s@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.org>\r\n\r\nhello\r\n".encode()


def deliver(murder, user, subject):
    """The code. What is refused for now is sent again, as an MTA would: see Session."""
    for _ in range(TRIES):
        c = Lmtp(f"127.0.0.1:{murder.f.ports['lmtp']}")
        code = c.deliver("s@example.org", [user], message(subject))[0][0]
        c.close()
        if code // 100 != 4:
            break
    return code
