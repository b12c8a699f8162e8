"""Asynchronous pairs: what the old master acknowledged alone comes back when it does, and what cannot is kept and told."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading

from local import Lmtp
from relay import Relay
from roost import PASSWORD, ROOST, Daemon, Murder, free_port, http, wait_for

LEASE_MS = 4000
SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


class Gate(Relay):
    """A relay that swallows what is said while it is shut, as a network that has gone does."""
    is_shut = False

    def pump(self, source, to, heard):
        try:
            while data := source.recv(65536):
                if not self.is_shut:
                    to.sendall(data)
        except OSError:
            pass
        if not self.is_shut:
            super().pump(source, to, heard)

    def open_again(self):
        self.is_shut = False
        self.cut()


class Pair:
    """Two members; each calls the other through a gate."""

    def __init__(self, mode="async", users=("fred", "mary")):
        gates = [Gate(), Gate()]  # their ports are taken before others are chosen
        self.m = Murder(users=users, backends={"backenda": ["backenda1", "backenda2"]},
                        limits={"lease_ms": LEASE_MS, "sync_mode": mode, "log_level": "info", "journal_segment_size": "1M"})
        self.members = dict(self.m.members)
        self.gates = dict(zip(self.members, gates))
        for n, d in self.members.items():
            self.gates[n].target = int(d.values["sync_listen"].rsplit(":", 1)[1])
        peers = " ".join(f"{n}=127.0.0.1:{g.port}" for n, g in self.gates.items())
        for d in self.members.values():
            d.values["sync_peers"] = peers
        self.one, self.two = self.members.values()

    def __enter__(self):
        try:
            self.m.mupdate.start()
            self.one.start()
            wait_for(lambda: self.m.imap("admin"), "the first serves").logout()
            self.two.start()
            self.wait_in_sync(self.one, self.two)
        except BaseException as e:
            self.__exit__(type(e), e, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.m.stop()
            else:
                for d in [*self.members.values(), self.m.mupdate]:
                    print("---", d.name)
                    print(d.tail(40) if os.path.exists(d.log) else "")
                    if d.process:
                        d.kill()
        finally:
            for g in self.gates.values():
                g.close()

    def status(self, d):
        code, body = http(f"127.0.0.1:{d.admin}", "/status.json")
        return json.loads(body) if code == 200 else {}

    def wait_in_sync(self, *members, timeout=60):
        def same():
            states = [self.status(d) for d in members]
            return all(len(s.get("in_sync", "").split()) == 2 for s in states) and len({s["applied"] for s in states}) == 1
        wait_for(same, "in sync", timeout)

    def wait_salvaged(self, holder, kept, timeout=60):
        """The master has taken HOLDER in, so that what it had alone is put aside, and then nothing but KEPT items is left of it. Status pages
        may be of before that: the master's of when the other was it, and HOLDER's of before it put anything aside, when the files are there."""
        other = self.two if holder is self.one else self.one

        def done():
            master = self.status(other)
            is_held = held_files(holder) != []
            s = self.status(holder)
            return (master.get("master") == s.get("master") == other.name and master.get("epoch") == s.get("epoch")
                    and len(master.get("in_sync", "").split()) == 2 and is_held == (kept > 0) and s.get("salvage_pending") == 0
                    and s.get("salvage_kept") == kept)
        try:
            wait_for(done, f"salvaged, {kept} kept", timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.status(holder)}") from None

    def cut(self):
        for g in self.gates.values():
            g.is_shut = True

    def heal(self):
        for g in self.gates.values():
            g.open_again()

    def take_over(self, new, old):
        """The old master dies, cut off; the new one takes over without what the old one has alone."""
        old.kill()
        self.heal()
        wait_for(lambda: self.status(new).get("role") == "master", "the other takes over", 30)

    def lmtp(self, d):
        return Lmtp(f"127.0.0.1:{d.lmtp}")

    def imap(self, d, user, mailbox="INBOX"):
        return self.m.imap(user, member=d, mailbox=mailbox)

    def roost(self, d, *args, rc=0):
        r = subprocess.run([ROOST, *args, "-C", d.config], capture_output=True, text=True, timeout=60)
        assert r.returncode == rc, f"{args}: {r.returncode} {r.stdout} {r.stderr}"
        return r.stdout

    def settle(self):
        """Everything is the same, sound, and known to the directory."""
        self.wait_in_sync(self.one, self.two)

        def same():
            dumps = [self.roost(d, "dump") for d in (self.one, self.two)]
            return dumps[0] if dumps[0] == dumps[1] else None
        dump = wait_for(same, "the dumps are equal", 20)
        for d in (self.one, self.two):
            assert self.roost(d, "verify").startswith("ok"), d.name
        master = next(d for d in (self.one, self.two) if self.status(d)["role"] == "master")
        self.roost(master, "mailbox", "check")
        return dump


def message(mark, size=200):
    return f"Subject: {mark}\r\nX-Roost-Test: {mark}\r\n\r\n{'x' * size}\r\n".encode()


def marks(c):
    """Mark to UIDs, of the selected mailbox."""
    typ, data = c.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS (X-Roost-Test)])")
    assert typ == "OK", data
    found = {}
    for item in data:
        if isinstance(item, tuple):
            mark = re.search(rb"X-Roost-Test: (\S+)", item[1]).group(1).decode()
            found.setdefault(mark, []).append(item[0].decode())
    return found


def held_files(d):
    path = d.values["partition-default"] + "/salvage"
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def test_what_the_old_master_had_alone_comes_back():
    with Pair() as p:
        for u in ("fred", "mary"):
            p.m.create_user(u)
        assert p.status(p.one)["sync_mode"] == "async"
        c = p.lmtp(p.one)
        for i in range(5):
            assert c.deliver("s@example.org", ["fred"], message(f"both-{i}"))[0][0] == 250
        fred = p.imap(p.one, "fred")
        p.wait_in_sync(p.one, p.two)

        # Alone: all of this is acknowledged by the first only.
        p.cut()
        for i in range(20):
            assert [a for a, _ in c.deliver("s@example.org", ["fred", "mary"], message(f"alone-{i}", 10 + i * 1000))] == [250, 250]
        assert fred.uid("STORE", "1", "+FLAGS", "(\\Flagged extra)")[0] == "OK"
        assert fred.uid("STORE", "2", "+FLAGS", "(\\Answered)")[0] == "OK"
        assert fred.uid("STORE", "3", "+FLAGS", "(\\Deleted)")[0] == "OK"
        assert fred.expunge()[0] == "OK"
        assert fred.create("Work")[0] == "OK"
        assert fred.append("Work", "(\\Seen note)", '"01-Feb-2020 10:11:12 +0000"', message("appended"))[0] == "OK"
        assert fred.uid("COPY", "4", "Work")[0] == "OK"
        assert fred.subscribe("Work")[0] == "OK"
        assert p.status(p.one)["role"] == "master", "it acted all the while"
        p.take_over(p.two, p.one)

        other = p.imap(p.two, "fred")
        assert set(marks(other)) == {f"both-{i}" for i in range(5)}
        assert other.uid("STORE", "2", "+FLAGS", "(\\Draft)")[0] == "OK"
        assert other.append("INBOX", None, None, message("new"))[0] == "OK"

        p.one.start()
        p.wait_salvaged(p.one, 2)
        for user in ("fred", "mary"):
            c = p.imap(p.two, user)
            found = marks(c)
            assert all(len(found[f"alone-{i}"]) == 1 for i in range(20)), (user, {k: len(v) for k, v in found.items()})
            c.logout()
        c = p.imap(p.two, "fred")
        found = marks(c)
        assert len(found) == 26 and all(len(v) == 1 for v in found.values())
        assert "\\Flagged" in found["both-0"][0] and "extra" in found["both-0"][0]
        assert "\\Answered" not in found["both-1"][0] and "\\Draft" in found["both-1"][0]
        assert c.select("Work")[0] == "OK"
        work = marks(c)
        assert set(work) == {"appended", "both-3"}
        assert "\\Seen" in work["appended"][0] and "note" in work["appended"][0] and " 1-Feb-2020 10:11:12 +0000" in work["appended"][0]
        assert any(b"Work" in x for x in c.lsub()[1])
        assert "user.fred.Work" in p.roost(p.two, "mailbox", "find", "user.fred.Work")

        # The rest is told, and an operator decides.
        listed = p.roost(p.one, "salvage", "list")
        print(listed)
        status = p.roost(p.one, "status")
        assert "backenda is asynchronous" in status and "backenda1 has 0 salvaged items for the master, and 2 to be decided" in status, status
        assert "UID 2 in user.fred was flagged: +\\Answered: it was changed otherwise since" in listed
        assert "UID 3 in user.fred was expunged: it would remove mail" in listed
        flags = re.search(r"(\S+) kept UID 2", listed).group(1)
        gone = re.search(r"(\S+) kept UID 3", listed).group(1)
        assert "1 items are to be discarded" in p.roost(p.one, "salvage", "discard", gone)
        assert "1 items are to be applied\n" in p.roost(p.one, "salvage", "apply")
        p.wait_salvaged(p.one, 0)
        wait_for(lambda: held_files(p.one) == [], "the files are gone")
        c.select("INBOX")
        found = marks(c)
        assert "\\Answered" in found["both-1"][0] and "\\Draft" in found["both-1"][0] and "both-2" in found
        assert p.roost(p.one, "salvage", "list") == ""
        p.roost(p.one, "salvage", "show", flags, rc=1)
        p.settle()
        # In order nothing is lost, nor salvaged.
        c = p.lmtp(p.two)
        assert c.deliver("s@example.org", ["fred"], message("last"))[0][0] == 250
        p.roost(p.two, "failover", "backenda")
        wait_for(lambda: p.status(p.one).get("role") == "master", "handed over", 20)
        assert "last" in marks(p.imap(p.one, "fred"))
        p.settle()


def test_salvage_goes_on_after_kills_of_both():
    print("ROOST_SEED", SEED)
    rng = random.Random(SEED)
    with Pair() as p:
        p.m.create_user("fred")
        c = p.lmtp(p.one)
        assert c.deliver("s@example.org", ["fred"], message("both"))[0][0] == 250
        p.wait_in_sync(p.one, p.two)
        p.cut()
        fred = p.imap(p.one, "fred")
        assert fred.create("Sub")[0] == "OK"
        assert fred.setacl("Sub", "anyone", "p")[0] == "OK"
        acked = []

        def deliver(n):
            mine = p.lmtp(p.one)
            for i in range(150):
                if mine.deliver("s@example.org", ["fred", "fred+Sub"], message(f"{n}-{i}", rng.randrange(20000)))[0][0] == 250:
                    acked.append(f"{n}-{i}")
        threads = [threading.Thread(target=deliver, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(acked) == 600 and p.status(p.one)["role"] == "master"
        p.take_over(p.two, p.one)

        # The old one is killed while it puts aside and while it sends; the new one while it merges.
        for _ in range(3):
            p.one.start()
            delay = threading.Event()
            delay.wait(rng.random() * 0.4)  # a moment by the seed, not a wait
            p.one.kill()
        p.one.start()
        wait_for(lambda: p.status(p.one).get("salvage_pending", 0) > 0 or p.status(p.two).get("mailboxes") == 2, "it has begun", 30)
        p.two.kill()
        p.two.start()
        wait_for(lambda: p.status(p.two).get("role") == "master", "the new one is back", 40)
        p.wait_salvaged(p.one, 0)
        wait_for(lambda: held_files(p.one) == [], "the files are gone", 30)
        assert p.m.mupdate.process.poll() is None
        c = p.imap(p.two, "fred")
        for box in ("INBOX", "Sub"):
            assert c.select(box)[0] == "OK"
            found = marks(c)
            twice = {k: len(v) for k, v in found.items() if len(v) != 1}
            missing = [a for a in acked if a not in found]
            assert not twice and not missing, (box, twice, missing[:5], SEED)
        p.settle()


def test_deliveries_through_a_frontend_are_there_once():
    """The frontend sends again, to the new master, what the old one had not answered; the old one may have it on its disk."""
    with Pair() as p:
        p.m.create_user("fred")
        front = Daemon(p.m.dir, "frontend", "front", {
            "member": "front", "configdirectory": p.m.dir + "/front", "users_file": p.m.users, "admins": "admin",
            "proxyservers": "frontend", "proxy_authname": "frontend", "proxy_password": PASSWORD, "mupdate_server": "127.0.0.1",
            "mupdate_port": p.m.mupdate_port, "mupdate_authname": "frontend", "mupdate_password": PASSWORD,
            "imap_listen": f"127.0.0.1:{free_port()}", "lmtp_listen": f"127.0.0.1:{free_port()}",
            "admin_listen": f"127.0.0.1:{free_port()}"})
        front.start()
        try:
            wait_for(lambda: Lmtp(front.values["lmtp_listen"]), "the frontend serves").close()
            p.wait_in_sync(p.one, p.two)
            answers, ended = {}, threading.Event()

            def send(n):
                c, i = Lmtp(front.values["lmtp_listen"]), 0
                while not ended.is_set():
                    i += 1
                    answers[f"{n}-{i}"] = c.deliver("s@example.org", ["fred"], message(f"{n}-{i}", 3000))[0][0]
                c.close()
            threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
            for t in threads:
                t.start()
            wait_for(lambda: len(answers) > 50, "deliveries")
            p.cut()
            before = len(answers)
            wait_for(lambda: len(answers) > before + 200, "deliveries that the master has alone")
            p.take_over(p.two, p.one)
            before = len(answers)
            wait_for(lambda: len(answers) > before + 50, "deliveries to the new one", 30)
            p.one.start()
            p.wait_salvaged(p.one, 0)
            ended.set()
            for t in threads:
                t.join(60)
                assert not t.is_alive()
            wait_for(lambda: held_files(p.one) == [], "the files are gone")
            found = marks(p.imap(p.two, "fred"))
            wrong = {k: (a, len(found.get(k, []))) for k, a in answers.items() if len(found.get(k, [])) != 1}
            assert not wrong and set(answers.values()) == {250} and set(found) == set(answers), wrong
            p.settle()
        finally:
            front.stop()


def test_a_master_that_was_only_stopped_salvages_while_it_runs():
    """SIGSTOP: it wakes as no master any more, with sessions open, and brings its index back under them."""
    with Pair() as p:
        p.m.create_user("fred")
        c = p.lmtp(p.one)
        assert c.deliver("s@example.org", ["fred"], message("both"))[0][0] == 250
        p.wait_in_sync(p.one, p.two)
        sessions = [p.imap(p.one, "fred") for _ in range(4)]
        p.cut()
        for i in range(30):
            assert c.deliver("s@example.org", ["fred"], message(f"alone-{i}", 20000))[0][0] == 250
        for s in sessions:
            assert s.noop()[0] == "OK"
        os.kill(p.one.process.pid, signal.SIGSTOP)
        p.heal()
        wait_for(lambda: p.status(p.two).get("role") == "master", "the other takes over", 30)
        d = p.lmtp(p.two)
        assert d.deliver("s@example.org", ["fred"], message("meanwhile"))[0][0] == 250
        os.kill(p.one.process.pid, signal.SIGCONT)
        p.wait_in_sync(p.one, p.two)
        p.wait_salvaged(p.one, 0)
        wait_for(lambda: held_files(p.one) == [], "the files are gone")
        found = marks(p.imap(p.two, "fred"))
        assert set(found) == {"both", "meanwhile"} | {f"alone-{i}" for i in range(30)} and all(len(v) == 1 for v in found.values())
        p.settle()


def test_a_deposed_member_follows_where_an_operator_wants_it():
    """Synchronous. The directory was lost and made anew by hand, naming the wrong member: the other refuses to follow, until
    `roost salvage take`."""
    with Pair(mode="sync") as p:
        p.m.create_user("fred")
        p.wait_in_sync(p.one, p.two)
        p.two.stop()
        wait_for(lambda: p.status(p.one)["in_sync"] == "backenda1", "the first goes on alone", 30)
        c = p.lmtp(p.one)
        for i in range(5):
            assert c.deliver("s@example.org", ["fred"], message(f"alone-{i}"))[0][0] == 250
        p.one.stop()
        p.m.mupdate.stop()
        shutil.rmtree(p.m.dir + "/mupdate")
        os.mkdir(p.m.dir + "/mupdate")
        r = subprocess.run([ROOST, "mupdate", "import", "-C", p.m.mupdate.config], capture_output=True, text=True, timeout=20,
                           input="roost-directory\t1\nserver\tbackenda\t10\tbackenda2\tbackenda2\nend\t1\n")
        assert r.returncode == 0, r.stderr
        for d in (p.m.mupdate, p.two, p.one):
            d.start()
        wait_for(lambda: "lacks entries that are committed here" in p.one.text(), "it says so", 30)
        wait_for(lambda: p.status(p.two)["role"] == "master", "the second serves", 20)
        assert held_files(p.one) == []
        assert "when backenda1 is started next" in p.roost(p.one, "salvage", "take")
        p.one.stop()
        p.one.start()
        p.wait_in_sync(p.one, p.two)
        wait_for(lambda: held_files(p.one) == [], "all is merged, the mark is gone", 20)
        found = marks(p.imap(p.two, "fred"))
        assert all(len(found[f"alone-{i}"]) == 1 for i in range(5)) and len(found) == 5
        p.settle()


def test_without_async_nothing_is_acknowledged_alone():
    """The same cut in synchronous mode: the write is not answered, and nothing has to be salvaged."""
    with Pair(mode="sync") as p:
        p.m.create_user("fred")
        p.wait_in_sync(p.one, p.two)
        p.cut()
        c = Lmtp(f"127.0.0.1:{p.one.lmtp}", timeout=1.5)
        try:
            answer = c.deliver("s@example.org", ["fred"], message("alone"))[0][0]
        except OSError:
            answer = None
        assert answer is None
        p.take_over(p.two, p.one)
        p.one.start()
        p.settle()
        assert held_files(p.one) == []


def test_a_disk_without_its_member_is_salvaged():
    """`roost salvage take DIR`: the old master's machine is gone, its disk is at the new one's."""
    with Pair() as p:
        p.m.create_user("fred")
        c = p.lmtp(p.one)
        assert c.deliver("s@example.org", ["fred"], message("both"))[0][0] == 250
        p.wait_in_sync(p.one, p.two)
        p.cut()
        for i in range(10):
            assert c.deliver("s@example.org", ["fred"], message(f"alone-{i}"))[0][0] == 250
        p.take_over(p.two, p.one)
        out = p.roost(p.two, "salvage", "take", p.one.values["partition-default"])
        assert "1 files of items" in out, out
        wait_for(lambda: held_files(p.two) == [], "all is merged", 20)
        found = marks(p.imap(p.two, "fred"))
        assert all(len(found[f"alone-{i}"]) == 1 for i in range(10)) and len(found) == 11
        out = p.roost(p.two, "salvage", "take", p.one.values["partition-default"])
        assert "0 more were here" in out and "0 files" in out, out
        p.one.start()
        p.settle()
