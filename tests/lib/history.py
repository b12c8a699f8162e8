"""What clients did to a murder and were told, and whether what is there at the end, and what they saw meanwhile, can be so.

Every operation is an Op: when it was asked, when it was answered, and how:
  ok    it is in effect, from the answer on
  no    it was refused, and has no effect, ever
  lost  nobody knows: it takes effect at most once, at any time from the question on, perhaps long after
Mailboxes are of two kinds. A mailbox of one client's own is changed by him alone, one operation after the other, so all that may be
there is known exactly. Into a common one (an INBOX, to which all deliver; a shared mailbox, to which all append) others may
put messages at the same time; each message has one owner, who alone removes it, and flags that others set commute.

A message is known by its mark, a header that is unique among all that was ever sent. A copy is an Instance of its own.
check() returns violations, as lines.
"""
import collections
import dataclasses
import hashlib
import heapq
import itertools
import re

FOREVER = float("inf")
POSSIBLE_MAX = 64  # more sets of flags than that, and any is taken for possible
DELETED = "\\deleted"


@dataclasses.dataclass(eq=False)
class Op:
    """KIND: append deliver store expunge copy move create rename delete setacl subscribe unsubscribe read.

    box        the mailbox, by its internal name, as all names here
    args       append, deliver: mark, digest, flags. store: uids, mode (+ - =), flags. expunge: uids (None: all that are
               \\Deleted). copy, move: uids, to. rename: to. setacl: who, rights
    data       of an ok. append: uidvalidity, uid. copy, move: uidvalidity, uids (from the old to the new). read: uidvalidity,
               messages: uid to (mark, flags, digest or None). setacl and subscribe have none
    A read whose args have "own" is of a mailbox where others change theirs meanwhile: of their messages it tells what UIDs
    mean, no more; and of flags only those in args["own"] count.
    """
    client: str
    kind: str
    box: str
    t0: float
    t1: float = FOREVER
    answer: str = "lost"
    args: dict = dataclasses.field(default_factory=dict)
    data: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        end = "" if self.t1 == FOREVER else f"-{self.t1:.3f}"
        return f"[{self.t0:.3f}{end} {self.client}] {self.kind} {self.box} {short(self.args)} -> {self.answer} {short(self.data)}"


def short(d):
    text = " ".join(f"{k}={v}" for k, v in d.items() if k != "digest")
    return text if len(text) < 300 else text[:300] + "..."


def changed(flags, mode, given):
    """FLAGS after a STORE."""
    given = frozenset(f.lower() for f in given)
    return flags | given if mode == "+" else flags - given if mode == "-" else given


class Instance:
    """One message in one mailbox. uid: None until it is known."""

    def __init__(self, box, op, mark, digest, flags, uid=None):
        self.box, self.op, self.mark, self.digest, self.uid = box, op, mark, digest, uid
        self.was_seen = op.answer == "ok"  # it has certainly been there
        self.is_gone = False               # it is certainly gone, for good
        self.reasons = []                  # operations that have removed it, may have, or will
        self.last_seen = None              # when a read was asked that found it
        self.flags = flags                 # sets of flags that it may have; None: any
        self.open = []                     # (mode, flags) without an answer: may happen to it still
        self.origin = None                 # the one that it is, moved, if a MOVE without an answer was done

    def may_be_absent(self):
        return self.is_gone or not self.was_seen or bool(self.reasons)

    def close_flags(self):
        """Whatever is open may happen now, in any order, or later."""
        if self.flags is None:
            return
        known = set(self.flags)
        todo = list(known)
        while todo:
            now = todo.pop()
            for mode, given in self.open:
                after = changed(now, mode, given)
                if after not in known:
                    known.add(after)
                    todo.append(after)
            if len(known) > POSSIBLE_MAX:
                self.flags = None
                return
        self.flags = frozenset(known)

    def store(self, mode, given, answer):
        if answer == "lost":
            self.open.append((mode, given))
        elif answer == "ok":
            if mode == "=" and self.flags is None:
                self.flags = frozenset([changed(frozenset(), "=", given)])
            elif self.flags is not None:
                self.flags = frozenset(changed(f, mode, given) for f in self.flags)
        self.close_flags()

    def saw_flags(self, flags):
        self.flags = frozenset([flags])
        self.close_flags()

    def deleted(self):
        """Whether it has \\Deleted: True, False, None for perhaps."""
        if self.flags is None:
            return None
        has = {DELETED in f for f in self.flags}
        return has.pop() if len(has) == 1 else None

    def __str__(self):
        return f"{self.mark} (uid {self.uid}) in {self.box.name}, of {self.op}"


