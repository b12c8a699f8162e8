"""A murder whose machines can be hurt: a mupdate server, frontends and the members of one server, each on a network that can
be cut and on a disk that loses power and fails. Nobody restarts what dies but the test.
"""
import glob
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import scratch
from disk import Disk
from local import Lmtp
from network import network
from roost import PASSWORD, ROOST, Daemon, Raw, http, scram_line, wait_for

SERVER = "backenda"


class Machine(Daemon):
    """A daemon, its disk, and its place in the network."""

    def __init__(self, cluster, role, name, config):
        super().__init__(cluster.dir, role, name, config)
        self.cluster, self.disk = cluster, Disk(f"{cluster.dir}/{name}")
        self.starts, self.is_stopped = 0, False

    def start(self):
        assert self.process is None
        self.write()
        with self.cluster.net.inside(self.name), open(self.log, "ab") as log:
            self.process = subprocess.Popen([ROOST, self.role, "-C", self.config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=log, cwd=self.directory, env={**os.environ, **self.disk.environment()})
        self.starts += 1
        return self

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, signo=signal.SIGKILL):
        if self.process is not None:
            super().kill(signo)
        self.is_stopped = False

    def lose_power(self, rng=None):
        """Returns what was lost, in words."""
        self.kill()
        return self.disk.lose_power(rng)

    def freeze(self, is_on=True):
        if self.is_up():
            os.kill(self.process.pid, signal.SIGSTOP if is_on else signal.SIGCONT)
            self.is_stopped = is_on

    def http(self, path, timeout=3):
        with self.cluster.net.inside(self.name):
            return http(self.values["admin_listen"], path, timeout)

    def status(self):
        code, body = self.http("/status.json")
        return json.loads(body) if code == 200 else {}

    def imap(self, user, timeout=30):
        """A session at this daemon itself."""
        with self.cluster.net.inside(self.name):
            host, port = self.values["imap_listen"].split(":")
            return Raw(int(port), timeout, host=host).login(user)

    def run(self, *args, timeout=60):
        with self.cluster.net.inside(self.name):
            return subprocess.run([ROOST, *args, "-C", self.config], capture_output=True, text=True, errors="backslashreplace",
                                  timeout=timeout)


