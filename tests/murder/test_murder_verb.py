"""`roost murder` itself: what it keeps, what it refuses, what it leaves behind; and the verbs around it."""
import json
import os
import signal
import subprocess
import urllib.request

from local import LocalMurder, password_of
from roost import ROOST, wait_for


def pids_of(directory):
    out = subprocess.run(["pgrep", "-f", directory + "/"], capture_output=True, text=True).stdout.split()
    return [int(p) for p in out if int(p) != os.getpid()]


def refused(*args, words=()):
    r = subprocess.run([ROOST, "murder", *args], capture_output=True, text=True, timeout=30)
    line = r.stderr.strip().splitlines()
    assert r.returncode == 1 and len(line) == 1, r
    for w in words:
        assert w in line[0], line
    return line[0]


def test_interrupt_leaves_nothing_and_the_mail_stays():
    m = LocalMurder(["fred"]).start()
    c = m.imap("fred")
    c.append("INBOX", None, None, b"Subject: kept\r\n\r\n")
    c.logout()
    refused("--dir", m.dir, words=["running"])
    refused("--dir", m.dir + "-other", "--port-base", m.info["mupdate"]["address"].rsplit(":", 1)[1], words=["in use", "--port-base"])
    os.kill(m.process.pid, signal.SIGINT)
    m.process.wait(60)
    assert m.process.returncode == 0 and pids_of(m.dir) == []
    assert not os.path.exists(m.dir + "/murder.json")
    refused("--dir", m.dir, "--pairs", "3", words=["2 pairs"])
    before = m.config_hashes()
    m.start()
    assert m.config_hashes() == before, "configurations are kept"
    c = m.imap("fred", mailbox="INBOX")
    assert c.search(None, "SUBJECT", "kept")[1] == [b"1"]
    c.logout()
    m.stop()
    subprocess.run(["rm", "-rf", m.dir + "-other"], check=True)


def test_a_killed_supervisor_takes_its_daemons_along():
    m = LocalMurder(["fred"]).start()
    m.process.kill()
    m.process.wait()
    wait_for(lambda: pids_of(m.dir) == [], "all daemons are gone", 30)
    m.start()
    m.imap("fred").logout()
    m.stop()


def test_made_up_users_and_status(tmp_path):
    d = str(tmp_path / "m")
    p = subprocess.Popen([ROOST, "murder", "--dir", d, "--port-base", "0", "--pairs", "1"], stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not lines or not lines[-1].startswith("Logs are"):
            lines.append(p.stdout.readline())
            assert lines[-1], lines
        tries = [x.strip() for x in lines if x.startswith("  curl")]
        assert len(tries) == 4
        for t in tries:
            r = subprocess.run(t, shell=True, capture_output=True, text=True)
            assert r.returncode == 0, (t, r.stderr)
            assert t is tries[0] or t is tries[1] or "two machines had it on disk" in r.stdout, t
        with open(d + "/murder.json") as f:
            info = json.load(f)
        assert set(info) == {"mupdate", "frontends", "servers"} and set(info["mupdate"]) == {"address", "admin", "pid", "config"}
        assert set(info["frontends"][0]) == {"name", "imap", "lmtp", "pop3", "admin", "pid", "config"}
        assert set(info["servers"]["backenda"]["members"]["backenda1"]) == {"imap", "lmtp", "pop3", "sync", "admin", "pid", "config"}
        with urllib.request.urlopen(f"http://{info['mupdate']['admin']}/") as r:
            assert b"<html" in r.read().lower()
        a, b = (open(m["config"]).read() for m in info["servers"]["backenda"]["members"].values())
        keys = [x for x, y in zip(a.splitlines(), b.splitlines()) if x != y]
        assert all(x.startswith(("#", "configdirectory", "partition-", "member:")) or "_listen:" in x for x in keys), keys
        out = subprocess.run([ROOST, "mailbox", "check", "-C", info["servers"]["backenda"]["members"]["backenda1"]["config"]], capture_output=True, text=True)
        assert out.returncode == 0 and "no difference" in out.stdout, out
        r = subprocess.run([ROOST, "promote", "backenda", "nobody", "--murder", d], capture_output=True, text=True)
        assert r.returncode == 1 and "in-sync" in r.stderr, r
        r = subprocess.run([ROOST, "failover", "nosuch", "--murder", d], capture_output=True, text=True)
        assert r.returncode == 1 and "nosuch" in r.stderr, r
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(60)
    r = subprocess.run([ROOST, "status", "--murder", d], capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, r


def test_more_users_later():
    m = LocalMurder(["fred"]).start()
    m.stop(keep=True)
    m.users.append("late")
    m.start()
    assert password_of("late")
    m.imap("late", mailbox="INBOX").logout()
    m.imap("fred", mailbox="INBOX").logout()
    m.stop()
