"""One large mailbox: its messages, what clients ask of it, and how long that takes, on one connection, for each server in turn.

The load client reads as fast as a socket gives and looks only for the end.
"""
import random
import socket
import statistics
import time

WORDS = [f"word{i}" for i in range(400)]


class Client:
    def __init__(self, port, user, password):
        self.s = socket.create_connection(("127.0.0.1", port), 600)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)
        self.tags = 0
        self.read_until(b"\r\n")
        self.cmd(f"LOGIN {user} {password}")

    def read_until(self, mark):
        """To the line that begins with MARK, or to MARK itself; the last octets read."""
        tail = b""
        while True:
            try:
                self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except OSError:
                pass
            n = self.s.recv_into(self.buffer)
            if n == 0:
                raise EOFError(tail)
            tail = (tail + bytes(self.buffer[max(0, n - 4096):n]))[-4096:] if n < 4096 else bytes(self.buffer[n - 4096:n])
            at = tail.rfind(mark)
            if at >= 0 and tail.endswith(b"\r\n") and (mark == b"\r\n" or at == 0 or tail[at - 1:at] == b"\n"):
                return tail[at:]

    def anyway(self, text):
        """The same, whatever the answer."""
        try:
            self.cmd(text)
        except SystemExit:
            pass

    def cmd(self, text, more=b""):
        self.tags += 1
        tag = b"t%d " % self.tags
        self.s.sendall(tag + text.encode() + b"\r\n" + more)
        done = self.read_until(tag)
        if not done.startswith(tag + b"OK"):
            raise SystemExit(f"bench: {text[:80]}: {done[:200]}")
        return done


def messages(count):
    """Messages of some 2 kB: subjects that recur, threads, dates in no order."""
    rng = random.Random(1)
    for i in range(count):
        parent = rng.randrange(max(1, i - 2000), i) if i > 10 and rng.random() < 0.6 else None
        subject = f"{rng.choice(WORDS)} {rng.choice(WORDS)} {i % 5000}"
        t = time.gmtime(1577836800 + rng.randrange(150000000))
        head = [f"From: {rng.choice(WORDS).title()} <{rng.choice(WORDS)}@example.org>", f"To: {rng.choice(WORDS)}@example.com",
                f"Subject: {'Re: ' if parent else ''}{subject}", time.strftime("Date: %a, %d %b %Y %H:%M:%S +0000", t),
                f"Message-ID: <m{i}@example.org>", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
                "Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.org with ESMTP id " + "x" * 20]
        if parent is not None:
            head += [f"In-Reply-To: <m{parent}@example.org>", f"References: <m{parent // 2}@example.org> <m{parent}@example.org>"]
        text = "\r\n".join(head) + "\r\n\r\n"
        while len(text) < 2000:
            text += " ".join(rng.choices(WORDS, k=10)) + "\r\n"
        yield text.encode()


def fill(c, box, count, is_multi):
    """Fill BOX: by MULTIAPPEND where the peer has it (Cyrus syncs each APPEND alone), else by pipelined APPENDs."""
    c.cmd("CREATE " + box)
    batch, n = b"", 0
    for i, m in enumerate(messages(count)):
        literal = b"{%d+}\r\n%s" % (len(m), m)
        batch += b" " + literal if is_multi else b"p APPEND %s %s\r\n" % (box.encode(), literal)
        n += 1
        if n == 200 or i == count - 1:
            c.tags += 1
            tag = b"t%d " % c.tags
            c.s.sendall(tag + b"APPEND " + box.encode() + batch + b"\r\n" if is_multi else batch + tag + b"NOOP\r\n")
            if not c.read_until(tag).startswith(tag + b"OK"):
                raise SystemExit("bench: the mailbox cannot be filled")
            batch, n = b"", 0


def append(c, box, message):
    c.tags += 1
    tag = b"t%d " % c.tags
    c.s.sendall(tag + b"APPEND %s {%d}\r\n" % (box.encode(), len(message)))
    c.read_until(b"\r\n")
    c.s.sendall(message + b"\r\n")
    if not c.read_until(tag).startswith(tag + b"OK"):
        raise SystemExit("bench: a large message is not taken")


def lines(count):
    """(label, command, how many times faster than the better peer it is to be; None: for information)."""
    small = min(2000, count)
    part = min(10000, count)
    fields = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])"
    return [
        ("SELECT", "SELECT big", 5),
        ("FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)", 3),
        ("FETCH 1:* (ENVELOPE)", "FETCH 1:* (ENVELOPE)", 3),
        ("FETCH 1:* (BODYSTRUCTURE)", "FETCH 1:* (BODYSTRUCTURE)", 3),
        ("FETCH 1:* (flags, size, date, 4 header fields)", "FETCH 1:* " + fields, 3),
        (f"FETCH 1:{part} (BODY.PEEK[])", f"FETCH 1:{part} (BODY.PEEK[])", None),
        ("UID SEARCH ALL", "UID SEARCH ALL", None),
        ("UID SEARCH UNSEEN", "UID SEARCH UNSEEN", None),
        ("UID SEARCH HEADER SUBJECT", "UID SEARCH HEADER SUBJECT word77", 3),
        ("UID SEARCH HEADER FROM", "UID SEARCH HEADER FROM word77", 3),
        ("SORT (DATE)", "SORT (DATE) UTF-8 ALL", 3),
        ("SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL", 3),
        ("THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL", 3),
        # A string of two characters is in no index.
        (f"SEARCH BODY of {small}, no index", f"SEARCH 1:{small} BODY ~~", 3),
        (f"SEARCH TEXT of {small}, no index", f"SEARCH 1:{small} TEXT ~~", 3),
        ("SEARCH BODY, with Roost's index", "SEARCH BODY nowhere-at-all", None),
        ("SEARCH TEXT, with Roost's index", "SEARCH TEXT m77@example", None),
    ]


def changes(count):
    """(label, what comes before it, command, as above): what changes the mailbox. Each is made once in a round, and undone."""
    part = min(10000, count)
    return [
        ("STORE 1:* +FLAGS", r"STORE 1:* -FLAGS.SILENT (\Answered)", r"STORE 1:* +FLAGS.SILENT (\Answered)", 1.5),
        (f"COPY {part}", None, f"COPY 1:{part} other", 5),
        (f"EXPUNGE {part}", rf"STORE 1:{part} +FLAGS.SILENT (\Deleted)", "EXPUNGE", 5),
    ]


def timed(c, command):
    begun = time.perf_counter()
    c.cmd(command)
    return (time.perf_counter() - begun) * 1000


def measure(clients, count, repeat, wanted, tell):
    """Turn and turn about, CLIENTS by name; TELL(label, name -> milliseconds, target) for each line that is WANTED(label)."""
    for label, command, target in lines(count):
        if not wanted(label):
            continue
        times = {name: [] for name in clients}
        for c in clients.values():
            c.cmd(command)  # warm
        for _ in range(repeat):
            for name, c in clients.items():
                times[name].append(timed(c, command))
        tell(label, {name: statistics.median(t) for name, t in times.items()}, target)
    for label, before, command, target in changes(count):
        if not wanted(label):
            continue
        times = {name: [] for name in clients}
        for _ in range(repeat):
            for name, c in clients.items():
                if label.startswith("COPY"):
                    c.anyway("DELETE other")
                    c.cmd("CREATE other")
                if before:
                    c.cmd(before)
                times[name].append(timed(c, command))
        tell(label, {name: statistics.median(t) for name, t in times.items()}, target)
