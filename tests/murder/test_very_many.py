"""One command over very many messages while the disk is nearly full: it is done or refused, as a whole, and the member goes on; so at a replica whose
disk is fuller than the master's."""
import json
import os
import re
import subprocess
import urllib.request

from roost import ROOST, Murder, Raw, wait_for

COUNT = 1 << 18
LIMITS = {"journal_segment_size": "1M", "log_level": "info", "index_map_size": "4G", "expunge_delay": "0"}
TEXT = b"Subject: x\r\n\r\nx\r\n"


def ok(answer):
    assert answer[1].startswith("OK"), answer[1]
    return answer[0]


def fill(c, mailbox, count=COUNT):
    """Messages of one body: each COPY doubles them."""
    ok(c.cmd(b"APPEND %s {%d+}\r\n%s" % (mailbox.encode(), len(TEXT), TEXT)))
    ok(c.cmd(f"SELECT {mailbox}"))
    for _ in range(count.bit_length() - 1):
        ok(c.cmd(f"COPY 1:* {mailbox}"))


def exists(c, mailbox):
    return int(re.search(r"MESSAGES (\d+)", "\n".join(ok(c.cmd(f"STATUS {mailbox} (MESSAGES)")))).group(1))


def leave(disk, octets):
    """Fill DISK but for so many; None: not at all."""
    with open(f"{disk}/ballast", "wb") as f:
        v = os.statvfs(str(disk))
        if octets is not None and v.f_bavail * v.f_frsize > octets:
            os.posix_fallocate(f.fileno(), 0, v.f_bavail * v.f_frsize - octets)


def until_it_fits(m, disk, run):
    """RUN with more and more room until it is done: before that it is refused."""
    refused, process = 0, m.first.process
    for room in (256 << 10, 1 << 20, 3 << 20, 10 << 20, 30 << 20, 60 << 20, 100 << 20, None):
        leave(disk, room)
        done = run()[1]
        assert m.first.process is process and process.poll() is None, f"{room}: {done}"
        if done.startswith("OK"):
            leave(disk, None)
            return refused
        assert done.startswith("NO "), done
        refused += 1
    raise AssertionError("it is never done")


def connect(m):
    return Raw(m.first.imap, timeout=120).login("fred")


def test_a_nearly_full_disk(small_disk):
    small = small_disk("400m")
    m = Murder(users=["fred"], limits=LIMITS)
    m.first.values["partition-default"] = f"{small}/mail"
    m.expect_event("driver.turn.refused")
    m.expect_event("store.index.no_room")
    m.start()
    m.create_user("fred")
    c = connect(m)
    ok(c.cmd("CREATE Other"))
    fill(c, "INBOX")
    assert exists(c, "INBOX") == COUNT
    assert until_it_fits(m, small, lambda: c.cmd(r"STORE 1:* +FLAGS.SILENT (\Flagged)")) > 1
    assert until_it_fits(m, small, lambda: c.cmd("COPY 1:* Other")) > 1
    assert exists(c, "Other") == COUNT
    ok(c.cmd("SELECT Other"))
    ok(c.cmd(r"STORE 1:* +FLAGS.SILENT (\Deleted)"))
    assert until_it_fits(m, small, lambda: c.cmd("EXPUNGE")) > 1
    assert exists(c, "Other") == 0 and exists(c, "INBOX") == COUNT
    ok(c.cmd("UNSELECT"))
    assert until_it_fits(m, small, lambda: c.cmd("RENAME INBOX Old")) > 1
    assert exists(c, "Old") == COUNT and exists(c, "INBOX") == 0
    ok(c.cmd("SELECT Old"))
    assert until_it_fits(m, small, lambda: c.cmd("MOVE 1:* Other")) > 1
    assert exists(c, "Old") == 0 and exists(c, "Other") == COUNT
    ok(c.cmd("UNSELECT"))
    assert until_it_fits(m, small, lambda: c.cmd("DELETE Other")) > 1
    # A few at a time go on a full disk.
    fill(c, "Old")
    leave(small, 4 << 20)
    ok(c.cmd(r"STORE 1:200 +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    assert exists(c, "Old") == COUNT - 200
    c.close()
    m.stop()
    subprocess.run([ROOST, "verify", "-C", m.first.config], check=True, timeout=60)


def status(member):
    with urllib.request.urlopen(f"http://127.0.0.1:{member.admin}/status.json", timeout=5) as r:
        return json.load(r)


def test_a_replica_whose_disk_is_fuller(small_disk):
    small = small_disk("400m")
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]}, limits=LIMITS)
    one, two = m.members.values()
    two.values["partition-default"] = f"{small}/mail"
    m.start_pair()
    m.expect_event("driver.follow.refused")
    m.expect_event("driver.sync.dropped")
    c = connect(m)
    ok(c.cmd("CREATE Other"))
    fill(c, "INBOX")
    wait_for(lambda: status(one)["applied"] == status(two)["applied"], "both have it", 60)
    leave(small, 20 << 20)
    process = two.process
    ok(c.cmd(r"STORE 1:* +FLAGS.SILENT (\Flagged)"))
    ok(c.cmd("COPY 1:* Other"))
    wait_for(lambda: status(one)["in_sync"] == "backenda1", "it goes on alone")
    assert two.process is process and process.poll() is None
    assert any("driver.follow.refused" in x and "messages at once may need" in x for x in two.text().splitlines())
    leave(small, None)
    wait_for(lambda: len(status(one)["in_sync"].split()) == 2 and status(one)["applied"] == status(two)["applied"], "it has caught up", 60)
    dumps = [subprocess.run([ROOST, "dump", "-C", d.config], check=True, capture_output=True, timeout=60).stdout for d in (one, two)]
    assert dumps[0] == dumps[1]
    c.close()
    m.stop()


def test_what_was_expunged_is_let_go_of_on_a_nearly_full_disk(small_disk):
    """That is what makes room: it goes in small steps, which are never refused."""
    small = small_disk("200m")
    m = Murder(users=["fred"], limits={**LIMITS, "expunge_delay": "3600"})
    m.first.values["partition-default"] = f"{small}/mail"
    m.start()
    m.create_user("fred")
    c = connect(m)
    ok(c.cmd("CREATE Other"))
    fill(c, "INBOX", 1 << 17)
    ok(c.cmd("COPY 1:2000 Other"))
    ok(c.cmd("SELECT Other"))
    ok(c.cmd(r"STORE 1:* +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    c.close()
    m.first.stop()
    leave(small, 2 << 20)
    m.first.values["expunge_delay"] = "1"
    m.first.start()

    def kept():
        r = subprocess.run([ROOST, "dump", "-C", m.first.config], capture_output=True, text=True, check=True, timeout=60)
        return r.stdout.count("\nexpunged ")
    wait_for(lambda: kept() == 0, "all are let go of", 60)
    m.stop()
