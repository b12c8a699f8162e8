"""A disk that loses what was not synced, or fails: what a daemon has told stays true. Each test takes away all that it may."""
import errno
import os
import re
import subprocess

import pytest

from cluster import Cluster
from disk import Disk
from roost import ROOT, wait_for

MESSAGE = "Subject: x\r\n\r\nbody\r\n"


@pytest.fixture
def alone():
    """A server of one member, so that nobody else has what it loses."""
    c = Cluster(["fred"], members=1)
    c.start()
    yield c
    problems = c.stop()
    assert not problems, "\n".join([*problems, c.interleaved()])
    c.remove()


def append(c, box="INBOX"):
    """The tagged answer; "" where the connection ended without one."""
    try:
        return c.cmd(f"APPEND {box} {{{len(MESSAGE)}+}}\r\n{MESSAGE}")[1]
    except (EOFError, ConnectionResetError):
        return ""


def start_append(member):
    c = member.imap("fred")
    c.send(f"x1 APPEND INBOX {{{len(MESSAGE)}+}}\r\n{MESSAGE}\r\n")
    return c


def seen(cluster, user="fred"):
    """UIDs and UIDVALIDITY of the INBOX, once the member serves."""
    member = cluster.members[0]

    def look():
        c = member.imap(user)
        lines, done = c.cmd("SELECT INBOX")
        if not done.startswith("OK"):
            return None
        validity = re.search(r"UIDVALIDITY (\d+)", " ".join(lines))[1]
        uids = c.cmd("UID SEARCH ALL")[0]
        c.close()
        return validity, next(u for u in uids if u.startswith("* SEARCH")).split()[2:]
    return wait_for(look, "the member serves", 30)


def undo_size(member):
    return os.stat(member.disk.state + "/undo").st_size


def test_power_lost_everywhere_right_after_the_first_start(alone):
    """The names of directories and files are as durable as what is in them."""
    c = alone.members[0].imap("fred")
    assert append(c).startswith("OK")
    before = seen(alone)
    for m in alone.machines.values():
        m.lose_power()
    for m in alone.machines.values():
        m.start()
    assert seen(alone) == before
    wait_for(lambda: alone.imap("fred").cmd("SELECT INBOX")[1].startswith("OK"), "the frontend finds it", 30)
    assert alone.members[0].run("mailbox", "check").returncode == 0


def test_what_a_killed_process_left_unsynced_is_lost_before_it_is_shown_or_never(alone):
    m = alone.members[0]
    before = seen(alone)
    m.disk.rule("sync", delay_us=3000000, match="/journal/")
    was = undo_size(m)
    c = start_append(m)
    wait_for(lambda: undo_size(m) > was, "the entry is written")
    m.kill()
    m.disk.heal()
    c.close()
    m.start()
    shown = seen(alone)
    assert len(shown[1]) == len(before[1]) + 1, "the entry was in the file"
    m.lose_power()
    m.start()
    assert seen(alone) == shown


def test_what_a_failed_sync_left_is_written_again_before_it_is_shown(alone):
    """After EIO Linux takes the pages for written: another sync says nothing about them."""
    alone.expected.add("driver.journal.failed")
    m = alone.members[0]
    before = seen(alone)
    m.disk.rule("sync", errno.EIO, countdown=1, match="/journal/")
    c = m.imap("fred")
    assert append(c) == "", "no answer, as the outcome is not known"
    assert m.process.wait(20) == 1, "the process has failed"
    assert re.search(r"roost backend: .*journal.*sync", m.text())
    m.process = None
    m.start()
    shown = seen(alone)
    assert len(shown[1]) == len(before[1]) + 1, "the entry was in the file"
    m.lose_power()
    m.start()
    assert seen(alone) == shown


def test_a_failed_index_leaves_no_answer_rather_than_a_wrong_one(alone):
    """What cannot be shown here may be in effect elsewhere: it was durable."""
    alone.expected |= {"driver.commit.failed", "kv.access.failed"}
    m = alone.members[0]
    before = seen(alone)
    c = m.imap("fred")
    m.disk.rule("write", errno.EIO, per_million=1000000, match="/index/")
    assert append(c) == ""
    m.disk.heal()
    assert m.process.wait(20) == 1
    m.process = None
    m.start()
    assert len(seen(alone)[1]) == len(before[1]) + 1


@pytest.mark.parametrize("op", ["write", "sync", "allocate", "truncate", "open"])
def test_each_kind_of_failure_as_the_daemon_starts(alone, op):
    """It says so and ends, or it copes; and starts again when the disk is well."""
    m = alone.members[0]
    before = seen(alone)
    m.kill()
    m.disk.rule(op, errno.EIO, per_million=1000000, match="/mail/")
    m.start()
    try:
        wait_for(lambda: not m.is_up() or m.status().get("role") == "master", "it has ended or serves", 20)
        if not m.is_up():
            assert m.process.returncode == 1 and "Input/output error" in m.text(), m.tail()
    finally:
        m.disk.heal()
        alone.expected |= {"driver.journal.failed", "driver.turn.refused"}
        if m.is_up():
            m.kill()
        m.process = None
    m.start()
    assert seen(alone) == before


def test_nothing_is_written_before_a_new_segment_that_could_not_be_opened(alone):
    """It has its name already: what came into the one before it the next start would not find."""
    alone.expected |= {"driver.journal.failed", "driver.turn.refused", "imap.command.failed"}
    m = alone.members[0]
    before = seen(alone)
    m.disk.rule("open", errno.ENOSPC, per_million=1000000, match=".seg")
    c, big, acked = m.imap("fred"), MESSAGE + "x" * 200000 + "\r\n", 0
    try:
        while c.cmd(f"APPEND INBOX {{{len(big)}+}}\r\n{big}")[1].startswith("OK"):
            acked += 1
            assert acked < 100, "the segment is never full"
        while append(c).startswith("OK"):
            acked += 1
            assert acked < 100, "it goes on"
    except (EOFError, ConnectionResetError):
        pass
    m.disk.heal()
    assert m.process.wait(20) == 1
    m.process = None
    m.start()
    assert len(seen(alone)[1]) - len(before[1]) in (acked, acked + 1)


def calls_of(path):
    with open(path) as f:
        return set(re.findall(r"(?m)^(?:static )?[a-z_ *]+\b(\w+)\(", f.read()))


def test_the_shim_knows_every_call_that_changes_files():
    """A new one in src would bypass it. (sync_file_range() makes nothing durable.)"""
    known = calls_of(os.path.join(ROOT, "tests/lib/disk_shim.c"))
    dangerous = {"openat", "creat", "pwrite", "pwritev2", "truncate", "copy_file_range", "sendfile", "splice", "renameat", "renameat2", "link",
                 "linkat", "symlink", "unlinkat", "rmdir", "mkdirat", "msync", "syncfs", "fopen", "mknod"}
    roost = os.environ.get("ROOST", os.path.join(ROOT, "build/src/roost"))
    names = {re.sub("(64)?(@.*)?$", "", line.split()[-1]) for line in
             subprocess.run(["nm", "-D", "--undefined-only", roost], capture_output=True, text=True, check=True).stdout.splitlines()}
    assert not (names & dangerous) - known, (names & dangerous) - known
