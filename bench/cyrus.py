"""Debian's Cyrus on loopback, standing alone, as the peer to measure beside: its own durability, no replication, no proxy;
and its mupdate server.

Needs root (Cyrus runs as its own user) and the packages of [bench] in packaging/debian-packages.txt.
"""
import imaplib
import os
import shutil
import signal
import subprocess
import tempfile
import time

SERVER = "/usr/sbin/cyrmaster"
MUPDATE = "/usr/lib/cyrus/bin/mupdate"
CTL = "/usr/lib/cyrus/bin/ctl_mboxlist"


def available():
    return os.path.exists(SERVER) and os.geteuid() == 0


def has_mupdate():
    return available() and os.path.exists(MUPDATE)


def start_master(directory):
    return subprocess.Popen([SERVER, "-C", f"{directory}/imapd.conf", "-M", f"{directory}/cyrus.conf", "-p",
                             f"{directory}/master.pid", "-D"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)


def stop_master(process, directory):
    if process:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    subprocess.run(["pkill", "-9", "-f", f"{directory}/imapd.conf"], check=False)
    shutil.rmtree(directory, ignore_errors=True)


class Cyrus:
    def __init__(self, directory, users, imap_port, lmtp_port):
        self.dir, self.users = directory, users
        self.imap, self.lmtp = f"127.0.0.1:{imap_port}", f"127.0.0.1:{lmtp_port}"
        self.process = None

    def write(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        for sub in ("conf/socket", "conf/proc", "conf/lock", "conf/log", "conf/db", "spool/stage."):
            os.makedirs(f"{self.dir}/{sub}")
        with open(f"{self.dir}/imapd.conf", "w") as f:
            f.write(f"""admins: cyrus
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {self.dir}/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
sasl_minimum_layer: 0
unixhierarchysep: yes
altnamespace: yes
virtdomains: off
configdirectory: {self.dir}/conf
proc_path: {self.dir}/conf/proc
mboxname_lockpath: {self.dir}/conf/lock
partition-default: {self.dir}/spool
defaultpartition: default
servername: bench
duplicatesuppression: no
syslog_prefix: bench
""")
        conf = f"-C {self.dir}/imapd.conf"
        with open(f"{self.dir}/cyrus.conf", "w") as f:
            f.write(f"""START {{
 recover cmd="ctl_cyrusdb {conf} -r"
}}
SERVICES {{
 imap cmd="imapd {conf} -U 30" listen="{self.imap}" prefork=10 maxchild=6000
 lmtp cmd="lmtpd {conf} -a" listen="{self.lmtp}" prefork=34 maxchild=200
}}
EVENTS {{
 checkpoint cmd="ctl_cyrusdb {conf} -c" period=30
}}
""")
        for user in ["cyrus", *self.users]:
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", f"{self.dir}/sasldb2", "-u", "bench", user], input=b"pw",
                           check=True)
        subprocess.run(["chown", "-R", "cyrus:mail", self.dir], check=True)

    def start(self):
        self.write()
        self.process = start_master(self.dir)
        host, port = self.imap.split(":")
        end = time.monotonic() + 30
        while True:
            try:
                c = imaplib.IMAP4(host, int(port), timeout=10)
                c.login("cyrus", "pw")
                break
            except (OSError, imaplib.IMAP4.error):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)  # it is starting
        for user in self.users:
            typ, data = c.create(f"user/{user}")
            assert typ == "OK", data
        c.logout()
        return self

    def stop(self):
        stop_master(self.process, self.dir)


class CyrusMupdate:
    """Its mupdate server alone, with LIST (a file as ctl_mboxlist -u reads it) to begin with; ACCOUNT's password is pw."""

    def __init__(self, directory, account, port, mailboxes=None):
        self.dir, self.account, self.port, self.mailboxes = directory, account, port, mailboxes
        self.process = None

    def write(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        for sub in ("conf/socket", "conf/proc", "conf/lock", "conf/log", "conf/db", "spool/stage."):
            os.makedirs(f"{self.dir}/{sub}")
        text = f"""admins: {self.account}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {self.dir}/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
sasl_minimum_layer: 0
configdirectory: {self.dir}/conf
proc_path: {self.dir}/conf/proc
mboxname_lockpath: {self.dir}/conf/lock
partition-default: {self.dir}/spool
defaultpartition: default
servername: bench
mupdate_connections_max: 512
mupdate_workers_max: 128
syslog_prefix: bench
"""
        with open(f"{self.dir}/imapd.conf", "w") as f:
            f.write(text)
        # To fill it, only: in memory, as it syncs each record.
        with open(f"{self.dir}/fill.conf", "w") as f:
            f.write(text.replace(f"configdirectory: {self.dir}/conf", f"configdirectory: {self.dir}/fill"))
        conf = f"-C {self.dir}/imapd.conf"
        with open(f"{self.dir}/cyrus.conf", "w") as f:
            f.write(f"""START {{
 recover cmd="ctl_cyrusdb {conf} -r"
}}
SERVICES {{
 mupdate cmd="mupdate {conf} -m" listen="127.0.0.1:{self.port}" prefork=1
}}
EVENTS {{
}}
""")
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", f"{self.dir}/sasldb2", "-u", "bench", self.account], input=b"pw", check=True)
        subprocess.run(["chown", "-R", "cyrus:mail", self.dir], check=True)

    def start(self):
        self.write()
        if self.mailboxes:
            self.fill()
        self.process = start_master(self.dir)
        return self

    def fill(self):
        memory = tempfile.mkdtemp(prefix="roost-bench.", dir="/dev/shm")
        try:
            os.symlink(memory, f"{self.dir}/fill")
            subprocess.run(["cp", "-a", f"{self.dir}/conf/.", memory], check=True)
            subprocess.run(["chown", "cyrus:mail", memory], check=True)
            with open(self.mailboxes) as f:
                subprocess.run([CTL, "-C", f"{self.dir}/fill.conf", "-u"], stdin=f, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=True, user="cyrus", group="mail")
            subprocess.run(["cp", "-a", f"{memory}/.", f"{self.dir}/conf"], check=True)
        finally:
            shutil.rmtree(memory)

    def pid(self):
        """Of the server itself."""
        out = subprocess.run(["pgrep", "-f", f"^mupdate -C {self.dir}/imapd.conf"], stdout=subprocess.PIPE, text=True, check=False)
        return int(out.stdout.split()[0])

    def stop(self):
        stop_master(self.process, self.dir)
