"""The search index when members die, disks are full, spoilt or lose power, and copies are taken: results are right throughout, and the
index comes back by itself."""
import errno
import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from disk import Disk
from roost import ROOST, Murder, Raw, http, wait_for
from server import Server
from test_async import Pair

SEED = int(os.environ.get("ROOST_SEARCH_SEED", random.randrange(1 << 32)))
COUNT = 260  # fewer messages are looked at one by one


def message(i):
    rng = random.Random(i)
    text = " ".join(f"w{rng.randrange(1 << 30):x}" for _ in range(60))
    return b"Subject: subject%dx\r\nFrom: from%dx@example.org\r\n\r\n%s marker%dx\r\n" % (i, i, text.encode(), i)


def fill(c, first, count, mailbox="INBOX"):
    """Pipelined, to the last answer."""
    octets = b"".join(b"p APPEND %s {%d+}\r\n%s\r\n" % (mailbox.encode(), len(message(i)), message(i)) for i in range(first, first + count))
    c.send(octets + b"e NOOP\r\n")
    c.until("e")


def numbers(c, program):
    c.send(b"s UID SEARCH " + program.encode() + b"\r\n")
    lines, done = c.until("s")
    assert done.startswith("OK"), done
    return [int(x) for x in next(x for x in lines if x.startswith("* SEARCH")).split()[2:]]


def check(port, count, metrics=None):
    """Each of some messages is found by what it alone has, and by nothing else."""
    c = log_in(port)
    before = metric(metrics, "roost_search_answered_total") if metrics else 0
    for i in random.Random(SEED).sample(range(1, count + 1), 8):
        assert numbers(c, f"BODY marker{i}x") == [i], (SEED, i)
        assert numbers(c, f"SUBJECT subject{i}X") == [i], (SEED, i)
        assert numbers(c, f"TEXT from{i}x") == [i], (SEED, i)
        assert numbers(c, f"BODY from{i}x") == [], (SEED, i)
    assert numbers(c, "NOT TEXT marker") == []
    c.close()
    if metrics:
        assert metric(metrics, "roost_search_answered_total") >= before + 32, "the index was not asked"


def log_in(port):
    c = Raw(port).login("fred")
    assert c.cmd("SELECT INBOX")[1].startswith("OK")
    return c


def status(d):
    code, body = http(f"127.0.0.1:{d.admin}", "/status.json")
    return json.loads(body) if code == 200 else {}


def metric(d, name):
    body = http(f"127.0.0.1:{d.admin}", "/metrics")[1]
    return int(re.search(rf"^{name} (\d+)$", body if isinstance(body, str) else body.decode(), re.M).group(1))


def wait_current(d, texts=0):
    def is_current():
        s = status(d)
        return s.get("search_index") == "current" and s["search_lag"] == 0 and s["search_texts"] >= texts
    try:
        wait_for(is_current, "the search index has everything", 30)
    except AssertionError as e:
        raise AssertionError(f"{e}: {status(d)}\n{d.tail()}") from None


def begin_filled(s):
    """Both members of S, in sync, with COUNT messages."""
    one, two = s.members.values()
    s.begin(one, two)
    s.wait_in_sync(2)
    c = log_in(s.master().imap)
    fill(c, 1, COUNT)
    c.close()
    return one, two


def serves(m):
    return wait_for(lambda: http(f"127.0.0.1:{m.first.admin}", "/role")[0] == 200, "it is master", 30)


def directory(d):
    return d.values["partition-default"] + "/search"


def files(d):
    return sorted(f for f in os.listdir(directory(d)) if re.match(r"\d+\.db", f))


@pytest.fixture
def one():
    """A function that starts a backend alone, with its user; BEFORE is done with it before that."""
    made = []

    def make(before=None, **limits):
        made.append(Murder(users=["fred"], limits={"log_level": "info", **limits}))
        if before:
            before(made[-1])
        made[-1].start()
        made[-1].create_user("fred")
        return made[-1]
    yield make
    for m in made:
        m.stop()


