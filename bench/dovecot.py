"""Debian's Dovecot on loopback, as the peer to measure beside: its packages are unpacked, not installed (they and Cyrus's cannot be
installed at once), and laid over /usr in a mount namespace of its own. It runs from a configuration of its own, never as a service.

Needs root, and a mirror or the packages in build/dovecot.
"""
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = ["dovecot-core", "dovecot-imapd", "dovecot-lmtpd"]
WHERE = os.path.join(ROOT, "build", "dovecot")
TREE = os.path.join(WHERE, "root")
SERVER = os.path.join(TREE, "usr", "sbin", "dovecot")


def available():
    """Whether it is there, or can be fetched now."""
    if os.geteuid() != 0:
        return False
    if os.path.exists(SERVER):
        return True
    os.makedirs(WHERE, exist_ok=True)
    if not glob.glob(WHERE + "/*.deb"):
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=WHERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for deb in glob.glob(WHERE + "/*.deb"):
        subprocess.run(["dpkg", "-x", deb, TREE], check=True)
    return os.path.exists(SERVER)


class Dovecot:
    """One that is durable as Debian's is by default, and uses its processes again, which is when it is fastest. HIBERNATE: seconds after
    which an idle client leaves its process. CERTIFICATE: (certificate, key) for IMAP over TLS."""

    def __init__(self, directory, users, imap_port, lmtp_port, imaps_port=None, certificate=None, hibernate=0):
        self.dir, self.users = directory, users
        self.imap, self.lmtp = f"127.0.0.1:{imap_port}", f"127.0.0.1:{lmtp_port}"
        self.imaps = f"127.0.0.1:{imaps_port}" if imaps_port else None
        self.certificate, self.hibernate = certificate, hibernate
        self.process = None

    def write(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        for sub in ("run", "state", "mail"):
            os.makedirs(f"{self.dir}/{sub}")
        os.chmod(self.dir, 0o755)
        shutil.chown(f"{self.dir}/mail", "mail", "mail")
        with open(f"{self.dir}/passwd", "w") as f:
            f.write("".join(f"{u}:{{PLAIN}}pw\n" for u in self.users))
        port = lambda address: address.split(":")[1]
        tls = ""
        if self.certificate:
            tls = f"ssl = yes\nssl_cert = <{self.certificate[0]}\nssl_key = <{self.certificate[1]}\n"
        with open(f"{self.dir}/dovecot.conf", "w") as f:
            f.write(f"""base_dir = {self.dir}/run
state_dir = {self.dir}/state
log_path = {self.dir}/log
default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
protocols = imap lmtp
{tls or 'ssl = no'}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = 10M
first_valid_uid = 1
mail_location = sdbox:~/sdbox
mail_max_userip_connections = 0
imap_hibernate_timeout = {self.hibernate}s
default_vsz_limit = 0
passdb {{
  driver = passwd-file
  args = {self.dir}/passwd
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={self.dir}/mail/%u
}}
service anvil {{
  client_limit = 15000
}}
service auth {{
  client_limit = 15000
}}
service stats {{
  client_limit = 15000
}}
service imap-hibernate {{
  client_limit = 20000
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
service imap-login {{
  service_count = 0
  client_limit = 20000
  process_min_avail = 2
  inet_listener imap {{
    address = 127.0.0.1
    port = {port(self.imap)}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {port(self.imaps) if self.imaps else 0}
  }}
}}
service imap {{
  service_count = 0
  client_limit = 1
  process_limit = 6000
  process_min_avail = 8
  unix_listener imap-master {{
    mode = 0666
  }}
}}
service lmtp {{
  service_count = 0
  client_limit = 1
  process_min_avail = 32
  process_limit = 200
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port(self.lmtp)}
  }}
}}
namespace inbox {{
  inbox = yes
}}
protocol imap {{
  imap_max_line_length = 64k
}}
""")

    def start(self):
        self.write()
        inside = f"mount -t overlay overlay -o lowerdir={TREE}/usr:/usr /usr && exec /usr/sbin/dovecot -F -c {self.dir}/dovecot.conf"
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", inside], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(f"{self.dir}/stderr", "ab"), start_new_session=True)
        host, port = self.imap.split(":")
        end = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection((host, int(port)), 5) as s:
                    if s.recv(100).startswith(b"* OK"):
                        return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench: Dovecot does not start: see {self.dir}/stderr and {self.dir}/log")
            time.sleep(0.1)  # it is starting

    def pids(self):
        """Of all its processes: the master's descendants."""
        parents = {}
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(stat) as f:
                    pid, rest = stat.split("/")[2], f.read().rsplit(")", 1)[1].split()
                parents[int(pid)] = int(rest[1])
            except OSError:
                continue  # it ended
        mine = {self.process.pid}
        while True:
            more = {p for p, up in parents.items() if up in mine and p not in mine}
            if not more:
                return sorted(mine)
            mine |= more

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
