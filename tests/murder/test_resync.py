"""`roost resync`: a stopped member is restored from the other by one command, and never one that is needed."""
import os
import subprocess

import damage
from roost import ROOST, wait_for
from test_mending import Pair, bodies, status


def resync(daemon, *more):
    return subprocess.run([ROOST, "resync", "-C", daemon.config, *more], capture_output=True, text=True, timeout=60)


def dump(daemon):
    r = subprocess.run([ROOST, "dump", "-C", daemon.config], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout.split("\n", 2)[2]


def test_a_damaged_member_is_restored_by_one_command_and_a_needed_one_refused():
    p = Pair()
    try:
        p.start()
        c = p.fill(bodies(30))
        replica, master = p.replica, p.master
        mail = replica.values["partition-default"]
        before = sorted(os.listdir(mail))
        for m in (replica, master):  # who runs is not touched
            r = resync(m, "--yes")
            assert r.returncode == 1 and "stop the member first" in r.stderr, r
        replica.kill()
        # While the directory has it in the in-sync set it may be needed; then not any more.
        wait_for(lambda: status(master)["in_sync"] == master.name, "the master goes on alone", 30)
        for _ in range(2):
            r = resync(replica)
            assert r.returncode == 1 and "nothing was changed" in r.stderr and "--yes" in r.stderr, r
        assert sorted(os.listdir(mail)) == before
        # Damage that keeps it from starting: the head of an entry in the last segment.
        last = damage.segments(replica)[-1]
        with open(last, "r+b") as f:
            data = f.read()
            at = data.find(b"RNT1")
            f.seek(at + 20)
            f.write(bytes([data[at + 20] ^ 1]))
        r = subprocess.run([ROOST, "backend", "-C", replica.config], capture_output=True, text=True, timeout=30)
        assert r.returncode == 1 and os.path.basename(last) in r.stderr and "restore this member" in r.stderr, r
        r = resync(replica, "--yes")
        assert r.returncode == 0 and "Start the member" in r.stdout and master.name in r.stdout, r
        aside, = [n for n in os.listdir(mail) if n.startswith("set-aside-")]
        assert "journal" in os.listdir(os.path.join(mail, aside)) and "journal" not in os.listdir(mail)
        r = resync(replica, "--yes")
        assert r.returncode == 1 and "nothing of a member" in r.stderr, r
        replica.start()
        wait_for(lambda: len(status(master)["in_sync"].split()) == 2, "it is in sync again", 60)
        wait_for(lambda: dump(replica) == dump(master), "it has all")
        # The last one with the mail is never emptied: not the master that is away, nor one without a master to take it from.
        c.logout()
        replica.stop()
        wait_for(lambda: status(master)["in_sync"] == master.name, "the master is alone", 30)
        master.kill()
        r = resync(master, "--yes")
        assert r.returncode == 1 and "is the master" in r.stderr, r
        r = resync(replica, "--yes")
        assert r.returncode == 1 and "does not serve" in r.stderr, r
        p.mupdate.kill()
        r = resync(replica, "--yes")
        assert r.returncode == 1 and "cannot be told" in r.stderr, r
        p.mupdate.start()
        master.start()
        wait_for(lambda: p.master is master, "the master is back", 30)
    finally:
        p.stop()
