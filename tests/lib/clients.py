"""Clients that do seeded operations on a murder and write down, as history.Op, what they asked and what they were told.

Each has a user of its own, whose mailboxes it alone changes; all deliver to all INBOXes and append to one shared mailbox,
where each removes only what is its own and sets only its own keyword.
"""
import functools
import hashlib
import random
import re
import socket
import sys
import threading
import time

from history import Op
from mail import generated
from roost import PASSWORD

MARK = "X-Roost-Mark"
FLAGS = [r"\Seen", r"\Flagged", r"\Answered", r"\Draft", "work", "Later"]
SHARED = "shared"
CROWD = 200  # a mailbox that has more messages is emptied by the next expunge: reads are kept, and must not grow with the run
RIGHTS = ["lrs", "lr", "lrswi", ""]
# How often each is done.
WEIGHTS = {"append": 20, "deliver": 20, "store": 20, "expunge": 8, "copy": 6, "move": 6, "create": 3, "rename": 2, "delete": 2,
           "setacl": 2, "subscribe": 2, "read": 8, "shared": 8, "recreate": 1}
ADDING = {"append": 20, "deliver": 20}


class Hang(Exception):
    """No answer for as long as no fault may last."""


class Imap:
    """A session at a frontend, through a connected socket."""

    def __init__(self, s, user):
        self.s, self.f, self.tags = s, s.makefile("rb"), 0
        self.selected = None
        self.record()
        status, text, _ = self.command(f"LOGIN {user} {PASSWORD}")
        if status != "OK":
            raise EOFError(text)

    def record(self):
        """A line with its literals."""
        text = b""
        while True:
            line = self.f.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the connection ended")
            text += line
            m = re.search(rb"\{(\d+)\}\r\n$", line)
            if not m:
                return text
            text += self.f.read(int(m[1]))

    def command(self, line, literal=None):
        """Status, text behind it, and untagged answers. EOFError or OSError: nobody knows."""
        self.tags += 1
        tag = f"a{self.tags}".encode()
        data = tag + b" " + line.encode()
        if literal is not None:
            data += b" {%d+}\r\n" % len(literal) + literal
        untagged = []
        try:
            self.s.sendall(data + b"\r\n")
            while True:
                answer = self.record()
                if answer.startswith(tag + b" "):
                    status, _, text = answer[len(tag) + 1:].decode("utf-8", "replace").strip().partition(" ")
                    return status, text, untagged
                untagged.append(answer)
        except TimeoutError as e:
            raise Hang(line) from e

    def close(self):
        self.f.close()
        self.s.close()


def uid_set(text):
    uids = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        uids += range(int(first), int(last or first) + 1)
    return uids


def messages_of(untagged):
    """What UID FETCH (UID FLAGS and the mark, or all octets) told: uid to (mark, flags, digest or None)."""
    found = {}
    for answer in untagged:
        m = re.match(rb"\* \d+ FETCH \(", answer)
        if not m:
            continue
        literal = re.search(rb"(BODY\[[^\]]*\]) \{(\d+)\}\r\n", answer)
        content = answer[literal.end():literal.end() + int(literal[2])] if literal else b""
        head = answer[:literal.start()] + answer[literal.end() + int(literal[2]):] if literal else answer
        uid, flags = re.search(rb"UID (\d+)", head), re.search(rb"FLAGS \(([^)]*)\)", head)
        mark = re.search(MARK.encode() + rb": (\S+)", content)
        if uid and flags and mark:
            is_whole = literal[1] == b"BODY[]"
            found[int(uid[1])] = (sys.intern(mark[1].decode()), flags_of(flags[1]), digest_of(content) if is_whole else None)
    return found


@functools.lru_cache(None)
def flags_of(text):
    """A tuple that all who have these flags share."""
    return tuple(text.decode().split())


def digest_of(message):
    """Of the octets from the mark on: delivery puts lines before it."""
    return hashlib.sha256(message[message.index(MARK.encode()):]).hexdigest()


