"""The mupdate server, raw: RFC 3656, the table of states, many followers, members and reigns."""
import re
import time

import pytest

from mupdate import Mupdate, state
from roost import Murder, Raw, wait_for


@pytest.fixture(scope="module")
def server():
    m = Murder(users=["fred"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]})
    m.mupdate.start()
    wait_for(lambda: Raw(m.mupdate_port).close() or True, "it listens")
    yield m
    m.mupdate.stop()
    assert not re.findall(r"^\S+ error .*", m.mupdate.text(), re.M)


@pytest.fixture
def c(server):
    c = Mupdate(server, "admin")
    yield c
    c.close()


n = 0


@pytest.fixture
def name():
    global n
    n += 1
    return f"user.test{n}"


def test_banner_and_authentication(server):
    c = Mupdate(server)
    text = "\n".join(c.banner)
    assert '* AUTH' in text and '"PLAIN"' in text and '* OK MUPDATE' in text
    assert c.cmd('FIND "x"')[1].startswith("NO") and c.cmd('UPDATE')[1].startswith("NO"), "RFC 3656 section 4"
    assert c.auth("admin", password="wrong")[1].startswith("NO")
    assert c.auth("fred")[1].startswith("NO"), "fred has no business here"
    assert c.auth("admin")[1].startswith("OK")
    assert c.auth("admin")[1].startswith(("NO", "BAD"))
    assert c.cmd("NOOP")[1].startswith("OK")
    assert c.cmd("LOGOUT") == ([], 'BYE "bye-bye"') and c.ends() == ""
    c.close()
    c = Mupdate(server)
    assert c.cmd("STARTTLS")[1].startswith("BAD"), "there is no certificate"
    assert c.cmd('STARTTLS "x"')[1].startswith("BAD") and c.cmd('LOGOUT "x"')[1].startswith("BAD")
    assert c.cmd("LOGOUT") == ([], 'BYE "bye-bye"') and c.ends() == ""
    c.close()


def test_the_table_of_states(c, name):
    a, b = "backenda!default", "backendb!default"
    c.no("DEACTIVATE", name, a)
    c.no("DELETE", name)
    c.ok("RESERVE", name, a)
    assert state(c, name) == ("RESERVE", a)
    c.ok("RESERVE", name, a)
    c.ok("RESERVE", name, "BACKENDA!default")
    c.no("RESERVE", name, b)
    c.no("DEACTIVATE", name, a)
    c.ok("ACTIVATE", name, a, "fred lr")
    assert state(c, name) == ("MAILBOX", a)
    c.ok("RESERVE", name, a)
    assert state(c, name) == ("MAILBOX", a), "a second reservation leaves it active"
    c.ok("RESERVE", name, "backenda!")
    c.no("RESERVE", name, b)
    c.ok("ACTIVATE", name, a, "fred lrs")
    c.no("DEACTIVATE", name, b)
    c.ok("ACTIVATE", name, b, "fred lrs")
    assert state(c, name) == ("MAILBOX", b), "RFC 3656 lets ACTIVATE move it"
    c.ok("DEACTIVATE", name, b)
    assert state(c, name) == ("RESERVE", b)
    c.ok("DELETE", name)
    assert state(c, name) is None


def test_the_pair_deletes_twice(server, name):
    c = Mupdate(server, "backenda")
    c.ok("ACTIVATE", name, "backenda!default", "fred lr")
    c.ok("DELETE", name)
    c.ok("DELETE", name)
    other = Mupdate(server, "backendb")
    other.no("DELETE", name)
    c.close()
    other.close()


def test_a_server_writes_only_its_own(server, name):
    c = Mupdate(server, "backenda")
    c.no("RESERVE", name, "backendb!default")
    c.no("ACTIVATE", name, "backendb!default", "x lr")
    c.close()


def test_list(c, name):
    for i in range(3):
        c.ok("ACTIVATE", f"{name}.{i}", "backenda!default", "fred lr")
    everything = c.ok("LIST")
    assert sum(name + "." in x for x in everything) == 3
    assert sum(name + "." in x for x in c.ok("LIST", "backenda")) == 3
    assert sum(name + "." in x for x in c.ok("LIST", "backendb")) == 0


