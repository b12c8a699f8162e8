"""SELECT of a mailbox whose list of messages is kept in memory and brought up to date by what changed: it says what is there."""
import random
import re

from test_imap_session import ok

TEXT = b"Subject: x\r\n\r\nx\r\n"


def opened(c, command):
    """EXISTS, the number of the first unseen message (0: none), UIDNEXT."""
    text = "\n".join(ok(c.cmd(command + " Big")))
    unseen = re.search(r"\[UNSEEN (\d+)\]", text)
    return int(re.search(r"\* (\d+) EXISTS", text).group(1)), int(unseen.group(1)) if unseen else 0, int(re.search(r"UIDNEXT (\d+)", text).group(1))


def uids(c, key):
    return [int(x) for line in ok(c.cmd("UID SEARCH " + key)) if line.startswith("* SEARCH") for x in line.split()[2:]]


def test_select_says_what_is_there_whatever_changed_since(session):
    seed = random.randrange(1 << 32)
    rng, a, b = random.Random(seed), session(), session()
    a.cmd("DELETE Big")
    ok(a.cmd("CREATE Big"))
    ok(a.cmd(b"APPEND Big (\\Seen) {%d+}\r\n%s" % (len(TEXT), TEXT)))
    ok(a.cmd("SELECT Big"))
    for _ in range(9):
        ok(a.cmd("COPY 1:* Big"))
        ok(a.cmd("NOOP"))
    there, unseen, uidnext = set(range(1, 513)), set(), 513
    for step in range(80):
        change = rng.choice(["append", "append", "seen", "unseen", "expunge", "expunge first", "all", "none"])
        some = set(rng.sample(sorted(there), min(len(there), rng.randrange(1, 5))))
        if change == "append":
            for _ in range(rng.randrange(1, 4)):
                is_seen = rng.random() < 0.5
                ok(a.cmd(b"APPEND Big %s{%d+}\r\n%s" % (b"(\\Seen) " if is_seen else b"", len(TEXT), TEXT)))
                there.add(uidnext)
                unseen |= set() if is_seen else {uidnext}
                uidnext += 1
        elif change in ("seen", "unseen"):
            if change == "seen" and unseen and rng.random() < 0.7:
                some = {min(unseen)}
            ok(a.cmd(rf"UID STORE {','.join(map(str, some))} {'+' if change == 'seen' else '-'}FLAGS.SILENT (\Seen)"))
            unseen = unseen - some if change == "seen" else unseen | some
        elif change.startswith("expunge"):
            if change == "expunge first":
                some = {min(unseen)} if unseen else {min(there)}
            ok(a.cmd(rf"UID STORE {','.join(map(str, some))} +FLAGS.SILENT (\Deleted)"))
            ok(a.cmd("EXPUNGE"))
            there -= some
            unseen -= some
        elif change == "all":
            sign = rng.choice("+-")
            ok(a.cmd(rf"UID STORE 1:* {sign}FLAGS.SILENT (\Seen)"))
            unseen = set() if sign == "+" else set(there)
        ok(a.cmd("NOOP"))
        if rng.random() < 0.3:
            continue  # more than one change between two looks
        want = sorted(there)
        first = want.index(min(unseen)) + 1 if unseen else 0
        where = f"seed {seed} step {step} {change}"
        assert opened(b, rng.choice(["SELECT", "EXAMINE"])) == (len(want), first, uidnext), where
        assert uids(b, "ALL") == want and uids(b, "UNSEEN") == sorted(unseen), where
        # The picture that was shared is the session's own once it changes.
        if rng.random() < 0.5:
            ok(a.cmd(b"APPEND Big (\\Seen) {%d+}\r\n%s" % (len(TEXT), TEXT)))
            there.add(uidnext)
            uidnext += 1
            ok(b.cmd("NOOP"))
            assert uids(b, "ALL") == sorted(there), where
    b.cmd("UNSELECT")
    a.cmd("UNSELECT")
    ok(a.cmd("DELETE Big"))
