"""What keeps a running member's journal in shape: checkpoints beside the writing."""
import json
import os
import re
import subprocess
import urllib.request

from local import Lmtp
from roost import ROOST, Murder, wait_for


def roost(*args):
    r = subprocess.run([ROOST, *args], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, f"roost {args}: {r.stdout}{r.stderr}"
    return r.stdout


def status(member):
    with urllib.request.urlopen(f"http://127.0.0.1:{member.admin}/status.json", timeout=5) as r:
        return json.load(r)


def deliver(member, count, size=20000, user="fred"):
    c = Lmtp(f"127.0.0.1:{member.lmtp}")
    for i in range(count):
        message = b"Subject: %d\r\n\r\n" % i + (b"x" * 76 + b"\r\n") * (size // 78)
        assert c.deliver("s@example.org", [user], message)[0][0] == 250
    c.close()


def pair(limits):
    """A pair in sync, with a user fred; the first member is master."""
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]},
               limits={"journal_segment_size": "256K", "log_level": "info", **limits})
    one, two = m.members.values()
    m.start_pair()
    return m, one, two


def wait_same(one, two):
    """Both are in sync and have the same content, which is returned. A status page is renewed at ticks, so what it says may be of
    before the last write; a dump is of now."""
    def same():
        dumps = [roost("dump", "-C", d.config) for d in (one, two)]
        return dumps[0] if dumps[0] == dumps[1] else None
    wait_for(lambda: len(status(one)["in_sync"].split()) == 2 and status(one)["applied"] == status(two)["applied"],
             "both have applied the same", 60)
    return wait_for(same, "the dumps are equal")


def end(m):
    for d in [*m.members.values(), m.mupdate]:
        if d.process:
            d.kill()


def forget_index(member):
    """As if the machine had gone down."""
    os.unlink(os.path.join(member.values["partition-default"], "index.boot"))


def test_members_make_checkpoints_and_start_from_them():
    m, one, two = pair({"journal_checkpoint": "1M"})
    try:
        deliver(one, 100)
        for member in (one, two):
            wait_for(lambda: status(member)["checkpoint"] > 0, "a checkpoint was made")
        deliver(one, 30)
        wait_same(one, two)
        two.kill()
        forget_index(two)
        two.start()
        assert wait_same(one, two).count("message uid=") == 130
        assert re.search(r"store\.checkpoint\.loaded .* lsn=[1-9]", two.text()), two.text()
        for d in (one, two):
            roost("verify", "-C", d.config)
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def expunge_all_but(member_imap, keep):
    """Expunge fred's INBOX but for the newest KEEP messages."""
    typ, data = member_imap.uid("SEARCH", "ALL")
    uids = data[0].split()
    member_imap.uid("STORE", f"{int(uids[0])}:{int(uids[-keep - 1])}", "+FLAGS.SILENT", r"(\Deleted)")
    assert member_imap.expunge()[0] == "OK"


CHURN = {"journal_checkpoint": "1M", "journal_keep": "3M", "expunge_delay": "0"}


def churn(m, one, rounds, keep=20):
    c = m.imap("fred", mailbox="INBOX")
    for _ in range(rounds):
        deliver(one, 60)
        c.noop()
        expunge_all_but(c, keep)
    c.logout()


def journal_size(member):
    d = os.path.join(member.values["partition-default"], "journal")
    return sum(os.stat(os.path.join(d, n)).st_blocks * 512 for n in os.listdir(d) if n.endswith(".seg"))