@pytest.mark.parametrize("line", [
    b"", b" ", b"x", b"a1", b"a1 NOSUCH", b'a1 RESERVE', b'a1 RESERVE "x"', b'a1 RESERVE "x" "y" "z"', b'a1 ACTIVATE "x" "y"', b'a1 FIND', b'a1 FIND "x" "y"',
    b'a1 FIND x', b'a1 FIND "x', b'a1 DELETE', b'a1 DEACTIVATE "x"', b'a1 LIST "a" "b"', b'a1 FIND {x}', b'a1 FIND {99999999999999999999}', b'a1 FIND {-1}', b"\0\0\0",
    b'a1 XJOIN "a"', b'a1 XREIGN "a" "b" "c" "d"', b"a1 STARTTLS", b"\xff\xfe\xfd", b"a" * 3000 + b" NOOP",
])
def test_wrong_lines(server, line):
    c = Mupdate(server, "admin")
    c.send(line + b"\r\n")
    assert re.search(r"\b(BAD|NO)\b", c.record())
    c.send(b"z NOOP\r\n")
    assert c.record().startswith("z OK") or c.record().startswith("z OK")
    c.close()


def test_limits(server, c):
    try:
        c.send(b"a FIND {200000+}\r\n" + b"x" * 200000 + b"\r\n")
        answer = c.record()
    except OSError:
        answer = ""
    assert answer == "" or "BAD" in answer or "BYE" in answer
    again = Mupdate(server, "admin")
    again.ok("NOOP")
    again.close()


def test_updates_reach_every_follower_and_a_slow_one_delays_none(server, name):
    c = Mupdate(server, "admin")
    followers = [Mupdate(server, "frontend") for _ in range(20)]
    slow = Mupdate(server, "frontend")
    slow.send("u UPDATE\r\n")
    for f in followers:
        f.send("u UPDATE\r\n")
    for f in followers:
        while not re.match(r"u OK", f.record()):
            pass
    big = "fred lrswipkxtea\t" * 20
    c.send(b"".join(b'p%d ACTIVATE "%s.%d" "backenda!default" "%s"\r\n' % (i, name.encode(), i, big.encode()) for i in range(5000)))
    for i in range(5000):
        assert c.record().startswith(f"p{i} OK")
    began = time.monotonic()
    for f in followers:
        while f"{name}.4999" not in f.record():
            pass
    assert time.monotonic() - began < 20
    c.ok("DELETE", name + ".0")
    for f in followers:
        assert re.match(rf'u DELETE "{name}\.0"', f.record())
        f.close()
    slow.close()
    c.close()


def test_nothing_is_told_twice(server, name):
    f = Mupdate(server, "frontend")
    f.send("u UPDATE\r\n")
    while not f.record().startswith("u OK"):
        pass
    c = Mupdate(server, "admin")
    c.ok("RESERVE", name, "backenda!default")
    c.ok("ACTIVATE", name, "backenda!default", "fred lr")
    c.ok("RESERVE", name, "backenda!default")
    c.ok("ACTIVATE", name, "backenda!default", "fred lr")
    c.ok("DELETE", name)
    f.send("n NOOP\r\n")
    seen = []
    while not seen or not seen[-1].startswith("n OK"):
        seen.append(f.record())
    words = [x.split()[1] for x in seen[:-1] if name in x]
    assert words in (["RESERVE", "MAILBOX", "DELETE"], ["MAILBOX", "DELETE"]), seen
    f.close()
    c.close()