class Cluster:
    def __init__(self, users, members=2, frontends=1, network_kind=None, **values):
        self.dir = scratch.directory("roost-faults.")
        self.users = list(users)
        self.member_names = [f"{SERVER}{i + 1}" for i in range(members)]
        self.frontend_names = [f"frontend{i + 1}" for i in range(frontends)]
        self.net = network(["mupdate", *self.frontend_names, *self.member_names], network_kind)
        self.expected = set()
        with open(f"{self.dir}/users", "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for a in ["admin", "frontend", SERVER, *self.users]:
                f.write(scram_line(a, PASSWORD))
        self.machines = {}
        self.make_mupdate()
        for name in self.member_names:
            self.make_member(name, values)
        for name in self.frontend_names:
            self.make_frontend(name)
        self.members = [self.machines[n] for n in self.member_names]
        self.frontends = [self.machines[n] for n in self.frontend_names]

    def common(self, name, **ports):
        values = {"configdirectory": f"{self.dir}/{name}/conf", "users_file": f"{self.dir}/users", "admins": "admin",
                  "allowplaintext": "yes", "log_level": "info", "index_map_size": "512M"}
        values.update({f"{k}_listen": f"{self.net.address(name)}:{self.net.port(name, p)}" for k, p in ports.items()})
        return values

    def add(self, role, name, values):
        self.machines[name] = Machine(self, role, name, values)
        os.makedirs(f"{self.dir}/{name}/conf", exist_ok=True)

    def make_mupdate(self):
        values = self.common("mupdate", mupdate=3905, admin=8080)
        values.update({"proxyservers": "frontend", "servers": SERVER})
        self.mupdate_port = values["mupdate_listen"].split(":")[1]
        self.add("mupdate", "mupdate", values)

    def directory_of(self, name, account):
        host, port = self.net.seen_by(name, "mupdate", int(self.mupdate_port)).split(":")
        return {"mupdate_server": host, "mupdate_port": port, "mupdate_authname": account, "mupdate_password": PASSWORD}

    def make_member(self, name, extra):
        if not hasattr(self, "sync_ports"):
            self.sync_ports = {n: self.net.port(n, 2005) for n in self.member_names}
        values = self.common(name, imap=143, lmtp=24, admin=8080)
        values.update(self.directory_of(name, SERVER))
        values.update({"servername": SERVER, "member": name, "partition-default": f"{self.dir}/{name}/mail", "proxyservers": "frontend",
                       "sync_listen": f"{self.net.address(name)}:{self.sync_ports[name]}", "journal_segment_size": "4M", "loops": 2,
                       "sync_peers": " ".join(f"{n}={self.net.seen_by(name, n, p)}" for n, p in self.sync_ports.items())})
        values.update(extra)
        self.add("backend", name, values)

    def make_frontend(self, name):
        values = self.common(name, admin=8080)
        values.update(self.directory_of(name, "frontend"))
        values.update({"member": name, "proxyservers": "mta", "proxy_authname": "frontend", "proxy_password": PASSWORD, "loops": 2})
        # Clients are on the frontend's own machine.
        values.update({f"{k}_listen": f"127.0.0.1:{self.net.port(name, p)}" for k, p in (("imap", 143), ("lmtp", 24))})
        self.add("frontend", name, values)

    def start(self):
        for m in self.machines.values():
            m.start()
        try:
            self.wait_in_sync()
            wait_for(lambda: self.imap("admin").close() or True, "the frontend serves", 30)
            for u in self.users:
                c = self.imap("admin")
                lines, done = c.cmd(f"CREATE user/{u}")
                assert done.startswith("OK"), done
                c.close()
        except AssertionError as e:
            self.destroy()
            raise AssertionError(f"{e}\n{self.tails()}") from None
        return self

    # Looking.

    def imap(self, user, frontend=0, timeout=60):
        f = self.frontends[frontend]
        with self.net.inside(f.name):
            c = Raw(int(f.values["imap_listen"].split(":")[1]), timeout)
        return c.login(user)

    def socket(self, which, rng, timeout):
        """A connection to any frontend's port, WHICH is "imap" or "lmtp"."""
        f = rng.choice(self.frontends)
        host, port = f.values[which + "_listen"].split(":")
        with self.net.inside(f.name):
            return socket.create_connection((host, int(port)), timeout)

    def lmtp(self, frontend=0, timeout=90):
        f = self.frontends[frontend]
        with self.net.inside(f.name):
            return Lmtp(f.values["lmtp_listen"], timeout)

    def masters(self):
        return [m for m in self.members if m.is_up() and not m.is_stopped and m.http("/role", 1)[0] == 200]

    def master(self):
        found = self.masters()
        return found[0] if found else None

    def wait_in_sync(self, timeout=90, meanwhile=lambda: None):
        """All members are up, in sync, and have applied the same. Returns the master."""
        def same():
            meanwhile()
            states = {m.name: m.status() for m in self.members}
            for m in self.members:
                s = states[m.name]
                if s.get("role") == "master" and set(s["in_sync"].split()) == set(states) and \
                        len({x.get("applied") for x in states.values()}) == 1:
                    return m
            return None
        try:
            return wait_for(same, f"{SERVER} is in sync", timeout)
        except AssertionError:
            states = {m.name: m.status() for m in self.members}
            raise AssertionError(f"{SERVER} does not get in sync: {states}") from None

    def dumps(self, meanwhile=lambda: None):
        """The dump of all members, which is the same at one LSN. MEANWHILE is called as long as they are not in sync."""
        def same():
            texts = [m.run("dump").stdout for m in self.members]
            return texts[0] if len(set(texts)) == 1 and texts[0] else None
        self.wait_in_sync(meanwhile=meanwhile)
        return wait_for(same, "the dumps are equal", 30)

    # Ending.

    def errors(self):
        """Lines of logs that no test expects: errors not announced, sanitizers' words, assertions."""
        found = []
        for path in sorted(glob.glob(self.dir + "/*.log")):
            with open(path, errors="replace") as f:
                for line in f:
                    m = re.match(r"\S+ error (\S+)", line)
                    if (m and m.group(1) not in self.expected) or re.search("Sanitizer|runtime error:|ssertion|disk_shim:", line):
                        found.append(f"{os.path.basename(path)}: {line.rstrip()}")
        return found

    def tails(self, lines=15):
        return "\n".join(f"--- {m.name}\n{m.tail(lines)}" for m in self.machines.values() if os.path.exists(m.log))

    def interleaved(self):
        """All logs as one, by time."""
        rows = []
        for m in self.machines.values():
            last = ""
            for line in m.text().splitlines() if os.path.exists(m.log) else []:
                last = line.split(" ", 1)[0] if re.match(r"\d{4}-", line) else last
                rows.append((last, m.name, line))
        rows.sort(key=lambda r: r[0])
        return "".join(f"{name:10} {line}\n" for _, name, line in rows)

    def destroy(self):
        for m in self.machines.values():
            m.kill()
        self.net.close()

    def stop(self):
        """In order; what went wrong, as lines."""
        problems = []
        for m in [*self.frontends, *self.members, self.machines["mupdate"]]:
            try:
                if m.is_up():
                    rc = m.stop(30)
                    if rc != 0:
                        problems.append(f"{m.name} ended with {rc}")
                elif m.process is not None:
                    problems.append(f"{m.name} had died: {m.process.returncode}\n{m.tail()}")
            except AssertionError as e:
                problems.append(str(e))
        self.net.close()
        return problems + self.errors()

    def remove(self):
        scratch.remove(self.dir)
