"""The history checker finds what it is there to find: histories with one violation each, and the same without it."""
import pytest

from history import FOREVER, Checker, Dumps, Op

INBOX, BOX, SHARED = "user.fred", "user.fred.Box", "shared"


class Story:
    """Builds histories: each step is one operation, answered a second after it was asked."""

    def __init__(self, client="fred"):
        self.ops, self.now, self.client = [], 0, client

    def op(self, kind, box, answer="ok", data=None, client=None, **args):
        self.now += 2
        t1 = self.now + 1 if answer != "lost" else FOREVER
        self.ops.append(Op(client or self.client, kind, box, self.now, t1, answer, args, data or {}))
        return self

    def append(self, mark, uid=None, answer="ok", box=BOX, flags=(), **more):
        data = {"uidvalidity": 7, "uid": uid} if uid else {}
        return self.op("append", box, answer, data, mark=mark, digest="d" + mark, flags=flags, **more)

    def deliver(self, mark, answer="ok", client="mary"):
        return self.op("deliver", INBOX, answer, mark=mark, digest="d" + mark, client=client)

    def store(self, uids, mode, *flags, answer="ok", box=BOX):
        return self.op("store", box, answer, uids=uids, mode=mode, flags=flags)

    def expunge(self, uids=None, answer="ok", box=BOX):
        return self.op("expunge", box, answer, uids=uids)

    def move(self, uids, to, new=None, answer="ok", kind="move", box=BOX):
        data = {"uidvalidity": 7, "uids": new} if new is not None else {}
        return self.op(kind, box, answer, data, uids=uids, to=to)

    def read(self, messages, box=BOX, uidvalidity=7, **args):
        return self.op("read", box, "ok", {"uidvalidity": uidvalidity, "messages": rows(messages)}, **args)

    def check(self, final=None, start=(BOX,)):
        """FINAL: {mailbox: {uid: mark or (mark, flags)}}."""
        reads = final is not None and {box: Op("end", "read", box, FOREVER, FOREVER, "ok", {}, {"uidvalidity": 7, "messages": rows(m)})
                           for box, m in {INBOX: {}, SHARED: {}, **final}.items()}
        return Checker(self.ops, [INBOX, SHARED], start).run(reads or None)


def rows(messages):
    return {uid: (m, [], "d" + m) if isinstance(m, str) else (m[0], list(m[1]), m[2] if len(m) > 2 else "d" + m[0]) for uid, m in messages.items()}


D = (r"\Deleted",)
two = lambda: Story().append("a", 1).append("b", 2)

