"""Deliveries at full speed, and whether what was accepted is there: exactly once what was answered 250, at most once what was not."""
import random
import re
import threading
import time

from mail import Source
from roost import wait_for

USERS = ["fred", "mary", "ann", "bob"]
SENDERS = 6


class Sender(threading.Thread):
    """Delivers until told to stop; takes a new connection after a loss. What was answered is in ANSWERS: mark, user, code
    (None: the connection went)."""

    def __init__(self, murder, seed, name):
        super().__init__(daemon=True)
        self.murder, self.source, self.rng = murder, Source(seed, name), random.Random(seed)
        self.stopping = threading.Event()
        self.answers, self.bodies = [], {}
        self.failure = None

    def run(self):
        try:
            self.work()
        except Exception as e:  # told by the test, which looks at it
            self.failure = e

    def work(self):
        c = None
        while not self.stopping.is_set():
            if c is None:
                try:
                    c = self.murder.lmtp()
                except (OSError, EOFError):
                    time.sleep(0.01)  # between two tries to connect
                    continue
            mark, message = self.source.take()
            users = self.rng.sample(USERS, self.rng.choice([1, 1, 1, 2]))
            self.bodies[mark] = message
            try:
                codes = [code for code, _ in c.deliver("s@example.org", users, message)]
            except (OSError, EOFError):
                codes = [None] * len(users)
                c = None
            self.answers += [(mark, u, code) for u, code in zip(users, codes)]
        if c:
            c.close()


class Load:
    def __init__(self, murder, seed, senders=SENDERS):
        self.senders = [Sender(murder, seed * 100 + i, f"s{seed}.{i}") for i in range(senders)]
        for s in self.senders:
            s.start()

    def accepted(self):
        return sum(1 for s in self.senders for a in s.answers if a[2] == 250)

    def wait_for_more(self, n, what, timeout=60):
        goal = self.accepted() + n
        wait_for(lambda: self.accepted() >= goal, what, timeout)

    def stop(self):
        for s in self.senders:
            s.stopping.set()
        for s in self.senders:
            s.join(120)
            assert not s.is_alive(), "a delivery hangs"
            assert s.failure is None, repr(s.failure)


def marks_of(murder, user):
    """Mark to the UIDs that bear it, in USER's INBOX."""
    c = murder.imap(user, mailbox="INBOX")
    typ, data = c.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-Roost-Test)])")
    assert typ == "OK", data
    found = {}
    for item in data:
        if isinstance(item, tuple):
            uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
            m = re.search(rb"X-Roost-Test: (\S+)", item[1])
            if m:
                found.setdefault(m.group(1).decode(), []).append(uid)
    return c, found


def check(murder, loads, seed):
    """Exactly once what was accepted, at most once what was not; the octets as they were sent."""
    rng = random.Random(seed)
    for user in USERS:
        c, found = marks_of(murder, user)
        for load in loads:
            for s in load.senders:
                for mark, to, code in s.answers:
                    if to != user:
                        continue
                    n = len(found.get(mark, []))
                    assert n == 1 if code == 250 else n <= 1, f"seed {seed}: {mark} to {user}, answered {code}, is there {n} times"
        all_bodies = {mark: b for load in loads for s in load.senders for mark, b in s.bodies.items()}
        for mark in rng.sample(sorted(found), min(20, len(found))):
            typ, data = c.uid("FETCH", str(found[mark][0]), "(BODY.PEEK[])")
            stored = data[0][1]
            assert stored.endswith(all_bodies[mark].rstrip(b"\r\n") + b"\r\n") or all_bodies[mark] in stored, f"{mark} differs"
        c.logout()
