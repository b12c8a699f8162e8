"""A client of QRESYNC comes back after its master was killed: what it is told by the new one makes its picture right.

ROOST_SEED replays a seed.
"""
import os
import random
import re

from local import LocalMurder
from roost import Raw, wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


def ok(answer):
    lines, done = answer
    assert done.startswith("OK"), answer
    return lines


class Picture:
    """What a client knows of a mailbox: UID to flags, and how far."""

    def __init__(self):
        self.flags, self.validity, self.modseq = {}, 0, 1

    def take(self, lines):
        for line in lines:
            m = re.match(r"\* VANISHED (?:\(EARLIER\) )?(\S+)", line)
            for r in m.group(1).split(",") if m else []:
                first, _, last = r.partition(":")
                for uid in range(int(first), int(last or first) + 1):
                    self.flags.pop(uid, None)
            m = re.search(r"FETCH \(UID (\d+) FLAGS \(([^)]*)\)", line)
            if m:
                self.flags[int(m.group(1))] = set(m.group(2).split()) - {r"\Recent"}
            m = re.search(r"\[HIGHESTMODSEQ (\d+)\]", line)
            if m:
                self.modseq = int(m.group(1))
            m = re.search(r"\[UIDVALIDITY (\d+)\]", line)
            if m:
                self.validity = int(m.group(1))


def connect(murder, user="fred"):
    host, port = murder.info["frontends"][0]["imap"].rsplit(":", 1)
    return Raw(int(port), timeout=60).login(user, "pw-" + user)


def change_at_random(c, rng, keyword):
    """Some changes of the selected mailbox."""
    uids = [int(u) for x in ok(c.cmd("UID SEARCH ALL")) if x.startswith("* SEARCH") for u in x.split()[2:]]
    some = lambda n: ",".join(str(u) for u in sorted(rng.sample(uids, min(n, len(uids)))))
    ok(c.cmd(rf"UID STORE {some(5)} +FLAGS.SILENT ({keyword} \Answered)"))
    ok(c.cmd(rf"UID STORE {some(5)} -FLAGS.SILENT (\Answered)"))
    gone = some(4)
    ok(c.cmd(rf"UID STORE {gone} +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd(f"UID EXPUNGE {gone}"))
    for i in range(3):
        text = f"Subject: {keyword} {i}\r\n\r\nx\r\n"
        ok(c.cmd(f"APPEND INBOX {{{len(text)}+}}\r\n{text}"))


def whole(c):
    p = Picture()
    p.take(ok(c.cmd("UID FETCH 1:* (FLAGS)")))
    return p.flags


def test_a_client_misses_nothing_across_kills():
    print("ROOST_SEED", SEED)
    rng = random.Random(SEED)
    with LocalMurder(["fred"], pairs=1, restart=False) as m:
        c = connect(m)
        for i in range(40):
            text = f"Subject: {i}\r\n\r\nx\r\n"
            ok(c.cmd(f"APPEND INBOX {{{len(text)}+}}\r\n{text}"))
        ok(c.cmd("ENABLE QRESYNC"))
        known = Picture()
        known.take(ok(c.cmd("SELECT INBOX")))
        known.take(ok(c.cmd("UID FETCH 1:* (FLAGS)")))
        assert len(known.flags) == 40
        for round in range(3):
            # Others change the mailbox; the client has heard of some of it.
            other = connect(m)
            ok(other.cmd("SELECT INBOX"))
            change_at_random(other, rng, f"before{round}")
            if round == 1:
                known.take(ok(c.cmd("NOOP")))
            change_at_random(other, rng, f"unheard{round}")
            old = m.wait_in_sync("backenda")
            m.kill(old)
            wait_for(lambda: m.master("backenda") not in (None, old), "the partner takes over", 30)
            other = connect(m)
            ok(other.cmd("SELECT INBOX"))
            change_at_random(other, rng, f"after{round}")
            truth = whole(other)
            c = connect(m)
            ok(c.cmd("ENABLE QRESYNC"))
            lines = ok(c.cmd(f"SELECT INBOX (QRESYNC ({known.validity} {known.modseq}))"))
            told = sum(1 for x in lines if " FETCH (" in x)
            known.take(lines)
            assert known.flags == truth, f"seed {SEED} round {round}"
            assert told < len(truth), "it is not told everything again"
            m.revive(old)
            m.wait_in_sync("backenda")
        m.dumps_equal("backenda")