def test_the_new_master_has_the_index():
    with Server(2) as s:
        one, two = begin_filled(s)
        for d in (one, two):
            wait_current(d, COUNT)
        old = s.master()
        old.kill()
        new = wait_for(lambda: s.master() if s.master() not in (None, old) else None, "the other takes over", 30)
        check(new.imap, COUNT, new)
        wait_for(lambda: s.imap("fred").logout(), "the frontend serves", 30)
        check(s.front.imap, COUNT, new)
        assert "search.index.anew" not in new.text()
        old.start()
        s.wait_in_sync(2)
        wait_current(old, COUNT)
        s.dumps_equal()


def test_killed_while_it_indexes(one):
    m = one()
    rng = random.Random(SEED)
    count = 0
    for _ in range(5):
        c = log_in(m.first.imap)
        fill(c, count + 1, 150)
        count += 150
        time.sleep(rng.random() * 0.5)  # anywhere in the indexing of these
        c.close()
        m.first.kill()
        m.first.start()
        serves(m)
    wait_current(m.first, count)
    check(m.first.imap, count, m.first)
    assert "search.index.anew" not in m.first.text() and "search.index.damaged" not in m.first.text()


def test_damaged_or_cut_anywhere(one):
    m = one()
    rng = random.Random(SEED)
    c = log_in(m.first.imap)
    fill(c, 1, COUNT)
    c.close()
    found = 0
    for n in range(8):
        wait_current(m.first, COUNT)
        if n % 2 == 0:
            m.first.kill()
        else:
            m.first.stop()
        name = rng.choice([f for f in files(m.first) if "shm" not in f])
        path = f"{directory(m.first)}/{name}"
        size = os.path.getsize(path)
        if rng.random() < 0.4:
            os.truncate(path, rng.randrange(size + 1))
        else:
            with open(path, "r+b") as f:
                for _ in range(rng.randrange(1, 20)):
                    f.seek(rng.randrange(max(1, size)))
                    f.write(bytes([rng.randrange(256)]))
        m.first.start()
        serves(m)
        check(m.first.imap, COUNT)
        wait_current(m.first)
        check(m.first.imap, COUNT)
        found += "search.index.damaged" in m.first.text()
    assert found, (SEED, "no damage was found")
    assert len([f for f in files(m.first) if f.endswith(".db")]) == 1, files(m.first)


def test_a_full_disk_stops_it_and_nothing_else(small_disk, one):
    small = small_disk("100m")
    m = one(lambda m: m.first.values.update({"partition-default": f"{small}/mail"}), journal_segment_size="1M")
    c = log_in(m.first.imap)
    fill(c, 1, COUNT)
    c.close()
    wait_for(lambda: "search.index.full" in m.first.text(), "it says so")
    wait_for(lambda: status(m.first)["search_index"] == "full", "its status says so, too")
    check(m.first.imap, COUNT)
    small.resize("400m")
    wait_current(m.first, COUNT)
    check(m.first.imap, COUNT, m.first)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_stops_it_and_nothing_else(monkeypatch, one, error):
    disks = []

    def shimmed(m):
        disks.append(Disk(m.first.values["partition-default"]))
        for key, value in disks[0].environment().items():
            monkeypatch.setenv(key, value)
    m, disk = one(shimmed), disks[0]
    for key in disk.environment():
        monkeypatch.delenv(key)
    disk.rule("write", error, 1000000, match="/search/")
    c = log_in(m.first.imap)
    fill(c, 1, COUNT)
    c.close()
    wait_for(lambda: re.search("search.index.(full|failed)", m.first.text()), "it says so")
    wait_for(lambda: status(m.first)["search_index"] in ("full", "failed"), "its status says so, too")
    check(m.first.imap, COUNT)
    disk.heal()
    wait_current(m.first, COUNT)
    check(m.first.imap, COUNT, m.first)
    m.first.stop()
    shutil.rmtree(disk.state, ignore_errors=True)


