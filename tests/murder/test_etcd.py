"""Mupdate servers that share an etcd of three nodes: nothing granted twice, nothing acknowledged lost, whoever dies."""
import os
import random
import re
import signal
import threading
import time

import pytest

from etcd import Directories, Etcd
from mupdate import Mupdate, state
from roost import PASSWORD, Daemon, Murder, free_port, wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


class At:
    """What the helpers of mupdate.py need of a server."""

    def __init__(self, port):
        self.mupdate_port = port


def session(d, i, who="admin", timeout=20):
    return Mupdate(At(d.ports[i]), who, timeout=timeout)


@pytest.fixture(scope="module")
def etcd():
    e = Etcd(3).start()
    yield e
    e.stop()


@pytest.fixture
def pair(etcd, request):
    d = Directories(etcd, 2, extra={"etcd_prefix": f"/{request.node.name}/"})
    try:
        yield d.start()
    finally:
        d.stop()


def test_two_servers_are_one_directory(pair):
    a, b = session(pair, 0), session(pair, 1)
    follower = session(pair, 1)
    assert follower.follow() == []
    a.ok("RESERVE", "user.fred", "backenda!default")
    assert state(b, "user.fred") == ("RESERVE", "backenda!default")
    b.no("RESERVE", "user.fred", "backendb!default")
    a.ok("ACTIVATE", "user.fred", "backenda!default", "fred\tlrs\t")
    # Answered by one, so it is at the other, too.
    assert state(b, "user.fred") == ("MAILBOX", "backenda!default")
    b.ok("DEACTIVATE", "user.fred", "backenda!default")
    assert state(a, "user.fred") == ("RESERVE", "backenda!default")
    a.ok("DELETE", "user.fred")
    lines = [follower.record() for _ in range(4)]
    assert [x.split(" ")[1] for x in lines] == ["RESERVE", "MAILBOX", "RESERVE", "DELETE"], lines
    # Who deleted it may say so again, at either.
    for i in (0, 1):
        own = session(pair, i, "backenda")
        own.ok("DELETE", "user.fred") if i == 0 else None
        session(pair, i, "backendb").no("DELETE", "user.fred")


def test_an_answered_change_is_told_here_before(pair):
    a, follower = session(pair, 0), session(pair, 0)
    follower.follow()
    for i in range(50):
        a.ok("RESERVE", f"user.n{i}", "backenda!default")
        follower.send("n NOOP\r\n")
        lines, _ = follower.until("n")
        assert lines == [f'u RESERVE "user.n{i}" "backenda!default"'], lines


def test_many_in_one_go(pair):
    """More than a transaction of etcd's takes, in one pipeline, with answers in their order."""
    a = session(pair, 0)
    text = "".join(f't{i} RESERVE "user.p{i // 2}" "backenda!default"\r\n' if i % 2 == 0 else
                   f't{i} ACTIVATE "user.p{i // 2}" "backenda!default" "p lrs"\r\n' for i in range(2000))
    a.send(text)
    for i in range(2000):
        assert a.line().startswith(f"t{i} OK")
    wait_for(lambda: len(session(pair, 1).do("LIST")[0]) == 1000, "the other has them")


class Worker(threading.Thread):
    """Takes, activates and deletes names in the name of its server, at whichever mupdate server answers."""

    def __init__(self, d, names, server, seed, end):
        super().__init__()
        self.d, self.names, self.server, self.rng, self.end = d, names, server, random.Random(seed), end
        self.granted = []  # (when sent, when answered, name, verb)
        self.unknown = set()  # names whose last command went unanswered
        self.problem = None

    def connect(self):
        order = list(range(len(self.d.ports)))
        self.rng.shuffle(order)
        for i in order:
            try:
                return session(self.d, i, self.server, timeout=15)
            except (OSError, AssertionError, EOFError):
                continue
        time.sleep(0.05)
        return None

    def run(self):
        c = None
        try:
            while time.monotonic() < self.end:
                c = c or self.connect()
                if c is None:
                    continue
                name = self.rng.choice(self.names)
                verb = self.rng.choice(["RESERVE", "RESERVE", "DELETE"])
                args = (name,) if verb == "DELETE" else (name, self.server + "!default")
                sent = time.monotonic()
                try:
                    done = c.do(verb, *args)[1]
                    if not done.startswith(("OK", "NO")):
                        raise EOFError(done)
                except (OSError, EOFError, AssertionError):
                    self.granted.append((sent, None, name, verb))
                    c = None
                    continue
                if done.startswith("OK"):
                    self.granted.append((sent, time.monotonic(), name, verb))
                elif "cannot write now" in done:
                    self.granted.append((sent, None, name, verb))
        except Exception as e:  # told by the test's own thread
            self.problem = e