# name, the history, what is there at the end, what must be found (None: nothing).
CASES = [
    ("all well", two().store([1], "+", r"\Seen").read({1: ("a", [r"\Seen"]), 2: "b"}), {BOX: {1: ("a", [r"\Seen"]), 2: "b"}}, None),
    ("an acknowledged append is lost", two(), {BOX: {1: "a"}}, "lost: b"),
    ("an append is not there for the next reader", two().read({1: "a"}), None, "lost: b"),
    ("an acknowledged message is there twice", two(), {BOX: {1: "a", 2: "b", 3: "b"}}, "b is there as UID 3, without a reason"),
    ("what was refused is there", Story().append("a", answer="no"), {BOX: {1: "a"}}, "without a reason"),
    ("what was refused is not there", Story().append("a", answer="no"), {BOX: {}}, None),
    ("an append without an answer is there", Story().append("a", answer="lost"), {BOX: {1: "a"}}, None),
    ("an append without an answer is not there", Story().append("a", answer="lost"), {BOX: {}}, None),
    ("an append without an answer is there twice", Story().append("a", answer="lost"), {BOX: {1: "a", 2: "a"}}, "without a reason"),
    ("seen, an append without an answer stays", Story().append("a", answer="lost").read({1: "a"}), {BOX: {}}, "lost: a"),
    ("a delivery is lost", Story().deliver("a"), {BOX: {}}, "lost: a"),
    ("a delivery is there twice", Story().deliver("a"), {BOX: {}, INBOX: {1: "a", 2: "a"}}, "without a reason"),
    ("a delivery put off may be there", Story().deliver("a", "lost").deliver("b"), {BOX: {}, INBOX: {1: "b", 2: "a"}}, None),
    ("expunged, and back", two().store([1], "+", *D).expunge().read({2: "b"}), {BOX: {1: ("a", D), 2: "b"}}, "there again: a"),
    ("expunged in vain", two().store([1], "+", *D).expunge(), {BOX: {1: ("a", D), 2: "b"}}, "there again: a"),
    ("expunged without \\Deleted", two().store([1], "+", *D).expunge(), {BOX: {}}, "lost: b"),
    ("UID EXPUNGE of others", two().store([1, 2], "+", *D).expunge([1]), {BOX: {}}, "lost: b"),
    ("an expunge refused", two().store([1], "+", *D).expunge(answer="no"), {BOX: {2: "b"}}, "lost: a"),
    ("an expunge without an answer was done", two().store([1], "+", *D).expunge(answer="lost"), {BOX: {2: "b"}}, None),
    ("an expunge without an answer was not done", two().store([1], "+", *D).expunge(answer="lost"), {BOX: {1: ("a", D), 2: "b"}}, None),
    ("an expunge without an answer took more", two().store([1], "+", *D).expunge(answer="lost"), {BOX: {1: ("a", D)}}, "lost: b"),
    ("an expunge without an answer comes late", two().expunge(answer="lost").store([1], "+", *D), {BOX: {2: "b"}}, None),
    ("done and undone", two().store([1], "+", *D).expunge(answer="lost").read({2: "b"}), {BOX: {1: ("a", D), 2: "b"}}, "there again: a"),
    ("flags are wrong", two().store([1], "+", r"\Seen"), {BOX: {1: "a", 2: "b"}}, "flags [], possible [['\\\\seen']]"),
    ("flags are back", two().store([1], "+", "x").store([1], "-", "x"), {BOX: {1: ("a", ["x"]), 2: "b"}}, "flags ['x']"),
    ("flags of another", two().store([1], "=", "x"), {BOX: {1: ("a", ["x"]), 2: ("b", ["x"])}}, "b (uid 2)"),
    ("a store refused", two().store([1], "+", "x", answer="no"), {BOX: {1: ("a", ["x"]), 2: "b"}}, "flags ['x']"),
    ("a store without an answer was done", two().store([1], "+", "x", answer="lost"), {BOX: {1: ("a", ["x"]), 2: "b"}}, None),
    ("a store without an answer comes late", two().store([1], "+", "x", answer="lost").store([1], "=", "y"),
     {BOX: {1: ("a", ["x", "y"]), 2: "b"}}, None),
    ("a store without an answer does not do more", two().store([1], "+", "x", answer="lost").store([1], "=", "y"),
     {BOX: {1: ("a", ["x"]), 2: "b"}}, "flags ['x']"),
    ("flags at an append", Story().append("a", 1, flags=["x"]), {BOX: {1: "a"}}, "flags []"),
    ("a UID is used again", two().store([2], "+", *D).expunge().append("c", 2), None, "UID 2 was b and is c"),
    ("a UID names another", two().read({1: "b", 2: "a"}), None, "UID 1 was a and is b"),
    ("UIDs go down", Story().append("a", 5).append("b", 4), None, "UIDs do not ascend"),
    ("UIDVALIDITY changes", two().read({1: "a", 2: "b"}, uidvalidity=8), None, "UIDVALIDITY was 7 and is 8"),
    ("other octets", two().read({1: ("a", [], "dx"), 2: "b"}), None, "other octets"),
    ("a move", two().op("create", BOX + ".To").move([1], BOX + ".To", {1: 1}), {BOX: {2: "b"}, BOX + ".To": {1: "a"}}, None),
    ("a move that copies", two().op("create", BOX + ".To").move([1], BOX + ".To", {1: 1}), {BOX: {1: "a", 2: "b"}, BOX + ".To": {1: "a"}},
     "there again: a"),
    ("a move that loses", two().op("create", BOX + ".To").move([1], BOX + ".To", {1: 1}), {BOX: {2: "b"}, BOX + ".To": {}}, "lost: a"),
    ("a move that forgets one", two().op("create", BOX + ".To").move([1, 2], BOX + ".To", {1: 1}), None, "lost: b"),
    ("a move without an answer, done", two().op("create", BOX + ".To").move([1], BOX + ".To", answer="lost"),
     {BOX: {2: "b"}, BOX + ".To": {1: "a"}}, None),
    ("a move without an answer, not done", two().op("create", BOX + ".To").move([1], BOX + ".To", answer="lost"),
     {BOX: {1: "a", 2: "b"}, BOX + ".To": {}}, None),
    ("a move without an answer, half done", two().op("create", BOX + ".To").move([1], BOX + ".To", answer="lost"),
     {BOX: {1: "a", 2: "b"}, BOX + ".To": {1: "a"}}, "there as well: a"),
    ("a move without an answer, the other half", two().op("create", BOX + ".To").move([1], BOX + ".To", answer="lost"),
     {BOX: {2: "b"}, BOX + ".To": {}}, "neither here nor there: a"),
    ("a copy keeps flags", two().store([1], "+", "x").op("create", BOX + ".To").move([1], BOX + ".To", {1: 1}, kind="copy"),
     {BOX: {1: ("a", ["x"]), 2: "b"}, BOX + ".To": {1: "a"}}, "flags []"),
    ("a copy refused", two().op("create", BOX + ".To").move([1], BOX + ".To", kind="copy", answer="no"),
     {BOX: {1: "a", 2: "b"}, BOX + ".To": {1: "a"}}, "without a reason"),
    ("a mailbox is gone", two().op("create", BOX + ".To"), {BOX: {1: "a", 2: "b"}}, "user.fred.Box.To is gone"),
    ("a mailbox is back", two().op("create", BOX + ".To").op("delete", BOX + ".To"), {BOX: {1: "a", 2: "b"}, BOX + ".To": {}}, "without a reason"),
    ("a creation refused", two().op("create", BOX + ".To", "no"), {BOX: {1: "a", 2: "b"}, BOX + ".To": {}}, "without a reason"),
    ("a creation without an answer", two().op("create", BOX + ".To", "lost"), {BOX: {1: "a", 2: "b"}}, None),
    ("a rename", two().op("rename", BOX, to="user.fred.New"), {"user.fred.New": {1: "a", 2: "b"}}, None),
    ("a rename that loses", two().op("rename", BOX, to="user.fred.New"), {"user.fred.New": {1: "a"}}, "lost: b"),
    ("a rename without an answer", two().op("rename", BOX, "lost", to="user.fred.New"), {"user.fred.New": {1: "a", 2: "b"}}, None),
    ("a rename without an answer that copies", two().op("rename", BOX, "lost", to="user.fred.New"),
     {BOX: {1: "a", 2: "b"}, "user.fred.New": {1: "a", 2: "b"}}, "under both names"),
    ("a rename without an answer that loses", two().op("rename", BOX, "lost", to="user.fred.New"), {}, "user.fred.Box is gone"),
    ("anew under an old name, UIDs begin again", two().op("delete", BOX).op("create", BOX).append("c", 1), None, "UID 1 was a and is c"),
    ("somebody else's message in a shared mailbox", Story().append("a", 1, box=SHARED).append("b", 2, box=SHARED, client="mary")
     .read({1: "a"}, box=SHARED, own=frozenset()), {BOX: {}, SHARED: {1: "a", 2: "b"}}, None),
    ("one's own message in a shared mailbox", Story().append("a", 1, box=SHARED).append("b", 2, box=SHARED, client="mary")
     .read({2: "b"}, box=SHARED, own=frozenset()), None, "lost: a"),
]


