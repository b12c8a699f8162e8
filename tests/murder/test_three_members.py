"""Servers of three members: what the death of two leaves, hand-overs, and a remote member that nobody waits for.

ROOST_SEED replays a seed.
"""
import os
import random
import shutil
import threading
import time

from load import USERS, Load, check
from relay import Relay
from roost import http, wait_for
from server import Server

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


def started(s, *members):
    s.begin()
    for m in members:
        m.start()
    return s.members.values()


def test_two_masters_die_one_after_the_other():
    print("ROOST_SEED", SEED)
    rng = random.Random(SEED)
    with Server(3) as s:
        one, two, three = started(s, *list(s.members.values())[1:])
        s.wait_in_sync(3)
        load = Load(s, SEED)
        dead = []
        for left in (2, 1):
            load.wait_for_more(rng.randrange(50, 200), f"deliveries (seed {SEED})")
            victim = s.master()
            victim.kill()
            dead.append(victim)
            wait_for(s.master, "another takes over", 20)
            s.wait_in_sync(left, 20)
            load.wait_for_more(50, f"deliveries without {victim.name} (seed {SEED})")
        for m in rng.sample(dead, 2):
            m.start()
        load.wait_for_more(50, "deliveries when they are back")
        load.stop()
        s.wait_in_sync(3)
        s.dumps_equal()
        check(s, [load], SEED)


def test_hand_overs_among_three():
    """Orderly ones refuse nothing; the others follow the new master."""
    print("ROOST_SEED", SEED)
    with Server(3) as s:
        members = list(started(s, *list(s.members.values())[1:]))
        s.wait_in_sync(3)
        load = Load(s, SEED + 1)
        for to in (members[2], members[1], members[0]):
            load.wait_for_more(30, "deliveries")
            s.roost("promote", "backenda", to.name)
            wait_for(lambda: s.master() is to, f"{to.name} is master")
            s.wait_in_sync(3)
        before = s.master()
        s.roost("failover", "backenda")
        assert wait_for(s.master, "somebody is master") is not before
        load.stop()
        s.wait_in_sync(3)
        assert not [a for x in load.senders for a in x.answers if a[2] != 250]
        s.dumps_equal()
        check(s, [load], SEED + 1)
        out = s.roost("status")
        assert all(len(line) <= 100 for line in out.splitlines()), out
        assert all(m.name in out for m in members) and out.count("in-sync") == 3, out


class Slow(Relay):
    """Lets RATE octets a second through from the master."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def pump(self, source, to, heard):
        try:
            from_master = source.getpeername()[1] == self.target
            while data := source.recv(16384):
                to.sendall(data)
                if from_master:
                    threading.Event().wait(len(data) / self.rate)
        except OSError:
            pass
        for x in (source, to):
            try:
                x.shutdown(2)
            except OSError:
                pass


def memory_kb(member):
    with open(f"/proc/{member.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_a_remote_member_costs_nobody_anything():
    print("ROOST_SEED", SEED)
    with Server(3, {"sync_remote": "backenda3", "lease_ms": 300}) as s:
        one, two, three = s.members.values()
        relay = Slow(400_000)
        for to in (one, two):
            s.relay(three, to, relay if to is one else Relay())
        started(s, two, three)
        s.wait_in_sync(2)
        c = s.lmtp()
        message = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 4000
        c.deliver("s@example.org", ["fred"], message)
        before, began = memory_kb(one), time.monotonic()
        for i in range(100):
            assert c.deliver("s@example.org", [USERS[i % 4]], message)[0][0] == 250
        took = time.monotonic() - began
        assert took < 40, f"31 MB took {took} s: they waited for the slow line"
        c.close()
        assert memory_kb(one) - before < 60_000, "what it has not got is kept in memory"
        lag = s.status(one)["peers"]["backenda3"]
        assert lag["connected"] and lag["lag"] > 30 and lag["catching_up"]["left"] > 30, lag
        # One message takes a second there, three leases; still it gets on.
        wait_for(lambda: s.status(three)["applied"] > 8, "it gets on", 30)
        relay.cut()
        wait_for(lambda: s.in_sync() == {"backenda1", "backenda2"}, "it is not needed")
        # It does not take over, whoever dies; it follows who does.
        relay.rate = 1 << 30
        relay.cut()
        one.kill()
        wait_for(lambda: s.master() is two, "the partner takes over")
        s.dumps_equal(two, three)
        wait_for(lambda: s.in_sync() == {"backenda2"}, "the partner is alone")
        two.kill()
        time.sleep(1.5)  # five leases
        assert s.master() is None and http(f"127.0.0.1:{three.admin}", "/role") == (503, "replica\n")
        # Both are gone for good: what it has, in the name of who was in sync last, is the server.
        three.stop()
        two.values["partition-default"] = s.dir + "/restored"
        shutil.copytree(three.values["partition-default"], s.dir + "/restored")
        two.start()
        wait_for(lambda: s.master() is two, "it serves again", 20)
        three.start()
        s.dumps_equal(two, three)
        assert len(s.imap("fred", mailbox="INBOX").search(None, "ALL")[1][0].split()) == 26