def test_made_anew_when_asked_and_when_it_is_gone(one):
    m = one()
    c = log_in(m.first.imap)
    fill(c, 1, COUNT)
    c.close()
    wait_current(m.first, COUNT)
    assert files(m.first)[0] == "1.db"
    r = subprocess.run([ROOST, "reindex", "-C", m.first.config], capture_output=True, text=True)
    assert r.returncode == 0 and "anew" in r.stdout, r
    wait_for(lambda: files(m.first)[0] == "2.db", "it is made anew")
    wait_current(m.first, COUNT)
    check(m.first.imap, COUNT, m.first)
    m.first.stop()
    assert subprocess.run([ROOST, "reindex", "-C", m.first.config]).returncode == 0
    m.first.start()
    serves(m)
    wait_for(lambda: files(m.first)[0] == "3.db", "it is made anew")
    wait_current(m.first, COUNT)
    m.first.stop()
    shutil.rmtree(directory(m.first))
    m.first.start()
    serves(m)
    check(m.first.imap, COUNT)
    wait_current(m.first, COUNT)
    check(m.first.imap, COUNT, m.first)
    shutil.rmtree(directory(m.first))  # while it runs, which nobody should do
    check(m.first.imap, COUNT)
    m.first.stop()
    m.first.values["search_index"] = "no"
    m.first.start()
    serves(m)
    check(m.first.imap, COUNT)
    wait_for(lambda: status(m.first)["search_index"] == "off", "it is off")
    r = subprocess.run([ROOST, "reindex", "-C", m.first.config], capture_output=True, text=True)
    assert r.returncode == 1 and "search_index is off" in r.stderr, r
    c = log_in(m.first.imap)
    fill(c, COUNT + 1, 20)  # while it is off
    c.close()
    m.first.stop()
    m.first.values["search_index"] = "yes"
    m.first.start()
    serves(m)
    check(m.first.imap, COUNT + 20)
    wait_current(m.first, COUNT + 20)
    check(m.first.imap, COUNT + 20, m.first)


def test_what_is_expunged_is_given_back(one):
    m = one(expunge_delay=0)
    c = log_in(m.first.imap)
    fill(c, 1, 1800)
    wait_current(m.first, 1800)
    assert c.cmd(r"UID STORE 1001:* +FLAGS.SILENT (\Deleted)")[1].startswith("OK") and c.cmd("EXPUNGE")[1].startswith("OK")
    fill(c, 1801, 1)
    wait_current(m.first, 1801)
    assert files(m.first)[0] == "1.db", "that much may be gone"
    assert c.cmd(r"UID STORE 261:* +FLAGS.SILENT (\Deleted)")[1].startswith("OK") and c.cmd("EXPUNGE")[1].startswith("OK")
    wait_for(lambda: status(m.first)["search_texts"] == 260, "it is made anew", 30)
    wait_current(m.first, 260)
    assert files(m.first)[0] == "2.db" and m.first.text().count("search.index.anew") == 1
    check(m.first.imap, 260, m.first)
    assert numbers(c, "BODY marker500x") == []
    c.close()


def test_a_member_that_takes_all_anew():
    with Server(2) as s:
        one, two = begin_filled(s)
        other = two if s.master() is one else one
        wait_current(other, COUNT)
        other.stop()
        s.wait_out(other)
        for name in os.listdir(other.values["partition-default"]):
            if name not in ("search", "lock"):
                path = f"{other.values['partition-default']}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        other.start()
        s.wait_in_sync(2)
        wait_current(other, COUNT)
        assert "search.index.anew" in other.text(), "that was of a journal which is not there"
        s.roost("promote", "backenda", other.name)
        wait_for(lambda: s.master() is other, "it is master", 30)
        check(other.imap, COUNT, other)


def test_what_a_member_had_alone_is_not_found_in_other_mail():
    """Asynchronous: the entries that are taken back had UIDs and bodies that others have now."""
    with Pair(users=("fred",)) as p:
        p.m.create_user("fred")
        c = log_in(p.one.imap)
        fill(c, 1, COUNT)
        p.wait_in_sync(p.one, p.two)
        p.cut()
        fill(c, 1001, 20)
        wait_current(p.one, COUNT + 20)
        c.close()
        p.take_over(p.two, p.one)
        c = log_in(p.two.imap)
        fill(c, COUNT + 1, 30)
        c.close()
        p.one.start()
        p.wait_salvaged(p.one, 0)
        assert "search.index.anew" in p.one.text()
        wait_current(p.one)
        p.roost(p.two, "promote", "backenda", p.one.name)
        wait_for(lambda: p.status(p.one).get("role") == "master", "the first is master again", 30)
        check(p.one.imap, COUNT + 30, p.one)
        c = log_in(p.one.imap)
        for i in range(1001, 1021):
            assert len(numbers(c, f"BODY marker{i}x")) == 1
        c.close()
