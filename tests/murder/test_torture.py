"""torture.py for a minute, or ROOST_TORTURE_S seconds: by a new seed each time, which is printed; ROOST_SEED replays one.

And each kind of network that it may have: what it cuts is cut, one way or both, and comes back.
"""
import os
import random
import socket
import threading

import pytest

from network import Namespaces, Relays, has_namespaces
from torture import torture
from roost import wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))
SECONDS = int(os.environ.get("ROOST_TORTURE_S", "60"))


def test_everything_at_once():
    problems = torture(SECONDS, SEED)
    assert not problems, f"ROOST_SEED={SEED}: {len(problems)} problems"


class Echo:
    """A server on NODE that sends back what it gets, and what came; and a client on CALLER."""

    def __init__(self, net, caller, node):
        with net.inside(node):
            self.listener = socket.create_server((net.address(node), 0))
        self.heard = b""
        threading.Thread(target=self.serve, daemon=True).start()
        host, port = net.seen_by(caller, node, self.listener.getsockname()[1]).split(":")
        with net.inside(caller):
            self.c = socket.create_connection((host, int(port)), 10)
        self.c.settimeout(10)

    def serve(self):
        s = self.listener.accept()[0]
        while data := s.recv(1000):
            self.heard += data
            s.sendall(data)

    def round(self, data):
        self.c.sendall(data)
        return self.answer() == data

    def answer(self, timeout=10):
        self.c.settimeout(timeout)
        try:
            return self.c.recv(1000)
        except TimeoutError:
            return None


@pytest.mark.parametrize("kind", [Namespaces, Relays])
def test_ways_are_cut_one_by_one(kind):
    if kind is Namespaces and not has_namespaces():
        pytest.skip("no network namespaces here")
    net = kind(["a", "b"])
    e = Echo(net, "a", "b")
    try:
        assert e.round(b"1")
        net.cut_one_way("b", "a")
        e.c.sendall(b"2")
        wait_for(lambda: e.heard.endswith(b"2"), "it comes there")
        assert e.answer(0.3) is None, "what b sends does not come back"
        net.heal()
        assert e.answer() == b"2"
        net.cut_one_way("a", "b")
        e.c.sendall(b"3")
        assert e.answer(0.3) is None and not e.heard.endswith(b"3"), "what a sends does not come"
        net.heal()
        assert e.answer() == b"3"
        net.slow("a", "b", loss=0.1, delay=0.01, jitter=0.01)
        for i in range(20):
            assert e.round(b"%d" % i)
    finally:
        e.c.close()
        net.close()