def check_own_names(d, worker):
    """A name that only one worker touches is at the end as its last answered command left it, unless one went unanswered
    after that."""
    def names_at(i):
        return {re.match(r'\S+ \S+ "([^"]*)"', line).group(1) for line in session(d, i).do("LIST")[0]}
    wait_for(lambda: names_at(0) == names_at(1), "both know the same")
    final = names_at(0)
    checked = 0
    for name in worker.names:
        mine = [g for g in worker.granted if g[2] == name]
        if not mine or mine[-1][1] is None:
            continue
        assert (name in final) == (mine[-1][3] != "DELETE"), f"seed {SEED}: {name}: {mine[-5:]}"
        checked += 1
    return checked


def run_workers(pair, disturb, seconds=6):
    """Workers with names of their own, and two rivals for each name of a common set; DISTURB does its worst meanwhile."""
    end = time.monotonic() + seconds
    owners = [Worker(pair, [f"user.own{k}x{i}" for i in range(20)], s, SEED + k, end)
              for k, s in enumerate(["backenda", "backendb", "backenda", "backendb"])]
    for w in owners:
        w.start()
    disturb(end)
    for w in owners:
        w.join()
        assert w.problem is None, w.problem
    return owners


def test_nothing_acknowledged_is_lost_when_nodes_and_servers_die(etcd, pair):
    print("ROOST_SEED", SEED)
    rng = random.Random(SEED)

    def disturb(end):
        turn = 0
        while time.monotonic() < end - 2:
            time.sleep(0.2 + rng.random() * 0.4)  # between two blows
            if turn % 2 == 0:
                i = rng.randrange(3)
                etcd.kill(i)
                time.sleep(rng.random() * 0.8)  # how long it is away
                etcd.start_node(i)
                etcd.wait_healthy()
            else:
                i = rng.randrange(2)
                pair.daemons[i].kill()
                pair.daemons[i].start()
                pair.wait_ready(i)
            turn += 1
    owners = run_workers(pair, disturb, 12)
    for i in (0, 1):
        pair.wait_ready(i)
    assert sum(check_own_names(pair, w) for w in owners) > 20
    assert sum(1 for w in owners for g in w.granted if g[1]) > 200


def test_no_reservation_is_granted_twice(etcd, pair):
    """Rivals at both servers want the same names for different locations, while a node dies: each name has one winner."""
    print("ROOST_SEED", SEED)
    names = [f"user.r{i}" for i in range(400)]
    won = {}
    lock = threading.Lock()

    def rival(i, server):
        c, at = session(pair, i, server), 0
        while at < len(names):
            try:
                done = c.do("RESERVE", names[at], server + "!default")[1]
            except (OSError, EOFError, AssertionError):
                c = session(pair, i, server)
                continue
            if "cannot write now" in done:
                continue
            if done.startswith("OK"):
                with lock:
                    won.setdefault(names[at], set()).add(server)
            at += 1
    threads = [threading.Thread(target=rival, args=(i, s)) for i, s in ((0, "backenda"), (1, "backendb"))]
    for t in threads:
        t.start()
    time.sleep(random.Random(SEED).random() * 0.5)  # the moment of the kill
    etcd.kill(0)
    etcd.start_node(0)
    for t in threads:
        t.join(60)
        assert not t.is_alive()
    etcd.wait_healthy()
    assert sorted(won) == sorted(names)
    both = [n for n, w in won.items() if len(w) != 1]
    assert not both, f"seed {SEED}: granted twice: {both}"
    c = session(pair, 0)
    for n in names:
        assert state(c, n) == ("RESERVE", next(iter(won[n])) + "!default")


def test_cut_off_from_etcd(etcd, pair):
    """Without a majority no change is granted, those connected are sent away, and all goes on when it is back."""
    a = session(pair, 0, timeout=40)
    a.ok("RESERVE", "user.before", "backenda!default")
    etcd.pause(0, True)
    etcd.pause(1, True)
    try:
        lines, done = [], "NO"
        try:
            done = a.do("RESERVE", "user.without", "backenda!default")[1]
        except EOFError:
            pass
        assert not done.startswith("OK")
        wait_for(lambda: not pair.is_ready(0) and not pair.is_ready(1), "both say that they cannot serve", 30)
        with pytest.raises((AssertionError, EOFError, OSError)):
            session(pair, 0)
    finally:
        etcd.pause(0, False)
        etcd.pause(1, False)
    for i in (0, 1):
        pair.wait_ready(i, 30)
    b = session(pair, 1)
    b.ok("RESERVE", "user.after", "backendb!default")
    assert state(b, "user.before") == ("RESERVE", "backenda!default")


