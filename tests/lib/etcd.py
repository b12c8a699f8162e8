"""A real etcd of several nodes on loopback, and mupdate servers that share it."""
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

import scratch
from roost import PASSWORD, Daemon, free_port, scram_line, wait_for


class Etcd:
    def __init__(self, nodes=3, tls=None):
        """TLS: certificate and key files, for clients."""
        self.dir = scratch.directory("roost-etcd.")
        self.tls = tls
        self.ports = [(free_port(), free_port()) for _ in range(nodes)]
        self.processes = [None] * nodes

    @property
    def endpoints(self):
        return [f"{'https' if self.tls else 'http'}://127.0.0.1:{client}" for client, _ in self.ports]

    def start_node(self, i):
        client, peer = self.ports[i]
        cluster = ",".join(f"n{j}=http://127.0.0.1:{p}" for j, (_, p) in enumerate(self.ports))
        argv = ["etcd", "--name", f"n{i}", "--data-dir", f"{self.dir}/n{i}", "--listen-client-urls", self.endpoints[i],
                "--advertise-client-urls", self.endpoints[i], "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", cluster,
                "--initial-cluster-state", "new", "--heartbeat-interval", "100", "--election-timeout", "600", "--logger", "zap"]
        if self.tls:
            argv += ["--cert-file", str(self.tls[0]), "--key-file", str(self.tls[1])]
        self.processes[i] = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=open(f"{self.dir}/n{i}.log", "ab"))

    def healthy(self, i):
        context = ssl.create_default_context(cafile=str(self.tls[0])) if self.tls else None
        try:
            with urllib.request.urlopen(self.endpoints[i] + "/health", timeout=2, context=context) as r:
                return b'"true"' in r.read()
        except (urllib.error.URLError, OSError):
            return False

    def start(self):
        for i in range(len(self.ports)):
            self.start_node(i)
        self.wait_healthy()
        return self

    def wait_healthy(self):
        for i, p in enumerate(self.processes):
            if p is not None:
                wait_for(lambda: self.healthy(i), f"etcd node {i} is healthy", 30)

    def kill(self, i, signo=signal.SIGKILL):
        self.processes[i].send_signal(signo)
        self.processes[i].wait()
        self.processes[i] = None

    def pause(self, i, is_paused):
        self.processes[i].send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def ctl(self, *args):
        trust = ["--cacert", str(self.tls[0])] if self.tls else []
        return subprocess.run(["etcdctl", "--endpoints", ",".join(self.endpoints), *trust, *args], env=dict(os.environ, ETCDCTL_API="3"),
                              capture_output=True, text=True, timeout=20)

    def stop(self):
        for p in self.processes:
            if p is not None:
                p.send_signal(signal.SIGKILL)
                p.wait()


class Directories:
    """COUNT mupdate servers on one etcd."""

    def __init__(self, etcd, count=2, servers=("backenda", "backendb"), extra=None):
        self.dir = scratch.directory("roost-test.")
        self.users = self.dir + "/users"
        with open(self.users, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            for a in ["admin", "frontend", "fred", *servers, "cyrus1", "cyrus2"]:
                f.write(scram_line(a, PASSWORD))
        self.daemons, self.ports, self.admins = [], [], []
        for i in range(count):
            os.mkdir(f"{self.dir}/m{i}")
            self.ports.append(free_port())
            self.admins.append(free_port())
            config = {"configdirectory": f"{self.dir}/m{i}", "mupdate_listen": f"127.0.0.1:{self.ports[i]}",
                      "admin_listen": f"127.0.0.1:{self.admins[i]}", "users_file": self.users, "admins": "admin",
                      "proxyservers": "frontend", "servers": " ".join(servers), "directory_store": "etcd",
                      "etcd_endpoints": " ".join(etcd.endpoints[i:] + etcd.endpoints[:i]), "index_map_size": "64M",
                      "log_level": "debug"}
            config.update(extra or {})
            self.daemons.append(Daemon(self.dir, "mupdate", f"m{i}", config))

    def start(self):
        for i in range(len(self.daemons)):
            self.daemons[i].start()
        for i in range(len(self.daemons)):
            self.wait_ready(i)
        return self

    def is_ready(self, i):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admins[i]}/readyz", timeout=5) as r:
                return r.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, i, timeout=20):
        try:
            wait_for(lambda: self.is_ready(i), f"mupdate server {i} is ready", timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.daemons[i].tail()}") from None

    def stop(self):
        for d in self.daemons:
            if d.process is not None:
                assert d.stop() == 0, d.tail()
        for d in self.daemons:
            text = d.text()
            assert "Sanitizer" not in text and "runtime error" not in text, d.tail(60)