def test_a_partial_list(server, name):
    """UPDATE with servers' names: their mailboxes, what comes to them, and what leaves them, whether before or after the list."""
    c, a, b = Mupdate(server, "admin"), "backenda!default", "backendb!default"
    for i, where in enumerate((a, b, "backendaa!x", "other!x")):
        c.ok("ACTIVATE", f"{name}.{i}", where, "fred lr")
    c.ok("RESERVE", f"{name}.4", a)

    def partial(*servers):
        f = Mupdate(server, "frontend")
        f.send(b"u UPDATE" + b"".join(b" {%d+}\r\n%s" % (len(s), s.encode()) for s in servers) + b"\r\n")
        lines, done = f.until("u")
        assert done.startswith("OK")
        f.listed = [x.split()[1] + x.split('"')[1][len(name):] for x in lines if f'"{name}.' in x]
        return f

    def heard(f):
        f.send("n NOOP\r\n")
        lines, done = f.until("n")
        assert done.startswith("OK")
        return [x.split()[1] + x.split('"')[1][len(name):] for x in lines]
    one, all_three = partial("BACKENDA!"), partial(*[f"none{i}" for i in range(27)], "backenda!", "backendb!", "other!")
    assert one.listed == ["MAILBOX.0", "RESERVE.4"]
    assert all_three.listed == ["MAILBOX.0", "MAILBOX.1", "MAILBOX.3", "RESERVE.4"], "as many names as Cyrus takes"
    assert partial("backenda").listed == ["MAILBOX.0", "MAILBOX.2", "RESERVE.4"], "a prefix is no server"
    c.ok("ACTIVATE", f"{name}.1", a, "fred lr")
    assert heard(one) == ["MAILBOX.1"] and heard(all_three) == ["MAILBOX.1"]
    c.ok("ACTIVATE", f"{name}.0", b, "fred lr")
    assert heard(one) == ["DELETE.0"] and heard(all_three) == ["MAILBOX.0"]
    for verb, *args in (("RESERVE", f"{name}.5", b), ("ACTIVATE", f"{name}.3", "other!x", "fred lrs"), ("DELETE", f"{name}.0")):
        c.ok(verb, *args)
    assert heard(one) == [] and heard(all_three) == ["RESERVE.5", "MAILBOX.3", "DELETE.0"]
    c.ok("DEACTIVATE", f"{name}.1", a)
    c.ok("DELETE", f"{name}.4")
    assert heard(one) == ["RESERVE.1", "DELETE.4"] and heard(all_three) == ["RESERVE.1", "DELETE.4"]
    for x in (c, one, all_three):
        x.close()


def test_records_survive_a_kill(server, c, name):
    c.send(b"".join(b'k%d RESERVE "%s.%d" "backenda!default"\r\n' % (i, name.encode(), i) for i in range(2000)))
    answered = [c.record().split()[0] for _ in range(500)]
    server.mupdate.kill()
    server.mupdate.start()
    wait_for(lambda: Raw(server.mupdate_port).close() or True, "it listens")
    again = Mupdate(server, "admin")
    for tag in answered:
        assert state(again, f"{name}.{tag[1:]}") == ("RESERVE", "backenda!default")
    again.close()


