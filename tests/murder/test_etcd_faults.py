"""An etcd that is slow, hangs, loses answers, delivers late or answers nonsense: clients of the mupdate servers are answered in
bounded time, nothing is granted that is not so, and nothing is done twice."""
import base64
import re
import threading
import time

import pytest

from etcd import Directories, Etcd
from etcd_proxy import EtcdProxy
from mupdate import Mupdate, state
from roost import wait_for
from test_etcd import At

A, B = "backenda!default", "backendb!default"
PATIENCE_S = 14  # within which every command is answered, or the connection is closed


@pytest.fixture(scope="module")
def etcd():
    e = Etcd(1).start()
    yield e
    e.stop()


@pytest.fixture
def faulty(etcd, request):
    """Two servers, the first of which has the etcd behind a proxy."""
    proxy = EtcdProxy(etcd)
    d = Directories(etcd, 2, extra={"etcd_prefix": f"/{request.node.name}/"})
    d.daemons[0].values["etcd_endpoints"] = proxy.endpoints[0]
    d.proxy = proxy
    try:
        yield d.start()
    finally:
        proxy.mend()
        d.stop()
        proxy.close()


def session(d, i, who="admin"):
    return Mupdate(At(d.ports[i]), who, timeout=PATIENCE_S + 6)


def writes(path, body, name):
    """Whether this is the transaction that writes the record NAME."""
    key = f'/mailbox/{name}"'
    return path == "/v3/kv/txn" and b"requestPut" in body and any(
        (base64.b64decode(k) + b'"').endswith(key.encode()) for k in re.findall(rb'"key":"([^"]*)"', body))


def once(name, what):
    """A fault for the first transaction that writes NAME."""
    met = []

    def fault(path, body):
        if body is None or not writes(path, body, name) or met:
            return None
        met.append(1)
        return what
    return fault, met


def timed(c, *args):
    """The answer, "" where the connection was closed instead; in time."""
    began = time.monotonic()
    try:
        done = c.do(*args)[1]
    except (EOFError, ConnectionError):
        done = ""
    assert time.monotonic() - began < PATIENCE_S, args
    return done


def test_an_answer_that_is_lost(faulty):
    """It was done, and nobody knows: asked again it is found done, whatever it is."""
    a, b = session(faulty, 0), session(faulty, 1)
    for verb, args, after in (("RESERVE", (A,), ("RESERVE", A)), ("ACTIVATE", (A, "fred lrs"), ("MAILBOX", A)),
                              ("DEACTIVATE", (A,), ("RESERVE", A)), ("DELETE", (), None)):
        fault, met = once("user.lost", "lose")
        faulty.proxy.set(fault)
        assert timed(a, verb, "user.lost", *args).startswith("OK"), verb
        assert met
        faulty.proxy.mend()
        assert state(b, "user.lost") == after and state(a, "user.lost") == after, verb
    # What another has done is still NO.
    b.ok("RESERVE", "user.other", B)
    fault, met = once("user.other", "lose")
    faulty.proxy.set(fault)
    assert timed(a, "RESERVE", "user.other", A).startswith("NO")
    assert timed(a, "DEACTIVATE", "user.other", A).startswith("NO")


def test_an_answer_that_is_lost_and_a_rival(faulty):
    """The rival comes while the first does not know whether it has won: one of them has it."""
    for i, what in enumerate(("lose", "cut", ("late", 0.3))):
        name = f"user.rival{i}"
        fault, met = once(name, what)
        faulty.proxy.set(fault)
        a, b, got = session(faulty, 0), session(faulty, 1), {}
        t = threading.Thread(target=lambda: got.update(a=timed(a, "RESERVE", name, A)))
        t.start()
        wait_for(lambda: met, "it is on its way")
        got["b"] = timed(b, "RESERVE", name, B)
        t.join()
        assert sorted(x[:2] for x in got.values()) == ["NO", "OK"], (what, got)
        assert state(b, name) == ("RESERVE", A if got["a"].startswith("OK") else B)
        faulty.proxy.mend()


def test_a_write_that_comes_late(faulty):
    """A transaction for which nobody waits any more arrives when its record has come and gone since: it changes nothing."""
    a, b = session(faulty, 0), session(faulty, 1)
    fault, met = once("user.late", ("late", 3.5))
    faulty.proxy.set(fault)
    assert timed(a, "RESERVE", "user.late", A).startswith("OK")
    b.ok("DELETE", "user.late")
    b.ok("RESERVE", "user.late", B)
    b.ok("DELETE", "user.late")
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert state(b, "user.late") is None
        time.sleep(0.1)  # it must stay so
    assert met and state(a, "user.late") is None


def test_a_slow_etcd(faulty):
    """Every answer takes a second: all is served, slowly, and nobody is sent away."""
    faulty.proxy.set(lambda path, body: ("slow", 1) if body is not None and path != "/v3/watch" else None)
    a = session(faulty, 0)
    a.send("".join(f'r{i} RESERVE "user.slow{i}" "{A}"\r\n' for i in range(100)))
    for i in range(100):
        assert a.line().startswith(f"r{i} OK")
    assert state(a, "user.slow99") == ("RESERVE", A)
    assert faulty.is_ready(0)
    faulty.proxy.mend()
    assert state(session(faulty, 1), "user.slow0") == ("RESERVE", A)


