"""A directory in etcd: behind TLS and a password, and moved there from LMDB and back."""
import re
import subprocess

import pytest

from etcd import Directories, Etcd
from mupdate import Directory, Mupdate, state
from roost import ROOST, wait_for
from test_etcd import At, session
from test_tls import certificate


@pytest.fixture(scope="module")
def plain():
    e = Etcd(1).start()
    yield e
    e.stop()


def test_tls_and_a_password(tmp_path):
    cert, key = certificate(tmp_path, "127.0.0.1")
    etcd = Etcd(1, tls=(cert, key)).start()
    try:
        for words in (["user", "add", "root:rootpw"], ["user", "add", "roost:direct ory"], ["role", "add", "roost"],
                      ["role", "grant-permission", "roost", "readwrite", "--prefix=true", "/roost/"],
                      ["user", "grant-role", "root", "root"], ["user", "grant-role", "roost", "roost"], ["auth", "enable"]):
            r = etcd.ctl(*words)
            assert r.returncode == 0, (words, r.stderr)
        access = {"etcd_ca_file": cert, "etcd_user": "roost", "etcd_password": "direct ory"}
        d = Directories(etcd, 1, extra=access).start()
        try:
            c = session(d, 0)
            c.ok("RESERVE", "user.tls", "backenda!default")
            c.ok("DELETE", "user.tls")
            # Tokens run out, or the etcd forgets them: nobody notices.
            etcd.kill(0)
            etcd.start_node(0)
            etcd.wait_healthy()

            def again():
                c = session(d, 0)
                return c.do("RESERVE", "user.again", "backenda!default")[1].startswith("OK")
            wait_for(lambda: attempt(again), "it writes with a new token", 30)
        finally:
            d.stop()
        for wrong, why in (({"etcd_password": "no"}, "authentication failed"), ({"etcd_ca_file": "/etc/hostname"}, "CAfile|certificate"),
                           ({"etcd_prefix": "/other/"}, "permission denied")):
            bad = Directories(etcd, 1, extra={**access, **wrong})
            bad.daemons[0].start()
            wait_for(lambda: re.search(why, bad.daemons[0].text()), f"the log says {why}")
            assert not bad.is_ready(0)
            bad.stop()
    finally:
        etcd.stop()


def attempt(f):
    try:
        return f()
    except (AssertionError, EOFError):
        return False


def test_configuration_that_cannot_be_right(plain):
    for values, line in (({"etcd_endpoints": "127.0.0.1:2379"}, "no URL of an etcd"),
                         ({"etcd_endpoints": "http://192.0.2.1:2379", "etcd_user": "u", "etcd_password": "p"}, "in the clear")):
        d = Directories(plain, 1, extra=values)
        d.daemons[0].start()
        assert d.daemons[0].process.wait(10) == 1
        d.daemons[0].process = None
        said = d.daemons[0].tail(3)
        assert line in said and "etcd_endpoints" in said and "m0.conf: line" in said, said
    d = Directories(plain, 1)
    del d.daemons[0].values["etcd_endpoints"]
    d.daemons[0].start()
    assert d.daemons[0].process.wait(10) == 1
    assert "etcd_endpoints" in d.daemons[0].tail(3)


def roost(*argv, text=None):
    return subprocess.run([ROOST, *argv], input=text, capture_output=True, text=True, timeout=60)


NAMES = ["user.fred", "user.fred.Sent", "example.com!user.mary^smith", "user.odd name", "user.per%cent", "user.ta\tb", "user.\xff\x01"]


def test_moving_a_directory(plain, tmp_path):
    first = Directory().start()
    try:
        c = Mupdate(first, "admin")
        for i, n in enumerate(NAMES):
            c.ok("RESERVE", n.encode("latin-1"), "backenda!default")
            if i % 2 == 0:
                c.ok("ACTIVATE", n.encode("latin-1"), "backenda!default", b"fred\tlrs\t%d\xfe\n" % i)
        for i in range(3000):
            c.send(f'r{i} RESERVE "user.many{i}" "backendb!part"\r\n')
        for i in range(3000):
            assert c.line().startswith(f"r{i} OK")
        # A copy may be taken of a running server.
        text = roost("mupdate", "export", "-C", first.mupdate.config)
        assert text.returncode == 0, text.stderr
        assert text.stdout.count("\n") == 3000 + len(NAMES) + 2 and text.stdout.endswith(f"end\t{3000 + len(NAMES)}\n")
        r = roost("mupdate", "import", "-C", first.mupdate.config, text=text.stdout)
        assert r.returncode == 1 and "in use by another process" in r.stderr, r.stderr
    finally:
        first.stop()
    r = roost("mupdate", "import", "-C", first.mupdate.config, text=text.stdout)
    assert r.returncode == 1 and "has records" in r.stderr, r.stderr

    second = Directories(plain, 1, extra={"etcd_prefix": "/moved/"})
    second.daemons[0].write()
    conf = second.daemons[0].config
    r = roost("mupdate", "import", "-C", conf, text=text.stdout)
    assert r.returncode == 0, r.stderr
    # An import that broke off is run again.
    r = roost("mupdate", "import", "-C", conf, text=text.stdout)
    assert r.returncode == 0, r.stderr
    other = text.stdout.replace("active\tuser.fred\tbackenda!default", "active\tuser.fred\tbackendb!default")
    r = roost("mupdate", "import", "-C", conf, text=other)
    assert r.returncode == 1 and "another record" in r.stderr, r.stderr
    second.start()
    try:
        c = Mupdate(At(second.ports[0]), "admin")
        assert state(c, "user.fred") == ("MAILBOX", "backenda!default")
        c.no("RESERVE", "user.many7", "backenda!default")
        back = roost("mupdate", "export", "-C", conf)
        assert back.returncode == 0 and back.stdout == text.stdout
    finally:
        second.stop()

    third = Directory()
    third.mupdate.write()
    r = roost("mupdate", "import", "-C", third.mupdate.config, text=back.stdout)
    assert r.returncode == 0, r.stderr
    assert roost("mupdate", "export", "-C", third.mupdate.config).stdout == text.stdout