def join(server, account, member, name="backenda", epoch="0", master="", in_sync=""):
    c = Mupdate(server, account, member)
    return c, c.do("XJOIN", name, member, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", epoch, master, in_sync)


def test_members_and_reigns(server):
    one, (lines, done) = join(server, "backenda", "backenda1")
    assert done.startswith("OK"), done
    wait_for(lambda: "XSERVER" in one.record(), "the first reign")
    assert join(server, "backenda", "backendb1", "backendb")[1][1].startswith("NO"), "another server's name"
    assert join(server, "frontend", "backenda1")[1][1].startswith("NO"), "no member's account"
    two, (lines, done) = join(server, "backenda", "backenda2")
    assert done.startswith("OK") and any('XSERVER "backenda" "1" "backenda1" "backenda1"' in x for x in lines), lines
    # Not in sync: it may not rule.
    assert two.do("XREIGN", "backenda", "1", "backenda2", "backenda2")[1].startswith("NO")
    # The master takes it in; an old epoch is refused.
    assert one.do("XREIGN", "backenda", "1", "backenda1", "backenda1 backenda2")[1].startswith("OK")
    assert one.do("XREIGN", "backenda", "1", "backenda1", "backenda1")[1].startswith("NO")
    # Both ask for epoch 2's successor: one wins.
    assert two.do("XREIGN", "backenda", "2", "backenda2", "backenda2")[1].startswith("OK")
    assert one.do("XREIGN", "backenda", "2", "backenda1", "backenda1")[1].startswith("NO")
    # Who is not master is answered OK and changes nothing.
    two.ok("ACTIVATE", "user.reign", "backenda!default", "x lr")
    one.ok("DELETE", "user.reign")
    assert state(two, "user.reign") == ("MAILBOX", "backenda!default")
    two.ok("DELETE", "user.reign")
    assert state(two, "user.reign") is None
    one.close()
    two.close()


def test_who_serves_pop3_is_told_behind_its_line(server):
    """A last argument that may be missing, and a line of its own: who knows nothing of POP3 sends and reads what it ever did."""
    watcher = Mupdate(server, "admin")
    watcher.ok("XWATCH")

    def heard(*words):
        """The next line of the extension about a member or frontend."""
        while True:
            line = watcher.record()
            if "XSERVER" not in line:
                assert line.split() == ["*", *(f'"{w}"' if i else w for i, w in enumerate(words))], line
                return
    at = [f"127.0.0.1:{i}" for i in range(1, 5)]
    one = Mupdate(server, "backenda", "backenda7")
    one.ok("XJOIN", "backenda", "backenda7", *at, "0", "", "", "127.0.0.1:5")
    heard("XMEMBER", "backenda", "backenda7", *at, "up")
    heard("XPOP3", "backenda", "backenda7", "127.0.0.1:5")
    front = Mupdate(server, "frontend")
    front.ok("XFRONTEND", "front7", *at[:3], "127.0.0.1:6")
    heard("XFRONTEND", "front7", *at[:3], "up")
    heard("XPOP3", "", "front7", "127.0.0.1:6")
    lines, _ = Mupdate(server, "admin").do("XWATCH")
    for x in lines:
        assert "XPOP3" not in x or '"127.0.0.1:5"' in x or '"127.0.0.1:6"' in x
    assert sum("XPOP3" in x for x in lines) == 2
    for c, lost in ((one, ("XMEMBER", "backenda", "backenda7", *at, "down")), (front, ("XFRONTEND", "front7", *at[:3], "down"))):
        c.close()
        heard(*lost)
        assert "XPOP3" in watcher.record()
    # It comes again, and serves no POP3 any more.
    one = Mupdate(server, "backenda", "backenda7")
    one.ok("XJOIN", "backenda", "backenda7", *at, "0", "", "")
    heard("XMEMBER", "backenda", "backenda7", *at, "up")
    lines, _ = Mupdate(server, "admin").do("XWATCH")
    assert sum("XPOP3" in x for x in lines) == 1
    for c in (one, watcher):
        c.close()


def test_promotion_is_passed_on(server):
    master, (lines, done) = join(server, "backendb", "backendb1", "backendb")
    assert done.startswith("OK")
    wait_for(lambda: "XSERVER" in master.record(), "the reign")
    other, _ = join(server, "backendb", "backendb2", "backendb")
    assert master.do("XREIGN", "backendb", "1", "backendb1", "backendb1 backendb2")[1].startswith("OK")
    admin = Mupdate(server, "admin")
    admin.no("XPROMOTE", "nosuch", "")
    admin.no("XPROMOTE", "backendb", "nobody")
    admin.send('p XPROMOTE "backendb" "backendb2"\r\n')
    wait_for(lambda: 'XPROMOTE "backendb" "backendb2"' in master.record(), "the master is asked")
    assert master.do("XREIGN", "backendb", "2", "backendb2", "backendb1 backendb2")[1].startswith("OK")
    assert admin.until("p")[1].startswith("OK")
    front = Mupdate(server, "frontend")
    front.no("XPROMOTE", "backendb", "backendb1")
    for x in (master, other, admin, front):
        x.close()