def test_what_is_compacted_meanwhile_is_read_anew(etcd, pair):
    a, follower = session(pair, 0), session(pair, 1)
    for i in range(20):
        a.ok("RESERVE", f"user.c{i}", "backenda!default")
    wait_for(lambda: len(session(pair, 1).do("LIST")[0]) == 20, "the other has them")
    follower.follow()
    pair.daemons[1].process.send_signal(signal.SIGSTOP)
    try:
        for i in range(0, 20, 2):
            a.ok("DELETE", f"user.c{i}")
        a.ok("RESERVE", "user.new", "backenda!default")
        revision = int(re.search(r'"revision":(\d+)', etcd.ctl("get", "/x", "-w", "json").stdout).group(1))
        # What is left of the watch's stream would still come: its connection must go, too.
        assert etcd.ctl("compact", str(revision)).returncode == 0
        for i in range(3):
            etcd.kill(i)
            etcd.start_node(i)
            etcd.wait_healthy()
    finally:
        pair.daemons[1].process.send_signal(signal.SIGCONT)
    b = session(pair, 0)
    b.ok("RESERVE", "user.last", "backenda!default")
    seen = []
    while not seen or "user.last" not in seen[-1]:
        seen.append(follower.record())
        assert seen[-1] != "", seen
    assert sorted(x for x in seen if "DELETE" in x) == sorted(f'u DELETE "user.c{i}"' for i in range(0, 20, 2))
    assert not any(f'"user.c{i}"' in x for i in range(1, 20, 2) for x in seen), seen
    assert len(session(pair, 1).do("LIST")[0]) == 12


class SharedMurder(Murder):
    """A pair whose members know two mupdate servers on one etcd."""

    def __init__(self, etcd, prefix):
        super().__init__(backends={"backenda": ["backenda1", "backenda2"]})
        shared = {"directory_store": "etcd", "etcd_endpoints": " ".join(etcd.endpoints), "etcd_prefix": prefix}
        self.mupdate.values.update(shared)
        values = dict(self.mupdate.values, configdirectory=self.dir + "/mupdate2")
        self.second_port = free_port()
        values["mupdate_listen"] = f"127.0.0.1:{self.second_port}"
        os.mkdir(self.dir + "/mupdate2")
        self.second = Daemon(self.dir, "mupdate", "mupdate2", values)
        both = [f"127.0.0.1:{self.mupdate_port}", f"127.0.0.1:{self.second_port}"]
        for i, m in enumerate(self.members.values()):
            # Each its own first, so that they are connected to different ones.
            m.values["mupdate_server"] = " ".join(both[i:] + both[:i])

    def start(self):
        """backenda1 first, so that it is master."""
        self.second.start()
        others = {n: d for n, d in self.members.items() if d is not self.first}
        self.members = {self.first.name: self.first}
        try:
            return super().start()
        finally:
            self.members.update(others)
            for d in others.values():
                d.start()


def servers(port):
    """What XWATCH says: server -> (epoch, master, in-sync set), member -> up or down."""
    c = Mupdate(At(port), "admin")
    c.send("w XWATCH\r\n")
    lines, done = c.until("w")
    assert done.startswith("OK")
    c.close()
    reigns, members = {}, {}
    for line in lines:
        words = re.findall(r'"([^"]*)"', line)
        if " XSERVER " in line:
            reigns[words[0]] = (int(words[1]), words[2], words[3])
        elif " XMEMBER " in line:
            members[words[1]] = words[6]
    return reigns, members


def test_a_pair_at_two_mupdate_servers(etcd):
    m = SharedMurder(etcd, "/pair/")
    ports = [m.mupdate_port, m.second_port]
    m.start()
    try:
        in_sync = lambda: all(servers(p)[0].get("backenda", (0, "", ""))[2].split() in (["backenda1", "backenda2"], ["backenda2", "backenda1"])
                              for p in ports)
        wait_for(in_sync, "both mupdate servers know of both members")
        assert servers(ports[0])[1] == {"backenda1": "up", "backenda2": "up"} == servers(ports[1])[1]
        master = servers(ports[0])[0]["backenda"][1]
        other = "backenda2" if master == "backenda1" else "backenda1"
        # Asked for at the one that the master is not connected to.
        c = Mupdate(At(ports[1] if master == "backenda1" else ports[0]), "admin")
        c.ok("XPROMOTE", "backenda", other)
        wait_for(lambda: servers(ports[0])[0]["backenda"][1] == other == servers(ports[1])[0]["backenda"][1], "it reigns")
        wait_for(in_sync, "the old master follows")
        # The mupdate server of the new master dies: its member goes to the other, which has it in charge alone.
        m.second.kill() if other == "backenda2" else m.mupdate.kill()
        left = ports[0] if other == "backenda2" else ports[1]
        m.members[other].kill()
        wait_for(lambda: servers(left)[0]["backenda"][1] == master, "the other takes over", 20)
        i = wait_for(lambda: m.imap("admin", member=m.members[master]), "it serves")
        assert i.create("user/late")[0] == "OK"
        i.logout()
        m.members[other].start()
        (m.second if other == "backenda2" else m.mupdate).start()
        wait_for(in_sync, "all is well again", 30)
    finally:
        if m.second.process is not None:
            m.second.stop()
        m.expect_event("peer.mupdate.lost")
        m.stop()
