"""A pair whose disks spoil what is in their journals: it is fetched from the other member and put back, whoever finds it."""
import json
import os
import subprocess

import pytest

import damage
import sync_peer as sync
from pop3 import Pop3
from roost import ROOST, Murder, http, wait_for
from sync_peer import SyncPeer


def status(daemon):
    code, body = http(f"127.0.0.1:{daemon.admin}", "/status.json")
    return json.loads(body) if code == 200 else {}


class Pair(Murder):
    def __init__(self, **limits):
        super().__init__(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]},
                         limits={"journal_segment_size": "64K", "verify_rate": 0, **limits})
        for event in ("driver.entry.damaged", "imap.command.failed"):
            self.expect_event(event)

    def start(self):
        self.mupdate.start()
        for m in self.members.values():
            m.start()
        wait_for(lambda: self.master, "one is master", 30)
        wait_for(lambda: self.master and len(status(self.master).get("in_sync", "").split()) == 2, "both are in sync", 30)
        self.first = self.master
        self.create_user("fred")
        return self

    @property
    def master(self):
        return next((m for m in self.members.values() if http(f"127.0.0.1:{m.admin}", "/role")[0] == 200), None)

    @property
    def replica(self):
        return next(m for m in self.members.values() if m is not self.master)

    def committed(self, member):
        """What MEMBER knows to be committed: in its index, not in its status, which is a tick behind."""
        r = subprocess.run([ROOST, "dump", "-C", member.config], capture_output=True, text=True, check=True)
        return int(r.stdout.splitlines()[1].split()[1])

    def fill(self, bodies):
        """Append BODIES, until the replica knows, too, that they are committed: before that it gives none of them to anybody."""
        c = self.imap("fred")
        for b in bodies:
            assert c.append("INBOX", None, None, b)[0] == "OK"
        c.select("INBOX")
        wait_for(lambda: len({self.committed(m) for m in self.members.values() if m.process}) == 1, "both have it")
        return c

    def is_whole(self, member):
        return subprocess.run([ROOST, "verify", "--rate", "0", "-C", member.config], capture_output=True, text=True).returncode == 0


@pytest.fixture
def pair():
    pairs = []

    def make(**limits):
        pairs.append(Pair(**limits).start())
        return pairs[-1]
    yield make
    for p in pairs:
        p.stop()


def bodies(n):
    return [b"Subject: number %d\r\n\r\nbegin%d\r\n" % (i, i) + b"mail%d " % i * 300 + b"\r\n" for i in range(1, n + 1)]


def test_a_reader_meets_damage_and_is_answered_all_the_same(pair):
    p = pair()
    sent = bodies(9)
    c = p.fill(sent)
    for i in (3, 4, 7):
        damage.spoil(p.master, b"begin%d" % i, 2)
    assert not p.is_whole(p.master)
    typ, data = c.fetch("1:*", "(BODY.PEEK[])")
    assert typ == "OK" and [d[1] for d in data if isinstance(d, tuple)] == sent
    damage.spoil(p.master, b"begin5", 1)
    assert c.search(None, "TEXT", "begin5") == ("OK", [b"5"])
    s = status(p.master)
    wait_for(lambda: status(p.master)["mended"] == 4, "it is counted")
    assert s["not_mended"] == 0 and p.is_whole(p.master)
    # It is on the disk: a later life has it, too.
    old = p.master
    old.stop()
    assert p.is_whole(old)
    old.start()
    wait_for(lambda: p.master and len(status(p.master).get("in_sync", "").split()) == 2, "it is back", 30)


def test_a_pop3_session_meets_damage_and_is_answered_all_the_same(pair):
    """Also in the middle of a message, after a part of it is out; what is pipelined behind it waits."""
    p = pair()
    long = b"Subject: long\r\n\r\n" + b"".join(b"line %06d of it\r\n" % i for i in range(12000)) + b"the last line\r\n"
    sent = [*bodies(3), long]
    p.fill(sent).logout()
    for text in (b"begin2", b"line 006000", b"the last line"):
        damage.spoil(p.master, text, 2)
    c = Pop3(p.master.pop3, "fred")
    c.send("RETR 2\r\nTOP 4 1\r\nRETR 4\r\nRETR 1\r\n")
    for want in (sent[1], b"".join(long.splitlines(True)[:3]), long, sent[0]):
        assert c.line().startswith("+OK") and c.rest() == want
    c.ok("QUIT")
    wait_for(lambda: status(p.master)["mended"] >= 2, "it is counted")
    assert p.is_whole(p.master)


