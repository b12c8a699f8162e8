"""Networks between the daemons of a test that can be cut, one way or both, slow and lossy.

Namespaces (root, /dev/net/tun): each node is a machine with an address of its own; switch.c carries its packets, so that TCP
itself meets loss, delay and silence. Where they cannot be had, Relays on loopback: bytes are held back or come late, and
nothing is lost; only connections of which a listener's address can be given per caller go through them. KIND tells which.
"""
import contextlib
import ctypes
import functools
import itertools
import os
import subprocess
import threading
import time

import scratch
from relay import Relay
from roost import free_port

SWITCH_C = os.path.join(os.path.dirname(os.path.abspath(__file__)), "switch.c")
CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"


@functools.lru_cache(None)
def switch():
    path = os.path.join(scratch.for_process("roost-switch."), "switch")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Werror", "-o", path, SWITCH_C], check=True)
    return path


def has_namespaces():
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return False
    return subprocess.run([switch(), NETWORK, "a"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


class Network:
    """What both kinds do: rules for ways, a pair of nodes in one direction."""

    def __init__(self, nodes):
        self.nodes = list(nodes)

    def ways(self, a, b):
        """Both directions between each of A and each of B; names or lists of them."""
        a, b = ([x] if isinstance(x, str) else list(x) for x in (a, b))
        return [w for x, y in itertools.product(a, b) if x != y for w in ((x, y), (y, x))]

    def cut(self, a, b):
        for x, y in self.ways(a, b):
            self.rule(x, y, loss=1.0)

    def cut_one_way(self, a, b):
        """What A sends does not reach B."""
        self.rule(a, b, loss=1.0)

    def slow(self, a, b, loss=0.0, delay=0.0, jitter=0.0):
        for x, y in self.ways(a, b):
            self.rule(x, y, loss, delay, jitter)

    def heal(self):
        for x, y in itertools.permutations(self.nodes, 2):
            self.rule(x, y)


class Namespaces(Network):
    kind = "namespaces"

    def __init__(self, nodes):
        super().__init__(nodes)
        self.lock = threading.Lock()
        self.process = subprocess.Popen([switch(), NETWORK, *self.nodes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.names = {}
        while (line := self.process.stdout.readline().split()) != ["ready"]:
            assert line, "no network namespaces"
            self.names[line[0]] = os.open(f"/proc/{self.process.pid}/fd/{line[1]}", os.O_RDONLY)
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def address(self, node):
        return f"{NETWORK}.{self.nodes.index(node) + 1}"

    def seen_by(self, _caller, node, port):
        """Where CALLER finds NODE's PORT."""
        return f"{self.address(node)}:{port}"

    def port(self, _node, well_known):
        return well_known

    def enter(self, fd):
        if self.libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    @contextlib.contextmanager
    def inside(self, node):
        """Sockets that this thread makes, and processes that it starts, are of NODE's machine."""
        self.enter(self.names[node])
        try:
            yield
        finally:
            self.enter(self.home)

    def rule(self, a, b, loss=0.0, delay=0.0, jitter=0.0):
        """From A to B: LOSS from 0 to 1, DELAY and JITTER in seconds."""
        with self.lock:
            self.process.stdin.write(f"{self.nodes.index(a)} {self.nodes.index(b)} {int(loss * 1e6)} {int(delay * 1e6)} {int(jitter * 1e6)}\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "ok\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        for fd in (*self.names.values(), self.home):
            os.close(fd)


class FaultyRelay(Relay):
    """A relay whose two directions can be held and delayed: C what the caller sends, S what he is sent."""

    def __init__(self, target):
        self.held, self.delay = {"C": False, "S": False}, {"C": 0.0, "S": 0.0}
        super().__init__(target)

    def serve(self, client):
        self.wait_open("C")
        self.wait_open("S")
        super().serve(client)

    def wait_open(self, direction):
        with self.moved:
            self.moved.wait_for(lambda: not self.held[direction] or self.is_closed)

    def pump(self, source, to, heard):
        """The caller's side is the socket that the listener accepted."""
        direction = "C" if source.getsockname()[1] == self.port else "S"
        try:
            while data := source.recv(65536):
                time.sleep(self.delay[direction])
                self.wait_open(direction)
                to.sendall(data)
        except OSError:
            pass
        self.shut(source, to)

    def set(self, direction, is_held, delay):
        with self.moved:
            self.held[direction], self.delay[direction] = is_held, delay
            self.moved.notify_all()


class Relays(Network):
    kind = "relays: loss is delay, and only what is dialled by a configured address can be cut"

    def __init__(self, nodes):
        super().__init__(nodes)
        self.relays = {}

    def address(self, _node):
        return "127.0.0.1"

    def port(self, _node, _well_known):
        return free_port()

    def seen_by(self, caller, node, port):
        if caller == node:
            return f"127.0.0.1:{port}"
        relay = self.relays.setdefault((caller, node, port), FaultyRelay(port))
        return f"127.0.0.1:{relay.port}"

    @contextlib.contextmanager
    def inside(self, _node):
        yield

    def rule(self, a, b, loss=0.0, delay=0.0, jitter=0.0):
        for (caller, node, _), relay in self.relays.items():
            late = delay + jitter / 2 + loss * 0.5
            if (caller, node) == (a, b):
                relay.set("C", loss >= 1.0, late)
            elif (node, caller) == (a, b):
                relay.set("S", loss >= 1.0, late)

    def close(self):
        for relay in self.relays.values():
            relay.close()


def network(nodes, kind=None):
    """The best there is; KIND ("namespaces", "relays") insists."""
    if kind != "relays" and (kind or has_namespaces()):
        return Namespaces(nodes)
    return Relays(nodes)
