"""A mupdate server that follows another: its copy, its answers, what it tells its own followers, with the master away."""
import re
import subprocess
import time

import pytest

from mupdate import Directory, Mupdate, is_plain, state
from roost import PASSWORD, ROOST, Raw, free_port, http, wait_for


def follower_of(master, **values):
    values = {"mupdate_server": "127.0.0.1", "mupdate_port": master.mupdate_port, "mupdate_authname": "frontend",
              "mupdate_password": PASSWORD, "admin_listen": f"127.0.0.1:{free_port()}", **values}
    return Directory(**values)


def admin(d):
    return d.mupdate.values["admin_listen"]


def ready(d):
    return http(admin(d), "/readyz")[0] == 200


def fill(c, first, last, name="user.f", location="backenda!default", acl="f lr"):
    """Activate many at once."""
    c.send(b"".join(b'f%d ACTIVATE "%s%d" "%s" "%s"\r\n' % (i, name.encode(), i, location.encode(), acl.encode())
                    for i in range(first, last)))
    for i in range(first, last):
        assert c.record().startswith(f"f{i} OK")


def names(lines):
    return {re.match(r'\S+ (?:MAILBOX|RESERVE) "([^"]*)"', x).group(1) for x in lines}


@pytest.fixture
def pair():
    master = Directory().start()
    follower = follower_of(master).start()
    wait_for(lambda: ready(follower), "the copy is whole")
    yield master, follower
    follower.stop()
    master.stop()


def test_it_serves_the_masters_list(pair):
    master, follower = pair
    m, f = Mupdate(master, "admin"), Mupdate(follower, "frontend")
    assert f.banner[-1].endswith(f'"mupdate://127.0.0.1:{master.mupdate_port}"'), f.banner
    assert m.banner[-1].endswith('"(master)"')
    m.ok("RESERVE", "user.a", "backenda!default")
    m.ok("ACTIVATE", "user.b", "backendb!default", "b lr")
    f.ok("NOOP")
    # What its NOOP is answered after is all that the master had answered before.
    assert state(f, "user.a") == ("RESERVE", "backenda!default")
    assert state(f, "user.b") == ("MAILBOX", "backendb!default")
    assert names(f.ok("LIST")) == {"user.a", "user.b"}
    assert names(f.ok("LIST", "backendb")) == {"user.b"}
    m.ok("DELETE", "user.a")
    f.ok("NOOP")
    assert state(f, "user.a") is None
    assert f.follow() == ['u MAILBOX "user.b" "backendb!default" "b lr"']
    for x in (m, f):
        x.close()


def test_its_copy_can_be_exported(pair):
    master, follower = pair
    m = Mupdate(master, "admin")
    fill(m, 0, 300)
    m.ok("RESERVE", "user.reserved", "backendb!default")
    Mupdate(follower, "admin").ok("NOOP")

    def export(d):
        return subprocess.run([ROOST, "mupdate", "export", "-C", d.mupdate.config], capture_output=True, text=True, timeout=20)

    text = export(follower)
    assert text.returncode == 0 and text.stdout == export(master).stdout and "user.f299" in text.stdout, text.stderr
    # Also of one that is stopped; not of one that never had the whole; and a follower takes no records from elsewhere.
    assert follower.mupdate.stop() == 0
    assert export(follower).stdout == text.stdout
    follower.mupdate.start()
    empty = follower_of(master, mupdate_port=free_port()).start()
    none = export(empty)
    assert none.returncode == 1 and "has no whole list yet" in none.stderr, none
    refused = subprocess.run([ROOST, "mupdate", "import", "-C", empty.mupdate.config], input=text.stdout, capture_output=True,
                             text=True, timeout=20)
    assert refused.returncode == 1 and "makes this server a follower" in refused.stderr, refused
    empty.stop()


def test_writes_are_refused_as_by_cyrus(pair):
    master, follower = pair
    f = Mupdate(follower, "admin")
    for verb, *args in (("RESERVE", "user.x", "backenda!default"), ("ACTIVATE", "user.x", "backenda!default", "x lr"),
                        ("DEACTIVATE", "user.x", "backenda!default"), ("DELETE", "user.x"), ("XPROMOTE", "backenda", ""),
                        ("XFRONTEND", "f", "", "", ""), ("XREIGN", "backenda", "1", "a", "a"),
                        ("XJOIN", "backenda", "backenda1", *["127.0.0.1:1"] * 4, "0", "", "")):
        for _ in range(3):
            assert f.do(verb, *args)[1] == 'BAD "read-only session"', verb
    assert f.do("RESERVE", "user.x")[1] == 'BAD "Missing arguments"'
    # In the order of the commands, though a NOOP waits for the master.
    f.send('1 NOOP\r\n2 DELETE "user.x"\r\n3 NOOP\r\n4 FIND "user.x"\r\n')
    assert [f.record().split(" ")[:2] for _ in range(4)] == [["1", "OK"], ["2", "BAD"], ["3", "OK"], ["4", "OK"]]
    f.follow()
    assert f.do("DELETE", "user.x")[1] == 'BAD "not legal when streaming"'
    f.ok("NOOP")
    f.close()


def test_a_change_reaches_its_followers(pair):
    master, follower = pair
    m, f = Mupdate(master, "admin"), Mupdate(follower, "frontend")
    f.follow()
    m.ok("RESERVE", "user.c", "backenda!default")
    m.ok("ACTIVATE", "user.c", "backenda!default", "c lr")
    m.ok("RESERVE", "user.c", "backenda!default")
    m.ok("DELETE", "user.c")
    lines, done = f.do("NOOP")
    assert done.startswith("OK") and lines[-1] == 'u DELETE "user.c"', lines
    assert [x.split()[1] for x in lines] == ["RESERVE", "MAILBOX", "DELETE"]
    # And with nobody asking.
    m.ok("ACTIVATE", "user.c", "backenda!default", "c lr")
    assert f.record() == 'u MAILBOX "user.c" "backenda!default" "c lr"'
    for x in (m, f):
        x.close()


