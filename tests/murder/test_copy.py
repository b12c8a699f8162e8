"""A member that needs more than the journal has takes a whole copy while the master serves, and goes on where it broke off.

ROOST_SEED replays a seed.
"""
import os
import random
import re
import shutil
import signal
import time

import pytest

from load import USERS, Load, check
from relay import Relay
from roost import wait_for
from server import Server

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))
LIMITS = {"journal_segment_size": "1M", "journal_checkpoint": "1M"}
MESSAGE = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 2000


def fill(s, count=100):
    """So many messages of 156 kB, and a checkpoint that has most of them."""
    c = s.lmtp()
    for i in range(count):
        assert c.deliver("s@example.org", [USERS[i % 4]], MESSAGE)[0][0] == 250
    c.close()
    wait_for(lambda: s.status(s.master())["checkpoint"] > count * 3 // 4, "a checkpoint is made")


def begun(member):
    """Where each try began: (LSN of the checkpoint, octets of it, next entry)."""
    return [tuple(map(int, m)) for m in re.findall(r"driver.copy.begun .* lsn=(\d+) offset=(\d+) next=(\d+)", member.text())]


def test_a_new_member_joins_at_full_speed():
    print("ROOST_SEED", SEED)
    with Server(2, LIMITS) as s:
        one, two = s.members.values()
        s.begin()
        fill(s)
        load = Load(s, SEED)
        load.wait_for_more(100, "deliveries")
        two.start()
        wait_for(lambda: "driver.copy.taken" in two.text(), "it takes a copy")
        s.wait_in_sync(2)
        load.wait_for_more(100, "deliveries with both")
        load.stop()
        s.dumps_equal()
        assert wait_for(lambda: s.status(two)["journal_first"] > 1, "it was not streamed all")
        assert "floor" not in os.listdir(two.values["partition-default"])
        check(s, [load], SEED)
        two.stop()
        s.verify(two)
        s.wait_out(two)
        # It can be all there is.
        two.start()
        s.wait_in_sync(2)
        one.kill()
        wait_for(lambda: s.master() is two, "the new one takes over")
        check(s, [load], SEED)


@pytest.mark.parametrize("what", ["taker", "giver", "connection"])
def test_a_copy_that_is_broken_off_goes_on(what):
    seed = SEED + 1
    print("ROOST_SEED", SEED)
    rng = random.Random(seed)
    with Server(2, {**LIMITS, "copy_rate": "12M"}) as s:
        one, two = s.members.values()
        relay = Relay()
        s.relay(two, one, relay)
        s.begin()
        fill(s, 150)
        two.start()
        for i in range(3):
            wait_for(lambda: s.status(two).get("copy", {}).get("percent", 0) > rng.randrange(25 * i + 5, 25 * i + 25), "it goes on", 30)
            assert "driver.copy.taken" not in two.text()
            if i == 0:
                out = s.roost("status")
                assert re.search(r"\n +copy, taking: \d+% of 2\d\.\dM, \d+\.\d./s, .* left|unknown", out), out
                assert max(map(len, out.splitlines())) <= 100, out
            if what == "connection":
                relay.cut()
            else:
                victim = two if what == "taker" else one
                victim.kill()
                victim.start()
            wait_for(lambda: len(begun(two)) == i + 2, "it begins again", 30)
        s.wait_in_sync(2)
        s.dumps_equal()
        tries = begun(two)
        assert len(tries) == 4 and len({t[0] for t in tries}) == 1, tries
        # Of what was stored a segment at most is sent again.
        assert [t[1] for t in tries] == sorted(t[1] for t in tries) and [t[2] for t in tries] == sorted(t[2] for t in tries), tries
        assert tries[-1][2] > tries[-1][0] // 3, tries
        octets = int(re.search(r"driver.copy.taken .* octets=(\d+)", two.text()).group(1))
        assert octets < 0.7 * 150 * len(MESSAGE), (octets, tries)
        relay.close()


def test_a_copy_that_is_away_is_begun_anew():
    with Server(2, {**LIMITS, "copy_rate": "8M"}) as s:
        one, two = s.members.values()
        s.begin()
        fill(s)
        two.start()
        wait_for(lambda: s.status(two).get("copy", {}).get("percent", 0) > 30, "it goes on", 30)
        two.kill()
        first = begun(two)[0][0]
        # Removed, but still open where it was being given.
        for _ in range(20):
            if os.path.exists(f"{one.values['partition-default']}/journal/{first:016x}.ckp"):
                fill(s, 10)
        assert not os.path.exists(f"{one.values['partition-default']}/journal/{first:016x}.ckp")
        two.start()
        wait_for(lambda: len(begun(two)) == 2, "it begins again")
        assert begun(two)[1][0] == first and begun(two)[1][2] > 1
        two.kill()
        one.kill()
        one.start()
        two.start()
        s.wait_in_sync(2)
        assert begun(two)[-1][0] > first and begun(two)[-1][1:] == (0, 1), begun(two)
        s.dumps_equal()
        # What is left of one where none is needed goes.
        two.stop()
        incoming = two.values["partition-default"] + "/incoming"
        os.makedirs(incoming + "/journal")
        with open(incoming + "/lsn", "w") as f:
            f.write("7\n")
        two.start()
        wait_for(lambda: not os.path.exists(incoming), "it is removed")
        s.wait_in_sync(2)


def test_a_full_disk_of_the_taker_is_told_and_waits_for_room(small_disk):
    small = small_disk("10m")
    with Server(2, LIMITS) as s:
        one, two = s.members.values()
        two.values["partition-default"] = f"{small}/mail"
        s.begin()
        fill(s)
        s.expect_event("driver.copy.failed")
        two.start()
        wait_for(lambda: "driver.copy.failed" in two.text(), "it says so")
        assert re.search(r"driver.copy.failed .*No space left", two.text())
        fill(s, 120)  # nobody at the master notices
        tries = len(begun(two))
        assert tries <= 3 and not s.status(two).get("failed")
        small.resize("200m")
        s.wait_in_sync(2)
        s.dumps_equal()


class Flipping(Relay):
    """Changes one octet of what the master sends on a connection, as far into it as AT says; each once."""

    def __init__(self, at):
        super().__init__()
        self.at = list(at)

    def pump(self, source, to, heard):
        from_master = source.getpeername()[1] == self.target
        n, is_done = 0, False
        try:
            while data := source.recv(65536):
                if from_master and not is_done and self.at and n <= self.at[0] < n + len(data):
                    data = bytearray(data)
                    data[self.at.pop(0) - n] ^= 0x20
                    is_done = True
                n += len(data)
                to.sendall(data)
        except OSError:
            pass
        for x in (source, to):
            try:
                x.shutdown(2)
            except OSError:
                pass


def test_what_comes_damaged_is_noticed():
    rng = random.Random(SEED + 2)
    print("ROOST_SEED", SEED)
    with Server(2, LIMITS) as s:
        one, two = s.members.values()
        # In the checkpoint, which comes first, and in the bodies.
        relay = Flipping([rng.randrange(1000, 8000), rng.randrange(1000000, 8000000)])
        s.relay(two, one, relay)
        s.begin()
        fill(s)
        s.expect_event("driver.copy.failed")
        two.start()
        s.wait_in_sync(2)
        assert not relay.at and len(begun(two)) == 3, begun(two)
        s.dumps_equal()
        two.stop()
        s.verify(two)
        relay.close()


def test_a_member_that_was_away_for_long_takes_a_copy():
    """What it lacks is in no journal any more: the master itself began as a copy."""
    with Server(3, LIMITS) as s:
        one, two, three = s.members.values()
        s.begin()
        three.start()
        s.wait_in_sync(2)
        c = s.lmtp()
        for u in USERS:
            assert c.deliver("s@example.org", [u], b"Subject: early\r\n\r\nx\r\n")[0][0] == 250
        c.close()
        three.stop()
        s.wait_out(three)
        fill(s)
        two.start()
        s.wait_in_sync(2)
        wait_for(lambda: s.status(two)["journal_first"] > 10, "its journal begins with the copy")
        one.kill()
        wait_for(lambda: s.master() is two, "the one with the short journal is master", 20)
        load = Load(s, SEED + 3)
        load.wait_for_more(20, "deliveries")
        three.start()
        wait_for(lambda: "driver.copy.taken" in three.text(), "it takes a copy", 30)
        s.wait_in_sync(2)
        load.wait_for_more(20, "deliveries with it")
        load.stop()
        s.dumps_equal(two, three)
        assert s.status(three)["journal_first"] > 10
        check(s, [load], SEED + 3)
        one.start()
        s.wait_in_sync(3)
        s.dumps_equal()


def test_a_member_that_ends_while_it_puts_a_copy_in_place():
    """Stopped or killed at moments around it: it comes back with the old or the new, whole."""
    rng = random.Random(SEED + 4)
    print("ROOST_SEED", SEED)
    with Server(2, LIMITS) as s:
        one, two = s.members.values()
        s.begin()
        fill(s, 40)
        for i in range(8):
            tries = len(begun(two)) if os.path.exists(two.log) else 0
            two.start()
            wait_for(lambda: len(begun(two)) > tries, "it takes a copy")
            time.sleep(rng.random() * 0.15)
            two.kill(signal.SIGTERM if i % 2 else signal.SIGKILL)
            two.start()
            s.wait_in_sync(2)
            if i % 4 == 3:
                s.dumps_equal()
            two.stop()
            s.verify(two)
            wait_for(lambda: len(s.in_sync()) == 1, "the master goes on alone")
            shutil.rmtree(two.values["partition-default"])


def test_what_follows_a_copy_stays_in_the_journal_until_it_is_taken():
    """The giver's journal is given back as quickly as can be, but for what the taker will need."""
    with Server(2, {**LIMITS, "copy_rate": "6M", "journal_keep": "0", "expunge_delay": "0", "compact_rate": "1G"}) as s:
        one, two = s.members.values()
        s.begin()
        fill(s, 60)
        two.start()
        wait_for(lambda: s.status(two).get("copy", {}).get("percent", 0) > 10, "it takes a copy", 30)
        lsn = begun(two)[0][0]
        first = s.status(one)["journal_first"]
        c = s.imap("fred", mailbox="INBOX")
        for _ in range(3):
            fill(s, 20)
            c.noop()
            c.store("1:*", "+FLAGS", "\\Deleted")
            c.expunge()
        c.logout()
        assert "driver.copy.taken" not in two.text()
        s.wait_in_sync(2)
        s.dumps_equal()
        assert [t[0] for t in begun(two)] == [lsn], "the journal did not go on from the copy"
        two.stop()
        s.verify(two)
        wait_for(lambda: s.status(one)["journal_first"] > max(first, lsn), "then it is given back", 30)