def test_damaged_heads_come_back_too_and_a_replica_asks_its_master(pair):
    p = pair(verify_rate="0")
    p.fill(bodies(30)).logout()
    replica = p.replica
    # The head of one entry, its header, and both: in segments that are not the last.
    for i, back in ((5, 60), (9, 2), (13, 300)):
        (path, at), = damage.find(replica, b"Subject: number %d\r\n\r\nbegin" % i)
        assert path != damage.segments(replica)[-1]
        with open(path, "r+b") as f:
            data = f.read()
            head = data.rindex(b"RNT1", 0, at)
            place = at - 60 if back == 60 else head + 5 if back == 2 else head + 20
            f.seek(place)
            f.write(bytes([data[place] ^ 0x5a]))
    assert not p.is_whole(replica)
    replica.stop()
    replica.values.update({"verify_rate": "100M", "verify_interval_s": 1})
    replica.start()
    wait_for(lambda: status(replica).get("mended") == 3, "the scrubber finds and mends them", 30)
    assert p.is_whole(replica)
    wait_for(lambda: status(replica)["verify_passes"] >= 2, "it goes on")
    assert status(replica)["damaged"] == 3
    code, text = http(f"127.0.0.1:{replica.admin}", "/metrics")
    assert "roost_entries_mended_total 3" in text and "roost_verify_passes_total" in text, text


def test_what_nobody_has_whole_is_refused_and_the_rest_served(pair):
    p = pair()
    p.expect_event("driver.entry.not_mended")
    sent = bodies(5)
    c = p.fill(sent)
    for m in p.members.values():
        damage.spoil(m, b"begin2", 2)
    typ, data = c.fetch("1:*", "(BODY.PEEK[])")
    assert typ == "NO" and b"SERVERBUG" in data[0]
    assert [g[1] for g in c.untagged_responses.pop("FETCH") if isinstance(g, tuple)] == [b for i, b in enumerate(sent) if i != 1]
    assert c.search(None, "TEXT", "begin4")[0] == "NO"
    wait_for(lambda: status(p.master)["not_mended"] == 1, "it is counted, and not asked for again at once")
    # With the other member away there is nobody to ask; the client does not wait for it.
    p.replica.kill()
    wait_for(lambda: status(p.master)["in_sync"] == p.master.name, "it is alone", 30)
    damage.spoil(p.master, b"begin4", 2)
    assert c.fetch("4", "(BODY.PEEK[])")[0] == "NO"
    assert c.fetch("5", "(BODY.PEEK[])")[0] == "OK"


def test_what_comes_for_mending_is_not_believed():
    p = Pair()
    p.expect_event("driver.entry.not_mended")
    try:
        p.mupdate.start()
        p.first.start()
        wait_for(lambda: p.imap("admin"), "the master serves").logout()
        p.create_user("fred")
        c = p.fill(bodies(7))
        lsn = 9  # an epoch, a mailbox, seven messages
        wait_for(lambda: status(p.first)["applied"] == lsn, "its status is up to date")
        peer = SyncPeer.dial(int(p.first.values["sync_listen"].rsplit(":", 1)[1]))
        assert peer.login("backenda", "backenda2") == b"Obackenda1"
        # What it has it gives; what it has not it says.
        peer.say(sync.WANTED, 1, lsn)
        kind, _, of, _, _, raw = peer.hear(sync.ENTRY, sync.NONE)
        assert (kind, of, raw[:4]) == (sync.ENTRY, lsn, b"RNT1")
        for bad in (0, lsn + 1, (1 << 64) - 1):
            peer.say(sync.WANTED, 1, bad)
            assert peer.hear(sync.ENTRY, sync.NONE)[:3:2] == (sync.NONE, bad)
        # What was not asked for is passed over.
        peer.say(sync.ENTRY, 1, lsn, rest=raw)
        peer.say(sync.NONE, 1, lsn)
        odd = [b"", os.urandom(100), raw, sync.append_entry(6, 1, 1, 4, 5, b"another message"), sync.create_entry(7, 1, 9, "user.x")]
        for i, answer in enumerate(odd, 1):
            path, _ = damage.spoil(p.first, b"begin%d" % i, 2)
            before = open(path, "rb").read()
            c.send(b"a1 FETCH %d (BODY.PEEK[])\r\n" % i)
            assert peer.hear(sync.WANTED)[2] == i + 2
            peer.say(sync.ENTRY, 1, i + 2, rest=answer)
            line = c.readline()
            assert line.startswith(b"a1 NO"), (answer[:40], line)
            assert open(path, "rb").read() == before
        peer.close()
        c.shutdown()
    finally:
        p.stop()
