"""Members that are broken where a copy is given and taken, and disks that are lost: nothing is harmed, nobody reigns with less."""
import shutil

import pytest

import sync_peer as sync
from load import USERS
from roost import wait_for
from server import Server
from sync_peer import SyncPeer
from test_copy import LIMITS, fill
from test_sync_bad_input import FakeMaster, dump, port, status


@pytest.fixture(scope="module")
def giver():
    """backenda1, a master with a checkpoint; backenda2 is the test."""
    with Server(2, {**LIMITS, "copy_rate": "0"}) as s:
        s.begin()
        fill(s, 40)
        before = s.dump(s.first)
        yield s
        assert s.dump(s.first) == before and s.master() is s.first


def offered(s, have=0):
    """Up to the OFFER of what the empty member lacks: the connection, and its LSN and octets in all."""
    peer = SyncPeer.dial(port(s.first))
    assert peer.login("backenda", "backenda2") == b"Obackenda1"
    peer.say(sync.HELLO, 0, have, 0, 0, sync.history())
    m = peer.hear(sync.OFFER, sync.WELCOME)
    assert m[0] == sync.OFFER and m[2] == 0
    lsn, offset, following, left, total = (int.from_bytes(m[5][i:i + 8], "little") for i in range(0, 40, 8))
    assert (offset, following) == (0, 0) and left == total > 1000000
    return peer, lsn, total


def test_a_taker_that_is_broken_ends_its_connection(giver):
    s = giver
    for what, kind, rest in (
            ("half a TAKE", sync.TAKE, sync.copy(1)[:-1]), ("octets behind it", sync.TAKE, sync.copy(1) + b"x"),
            ("stored and nothing sent", sync.TAKEN, sync.copy(1)), ("a piece", sync.PIECE, sync.copy(1) + b"x"),
            ("bodies", sync.BODIES, sync.copy(1) + b"x"), ("more than there is", sync.TAKE, None)):
        peer, lsn, _ = offered(s)
        peer.say(kind, rest=sync.copy(lsn, 1 << 60, 1) if rest is None else rest)
        assert peer.ends(), what
    peer, lsn, _ = offered(s)
    for _ in range(2):
        peer.say(sync.TAKE, rest=sync.copy(lsn, 0, 1))
    assert peer.ends()
    peer = SyncPeer.dial(port(s.first))
    peer.login("backenda", "backenda2")
    peer.say(sync.TAKE, rest=sync.copy(1))
    assert peer.ends(), "it was not offered"
    # What is not there is answered by an offer of what is.
    peer, lsn, _ = offered(s)
    for there_is_none in (lsn - 1, lsn + 1, (1 << 64) - 1):
        peer.say(sync.TAKE, rest=sync.copy(there_is_none, 0, 1))
        m = peer.hear(sync.OFFER, sync.PIECE)
        assert m[0] == sync.OFFER and int.from_bytes(m[5][:8], "little") == lsn
    # It gives no more than a window to who does not store it.
    peer.say(sync.TAKE, rest=sync.copy(lsn, 0, 1))
    peer.s.settimeout(1)
    n = 0
    with pytest.raises(TimeoutError):
        while True:
            m = peer.hear(sync.PIECE, sync.BODIES)
            n += len(m[5]) > 40
    assert 2 <= n <= 17, n
    peer.close()
    # All that it lacks from a place on, and an impossible place.
    peer, lsn, total = offered(s)
    peer.say(sync.TAKE, rest=sync.copy(lsn, 0, 1 << 62))
    octets = 0
    while (m := peer.hear(sync.PIECE, sync.BODIES))[0] == sync.PIECE:
        octets += len(m[5]) - 40
        if len(m[5]) > 40:
            peer.say(sync.TAKEN, rest=sync.copy(lsn))
    assert len(m[5]) == 40 and int.from_bytes(m[5][16:24], "little") == 0 and m[3] >= lsn
    assert 0 < octets < total
    peer.close()