def test_names_and_locations_of_every_octet(plain):
    d = Directories(plain, 2, extra={"etcd_prefix": "/octets/"}).start()
    try:
        a, b = Mupdate(At(d.ports[0]), "admin"), Mupdate(At(d.ports[1]), "admin")
        for octet in range(1, 256):
            name = b"user.%c.%c" % (octet, octet)
            a.send(b't%d ACTIVATE {%d+}\r\n%s {%d+}\r\n%s {%d+}\r\n%s\r\n' % (octet, len(name), name, len(name), name, len(name), name))
        for octet in range(1, 256):
            assert a.record().startswith(f"t{octet} OK")
        # In the order of octets, as with LMDB, and the same at each.
        names = sorted(b"user.%c.%c" % (o, o) for o in range(1, 256))
        want = [f'MAILBOX "{n}" "{n}" "{n}"' for n in (x.decode("utf-8", "surrogateescape") for x in names)]
        wait_for(lambda: len(b.ok("LIST")) == 255, "the other has heard of all")
        for c in (a, b):
            assert [x.split(" ", 1)[1] for x in c.ok("LIST")] == want
        b.no("RESERVE", "", "backenda!default")
        b.no("RESERVE", "user.nowhere", "")
        b.no("RESERVE", "n" * 512, "backenda!default")
        b.ok("RESERVE", "n" * 511, "l" * 60000)
        assert state(a, "n" * 511) == ("RESERVE", "l" * 60000)
    finally:
        d.stop()


def test_a_follower_that_never_reads(plain):
    """What a follower is sent comes from the copy: it has the same bounds, and holds up nobody."""
    d = Directories(plain, 2, extra={"etcd_prefix": "/deaf/", "mupdate_max_pending": "1M"}).start()
    try:
        c, deaf, reads = Mupdate(At(d.ports[0]), "admin"), [Mupdate(At(d.ports[1]), "frontend") for _ in range(3)], Mupdate(At(d.ports[1]), "frontend")
        for i in range(20):
            c.ok("ACTIVATE", f"user.long{i}", "backenda!default", "x" * 60000)
        wait_for(lambda: len(reads.ok("LIST")) == 20, "the other server has heard of all")
        for f in deaf:
            f.send("u UPDATE\r\n")
        assert len(reads.follow()) == 20
        for i in range(120):
            c.ok("ACTIVATE", f"user.long{i % 20}", "backenda!default", "y" * 60000 + str(i))
            # The end of the list may be told once more, as the last change before this one.
            told = next(r for r in iter(reads.record, "") if not r.endswith('x"'))
            assert told.endswith(f'yy{i}"')
        wait_for(lambda: "directory.follower.dropped" in d.daemons[1].text(), "they are dropped")
        for f in deaf:
            assert "yy119" not in f.ends()
    finally:
        d.stop()


GOOD = "roost-directory\t1\nreserved\tuser.a\tbackenda!default\nserver\tbackenda\t3\tm1\tm1%20m2\nend\t2\n"


@pytest.mark.parametrize("text,line", [
    ("", "line 0: not an exported directory"), ("roost-directory\t2\nend\t0\n", "line 1: not an exported directory"),
    (GOOD[:-7], "end line is missing|too long"), (GOOD.replace("end\t2", "end\t3"), "line 4: lines are missing"),
    (GOOD.replace("user.a", "user.%4"), "line 2: %"), (GOOD.replace("user.a", ""), "line 2: the mailbox name"),
    (GOOD.replace("user.a", "x" * 600), "line 2: the mailbox name"), (GOOD.replace("backenda!default", ""), "line 2: the location"),
    (GOOD.replace("reserved", "forgotten"), "line 2: not a line"), (GOOD.replace("\t3\t", "\tthree\t"), "line 3: a server"),
    (GOOD.replace("user.a", "user.%00"), "line 2: the mailbox name"), (GOOD.replace("m1%20m2", "a\tb\tc\td"), "line 3: too many fields"),
    (GOOD.replace("user.a", "user." + "y" * 3000000), "line 2: too long"),
    (GOOD.replace("server\tbackenda\t3\tm1\tm1%20m2", "reserved\tuser.a\tbackendb!x"), "line 3: the name was on a line before"),
], ids=range(14))
def test_an_import_that_cannot_be_right_changes_nothing(text, line):
    d = Directory()
    d.mupdate.write()
    r = roost("mupdate", "import", "-C", d.mupdate.config, text=text)
    assert r.returncode == 1 and re.search(line, r.stderr) and r.stderr.count("\n") == 1, r.stderr
    r = roost("mupdate", "import", "-C", d.mupdate.config, text=GOOD)
    assert r.returncode == 0, r.stderr
    assert roost("mupdate", "export", "-C", d.mupdate.config).stdout == \
        "roost-directory\t1\nserver\tbackenda\t3\tm1\tm1%20m2\nreserved\tuser.a\tbackenda!default\nend\t2\n"