NONSENSE = [(200, b""), (200, b"not JSON"), (200, b"{"), (200, b"null"), (200, b"[]"), (200, b"{}"), (200, b'{"succeeded":true}'),
            (200, b'{"header":{"revision":"x"},"succeeded":true}'), (200, b'{"header":[],"succeeded":true}'), (200, b'{"header":{"revision":"-5"}}'),
            (200, b'{"header":{"revision":"7"},"responses":[{"response_range":{"kvs":[{"key":"!","value":5}]}}]}'), (200, b"[" * 100000),
            (200, b'{"a":"' + b"x" * (70 << 20)), (400, b"{}"), (404, b"<html>"), (429, b"slow down"), (500, b'{"code":"x"}'),
            (503, b'{"error":"etcdserver: leader changed","code":14}')]


def test_nonsense(faulty):
    """Whatever it answers to a write that it has not made, nothing is granted; when it has come to reason, all is well."""
    b = session(faulty, 1)
    for i, answer in enumerate(NONSENSE):
        name, count = f"user.nonsense{i}", []

        def fault(path, body):
            if body is None or not writes(path, body, name):
                return None
            count.append(1)
            return answer if len(count) <= 2 else None
        faulty.proxy.set(fault)
        a = session(faulty, 0)
        done = timed(a, "RESERVE", name, A)
        assert state(b, name) == (("RESERVE", A) if done.startswith("OK") else None), (answer[:60], done)
        assert count
        faulty.proxy.mend()
        assert timed(a, "RESERVE", name, A).startswith("OK")
        a.close()
    assert faulty.is_ready(0)


def test_nonsense_in_the_stream_of_changes(faulty):
    """The watch and its list: what cannot be understood is asked for again; the copy is whole in the end."""
    for i, answer in enumerate(NONSENSE[:-1]):
        count = []

        def fault(path, body):
            if path not in ("/v3/watch", "/v3/kv/range"):
                return None
            if body is None:
                return None
            count.append(1)
            return answer if len(count) <= 2 else None
        if i % 6 == 0:
            # The stream is there: it must begin again to meet this.
            faulty.daemons[0].kill()
            faulty.proxy.set(fault)
            faulty.daemons[0].start()
            faulty.wait_ready(0)
            assert count
            faulty.proxy.mend()
        session(faulty, 1).ok("RESERVE", f"user.stream{i}", B)
        c = session(faulty, 0)
        wait_for(lambda: len(c.ok("LIST")) == i + 1, "it has heard of it")


def test_an_etcd_that_hangs(faulty):
    """Each is answered NO or sent away, in time; nothing is granted; when it goes on, all does."""
    a, follower = session(faulty, 0), session(faulty, 0)
    a.ok("RESERVE", "user.before", A)
    assert len(follower.follow()) == 1
    faulty.proxy.set(lambda path, body: "hang")
    clients = [(session(faulty, 0), args) for args in (("RESERVE", "user.hung", A), ("ACTIVATE", "user.before", A, "x lrs"), ("DELETE", "user.before"),
                                                       ("FIND", "user.before"), ("FIND", "user.none"))]
    got = {}
    threads = [threading.Thread(target=lambda c=c, args=args: got.update({args: timed(c, *args)})) for c, args in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == len(clients) and not any(x.startswith("OK") for x in got.values()), got
    end = follower.ends()
    assert '* BYE "' in end and "DELETE" not in end, "followers are sent elsewhere, and told of nothing that is not so"
    assert not faulty.is_ready(0)
    # Who comes now is told, or not let in.
    c = None
    try:
        c = Mupdate(At(faulty.ports[0]), timeout=5)
        assert not c.auth("admin")[1].startswith("OK")
    except (EOFError, OSError, AssertionError):
        assert c is None or any("BYE" in x for x in c.banner), c.banner
    b = session(faulty, 1)
    assert state(b, "user.hung") is None and state(b, "user.before") == ("RESERVE", A)
    faulty.proxy.mend()
    faulty.wait_ready(0)
    a = session(faulty, 0)
    a.ok("RESERVE", "user.after", A)
    # What was asked before may have been done meanwhile, or not; both know the same.
    assert state(a, "user.hung") == state(b, "user.hung")


def test_an_etcd_that_is_not_there_at_the_start(etcd):
    proxy = EtcdProxy(etcd)
    proxy.set(lambda path, body: "cut")
    d = Directories(proxy, 1, extra={"etcd_prefix": "/notthere/"})
    d.daemons[0].start()
    try:
        wait_for(lambda: "directory.etcd.lost" in d.daemons[0].text(), "it says so")
        assert not d.is_ready(0)
        try:
            c = Mupdate(At(d.ports[0]), timeout=5)
            assert any("BYE" in x for x in c.banner), c.banner
        except OSError:
            pass
        proxy.mend()
        d.wait_ready(0)
        session(d, 0).ok("RESERVE", "user.first", A)
    finally:
        d.stop()
        proxy.close()