class Client(threading.Thread):
    """Runs until stop(), PACE seconds or more between two operations. HISTORY is shared: lists can be appended to by many
    threads."""

    def __init__(self, cluster, user, others, seed, history, clock=time.monotonic, answer_within=60, pace=0.0,
                 weights=WEIGHTS):
        super().__init__(daemon=True, name=user)
        self.cluster, self.user, self.others, self.history, self.clock = cluster, user, others, history, clock
        self.rng, self.answer_within, self.pace = random.Random(f"{seed}/{user}"), answer_within, pace
        self.stopping = threading.Event()
        self.imap, self.lmtp, self.count = None, None, 0
        self.boxes = {f"user.{user}": set(), f"user.{user}.Keep": set()}  # internal name to UIDs that may be there
        self.own_shared, self.retired, self.deleted = set(), set(), []
        self.hangs, self.failure = [], None
        self.keyword, self.weights = "by-" + user, weights

    # Connections.

    def wire_name(self, box):
        if box == SHARED:
            return '"Shared Folders/shared"'
        rest = box[len(f"user.{self.user}"):].lstrip(".").replace(".", "/")
        return f'"{rest}"' if rest else "INBOX"

    def connect(self):
        while self.imap is None and not self.stopping.is_set():
            try:
                self.imap = Imap(self.cluster.socket("imap", self.rng, self.answer_within), self.user)
            except (OSError, EOFError, Hang):
                self.stopping.wait(0.05)  # between two tries
        return self.imap is not None

    def drop(self):
        if self.imap:
            self.imap.close()
        self.imap = None

    def do(self, op, line, literal=None, box=None):
        """Carry out OP by LINE, with BOX selected. The text and untagged answers if it is ok, else None."""
        if not self.connect():
            return None
        try:
            if box and self.imap.selected != box:
                self.imap.selected = None
                status, text, _ = self.imap.command(f"SELECT {self.wire_name(box)}")
                if status != "OK":
                    return None
                self.imap.selected = box
        except (OSError, EOFError, Hang) as e:
            self.note_hang(e)
            self.drop()
            return None
        op.t0 = self.clock()
        self.history.append(op)
        try:
            status, text, untagged = self.imap.command(line, literal)
        except (OSError, EOFError, Hang) as e:
            self.note_hang(e)
            self.drop()
            self.is_lost(op)
            return None
        if status == "NO" and "is not known" in text:
            # The frontend lost the server in the midst of it.
            self.imap.selected = None
            op.data["text"] = text
            self.is_lost(op)
            return None
        op.t1 = self.clock()
        op.answer = {"OK": "ok", "NO": "no"}.get(status, status)
        if status == "NO":
            op.data["text"] = text
            if "SERVERBUG" in text or "UNAVAILABLE" in text:
                self.imap.selected = None
        assert status in ("OK", "NO"), f"{line}: {status} {text}"
        return (text, untagged) if status == "OK" else None

    def note_hang(self, e):
        if isinstance(e, (Hang, TimeoutError)):
            self.hangs.append(f"[{self.clock():.3f}] {self.user}: no answer within {self.answer_within} s: {e}")

    def is_lost(self, op):
        """What may happen late must not meet another mailbox of that name."""
        self.retired |= {op.box, op.args.get("to")}
        if op.kind in ("create", "rename", "delete"):
            self.boxes.pop(op.box, None)

    def op(self, kind, box, **args):
        return Op(self.user, kind, box, self.clock(), args=args)

    # What is done.

    def run(self):
        try:
            while not self.stopping.wait(self.pace):
                kind = self.rng.choices(list(self.weights), list(self.weights.values()))[0]
                getattr(self, "try_" + kind)()
        except Exception as e:
            self.failure = e
        self.drop()
        if self.lmtp:
            self.lmtp.close()

    def stop(self):
        self.stopping.set()

    def message(self):
        self.count += 1
        mark = f"{self.user}-{self.count}"
        if self.rng.random() < 0.1:
            body = generated(self.rng)
        else:
            body = b"From: a@example.org\r\nSubject: x\r\n\r\n" + b"%d line\r\n" % self.count * self.rng.randrange(1, 100)
        message = f"{MARK}: {mark}\r\n".encode() + body
        return mark, message

    def some_box(self, has_uids=False):
        names = [n for n, uids in self.boxes.items() if uids or not has_uids]
        return self.rng.choice(names) if names else None

    def some_uids(self, box):
        uids = sorted(self.boxes[box])
        return sorted(self.rng.sample(uids, min(len(uids), self.rng.choice([1, 1, 1, 2, 5, 20]))))

    def new_name(self):
        self.count += 1
        return f"user.{self.user}.B{self.count}"

    def try_append(self, box=None, flags=None):
        box = box or self.rng.choice([n for n in self.boxes if n != f"user.{self.user}"])
        mark, message = self.message()
        flags = self.rng.sample(FLAGS, self.rng.choice([0, 0, 1, 2])) if flags is None else flags
        op = self.op("append", box, mark=mark, digest=digest_of(message), flags=flags)
        done = self.do(op, f"APPEND {self.wire_name(box)} ({' '.join(flags)})", message)
        if done:
            m = re.match(r"\[APPENDUID (\d+) (\d+)\]", done[0])
            op.data = {"uidvalidity": int(m[1]), "uid": int(m[2])}
            (self.own_shared if box == SHARED else self.boxes[box]).add(int(m[2]))

    def try_deliver(self):
        mark, message = self.message()
        users = self.rng.sample(self.others, self.rng.choice([1, 1, 1, min(2, len(self.others)), min(3, len(self.others))]))
        ops = [self.op("deliver", f"user.{u}", mark=mark, digest=digest_of(message)) for u in users]
        try:
            if self.lmtp is None:
                self.lmtp = self.cluster.lmtp(self.rng.randrange(len(self.cluster.frontends)), self.answer_within + 30)
        except (OSError, EOFError):
            self.stopping.wait(0.05)
            return
        for op in ops:
            op.t0 = self.clock()
        self.history.extend(ops)
        try:
            codes = [code for code, _ in self.lmtp.deliver("s@example.org", users, message)]
        except (OSError, EOFError) as e:
            self.note_hang(e)
            self.lmtp.s.close()
            self.lmtp = None
            return
        for op, code in zip(ops, codes):
            # What was put off may have been done: the MTA will send it again.
            op.answer = {2: "ok", 5: "no"}.get(code // 100, "lost")
            op.t1 = self.clock() if op.answer != "lost" else op.t1
            op.data = {"code": code}

    def try_store(self):
        box = self.some_box(True)
        if box is None:
            return
        uids, mode = self.some_uids(box), self.rng.choice("++--=")
        flags = self.rng.sample(FLAGS + [r"\Deleted"], self.rng.choice([1, 1, 2]))
        self.store(box, uids, mode, flags)

    def store(self, box, uids, mode, flags):
        op = self.op("store", box, uids=uids, mode=mode, flags=flags)
        sign = "" if mode == "=" else mode
        return self.do(op, f"UID STORE {','.join(map(str, uids))} {sign}FLAGS ({' '.join(flags)})", box=box)

    def try_expunge(self):
        box = self.some_box(True)
        if box is None:
            return
        uids = self.some_uids(box)
        if len(self.boxes[box]) > CROWD:
            uids = sorted(self.boxes[box])[:-CROWD // 4]
            if self.store(box, uids, "+", [r"\Deleted"]) is not None:
                self.do(self.op("expunge", box, uids=None), "EXPUNGE", box=box)
            return
        if self.rng.random() < 0.7 and self.store(box, uids, "+", [r"\Deleted"]) is None:
            return
        if self.rng.random() < 0.5:
            self.do(self.op("expunge", box, uids=None), "EXPUNGE", box=box)
        else:
            self.do(self.op("expunge", box, uids=uids), f"UID EXPUNGE {','.join(map(str, uids))}", box=box)

    def try_copy(self, kind="copy"):
        box = self.some_box(True)
        to = self.rng.choice([n for n in self.boxes if n != f"user.{self.user}"])
        if box is None or box == to:
            return
        uids = self.some_uids(box)
        op = self.op(kind, box, uids=uids, to=to)
        done = self.do(op, f"UID {kind.upper()} {','.join(map(str, uids))} {self.wire_name(to)}", box=box)
        if done is None:
            return
        m = re.search(r"\[COPYUID (\d+) (\S+) (\S+)\]", " ".join([done[0], *(u.decode("utf-8", "replace") for u in done[1])]))
        if m:
            op.data = {"uidvalidity": int(m[1]), "uids": dict(zip(uid_set(m[2]), uid_set(m[3])))}
            self.boxes[to] |= set(op.data["uids"].values())
            if kind == "move":
                self.boxes[box] -= set(op.data["uids"])

    def try_move(self):
        self.try_copy("move")

    def try_create(self):
        if len(self.boxes) < 8:
            box = self.new_name()
            if self.do(self.op("create", box), f"CREATE {self.wire_name(box)}"):
                self.boxes[box] = set()

    def try_recreate(self):
        """A name that was another mailbox's once."""
        names = [n for n in self.deleted if n not in self.retired]
        if names and len(self.boxes) < 8:
            box = self.rng.choice(names)
            if self.do(self.op("create", box), f"CREATE {self.wire_name(box)}"):
                self.deleted.remove(box)
                self.boxes[box] = set()

    def removable(self):
        names = [n for n in self.boxes if n.count(".") == 2 and not n.endswith(".Keep")]
        return self.rng.choice(names) if names else None

    def try_rename(self):
        box, to = self.removable(), self.new_name()
        if box and self.do(self.op("rename", box, to=to), f"RENAME {self.wire_name(box)} {self.wire_name(to)}"):
            self.boxes[to] = self.boxes.pop(box)
            self.deleted.append(box)
            self.imap.selected = None

    def try_delete(self):
        box = self.removable()
        if box and self.do(self.op("delete", box), f"DELETE {self.wire_name(box)}"):
            del self.boxes[box]
            self.deleted.append(box)
            self.imap.selected = None

    def try_setacl(self):
        who, rights = self.rng.choice(self.others), self.rng.choice(RIGHTS)
        if who != self.user:
            box = f"user.{self.user}.Keep"
            self.do(self.op("setacl", box, who=who, rights=rights or None), f'SETACL {self.wire_name(box)} {who} "{rights}"')

    def try_subscribe(self):
        box = self.rng.choice([f"user.{self.user}", f"user.{self.user}.Keep", SHARED])
        kind = self.rng.choice(["subscribe", "unsubscribe"])
        self.do(self.op(kind, box), f"{kind.upper()} {self.wire_name(box)}")

    def try_read(self, box=None):
        box = box or self.some_box()
        args = {"own": frozenset([self.keyword.lower()])} if box == SHARED else {}
        self.fetch(self.op("read", box, **args), f"(UID FLAGS BODY.PEEK[HEADER.FIELDS ({MARK})])")

    def fetch(self, op, items):
        """A read; whatever comes is there by the time of the answer. A new SELECT shows what others have put there."""
        if not self.connect():
            return None
        self.imap.selected = None
        op.t0 = self.clock()
        try:
            status, text, untagged = self.imap.command(f"SELECT {self.wire_name(op.box)}")
            validity = re.search(rb"UIDVALIDITY (\d+)", b"".join(untagged))
            if status != "OK" or not validity:
                return None
            self.imap.selected = op.box
            status, text, untagged = self.imap.command(f"UID FETCH 1:* {items}")
        except (OSError, EOFError, Hang) as e:
            self.note_hang(e)
            self.drop()
            return None
        if status != "OK":
            return None
        op.t1, op.answer = self.clock(), "ok"
        op.data = {"uidvalidity": int(validity[1]), "messages": messages_of(untagged)}
        if op.box in self.boxes:
            self.boxes[op.box] = set(op.data["messages"])
        self.history.append(op)
        return op

    def try_shared(self):
        what = self.rng.randrange(4)
        if what == 0 or not self.own_shared:
            self.try_append(SHARED, self.rng.choice([[], [self.keyword]]))
        elif what == 1:
            self.try_read(SHARED)
        elif what == 2:
            uids = sorted(self.rng.sample(sorted(self.own_shared), 1))
            self.store(SHARED, uids, self.rng.choice("+-"), [self.keyword])
        else:
            uids = [self.rng.choice(sorted(self.own_shared))]
            if self.store(SHARED, uids, "+", [r"\Deleted"]):
                self.own_shared -= set(uids)
                self.do(self.op("expunge", SHARED, uids=uids), f"UID EXPUNGE {uids[0]}", box=SHARED)
