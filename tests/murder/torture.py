#!/usr/bin/python3
"""torture.py --seconds N [--seed S] [--members 2] [--clients 4] [--only FAULT,...] [--async]: hurt a murder under load, then check.

Clients (tests/lib/clients.py) work and write down what they were told, while faults of a seeded schedule come, some of them at the
same time: kills, lost power, disks that fail or fill or stall, frozen processes, networks that are cut, lossy or slow, hand-overs.
At the end all heals, and what is there is held against the histories (tests/lib/history.py). Exit status 1: something is
wrong; the seed and the directory with the logs, interleaved by time in "all.log", and the history are printed.

With --async the server is asynchronous. A failover may then leave behind what was acknowledged, and the histories that are
possible are not known so exactly: clients only add messages, and each that was acknowledged has to be there, with its
octets, once all is salvaged.
"""
import argparse
import collections
import datetime
import errno
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from clients import ADDING, MARK, SHARED, WEIGHTS, Client  # noqa: E402
from cluster import SERVER, Cluster  # noqa: E402
from history import FOREVER, Checker, Dumps, Op  # noqa: E402
from roost import wait_for  # noqa: E402
from watchdog import Watchdog  # noqa: E402

# Errors that daemons must log when disks fail, and no others.
DISK_ERRORS = ["driver.journal.failed", "driver.turn.refused", "driver.follow.refused", "driver.truncate.failed", "driver.commit.failed",
               "driver.apply.failed", "imap.command.failed", "directory.write.failed", "kv.access.failed", "store.apply.failed",
               "driver.stream.unreadable", "imap.select.failed", "driver.suffix.unsaved", "store.segment.unreadable"]
# LMDB will not go on after a failed write of its first pages: the index is made anew. But only so long after the disk failed.
INDEX_ERROR, INDEX_ERROR_WITHIN = "kv.store.damaged", 30
QUIET = 4.0  # seconds between faults, at most
OPERATIONS_MAX = 300000  # the history and what it is checked against have to fit into memory: a long run goes slower