class Box:
    """A mailbox from its creation to its end, under whatever name. exists: True, False, None for perhaps."""

    def __init__(self, name, is_common, exists=True):
        self.name, self.is_common, self.exists = name, is_common, exists
        self.other_name = None     # where a RENAME without an answer may have put it
        self.uidvalidity = None
        self.instances, self.uids = [], {}
        self.unbound = collections.defaultdict(list)  # mark -> those whose UID is not known
        self.open_expunges = []    # (uids or None, op)

    def add(self, i):
        self.instances.append(i)
        if i.uid is None:
            self.unbound[i.mark].append(i)
        else:
            self.uids[i.uid] = i

    def bind(self, mark, uid):
        """One with MARK turns out to be UID; None where there is none."""
        unknown = [i for i in self.unbound[mark] if not i.is_gone]
        i = next((i for i in unknown if i.op.answer == "ok"), unknown[0] if unknown else None)
        if i:
            self.unbound[mark].remove(i)
            i.uid = uid
            self.uids[uid] = i
        return i

    def live(self):
        return [i for i in self.instances if not i.is_gone]

    def by_uid(self, uid):
        return self.uids.get(uid)


class Checker:
    """COMMON: names of the mailboxes into which many put. START: more that are there from the beginning."""

    def __init__(self, ops, common, start=()):
        self.ops = sorted(ops, key=lambda op: op.t0)
        self.problems = []
        self.names = {name: Box(name, True) for name in common}
        self.names.update({name: Box(name, False) for name in start})
        self.all = list(self.names.values())
        self.meanings = {}  # (name, uidvalidity, uid) -> mark
        self.acls = collections.defaultdict(lambda: {None})
        self.subscriptions = collections.defaultdict(lambda: {False})

    def problem(self, what, op=None):
        self.problems.append(what + (f"  BY {op}" if op else ""))

    def run(self, final=None):
        """FINAL: a read of each mailbox that is there, {name: read op}, or None not to look."""
        for op in self.ops:
            if op.kind in ("append", "deliver") and op.box in self.names and self.names[op.box].is_common:
                self.add(self.names[op.box], op)
        for op in self.ops:
            getattr(self, "do_" + op.kind)(op)
        if final is not None:
            self.finish(final)
        for box in self.all:
            self.check_order(box)
        return self.problems

    # Messages come.

    def add(self, box, op):
        if op.answer == "no":
            return
        uid = op.data.get("uid")
        flags = frozenset([frozenset(f.lower() for f in op.args.get("flags", ()))])
        box.add(Instance(box, op, op.args["mark"], op.args.get("digest"), flags, uid))
        if uid is not None:
            self.means(box, op.data["uidvalidity"], uid, op.args["mark"], op)

    def means(self, box, uidvalidity, uid, mark, op):
        """A UID, once seen, names the same for ever."""
        if box.uidvalidity is None:
            box.uidvalidity = uidvalidity
        elif box.uidvalidity != uidvalidity:
            self.problem(f"{box.name}: UIDVALIDITY was {box.uidvalidity} and is {uidvalidity}", op)
        was = self.meanings.setdefault((box.name, uidvalidity, uid), mark)
        if was != mark:
            self.problem(f"{box.name}: UID {uid} was {was} and is {mark}", op)

    def box_of(self, op, name=None):
        """The mailbox that OP is about; None and a problem where it cannot be."""
        box = self.names.get(name or op.box)
        if box is None or box.exists is False:
            if op.answer == "ok":
                self.problem(f"{name or op.box} is not there, but the answer is ok", op)
            return None
        if op.answer == "ok" and box.exists is None and box.other_name is None:
            box.exists = True
        return box

    def do_append(self, op):
        box = self.box_of(op)
        if box and not box.is_common:
            self.add(box, op)

    do_deliver = do_append

    def do_copy(self, op, is_move=False):
        box, to = self.box_of(op), self.box_of(op, op.args["to"])
        if not box or not to or op.answer == "no":
            return
        new = op.data.get("uids", {})
        for uid in op.args["uids"]:
            src = box.by_uid(uid)
            if src is None:
                if uid in new:
                    self.problem(f"{box.name}: UID {uid} was copied, and nobody knows it", op)
                continue
            if op.answer == "ok" and uid not in new:
                self.is_absent(src, op)
                continue
            if op.answer == "ok":
                self.is_present(src, op)
            made = Instance(to, op, src.mark, src.digest, src.flags if op.answer == "ok" else None, new.get(uid))
            to.add(made)
            if op.answer == "ok":
                self.means(to, op.data["uidvalidity"], new[uid], src.mark, op)
            if is_move:
                src.reasons.append(op)
                src.is_gone = src.is_gone or op.answer == "ok"
                made.origin = src if op.answer == "lost" else None

    def do_move(self, op):
        self.do_copy(op, True)

    # Messages change and go.

    def do_store(self, op):
        box = self.box_of(op)
        if not box or op.answer == "no":
            return
        for uid in op.args["uids"]:
            i = box.by_uid(uid)
            if i and not i.is_gone:
                i.store(op.args["mode"], op.args["flags"], op.answer)
                self.open_expunges_reach(i)

    def open_expunges_reach(self, i):
        for uids, op in i.box.open_expunges:
            if (uids is None or i.uid in uids) and i.deleted() is not False and op not in i.reasons:
                i.reasons.append(op)

    def do_expunge(self, op):
        box = self.box_of(op)
        if not box or op.answer == "no":
            return
        uids = op.args.get("uids")
        if op.answer == "lost":
            box.open_expunges.append((uids, op))
        for i in box.live():
            if i.uid is None or (uids is not None and i.uid not in uids):
                continue
            if op.answer == "lost":
                self.open_expunges_reach(i)
            elif i.deleted() is not False:
                i.reasons.append(op)
                i.is_gone = i.deleted() is True and i.was_seen

    # Mailboxes.

    def do_create(self, op):
        old = self.names.get(op.box)
        if op.answer == "no":
            return
        if old is not None and old.exists and op.answer == "ok":
            self.problem(f"{op.box} was there, but CREATE is ok", op)
        box = Box(op.box, False, True if op.answer == "ok" else None)
        self.names[op.box] = box
        self.all.append(box)

    def do_delete(self, op):
        box = self.box_of(op)
        if box and op.answer != "no":
            box.exists = False if op.answer == "ok" else None

    def do_rename(self, op):
        box = self.box_of(op)
        if not box or op.answer == "no":
            return
        self.names[op.args["to"]] = box
        if op.answer == "ok":
            del self.names[op.box]
            box.name = op.args["to"]
        else:
            box.other_name = op.args["to"]

    def do_setacl(self, op):
        self.choose(self.acls[op.box, op.args["who"]], op, op.args["rights"])

    def do_subscribe(self, op):
        self.choose(self.subscriptions[op.client, op.box], op, True)

    def do_unsubscribe(self, op):
        self.choose(self.subscriptions[op.client, op.box], op, False)

    def choose(self, possible, op, value):
        """What an open one says stays possible for ever."""
        if op.answer == "lost":
            possible.add(("open", value))
        elif op.answer == "ok":
            kept = {p for p in possible if isinstance(p, tuple)}
            possible.clear()
            possible.update(kept | {value})

    @staticmethod
    def may_be(possible, value):
        return value in possible or ("open", value) in possible

    # Looking.

    def is_present(self, i, op):
        if i.is_gone:
            self.problem(f"gone, and there again: {i}", op)
        i.was_seen, i.last_seen = True, op.t0

    def is_absent(self, i, op):
        if i.is_gone or not i.may_be_absent():
            if not i.is_gone:
                self.problem(f"lost: {i}", op)
                i.is_gone = True  # told once
            return
        if i.was_seen:
            i.is_gone = True

    def do_read(self, op):
        box = self.box_of(op)
        if box and op.answer == "ok":
            self.look(box, op)

    def look(self, box, op):
        for uid, row in sorted(op.data["messages"].items()):
            self.look_at(box, uid, row, op)
        for i in box.live():
            is_young = box.is_common and i.op.t1 >= op.t0 and i.last_seen is None
            if i.uid in op.data["messages"] or is_young or ("own" in op.args and i.op.client != op.client):
                continue
            self.is_absent(i, op)

    def look_at(self, box, uid, row, op):
        mark, flags, digest = row
        flags = frozenset(f.lower() for f in flags if f.lower() != "\\recent")
        self.means(box, op.data["uidvalidity"], uid, mark, op)
        i = box.by_uid(uid)
        if i is None:
            # The answer did not say the UID, or there was none.
            i = box.bind(mark, uid)
            if i is None:
                self.problem(f"{box.name}: {mark} is there as UID {uid}, without a reason", op)
                return
            if i.op.t0 > op.t1:
                self.problem(f"was there before it was sent: {i}", op)
        own = op.args.get("own")
        if own is not None and i.op.client != op.client:
            return
        self.is_present(i, op)
        if i.mark == mark and digest is not None and i.digest is not None and digest != i.digest:
            self.problem(f"other octets than were sent: {i}", op)
        if i.flags is not None and not any(f == flags or own is not None and f & own == flags & own for f in i.flags):
            self.problem(f"flags {sorted(flags)}, possible {[sorted(f) for f in i.flags]}: {i}", op)
        elif own is None:
            i.saw_flags(flags)
            self.open_expunges_reach(i)
        if i.origin is not None:
            self.has_moved(i.origin, op)

    def has_moved(self, src, op):
        """The MOVE without an answer was done: the source is gone, and must not be seen again."""
        if src.last_seen is not None and src.last_seen >= op.t0:
            self.problem(f"moved, and there as well: {src}", op)
        src.is_gone = True

    # The end.

    def finish(self, final):
        claimed = set()
        for box in self.all:
            if box.exists is False:
                continue
            there = [n for n in (box.name, box.other_name) if n in final and n not in claimed]
            if len(there) > 1:
                self.problem(f"renamed, and there under both names: {box.name}, {box.other_name}")
            if not there:
                if box.exists:
                    self.problem(f"{box.name} is gone")
                continue
            claimed.update(there)
            if there[0] != box.name:
                box.name = there[0]
            self.look(box, final[there[0]])
        for name in sorted(set(final) - claimed):
            self.problem(f"{name} is there, without a reason")
        self.check_moves()

    def check_moves(self):
        """What only a MOVE without an answer can have removed is at one of both places."""
        by_origin = collections.defaultdict(list)
        for box in self.all:
            for i in box.instances:
                if i.origin is not None:
                    by_origin[i.origin].append(i)
        for src, made in by_origin.items():
            moves = {i.op for i in made}
            has_other = any(r not in moves for r in src.reasons) or src.box.exists is not True or src.op.answer != "ok"
            if src.is_gone and not has_other and not any(i.was_seen or i.box.exists is not True for i in made):
                self.problem(f"lost by a MOVE, neither here nor there: {src}")

    def check_subscriptions(self, subscribed, clients):
        """SUBSCRIBED: pairs of client and mailbox."""
        for (client, box), possible in self.subscriptions.items():
            if not self.may_be(possible, (client, box) in subscribed):
                self.problem(f"{client}'s subscription of {box} is {(client, box) in subscribed}")
        for client, box in subscribed:
            if client in clients and (client, box) not in self.subscriptions:
                self.problem(f"{client} is subscribed to {box}, without a reason")

    def check_acls(self, acls):
        """ACLS: mailbox to {who: rights}."""
        for (name, who), possible in self.acls.items():
            box = self.names.get(name)
            if box is None or not box.exists or box.other_name or box.name != name or name not in acls:
                continue
            rights = acls[name].get(who)
            if not self.may_be(possible, rights):
                self.problem(f"{name}: {who} has {rights}, possible {possible}")

    def check_order(self, box):
        """Who was answered before another was asked has the smaller UID."""
        rows = sorted(((i.op.t0, i.op.t1, i.uid, i) for i in box.instances if i.uid is not None), key=lambda r: r[:3])
        answered, highest, before = [], 0, None
        for n, (t0, t1, uid, i) in enumerate(rows):
            while answered and answered[0][0] < t0:
                _, _, u, earlier = heapq.heappop(answered)
                if u > highest:
                    highest, before = u, earlier
            if uid <= highest:
                self.problem(f"UIDs do not ascend: {before} was answered before {i} was asked")
            heapq.heappush(answered, (t1, n, uid, i))