@pytest.mark.parametrize("story, final, want", [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_history(story, final, want):
    found = story.check(final)
    if want is None:
        assert not found, found
    else:
        assert any(want in f for f in found), found


@pytest.mark.parametrize("answers, at_end, is_well", [
    (["ok"], True, True), (["ok"], False, False), (["no"], True, False), (["lost"], True, True), (["lost"], False, True),
    (["ok", "ok"], True, False), (["ok", "lost"], True, True), (["ok", "lost"], False, True), (["lost", "ok"], True, True)])
def test_subscriptions(answers, at_end, is_well):
    story = Story()
    for kind, answer in zip(("subscribe", "unsubscribe"), answers):
        story.op(kind, BOX, answer)
    checker = Checker(story.ops, [INBOX], [BOX])
    checker.run()
    checker.check_subscriptions({("fred", BOX)} if at_end else set(), ["fred"])
    assert bool(checker.problems) != is_well, checker.problems


def test_acls():
    story = Story().op("setacl", BOX, who="mary", rights="lrs").op("setacl", BOX, "lost", who="mary", rights="lr")
    for rights, is_well in (("lrs", True), ("lr", True), (None, False), ("lrswi", False)):
        checker = Checker(story.ops, [INBOX], [BOX])
        checker.run()
        checker.check_acls({BOX: {"mary": rights}})
        assert bool(checker.problems) != is_well, checker.problems


def dump(lsn, uidnext, highest, *messages):
    rows = "".join(f"message uid={u} modseq={m} flags={f} internaldate=1 size=2 body={u} hash={h} keywords=\n" for u, m, f, h in messages)
    return f"roost-dump 1\nlsn {lsn}\nmailbox user.fred id=1 uidvalidity=7 uidnext={uidnext} highestmodseq={highest} exists=1\n{rows}"


@pytest.mark.parametrize("later, want", [
    (dump(9, 3, 9, (1, 5, "01", "aa"), (2, 9, "00", "bb")), None),
    (dump(9, 3, 9, (2, 9, "00", "bb")), None),
    (dump(9, 2, 6, (1, 6, "02", "aa")), None),
    (dump(9, 2, 5, (1, 5, "02", "aa")), "changed and its modseq did not grow"),
    (dump(9, 2, 5, (1, 4, "01", "aa")), "changed and its modseq did not grow"),
    (dump(9, 2, 4, (1, 5, "01", "aa")), "went back"),
    (dump(9, 2, 6, (1, 6, "01", "ab")), "UID 1 was"),
    (dump(9, 3, 9, (1, 5, "01", "aa"), (2, 5, "00", "bb")), "UID 2 is new"),
    (dump(5, 2, 5, (1, 5, "00", "aa")), "differ at LSN 5"),
])
def test_dumps(later, want):
    d = Dumps()
    d.add(dump(5, 2, 5, (1, 5, "01", "aa")), "backenda1")
    d.add(later, "backenda2")
    found = d.check()
    assert (not found) if want is None else (len(found) == 1 and want in found[0]), found