class Nemesis(threading.Thread):
    """Does faults until told to stop; restarts what dies."""

    def __init__(self, cluster, seed, only=None):
        super().__init__(daemon=True)
        self.cluster, self.rng = cluster, random.Random(f"{seed}/nemesis")
        self.stopping = threading.Event()
        self.counts, self.told, self.deaths = collections.Counter(), [], []
        self.failure, self.disk_faults = None, []  # of those: name, and when
        self.faults = [f for f in (only or self.all_faults())]

    @classmethod
    def all_faults(cls):
        return [n[len("fault_"):] for n in dir(cls) if n.startswith("fault_")]

    def tell(self, text):
        self.told.append(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{int(time.time() * 1000) % 1000:03}Z nemesis {text}")

    def run(self):
        try:
            while not self.stopping.is_set():
                self.pause(QUIET)
                names = self.rng.sample(self.faults, min(len(self.faults), self.rng.choice([1, 1, 1, 2])))
                for name in names:
                    getattr(self, "fault_" + name)()
                    self.counts[name] += 1
                    if name is not names[-1]:
                        self.pause(0.5)
                self.pause(2.5)
                self.heal()
        except Exception as e:
            self.failure = e
        self.heal()

    def pause(self, most):
        """Meanwhile what died is started again."""
        end = time.monotonic() + self.rng.uniform(0.05, most)
        while time.monotonic() < end and not self.stopping.is_set():
            time.sleep(0.05)
            self.restart_dead(only_unasked=True)

    def restart_dead(self, only_unasked=False):
        for m in self.cluster.machines.values():
            if m.process is not None and m.process.poll() is not None:
                self.deaths.append((m.name, m.process.returncode))
                self.tell(f"{m.name} ended with {m.process.returncode}")
                m.process = None
                m.start()
            elif m.process is None and not only_unasked:
                self.tell(f"{m.name} starts")
                m.start()

    def heal(self):
        """All machines are well again; it may take them time to find out."""
        self.cluster.net.heal()
        for m in self.cluster.machines.values():
            m.freeze(False)
            m.disk.heal()
        self.restart_dead()
        self.tell("all is healed")

    def member(self, prefer_master=0.6):
        masters = self.cluster.masters()
        if masters and self.rng.random() < prefer_master:
            return masters[0]
        return self.rng.choice(self.cluster.members)

    # Processes and power.

    def fault_kill(self):
        m = self.member()
        self.tell(f"kill {m.name}")
        m.kill()

    def fault_kill_and_start(self):
        """At once, as a supervisor does."""
        m = self.member()
        self.tell(f"kill {m.name} and start it")
        m.kill()
        m.start()

    def fault_power(self):
        m = self.member()
        self.tell(f"{m.name} loses power: {m.lose_power(self.rng)}")
        if self.rng.random() < 0.5:
            m.start()

    def fault_kill_then_power(self):
        """What a killed process left unsynced its next life takes for granted at its peril."""
        m = self.member()
        m.kill()
        m.start()
        self.pause(1.0)
        self.tell(f"{m.name} was killed, came back, and loses power: {m.lose_power(self.rng)}")

    def fault_power_everywhere(self):
        for m in self.cluster.machines.values():
            m.kill()
        for m in self.cluster.machines.values():
            self.tell(f"{m.name} loses power with all others: {m.disk.lose_power(self.rng)}")

    def fault_kill_frontend(self):
        m = self.rng.choice(self.cluster.frontends)
        self.tell(f"kill {m.name}")
        m.kill()

    def fault_mupdate_power(self):
        m = self.cluster.machines["mupdate"]
        self.tell(f"{m.name} loses power: {m.lose_power(self.rng)}")

    def fault_freeze(self):
        """A second is a lease."""
        m = self.rng.choice([self.member(), self.member(), *self.cluster.machines.values()])
        self.tell(f"freeze {m.name}")
        m.freeze()
        self.pause(4.0)

    # Networks.

    def two(self):
        names = self.cluster.member_names
        a = self.member().name
        others = [n for n in names if n != a]
        return self.rng.choice([(a, others), (a, "mupdate"), (a, self.cluster.frontend_names), (a, [*others, "mupdate"]),
                                (a, [*others, "mupdate", *self.cluster.frontend_names]), (self.cluster.frontend_names, ["mupdate"])])

    def fault_partition(self):
        a, b = self.two()
        self.tell(f"cut between {a} and {b}")
        self.cluster.net.cut(a, b)
        self.pause(4.0)

    def fault_one_way(self):
        a, b = self.two()
        ways = self.cluster.net.ways(a, b)
        ways = ways[self.rng.randrange(2)::2]
        self.tell(f"cut one way: {ways}")
        for x, y in ways:
            self.cluster.net.cut_one_way(x, y)
        self.pause(4.0)

    def fault_slow_network(self):
        a, b = self.two()
        loss, delay = self.rng.choice([0, 0.01, 0.05, 0.2]), self.rng.choice([0, 0.002, 0.02, 0.2])
        self.tell(f"between {a} and {b}: loss {loss}, delay {delay}")
        self.cluster.net.slow(a, b, loss, delay, delay / 2)
        self.pause(3.0)

    # Disks.

    def disk_fault(self, what, **rule):
        m = self.member()
        self.tell(f"{m.name}: {what}")
        self.disk_faults.append((m.name, time.time()))
        for op, values in rule.items():
            m.disk.rule(op, match=self.rng.choice(["/journal/", "/journal/", "/mail/"]), **values)
        self.pause(2.0)
        m.disk.heal()

    def fault_sync_fails(self):
        self.disk_fault("a sync says EIO", sync={"error": errno.EIO, "countdown": self.rng.randrange(1, 20)})

    def fault_write_fails(self):
        self.disk_fault("a write says EIO", write={"error": errno.EIO, "countdown": self.rng.randrange(1, 20)})

    def fault_write_full(self):
        self.disk_fault("a write says ENOSPC", write={"error": errno.ENOSPC, "countdown": self.rng.randrange(1, 20)})

    def fault_short_writes(self):
        self.disk_fault("writes are short", write={"is_short": True, "per_million": 300000})

    def fault_full_disk(self):
        self.disk_fault("no room for more", allocate={"error": errno.ENOSPC, "per_million": 1000000},
                        open={"error": errno.ENOSPC, "per_million": 300000})

    def fault_slow_disk(self):
        self.disk_fault("a slow disk", sync={"delay_us": self.rng.choice([20000, 200000, 2000000])})

    def fault_lost_page(self):
        m = self.member()
        self.disk_faults.append((m.name, time.time()))
        self.tell(f"{m.name}: a page of the journal cannot be read")
        m.disk.lose_page(".seg", 1 << 20)
        self.pause(1.0)

    # Orders.

    def fault_promote(self):
        m = self.rng.choice(self.cluster.members)
        r = m.run("promote", SERVER, m.name, timeout=90) if self.rng.random() < 0.7 else m.run("failover", SERVER, timeout=90)
        self.tell(f"promote {m.name}: {r.returncode} {r.stderr.strip()[:200]}")


class Watcher(threading.Thread):
    """Takes dumps of running members."""

    def __init__(self, cluster, dumps):
        super().__init__(daemon=True)
        self.cluster, self.dumps, self.stopping = cluster, dumps, threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.wait(1.5):
                for m in self.cluster.members:
                    if m.is_up() and not m.is_stopped:
                        self.look_at(m)
        except Exception as e:
            self.failure = e

    def look_at(self, m):
        try:
            r = m.run("dump")
        except subprocess.TimeoutExpired:
            return  # it was frozen, or its disk is slow
        self.dumps.add(r.stdout, m.name)
        if re.search(r"\\x[89a-f]", r.stderr):
            raise ValueError(f"dump of {m.name} says: {r.stderr}")


class Torture:
    def __init__(self, seconds, seed, members=2, clients=4, frontends=1, only=None, network_kind=None, is_async=False):
        self.seconds, self.seed, self.history, self.is_async = seconds, seed, [], is_async
        self.users = [f"user{i + 1}" for i in range(clients)]
        self.cluster = Cluster(self.users, members, frontends, network_kind, sync_mode="async" if is_async else "sync")
        self.only, self.problems, self.dumps = only, [], Dumps()
        self.checks = collections.Counter()
        self.zero = time.monotonic()

    def clock(self):
        return time.monotonic() - self.zero

    def prepare(self):
        c = self.cluster.imap("admin")
        for line in (f"CREATE {SHARED}", *(f"SETACL {SHARED} {u} lrswipkxte" for u in self.users)):
            lines, done = c.cmd(line)
            assert done.startswith("OK"), (line, done)
        c.close()
        for u in self.users:
            c = self.cluster.imap(u)
            lines, done = c.cmd("CREATE Keep")
            assert done.startswith("OK"), done
            c.close()

    def run(self):
        self.cluster.start()
        self.prepare()
        self.zero = time.monotonic()
        pace = len(self.users) * self.seconds / OPERATIONS_MAX
        self.clients = [Client(self.cluster, u, self.users, self.seed, self.history, self.clock, pace=pace,
                               weights=ADDING if self.is_async else WEIGHTS) for u in self.users]
        self.nemesis, watcher = Nemesis(self.cluster, self.seed, self.only), Watcher(self.cluster, self.dumps)
        self.watchdog = Watchdog(self.cluster, self.acknowledged)
        # What a failover left behind has numbers that others have later: no two dumps can be compared.
        threads = [*self.clients, self.nemesis, *([] if self.is_async else [watcher]), self.watchdog]
        for t in threads:
            t.start()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and all(t.is_alive() for t in threads):
            time.sleep(0.1)
        ended_early = self.clock() if time.monotonic() < end else 0
        self.nemesis.stopping.set()
        self.nemesis.join(120)
        self.attempt("all members return once all is well", lambda: wait_for(self.is_settled, "all members are in the in-sync set", 120))
        began = self.acknowledged()
        self.attempt("clients go on once all is well", lambda: wait_for(lambda: self.acknowledged() > began + 20 or any(c.failure for c in self.clients),
                                                                       "20 more answers", 60))
        for t in threads:
            t.stopping.set()
        for t in threads:
            t.join(120)
            if t.is_alive():
                self.problems.append(f"{t.name} hangs")
        self.problems += self.watchdog.problems
        for t in self.clients:
            self.problems += t.hangs
            if t.failure:
                self.problems.append(f"{t.name}: {t.failure!r}")
        for t in (self.nemesis, watcher):
            if t.failure:
                self.problems.append(f"the {type(t).__name__.lower()}: {t.failure!r}")
        if ended_early:
            self.problems.append(f"ended after {ended_early:.0f} s: a thread of the test had ended")
        self.look()
        return self

    def is_settled(self):
        """Who was hurt last may only now be ending, and has to be started again."""
        self.nemesis.restart_dead()
        states = {m.name: m.status() for m in self.cluster.members}
        return not any(s.get("salvage_pending", 1) for s in states.values()) and any(s.get("role") == "master" and set(s["in_sync"].split()) == set(states) for s in states.values())

    def acknowledged(self):
        return sum(1 for op in list(self.history) if op.answer == "ok" and op.kind != "read")

    def attempt(self, what, fn):
        """FN's value; what it says against it is a problem."""
        self.checks[what] += 1
        try:
            return fn()
        except Exception as e:
            self.problems.append(f"{what}: {e!r}")
            return None

    # The end.

    def look(self):
        text = self.attempt("all members are in sync and their dumps are equal",
                            lambda: self.cluster.dumps(self.nemesis.restart_dead))
        if text:
            self.dumps.add(text, "all")
            final = self.attempt("the mailboxes can be read", lambda: self.final_reads(text))
            if final is not None and self.is_async:
                self.check_all_is_there(final)
            elif final is not None:
                self.check(text, final)
        for m in self.cluster.members:
            r = self.attempt("roost mailbox check", lambda: m.run("mailbox", "check"))
            if r and r.returncode != 0:
                self.problems.append(f"{m.name}: mailbox check: {r.stdout} {r.stderr}")
            r = self.attempt("roost verify", lambda: m.run("verify"))
            if r and r.returncode != 0:
                self.problems.append(f"{m.name}: verify: {r.stdout} {r.stderr}")
        self.checks["dumps compared"] = self.dumps.count
        self.problems += self.dumps.check()
        self.failovers = len(re.findall("directory.reign.granted", self.cluster.machines["mupdate"].text())) - 1
        if self.nemesis.disk_faults:
            self.cluster.expected |= set(DISK_ERRORS)
        for name, code in self.nemesis.deaths:
            if code < 0 and code != -signal.SIGKILL:
                self.problems.append(f"{name} ended by signal {-code}")
            elif not any(n == name for n, _ in self.nemesis.disk_faults):
                self.problems.append(f"{name} ended with {code}, though its disk was well")
        self.problems += [line for line in self.cluster.stop() if not self.is_due(line)]

    def is_due(self, line):
        """Whether LINE of a log tells of an index that a disk has just spoiled."""
        m = re.match(r"(\S+)\.log: (\S+)Z error " + re.escape(INDEX_ERROR), line)
        at = m and datetime.datetime.fromisoformat(m[2] + "+00:00").timestamp()
        return bool(m) and any(n == m[1] and t - 1 < at < t + INDEX_ERROR_WITHIN for n, t in self.nemesis.disk_faults)

    def final_reads(self, text):
        """A read of every mailbox that the dump names, by its owner."""
        final = {}
        by_user = {c.user: c for c in self.clients}
        for name in sorted(b["name"] for b in self.dumps.parse(text).values()):
            owner = by_user[name.split(".")[1]] if name.startswith("user.") else self.clients[0]
            owner.stopping.clear()
            op = wait_for(lambda: owner.fetch(Op(owner.user, "read", name, 0), "(UID FLAGS BODY.PEEK[])"), f"{name} can be read", 60)
            op.t0 = op.t1 = FOREVER
            self.history.remove(op)
            final[name] = op
        for c in self.clients:
            c.drop()
        return final

    def check_all_is_there(self, final):
        """UIDs are not compared: what was salvaged has new ones."""
        there = collections.defaultdict(list)
        for name, op in final.items():
            for mark, flags, digest in op.data["messages"].values():
                there[name, mark].append(digest)
        wanted = [op for op in self.history if op.kind in ("append", "deliver")]
        for op in wanted:
            digests = there[op.box, op.args["mark"]]
            if op.answer == "ok" and not digests:
                self.problems.append(f"lost: {op}")
            elif len(digests) > 1 or (digests and digests[0] != op.args["digest"]):
                self.problems.append(f"there {len(digests)} times, or with other octets: {op}")
        known = {(op.box, op.args["mark"]) for op in wanted}
        self.problems += [f"{name}: {mark} is there, without a reason" for name, mark in there if (name, mark) not in known]
        self.checks["operations"] = len(self.history)
        self.checks["messages"] = len(there)
        self.checks["acknowledged messages"] = sum(op.answer == "ok" for op in wanted)
        salvaged = [m.text().count("store.suffix.saved") for m in self.cluster.members]
        self.checks["suffixes put aside"] = sum(salvaged)

    def check(self, text, final):
        checker = Checker(self.history, [*(f"user.{u}" for u in self.users), SHARED], [f"user.{u}.Keep" for u in self.users])
        self.problems += checker.run(final)
        checker.problems.clear()
        for box in self.dumps.parse(text).values():
            there = final[box["name"]].data["messages"]
            if set(there) != set(box["messages"]):
                self.problems.append(f"{box['name']}: the dump has other UIDs than IMAP")
        percent = lambda s: re.sub("%(..)", lambda m: chr(int(m[1], 16)), s)
        acls, subscribed = {}, set()
        for name, acl in re.findall(r"(?m)^mailbox (\S+) .* acl=(\S*) ", text):
            words = percent(acl).split("\t")
            acls[name] = {w: "".join(sorted(r)) for w, r in zip(words[0::2], words[1::2])}
        for key in re.findall(r"(?m)^subscription (\S+)", text):
            user, _, box = percent(key).partition("\0")
            subscribed.add((user, box))
        for key, possible in checker.acls.items():
            checker.acls[key] = {("open", sort(p[1])) if isinstance(p, tuple) else sort(p) for p in possible}
        checker.check_acls(acls)
        checker.check_subscriptions(subscribed, self.users)
        self.problems += checker.problems
        self.checks["operations"] = len(self.history)
        self.checks["mailboxes"] = len(final)
        self.checks["messages"] = sum(len(op.data["messages"]) for op in final.values())

    def longest_outage(self):
        times = sorted(op.t1 for op in self.history if op.answer == "ok" and op.kind not in ("read",) and op.t1 != FOREVER)
        return max((b - a for a, b in zip([0, *times], times)), default=0)

    def report(self, out=sys.stdout):
        kinds = collections.defaultdict(collections.Counter)
        for op in self.history:
            kinds[op.kind][op.answer] += 1
        mode = ", asynchronous" if self.is_async else ""
        print(f"seed {self.seed}, {self.seconds} s, {len(self.cluster.members)} members{mode}, network: {self.cluster.net.kind}", file=out)
        for kind, answers in sorted(kinds.items()):
            print(f"  {kind:12} " + "  ".join(f"{a} {n}" for a, n in sorted(answers.items())), file=out)
        print("faults: " + ", ".join(f"{k} {n}" for k, n in sorted(self.nemesis.counts.items())), file=out)
        print(f"changes of configuration: {self.failovers}; longest without an acknowledged write: {self.longest_outage():.1f} s", file=out)
        print("checked: " + ", ".join(f"{k} {n}" for k, n in self.checks.items()), file=out)
        if not self.problems:
            print("verdict: nothing is wrong", file=out)
            return
        print(f"verdict: {len(self.problems)} PROBLEMS", file=out)
        for p in self.problems[:40]:
            print(f"  {p}"[:1500], file=out)
        self.write_logs()
        print(f"seed {self.seed}; logs and history are in {self.cluster.dir}", file=out)

    def write_logs(self):
        lines = self.cluster.interleaved().splitlines()
        lines += [f"{'nemesis':10} {t}" for t in self.nemesis.told]
        lines.sort(key=lambda line: line[11:35])
        with open(f"{self.cluster.dir}/all.log", "w") as f:
            f.write("\n".join(lines) + "\n")
        at_zero = time.time() - self.clock()
        with open(f"{self.cluster.dir}/history", "w") as f:
            f.write(f"times are seconds since {time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_zero))}.{int(at_zero * 1000) % 1000:03}Z\n")
            for op in sorted(self.history, key=lambda op: op.t0):
                f.write(f"{op}\n")


def sort(rights):
    return rights and "".join(sorted(rights))


def torture(seconds, seed, **options):
    """Run and report; the problems, as lines."""
    t = Torture(seconds, seed, **options)
    try:
        t.run()
    except BaseException:
        t.cluster.destroy()
        print(f"seed {seed}\n{t.cluster.tails()}")
        raise
    t.report()
    if not t.problems:
        for path in glob.glob(f"{t.cluster.dir}/stall.*"):
            print("clients waited; what all did:", shutil.move(path, f"{t.cluster.dir}.{os.path.basename(path)}"))
        t.cluster.remove()
    return t.problems


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=int, default=120)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    p.add_argument("--members", type=int, default=2)
    p.add_argument("--frontends", type=int, default=1)
    p.add_argument("--clients", type=int, default=4)
    p.add_argument("--only", help="these faults: " + " ".join(Nemesis.all_faults()))
    p.add_argument("--async", action="store_true", dest="is_async")
    p.add_argument("--network", choices=["namespaces", "relays"])
    a = p.parse_args()
    print("seed", a.seed, flush=True)
    problems = torture(a.seconds, a.seed, members=a.members, clients=a.clients, frontends=a.frontends, network_kind=a.network,
                       is_async=a.is_async, only=a.only and a.only.split(","))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