class Dumps:
    """Texts of `roost dump`, of any member at any time: equal at one LSN; UIDs and modseqs that only grow. Of all but the
    newest KEPT only a digest is kept, and the last that was compared."""

    KEPT = 16
    MAILBOX = re.compile(r"mailbox (\S+) id=(\d+) uidvalidity=(\d+) uidnext=(\d+) highestmodseq=(\d+) ")
    MESSAGE = re.compile(r"message uid=(\d+) modseq=(\d+) (flags=\S+) (internaldate=\S+ size=\S+ body=\S+ hash=\S+) (keywords=\S*)")

    def __init__(self):
        self.texts, self.digests, self.problems, self.count = {}, {}, [], 0
        self.before, self.compared = None, 0

    def add(self, text, who):
        if not text.startswith("roost-dump"):
            return
        self.count += 1
        lsn = int(re.match(r"\S+ \d+\nlsn (\d+)\n", text)[1])
        digest = hashlib.sha256(text.encode()).digest()
        was = self.digests.setdefault(lsn, (digest, who))
        if was[0] != digest:
            a, b = self.texts.get(lsn, "").splitlines(), text.splitlines()
            differ = [f"{x!r} / {y!r}" for x, y in itertools.zip_longest(a, b) if x != y][:3]
            self.problems.append(f"dumps of {was[1]} and {who} differ at LSN {lsn}: {'; '.join(differ)}")
        elif lsn > self.compared:
            self.texts[lsn] = text
            self.compare_all_but(self.KEPT)

    def parse(self, text):
        boxes, box = {}, None
        for line in text.splitlines():
            if m := self.MAILBOX.match(line):
                name, *numbers = m.groups()
                number, uidvalidity, uidnext, highest = map(int, numbers)
                box = boxes[number] = {"name": name, "uidvalidity": uidvalidity, "uidnext": uidnext, "highest": highest, "messages": {}}
            elif m := self.MESSAGE.match(line):
                box["messages"][int(m[1])] = (int(m[2]), m[3] + m[5], m[4])
        return boxes

    def check(self):
        self.compare_all_but(0)
        return self.problems

    def compare_all_but(self, kept):
        while len(self.texts) > kept:
            lsn = min(self.texts)
            now = self.parse(self.texts.pop(lsn))
            for number, box in now.items() if self.before is not None else ():
                old = self.before.get(number)
                if old:
                    self.compare(lsn, old, box)
            self.before, self.compared = now, lsn

    def compare(self, lsn, old, new):
        where = f"{new['name']} at LSN {lsn}"
        if new["uidvalidity"] != old["uidvalidity"] or new["uidnext"] < old["uidnext"] or new["highest"] < old["highest"]:
            self.problems.append(f"{where}: UIDVALIDITY, UIDNEXT or HIGHESTMODSEQ went back")
        for uid, (modseq, flags, fixed) in new["messages"].items():
            was = old["messages"].get(uid)
            if was is None:
                if uid < old["uidnext"] or modseq <= old["highest"]:
                    self.problems.append(f"{where}: UID {uid} is new, below the UIDNEXT or HIGHESTMODSEQ from before")
            elif was[2] != fixed:
                self.problems.append(f"{where}: UID {uid} was {was[2]} and is {fixed}")
            elif modseq < was[0] or (flags != was[1] and modseq <= old["highest"]):
                self.problems.append(f"{where}: UID {uid} changed and its modseq did not grow")