def test_the_master_goes_and_comes_back_with_differences(pair):
    """What changed meanwhile is told, and nothing else."""
    master, follower = pair
    m = Mupdate(master, "admin")
    fill(m, 0, 3000)
    m.close()
    wait_for(lambda: f'"mailboxes":3000' in http(admin(follower), "/status.json")[1], "the copy")
    f = Mupdate(follower, "frontend")
    assert len(f.follow()) == 3000
    saved = master.mupdate_port
    master.mupdate.kill()
    wait_for(lambda: '"connected":false' in http(admin(follower), "/status.json")[1], "it is away")
    # It serves on, and a NOOP is answered.
    other = Mupdate(follower, "frontend")
    assert state(other, "user.f7") == ("MAILBOX", "backenda!default")
    other.ok("NOOP")
    f.ok("NOOP")
    assert ready(follower) and "roost_directory_connected 0" in http(admin(follower), "/metrics")[1]
    # The master is started where the follower does not see it, changed, and put back.
    hidden = free_port()
    master.mupdate.values["mupdate_listen"], master.mupdate_port = f"127.0.0.1:{hidden}", hidden
    master.start()
    m = Mupdate(master, "admin")
    m.ok("DELETE", "user.f1")
    m.ok("ACTIVATE", "user.f2", "backendb!default", "f lr")
    m.ok("DEACTIVATE", "user.f3", "backenda!default")
    m.ok("RESERVE", "user.new", "backenda!default")
    m.close()
    master.mupdate.stop()
    master.mupdate.values["mupdate_listen"], master.mupdate_port = f"127.0.0.1:{saved}", saved
    master.start()
    told = sorted(f.record() for _ in range(4))
    assert told == ['u DELETE "user.f1"', 'u MAILBOX "user.f2" "backendb!default" "f lr"',
                    'u RESERVE "user.f3" "backenda!default"', 'u RESERVE "user.new" "backenda!default"']
    wait_for(lambda: '"connected":true' in http(admin(follower), "/status.json")[1], "it is back")
    assert f.ok("NOOP") == []
    for x in (f, other):
        x.close()


def test_nobody_is_served_before_the_first_whole_list():
    """A list that is not whole would have those who follow drop what they have."""
    master = Directory()  # not started
    follower = follower_of(master)
    follower.mupdate.start()
    wait_for(lambda: http(admin(follower), "/healthz")[0] == 200, "it lives")
    assert http(admin(follower), "/readyz")[0] == 503
    raw = Raw(follower.mupdate_port)
    assert raw.line().startswith("* BYE")
    raw.close()
    master.start()
    m = Mupdate(master, "admin")
    m.ok("ACTIVATE", "user.a", "backenda!default", "a lr")
    m.close()
    wait_for(lambda: ready(follower), "the copy is whole")
    f = Mupdate(follower, "frontend")
    f.ok("NOOP")
    assert state(f, "user.a")
    f.close()
    # It knows the list again after a restart, orderly or not, the master being away.
    master.mupdate.kill()
    for end in (follower.mupdate.stop, follower.mupdate.kill):
        end()
        follower.start()
        assert ready(follower)
        f = Mupdate(follower, "frontend")
        assert state(f, "user.a")
        f.close()
    # A copy that may have suffered is not used.
    follower.mupdate.kill()
    with open(follower.dir + "/mupdate/directory-followed/complete", "w") as out:
        out.write("another life of the machine")
    follower.start()
    assert http(admin(follower), "/readyz")[0] == 503
    master.mupdate.start()
    wait_for(lambda: ready(follower), "the copy is whole again")
    follower.stop()
    master.stop()


def test_a_follower_of_a_follower(pair):
    master, follower = pair
    third = follower_of(follower).start()
    wait_for(lambda: ready(third), "the copy of the copy")
    m, f = Mupdate(master, "admin"), Mupdate(third, "frontend")
    f.follow()
    m.ok("ACTIVATE", "user.d", "backenda!default", "d lr")
    lines, done = f.do("NOOP")  # kicks through
    assert lines == ['u MAILBOX "user.d" "backenda!default" "d lr"'] and done.startswith("OK")
    for x in (m, f):
        x.close()
    third.stop()


def test_many_records(pair):
    """A list in many transactions; sweeping, too, when the master has lost most."""
    master, follower = pair
    m = Mupdate(master, "admin")
    for i in range(0, 40000, 4000):
        fill(m, i, i + 4000)
    began = time.monotonic()
    f = Mupdate(follower, "frontend")
    f.ok("NOOP")
    assert len(names(f.ok("LIST"))) == 40000
    assert not is_plain() or time.monotonic() - began < 10
    m.close()
    f.follow()
    # Another master, all but empty, at the same place.
    master.mupdate.stop()
    master.mupdate.values["configdirectory"] += "/other"
    master.start()
    m = Mupdate(master, "admin")
    m.ok("ACTIVATE", "user.f5", "backenda!default", "f lr")
    gone = set()
    while len(gone) < 39999:
        line = f.record()
        assert line.startswith("u DELETE"), line
        gone.add(line)
    assert 'u DELETE "user.f5"' not in gone or state(Mupdate(follower, "frontend"), "user.f5")
    for x in (m, f):
        x.close()


def test_wrong_configuration():
    d = Directory(mupdate_server="127.0.0.1")
    d.mupdate.start()
    assert d.mupdate.process.wait(10) == 1
    assert "mupdate_authname" in d.mupdate.text()
    d.mupdate.process = None
