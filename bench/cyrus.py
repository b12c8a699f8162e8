"""Debian's Cyrus on loopback, standing alone, as the peer to measure beside: its own durability, no replication, no proxy.

Needs root (Cyrus runs as its own user) and the packages of [bench] in packaging/debian-packages.txt.
"""
import imaplib
import os
import shutil
import signal
import subprocess
import time

SERVER = "/usr/sbin/cyrmaster"


def available():
    return os.path.exists(SERVER) and os.geteuid() == 0


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
        self.process = subprocess.Popen([SERVER, "-C", f"{self.dir}/imapd.conf", "-M", f"{self.dir}/cyrus.conf", "-p",
                                         f"{self.dir}/master.pid", "-D"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
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
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        subprocess.run(["pkill", "-9", "-f", f"{self.dir}/imapd.conf"], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
