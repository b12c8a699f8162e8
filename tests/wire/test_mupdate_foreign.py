"""A pair that is not Roost's: the members of a server told apart by login or address, and the one master of them."""
import json
import os
import re
import subprocess

import pytest

from etcd import Directories, Etcd
from mupdate import Directory, Mupdate, state
from roost import PASSWORD, ROOST, free_port, http, wait_for

ONE, TWO, THREE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ACCOUNTS = ["fred", "cyrus1", "cyrus2", "stray"]
# How a row tells its members apart, and as whom each of them, and somebody else of the server, comes.
FORMS = {
    "login": ("one=cyrus1 two=cyrus2", ("cyrus1", ONE), ("cyrus2", ONE), ("backenda", ONE)),
    "address": (f"one={ONE} two={TWO}", ("backenda", ONE), ("backenda", TWO), ("backenda", THREE)),
    "both": (f"one=backenda@{ONE} two=backenda@{TWO} two=cyrus2", ("backenda", ONE), ("cyrus2", THREE), ("backenda", THREE)),
    "ipv6": (f"one=::ffff:{ONE} two=[::ffff:{TWO}]", ("backenda", ONE), ("backenda", TWO), ("backenda", THREE)),
}


class Pair:
    """A mupdate server with such a row, and the verbs that an operator has there."""

    def __init__(self, form="login", **values):
        row, self.one, self.two, self.other = FORMS[form]
        self.admin = f"127.0.0.1:{free_port()}"
        self.dir = Directory(users=ACCOUNTS, **{"members-backenda": row, "admin_listen": self.admin, **values})
        self.client = self.dir.dir + "/client.conf"
        with open(self.client, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(f"mupdate_server: 127.0.0.1\nmupdate_port: {self.dir.mupdate_port}\n"
                    f"mupdate_authname: admin\nmupdate_password: {PASSWORD}\n")

    def start(self):
        self.dir.start()
        wait_for(lambda: self.role("one") is not None, "the pair has a first master")
        return self

    def session(self, who):
        user, source = who
        return Mupdate(self.dir, user, source=source)

    def role(self, member, server="backenda"):
        status, text = http(self.admin, f"/role/{server}/{member}")
        return None if status == 404 else (status, text.strip())

    def roost(self, *args):
        return subprocess.run([ROOST, *args, "-C", self.client], capture_output=True, text=True, timeout=30)


def metric(text, name):
    return [line for line in text.splitlines() if line.startswith(name)]


@pytest.fixture(params=list(FORMS))
def pair(request):
    p = Pair(request.param).start()
    yield p
    p.dir.stop()


@pytest.fixture
def by_login():
    p = Pair().start()
    yield p
    p.dir.stop()


def test_the_master_writes_and_the_other_changes_nothing(pair):
    master, other, reader = pair.session(pair.one), pair.session(pair.two), pair.session(("frontend", THREE))
    follower = pair.session(("frontend", THREE))
    assert follower.follow() == []
    # What a replica says when its mailbox is created: positive, before and after the master.
    other.ok("RESERVE", "user.a", "backenda!default")
    other.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    assert state(reader, "user.a") is None
    master.ok("RESERVE", "user.a", "backenda!default")
    other.ok("RESERVE", "user.a", "backenda!default")
    assert state(reader, "user.a") == ("RESERVE", "backenda!default")
    other.ok("ACTIVATE", "user.a", "backenda!default", "a l")
    assert state(reader, "user.a") == ("RESERVE", "backenda!default")
    master.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    # Whatever it says later: nothing changes.
    for verb, *args in (("RESERVE", "user.a", "backenda!other"), ("ACTIVATE", "user.a", "backenda!other", "a l"),
                        ("DEACTIVATE", "user.a", "backenda!default"), ("DELETE", "user.a"), ("DELETE", "user.a"),
                        ("DELETE", "user.nobody"), ("DEACTIVATE", "user.nobody", "backenda!default")):
        other.ok(verb, *args)
        assert reader.ok("FIND", "user.a")[0].endswith('MAILBOX "user.a" "backenda!default" "a lr"'), verb
    # The follower has seen the master's two changes and no other.
    master.ok("ACTIVATE", "user.b", "backenda!default", "b lr")
    assert [re.sub(r"^\S+ ", "", follower.record()) for _ in range(3)] == [
        'RESERVE "user.a" "backenda!default"', 'MAILBOX "user.a" "backenda!default" "a lr"',
        'MAILBOX "user.b" "backenda!default" "b lr"']
    # A rename, as both tell it: the new name reserved and activated, the old one deleted, by both in any order.
    other.ok("RESERVE", "user.c", "backenda!default")
    master.ok("RESERVE", "user.c", "backenda!default")
    master.ok("DELETE", "user.b")
    other.ok("DELETE", "user.b")
    other.ok("ACTIVATE", "user.c", "backenda!default", "c lr")
    master.ok("ACTIVATE", "user.c", "backenda!default", "c lr")
    assert state(reader, "user.b") is None and state(reader, "user.c") == ("MAILBOX", "backenda!default")


def test_what_is_no_member_of_the_server_writes_nothing(pair):
    stranger, reader = pair.session(pair.other), pair.session(("frontend", THREE))
    pair.session(pair.one).ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    for verb, *args in (("RESERVE", "user.b", "backenda!default"), ("ACTIVATE", "user.a", "backenda!x", "a l"),
                        ("DEACTIVATE", "user.a", "backenda!default"), ("DELETE", "user.a")):
        assert stranger.do(verb, *args)[1] == 'NO "this login is none of the server\'s members"', verb
    assert stranger.do("XJOIN", "backenda", "one", *["127.0.0.1:1"] * 4, "0", "", "")[1].startswith("NO")
    assert pair.session(pair.one).do("XJOIN", "backenda", "one", *["127.0.0.1:1"] * 4, "0", "", "")[1].startswith("NO")
    assert state(reader, "user.a") == ("MAILBOX", "backenda!default") and state(reader, "user.b") is None
    # Another server's account is nobody here, from whatever address; it has its own server, which has no row.
    for source in (ONE, TWO, THREE):
        c = pair.session(("backendb", source))
        c.no("DELETE", "user.a")
        c.no("ACTIVATE", "user.a", "backenda!default", "a l")
        c.ok("ACTIVATE", f"user.{source}", "backendb!default", "a l")
        pair.session(("frontend", source)).no("ACTIVATE", "user.b", "backenda!default", "a l")
    assert state(reader, "user.a") == ("MAILBOX", "backenda!default")
    # Each writes for its own server only, and an administrator for all.
    pair.session(pair.one).no("RESERVE", "user.b", "backendb!default")
    pair.session(pair.two).no("RESERVE", "user.b", "backendb!default")
    pair.session(("admin", ONE)).ok("DELETE", "user.a")
    assert state(reader, "user.a") is None


def test_an_order_changes_the_master_and_the_old_ones_late_words_do_nothing(pair):
    old, new, reader = pair.session(pair.one), pair.session(pair.two), pair.session(("frontend", THREE))
    old.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    assert pair.role("one") == (200, "master") and pair.role("two") == (503, "replica")
    done = pair.roost("promote", "backenda", "two")
    assert done.returncode == 0, done.stderr
    assert pair.role("one") == (503, "replica") and pair.role("two") == (200, "master")
    assert pair.role("TWO") is None and pair.role("two", "BackendA") == (200, "master")
    # The trap: a deletion that the old master had sent, or repeats when it returns, comes late.
    old.ok("DELETE", "user.a")
    old.ok("DEACTIVATE", "user.a", "backenda!default")
    old.ok("ACTIVATE", "user.x", "backenda!default", "x lr")
    assert state(reader, "user.a") == ("MAILBOX", "backenda!default") and state(reader, "user.x") is None
    new.ok("ACTIVATE", "user.b", "backenda!default", "b lr")
    new.ok("DELETE", "user.a")
    assert state(reader, "user.a") is None and state(reader, "user.b") == ("MAILBOX", "backenda!default")
    # Asked twice it is the same; the other way, without a name; and who does not exist.
    assert pair.roost("promote", "backenda", "two").returncode == 0
    assert pair.roost("failover", "backenda").returncode == 0
    assert pair.role("one") == (200, "master")
    bad = pair.roost("promote", "backenda", "three")
    assert bad.returncode != 0 and "no such member" in bad.stderr, bad
    new.ok("DELETE", "user.b")
    assert state(reader, "user.b") == ("MAILBOX", "backenda!default")


def test_status_and_metrics_tell_it(by_login):
    p = by_login
    one, two = p.session(p.one), p.session(p.two)
    one.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    two.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    two.ok("DELETE", "user.a")
    text = http(p.admin, "/metrics")[1]
    assert metric(text, "roost_directory_ignored_total ") == ["roost_directory_ignored_total 2"]
    assert sorted(metric(text, "roost_directory_master{")) == [
        'roost_directory_master{server="backenda",member="one"} 1',
        'roost_directory_master{server="backenda",member="two"} 0']
    server = json.loads(http(p.admin, "/status.json")[1])["servers"]["backenda"]
    assert server["joins"] is False and server["master"] == "one" and server["members"]["two"]["role"] == "replica"
    shown = p.roost("status").stdout
    assert re.search(r"(?m)^\S*backenda\s.*\bone\b.*\bmaster\b", shown) and re.search(r"\btwo\b.*\breplica\b", shown), shown
    members = json.loads(p.roost("status", "--json").stdout)["servers"][0]["members"]
    assert {m["name"]: (m["role"], m["joins"]) for m in members} == {"one": ("master", False), "two": ("replica", False)}
    assert p.role("nobody") is None and p.role("one", "backendb") is None
    for path in ("/role/", "/role/backenda", "/role/backenda/", "/role//one", "/role/backenda/one/", "/role/" + "x" * 5000):
        assert http(p.admin, path)[0] == 404, path
    assert p.session(p.two).do("XPROMOTE", "backendb", "one")[1].startswith("NO")
    # One of the pair may ask for itself, as a script on it would; a frontend may not.
    p.session(("frontend", THREE)).no("XPROMOTE", "backenda", "two")
    p.session(p.two).ok("XPROMOTE", "backenda", "two")
    assert p.role("two") == (200, "master")


def test_who_is_master_survives_the_mupdate_server(by_login):
    p = by_login
    p.session(p.one).ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    assert p.roost("promote", "backenda", "two").returncode == 0
    p.dir.mupdate.kill()
    p.dir.start()
    wait_for(lambda: p.role("two") == (200, "master"), "the same master")
    p.session(p.one).ok("DELETE", "user.a")
    assert state(p.session(("frontend", THREE)), "user.a") == ("MAILBOX", "backenda!default")
    # The row grows by a member, as when a machine is replaced, and shrinks by the one that was never master.
    assert p.dir.mupdate.stop() == 0
    p.dir.mupdate.values["members-backenda"] = "two=cyrus2 three=stray"
    p.dir.mupdate.write()
    p.dir.start()
    wait_for(lambda: p.role("three") == (503, "replica"), "the new member")
    assert p.role("two") == (200, "master") and p.role("one") is None
    assert p.roost("promote", "backenda", "three").returncode == 0
    p.session(("stray", THREE)).ok("DELETE", "user.a")
    assert state(p.session(("frontend", THREE)), "user.a") is None


@pytest.mark.parametrize("values, complaint", [
    ({"members-backenda": ""}, "names no members"),
    ({"members-backenda": "one"}, '"one" is not MEMBER=AUTHNAME'),
    ({"members-backenda": "one=a =b"}, '"=b" is not MEMBER='),
    ({"members-backenda": "one="}, '"one=" is not MEMBER='),
    ({"members-backenda": "one=@127.0.0.2"}, '"one=@127.0.0.2" is not MEMBER='),
    ({"members-backenda": "one=a two=a"}, '"two=a" names a login that another word names before'),
    ({"members-backenda": "one=127.0.0.2 two=::ffff:127.0.0.2"}, "names a login that another word names before"),
    ({"members-backenda": "one=a", "members-backendb": "uno=a"}, '"uno=a" names a login that another word names before'),
    ({"members-backenda": "one=admin two=b"}, '"one=admin" names one of admins'),
    ({"members-backenda": "x" * 2000 + "=a"}, "has too long a member's name"),
    ({"members-backenda": " ".join(f"m{i}=a{i}" for i in range(40))}, "names more than"),
])
def test_a_wrong_row_is_refused_at_the_start(values, complaint):
    d = Directory(users=ACCOUNTS, **values).mupdate
    d.write()
    done = subprocess.run([ROOST, "mupdate", "-C", d.config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1, done
    line = next(x for x in done.stderr.splitlines() if complaint in x)
    key = list(values)[-1]
    number = next(i for i, x in enumerate(open(d.config), 1) if x.startswith(key + ":"))
    assert f"{d.config}: line {number}: {key}: " in line, line


def test_the_directories_of_one_etcd_agree_on_the_master():
    etcd = Etcd(1).start()
    both = Directories(etcd, extra={"members-backenda": "one=cyrus1 two=cyrus2"})
    try:
        both.start()

        def role(i, member):
            return http(f"127.0.0.1:{both.admins[i]}", f"/role/backenda/{member}")

        for i in (0, 1):
            wait_for(lambda i=i: role(i, "one") == (200, "master\n"), f"mupdate server {i} has the first master")

        class At:
            def __init__(self, i):
                self.mupdate_port = both.ports[i]

        one, two = Mupdate(At(0), "cyrus1"), Mupdate(At(1), "cyrus2")
        one.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
        two.ok("DELETE", "user.a")
        assert state(two, "user.a") == ("MAILBOX", "backenda!default")
        Mupdate(At(1), "admin").ok("XPROMOTE", "backenda", "two")
        # The old master's word, at the server that has not yet heard of it, is decided where the records are.
        one.ok("DELETE", "user.a")
        assert state(two, "user.a") == ("MAILBOX", "backenda!default")
        for i in (0, 1):
            wait_for(lambda i=i: (role(i, "two"), role(i, "one")[0]) == ((200, "master\n"), 503), "both have heard")
        two.ok("DELETE", "user.a")
        assert state(two, "user.a") is None
        # Where etcd cannot be asked nobody knows: not master, rather than two.
        etcd.kill(0)
        for i in (0, 1):
            wait_for(lambda i=i: role(i, "two") == (503, "unknown\n"), "nobody knows")
        etcd.start_node(0)
        for i in (0, 1):
            wait_for(lambda i=i: role(i, "two") == (200, "master\n"), "it is known again", 40)
    finally:
        both.stop()
        etcd.stop()
