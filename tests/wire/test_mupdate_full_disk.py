"""The disk under a mupdate server's records is full: what does not fit is refused in clear words, nothing else suffers, and
what makes room is possible."""
import os
import re

import pytest

from mupdate import Directory, Mupdate, state
from roost import Raw, wait_for

A, B = "backenda!default", "backendb!default"
REFUSED = 'NO "the directory cannot write now"'


def listens(d):
    wait_for(lambda: Raw(d.mupdate_port).close() or True, "it listens")


@pytest.fixture
def full(small_disk):
    """A directory, its disk, and what it has acknowledged: the disk is full now."""
    disk = small_disk("3m")
    d = Directory(configdirectory=f"{disk}/mupdate", log_level="info").start()
    d.expect_event("directory.write.failed")
    d.expect_event("kv.access.failed")
    c = Mupdate(d, "admin")
    acl, kept, refused = "fred lrswipkxtecda\t" * 150, [], 0
    for i in range(2000):
        done = c.do("ACTIVATE", f"user.big{i}", A, acl)[1]
        if done.startswith("OK"):
            kept.append(f"user.big{i}")
        else:
            assert done == REFUSED
            refused += 1
            if refused == 20:
                break
    assert refused == 20 and len(kept) > 100
    c.close()
    yield d, disk, kept
    d.stop()


def no_room(c):
    """How many small records still fit in pages that are there; then none does."""
    taken = []
    for i in range(5000):
        done = c.do("RESERVE", f"user.small{i}", A)[1]
        if not done.startswith("OK"):
            assert done == REFUSED
            return taken
        taken.append(f"user.small{i}")
    raise AssertionError("it is never full")


def test_what_does_not_fit_is_refused(full):
    d, disk, kept = full
    follower = Mupdate(d, "frontend")
    assert len(follower.follow()) == len(kept)
    c = Mupdate(d, "admin")
    taken = no_room(c)
    for i in range(5):
        c.no("RESERVE", f"user.refused{i}", A)
        assert state(c, f"user.refused{i}") is None
    # Reading goes on, and answers that change nothing.
    assert len(c.ok("LIST")) == len(kept) + len(taken)
    c.ok("RESERVE", kept[0], A)
    c.no("RESERVE", kept[0], B)
    follower.send("n NOOP\r\n")
    told, _ = follower.until("n")
    assert len(told) == len(taken) and not any("refused" in x for x in told)
    said = [x for x in d.mupdate.text().splitlines() if "directory.write.failed" in x]
    assert "No space left on device" in said[0] and f"{disk}/mupdate/directory/data.mdb" in said[0], said[0]
    # What makes room is possible, also in one go with what does not fit.
    c.send(b"".join(b'd%d DELETE "%s"\r\nr%d ACTIVATE "user.more%d" "%s" {%d+}\r\n%s\r\n' % (i, n.encode(), i, i, A.encode(), 30000, b"x" * 30000)
                    for i, n in enumerate(kept[:10])))
    answers = [c.record() for _ in range(20)]
    assert all(re.match(rf"d{i // 2} OK", answers[i]) for i in range(0, 20, 2)), answers
    for n in [*taken, *kept[10:-20]]:
        c.ok("DELETE", n)
        assert state(c, n) is None
    c.ok("RESERVE", "user.fits", A)
    disk.resize("20m")
    c.ok("ACTIVATE", "user.after", A, "x" * 60000)
    for n in kept[-20:]:
        assert state(c, n) == ("MAILBOX", A)
    assert "directory.reserve.given_up" in d.mupdate.text() and os.path.getsize(f"{disk}/mupdate/directory/reserve") > 100000
    follower.close()
    c.close()


def test_restarts_on_a_full_disk(full):
    d, disk, kept = full
    c = Mupdate(d, "admin")
    kept += no_room(c)
    c.close()
    # To the last octet: others write, too.
    with open(f"{disk}/rest", "wb", buffering=0) as f:
        with pytest.raises(OSError):
            while f.write(b"x" * 4096):
                pass
    for how in ("stop", "kill", "without lock file"):
        d.mupdate.kill() if how == "kill" else d.mupdate.stop()
        if how == "without lock file":
            os.unlink(f"{disk}/mupdate/directory/lock.mdb")
        d.mupdate.start()
        listens(d)
        c = Mupdate(d, "admin")
        assert len(c.ok("LIST")) == len(kept)
        assert c.do("ACTIVATE", "user.toomuch", A, "x" * 30000)[1] == REFUSED
        c.ok("DELETE", kept.pop())
        c.close()
    os.unlink(f"{disk}/rest")
    disk.resize("20m")
    c = Mupdate(d, "admin")
    c.ok("ACTIVATE", "user.after", A, "x" * 30000)
    for n in kept:
        assert state(c, n) is not None
    c.close()


def test_a_full_map(small_disk):
    """index_map_size is a limit like a disk's."""
    d = Directory(index_map_size="2M", log_level="info").start()
    d.expect_event("directory.write.failed")
    d.expect_event("kv.access.failed")
    c = Mupdate(d, "admin")
    kept = []
    for i in range(2000):
        done = c.do("ACTIVATE", f"user.big{i}", A, "x" * 3000)[1]
        if not done.startswith("OK"):
            assert done == REFUSED
            break
        kept.append(f"user.big{i}")
    assert 100 < len(kept) < 1000
    for n in kept[:-20]:
        c.ok("DELETE", n)
    c.ok("ACTIVATE", "user.again", A, "x" * 3000)
    d.mupdate.stop()
    d.mupdate.values["index_map_size"] = "16M"
    d.mupdate.start()
    listens(d)
    c = Mupdate(d, "admin")
    assert len(c.ok("LIST")) == 20 + 1
    c.ok("ACTIVATE", "user.much", A, "x" * 60000)
    c.close()
    d.stop()