def test_journal_does_not_grow_for_ever_and_members_stay_the_same():
    m, one, two = pair(CHURN)
    try:
        churn(m, one, 6)
        for member in (one, two):
            wait_for(lambda: status(member)["journal_first"] > 1, "old segments were compacted")
        two.kill()
        churn(m, one, 1)
        two.start()
        churn(m, one, 6)
        wait_same(one, two)
        for member in (one, two):
            wait_for(lambda: journal_size(member) < 10 << 20, "what was expunged is given back", 30)
        assert wait_same(one, two).count("message uid=") == 20
        for d in (one, two):
            roost("verify", "-C", d.config)
        c = m.imap("fred", mailbox="INBOX")
        typ, data = c.fetch("1:*", "(BODY.PEEK[])")
        assert typ == "OK" and sum(1 for d in data if isinstance(d, tuple) and len(d[1]) > 19000) == 20
        c.logout()
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def test_full_disk_has_room_for_compaction(small_disk):
    small = small_disk("12m")
    m = Murder(users=["fred"], limits={"journal_segment_size": "256K", "log_level": "info", "journal_checkpoint": "1M",
                                       "journal_keep": "512K", "compact_rate": "64K", "expunge_delay": "0"})
    one = m.first
    one.values["partition-default"] = f"{small}/mail"
    try:
        m.start()
        m.create_user("fred")
        deliver(one, 250)
        i = m.imap("fred", mailbox="INBOX")
        expunge_all_but(i, 5)
        i.logout()
        c = Lmtp(f"127.0.0.1:{one.lmtp}")
        message = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 250
        for refused in range(2000):
            if c.deliver("s@example.org", ["fred"], message)[0][0] != 250:
                break
        assert 100 < refused < 2000
        c.close()
        m.expect_event("driver.turn.refused")
        c = Lmtp(f"127.0.0.1:{one.lmtp}")
        wait_for(lambda: c.deliver("s@example.org", ["fred"], message)[0][0] == 250, "there is room again", 90)
        c.close()
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def refused(*args):
    r = subprocess.run([ROOST, *args], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1, f"roost {args}: {r.returncode} {r.stdout}{r.stderr}"
    return r.stderr


def restored(m, name, backup, lsn=None):
    """The dump of a partition made from BACKUP as of LSN."""
    values = dict(m.first.values, **{"partition-default": f"{m.dir}/{name}"})
    config = f"{m.dir}/{name}.conf"
    with open(config, "w") as f:
        f.writelines(f"{k}: {v}\n" for k, v in values.items())
    roost("restore", "--from", backup, *(["--lsn", str(lsn)] if lsn else []), "-C", config)
    assert "already" in refused("restore", "--from", backup, "-C", config)
    roost("verify", "-C", config)
    return roost("dump", "-C", config)


def dump_at(member):
    text = roost("dump", "-C", member.config)
    return int(text.split("\n")[1].split()[1]), text


def test_backup_of_a_running_member_is_restored_to_any_lsn():
    m, one, two = pair(CHURN | {"journal_keep": "256K"})
    backup = f"{m.dir}/backup"
    try:
        seen = []
        churn(m, one, 2)
        assert roost("backup", backup, "-C", one.config).startswith("base ")
        seen.append(dump_at(one))
        assert "nothing to add" in roost("backup", backup, "-C", one.config)
        for _ in range(2):
            deliver(one, 7)
            c = m.imap("fred", mailbox="INBOX")
            expunge_all_but(c, 15)
            c.logout()
            seen.append(dump_at(one))
            deliver(one, 1)
            # The replica's entries are the same.
            wait_for(lambda: dump_at(two) == dump_at(one), "the replica has applied the same")
            assert "added" in roost("backup", backup, "-C", two.config)
        seen.append(dump_at(one))
        for i, (lsn, text) in enumerate(seen):
            assert restored(m, f"r{i}", backup, lsn) == text
        assert restored(m, "newest", backup) == seen[-1][1]
        # So much that the journal does not reach back: a new base, and the old one stays.
        churn(m, one, 7)
        wait_for(lambda: status(one)["journal_first"] > seen[-1][0], "the journal does not reach back")
        text = roost("backup", backup, "-C", one.config)
        assert "whole only from entry" in text and "\nbase " in text, text
        seen.append(dump_at(one))
        assert restored(m, "old", backup, seen[1][0]) == seen[1][1]
        assert restored(m, "new", backup) == seen[-1][1]
        assert roost("backup", "--verify", backup).count("whole") == 2
        base = sorted(n for n in os.listdir(backup) if len(n) == 16)[0]
        name = sorted(n for n in os.listdir(f"{backup}/{base}") if n.endswith(".seg"))[0]
        with open(f"{backup}/{base}/{name}", "r+b") as f:
            f.seek(30000)
            octet = f.read(1)
            f.seek(30000)
            f.write(bytes([octet[0] ^ 1]))
        assert "problems" in refused("backup", "--verify", backup)
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def test_restored_pair_never_names_another_message_as_before():
    m, one, two = pair({})

    def seen():
        c = m.imap("fred")
        data = c.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY MAILBOXID)")[1][0].decode()
        c.logout()
        return re.search(r"MESSAGES (\d+) UIDNEXT (\d+) UIDVALIDITY (\d+) MAILBOXID (\S+)\)", data).groups()

    try:
        deliver(one, 3, size=200)
        roost("backup", f"{m.dir}/backup", "-C", one.config)
        lsn, text = dump_at(one)
        deliver(one, 2, size=300)
        was = seen()
        assert was[:2] == ("5", "6")
        for d in (one, two):
            d.kill()
            os.rename(d.values["partition-default"], d.values["partition-default"] + ".lost")
        assert "new UIDVALIDITY" in roost("restore", "--from", f"{m.dir}/backup", "-C", one.config)
        assert roost("dump", "-C", one.config) == text
        one.start()
        wait_for(lambda: m.imap("fred"), "the restored one serves", 30).logout()
        two.start()
        wait_same(one, two)
        now = seen()
        assert now[:2] == ("3", "4") and int(now[2]) > int(was[2]) and now[3] != was[3], (was, now)
        deliver(one, 1, size=400)
        wait_for(lambda: dump_at(one) == dump_at(two), "both have applied the same")
        assert "store.uidvalidity.renewed" in one.text()
        # Once is enough.
        for d in (two, one):
            d.kill()
        one.start()
        wait_for(lambda: m.imap("fred"), "it serves", 30).logout()
        assert seen()[2:] == now[2:] and one.text().count("store.uidvalidity.renewed") == 1
        two.start()
        wait_same(one, two)
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def test_expunged_messages_are_had_back_from_a_running_master_and_go_in_time():
    m, one, two = pair({"expunge_delay": "3600"})
    try:
        deliver(one, 5, size=200)
        c = m.imap("fred", mailbox="INBOX")
        expunge_all_but(c, 2)
        assert roost("undelete", "user.fred", "--list", "-C", one.config).count("uid ") == 3
        assert "not the master" in refused("undelete", "user.fred", "-C", two.config)
        assert "no mailbox" in refused("undelete", "user.nobody", "-C", one.config)
        assert "1 messages are back, under the UIDs 6:6" in roost("undelete", "user.fred", "--uid", "2", "-C", one.config)
        assert "nothing" in roost("undelete", "user.fred", "--since", "2200-01-01", "-C", one.config)
        assert "2 messages" in roost("undelete", "user.fred", "--since", "2020-01-01", "-C", one.config)
        c.noop()
        typ, data = c.uid("SEARCH", "UNDELETED")
        assert data[0].split() == [b"4", b"5", b"6", b"7", b"8"]
        typ, data = c.uid("FETCH", "6", "(BODY.PEEK[])")
        assert data[0][1].startswith(b"Return-Path") or b"Subject: 1\r\n" in data[0][1]
        expunge_all_but(c, 4)
        c.logout()
        wait_for(lambda: dump_at(two) == dump_at(one), "the replica has applied the same")
        assert "\nexpunged uid=4 " in dump_at(two)[1]
        # A shorter delay at the next start: the time is over.
        for d in (one, two):
            d.values["expunge_delay"] = "1"
        two.stop()
        two.start()
        one.stop()
        one.start()
        wait_for(lambda: len(status(one)["in_sync"].split()) == 2, "in sync", 30)
        wait_for(lambda: "expunged" not in dump_at(one)[1] and dump_at(two) == dump_at(one), "what is over is gone on both", 30)
        for d in (one, two):
            roost("verify", "-C", d.config)
        m.stop()
        m = None
    finally:
        if m:
            end(m)


def test_member_that_the_journal_does_not_reach_back_to_takes_a_copy():
    m, one, two = pair({**CHURN, "journal_keep": "256K"})
    try:
        deliver(one, 10)
        wait_for(lambda: dump_at(two) == dump_at(one), "the replica has applied the same")
        last = dump_at(two)[0]
        two.kill()
        for _ in range(20):
            churn(m, one, 1)
            if status(one)["journal_first"] > last + 1:
                break
        wait_for(lambda: status(one)["journal_first"] > last + 1, "the journal does not reach back")
        two.start()
        wait_same(one, two)
        wait_for(lambda: dump_at(two) == dump_at(one), "the copy is the same")
        assert "store.copy.taken" in two.text()
        churn(m, one, 1)
        wait_for(lambda: dump_at(two) == dump_at(one), "it follows")
        for d in (one, two):
            roost("verify", "-C", d.config)
        m.stop()
        m = None
    finally:
        if m:
            end(m)