def test_a_giver_that_is_broken_changes_nothing():
    fake = FakeMaster()
    try:
        for event in ("driver.copy.failed", "driver.core.reported"):
            fake.m.expect_event(event)
        e = fake.epoch
        peer = fake.give(sync.epoch_entry(1, e, "backenda2", "backenda2"), sync.create_entry(2, e, 1, "user.fred"), committed=2)
        wait_for(lambda: status(fake.real).get("applied") == 2, "it follows")
        peer.close()
        before = dump(fake.real)
        # Not asked for; for no more than it has; by a master that lacks what it has applied.
        for kind, keep, rest in ((sync.PIECE, 0, sync.copy(9) + b"x"), (sync.BODIES, 0, sync.copy(9)), (sync.OFFER, 2, sync.copy(2)),
                                 (sync.OFFER, 0, sync.copy(9)), (sync.OFFER, 3, sync.copy(9)), (sync.OFFER, 2, sync.copy(9)[:-8])):
            peer, last = fake.follow()
            assert last == 2
            peer.say(kind, e, keep, 2, 0, rest)
            assert peer.ends(), (kind, keep)
        create = sync.create_entry(3, e, 2, "user.bob")
        for what, kind, rest in (
                ("no checkpoint", sync.PIECE, sync.copy(9, 0) + b"x" * 100000), ("out of order", sync.PIECE, sync.copy(9, 7) + b"x"),
                ("another copy", sync.PIECE, sync.copy(8, 0) + b"x"), ("entries first", sync.BODIES, sync.copy(9, 0, 4) + create),
                ("no entries", sync.BODIES, sync.copy(9, 0, 4) + b"x" * 100), ("nothing, and that is all", sync.BODIES, sync.copy(9))):
            peer, last = fake.follow()
            peer.say(sync.OFFER, e, 2, 2, 0, sync.copy(9, 0, 0, 100, 100))
            take = peer.hear(sync.TAKE)
            assert take[5][:24] == sync.copy(9, 0, 1)[:24], what
            peer.say(sync.PIECE, e, 0, 0, 0, sync.copy(9))  # a sign of life
            peer.say(kind, e, 0, 2, 0, rest)
            assert peer.ends(), what
            assert fake.real.process.poll() is None and dump(fake.real) == before, what
        # It still follows.
        peer = fake.give(create, committed=3)
        wait_for(lambda: status(fake.real).get("applied") == 3, "it still follows", 30)
        peer.close()
    finally:
        fake.stop()


def test_who_lost_its_disk_does_not_reign():
    """The master's disk is replaced so quickly that nobody has noticed: it is in the set, and named master, and has nothing."""
    with Server(2) as s:
        one, two = s.members.values()
        s.begin()
        two.start()
        s.wait_in_sync(2)
        c = s.lmtp()
        for _ in range(20):
            assert c.deliver("s@example.org", USERS[:1], b"Subject: x\r\n\r\nx\r\n")[0][0] == 250
        c.close()
        one.kill()
        shutil.rmtree(one.values["partition-default"])
        one.start()
        wait_for(lambda: s.master() is two, "the other takes over", 20)
        s.wait_in_sync(2)
        s.dumps_equal()
        assert len(s.imap("fred", mailbox="INBOX").search(None, "ALL")[1][0].split()) == 20
        # Both stop, and only the one without its disk comes back: nobody serves before the other does.
        s.wait_in_sync(2)
        for m in (one, two):
            m.kill()
        shutil.rmtree(one.values["partition-default"])
        one.start()
        wait_for(lambda: s.status(one).get("epoch"), "it has heard of the reign")
        with pytest.raises(AssertionError):
            wait_for(s.master, "nobody can be master", 3)
        two.start()
        wait_for(lambda: s.master() is two, "the other serves", 20)
        s.wait_in_sync(2)
        s.dumps_equal()
        assert len(s.imap("fred", mailbox="INBOX").search(None, "ALL")[1][0].split()) == 20
