"""kill -9 of the master, and a hand-over, in the midst of APPENDs of several messages, of annotated ones and copies of these, and of REPLACEs: of each
command all is there or nothing, what was answered OK is there, and both members have the same.

ROOST_SEED replays a seed.
"""
import os
import random
import re
import threading
import time
from collections import Counter

from local import LocalMurder, password_of
from roost import Raw, wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


def literal(text):
    return b"{%d+}\r\n%s" % (len(text), text)


class Client(threading.Thread):
    """Sends one command after the other through the frontend, and comes again when it is sent away."""

    def __init__(self, murder, seed):
        super().__init__(daemon=True)
        self.m, self.rng, self.over, self.acked, self.sent = murder, random.Random(seed), threading.Event(), [], 0

    def connect(self):
        host, port = self.m.info["frontends"][0]["imap"].rsplit(":", 1)
        c = Raw(int(port), timeout=60)
        c.login("fred", password_of("fred"))
        return c

    def run(self):
        c = None
        while not self.over.is_set():
            try:
                if c is None:
                    c = self.connect()
                    self.begin(c)
                self.sent += 1
                if self.once(c, self.sent):
                    self.acked.append(self.sent)
            except (EOFError, OSError, AssertionError):
                c = None
                time.sleep(0.05)

    def begin(self, c):
        pass


class Batches(Client):
    """APPEND of three to eight messages."""

    def once(self, c, n):
        count = self.rng.randrange(3, 9)
        texts = [b"Subject: batch %d, %d of %d\r\n\r\n" % (n, i, count) + b"x" * self.rng.choice([10, 3000, 90000]) for i in range(count)]
        return c.cmd(b"APPEND INBOX " + b" ".join(literal(t) for t in texts))[1].startswith("OK")


class Draft(Client):
    """One message that is replaced again and again."""

    def begin(self, c):
        done = c.cmd("SELECT Drafts")[1]
        assert done.startswith("OK"), done

    def once(self, c, n):
        lines, done = c.cmd(b"UID REPLACE * Drafts " + literal(b"Subject: version %d\r\n\r\n" % n + b"y" * 2000))
        return done.startswith("OK")


class Annotated(Client):
    """One message with its annotations, and a copy of the newest."""

    def begin(self, c):
        done = c.cmd("SELECT Notes")[1]
        assert done.startswith("OK"), done

    def once(self, c, n):
        annotation = b'ANNOTATION (/comment (value.priv "p%d" value.shared "%s"))' % (n, b"s" * self.rng.choice([1, 200]))
        if not c.cmd(b"APPEND Notes %s %s" % (annotation, literal(b"Subject: note %d\r\n\r\n" % n)))[1].startswith("OK"):
            return False
        return c.cmd("UID COPY * Copies")[1].startswith("OK")


def annotated(m, mailbox):
    """Messages there, and those of them with both annotations."""
    c = Client(m, SEED).connect()
    assert c.cmd(f"SELECT {mailbox}")[1].startswith("OK")
    lines, done = c.cmd("FETCH 1:* (ANNOTATION (/comment value))")
    assert done.startswith("OK"), done
    c.close()
    whole = [x for x in lines if re.search(r'value\.priv "p\d+"', x) and re.search(r'value\.shared "s+"', x)]
    return len([x for x in lines if re.match(r"\* \d+ FETCH ", x)]), len(whole)


def subjects(m, mailbox):
    c = m.imap("fred", mailbox=mailbox)
    data = c.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    c.logout()
    return [re.search(rb"Subject: ([^\r]*)", d[1]).group(1).decode() for d in data if isinstance(d, tuple)]


def in_sync_master(m):
    """The master, once the other may take over."""
    name = m.master("backenda")
    return name if name and len(m.own_status(name).get("in_sync", "").split()) == 2 else None


def test_each_command_is_done_whole_or_not_at_all():
    print("ROOST_SEED", SEED)
    rng = random.Random(SEED)
    with LocalMurder(["fred"], pairs=1) as m:
        c = m.imap("fred")
        assert c.create("Drafts")[0] == "OK"
        assert c.append("Drafts", None, None, b"Subject: version 0\r\n\r\n")[0] == "OK"
        assert c.create("Notes")[0] == "OK" and c.create("Copies")[0] == "OK"
        c.logout()
        c = Client(m, SEED).connect()
        link = "imap://fred@host/Drafts/;UID=1;URLAUTH=anonymous"
        lines, done = c.cmd(f'GENURLAUTH "{link}" INTERNAL')
        assert done.startswith("OK"), done
        c.close()
        batches, draft, notes = clients = Batches(m, SEED + 1), Draft(m, SEED + 2), Annotated(m, SEED + 3)
        for t in clients:
            t.start()
        for how in ("kill", "promote", "kill"):
            counts = [len(t.acked) for t in clients]
            wait_for(lambda: all(len(t.acked) > n + 3 for t, n in zip(clients, counts)), "commands are done", 60)
            time.sleep(rng.random() / 5)  # anywhere in a command
            name = wait_for(lambda: in_sync_master(m), "both are in sync", 60)
            if how == "promote":
                to = m.replica("backenda")
                wait_for(lambda: m.roost("promote", "backenda", to, "--murder", m.dir, check=False).returncode == 0, "promoted", 30)
                continue
            before = m.daemon(name)["pid"]
            m.kill(name)
            wait_for(lambda: m.daemon(name)["pid"] not in (0, before), f"{name} is started again", 20)
        for t in clients:
            t.over.set()
            t.join(60)
            assert not t.is_alive()
        text = m.dumps_equal("backenda")
        # A key is the same at whoever is master now.
        c = Client(m, SEED).connect()
        again, done = c.cmd(f'GENURLAUTH "{link}" INTERNAL')
        assert again == lines, done
        c.close()

        found, sizes = Counter(), {}
        for s in subjects(m, "INBOX"):
            n, i, count = map(int, re.fullmatch(r"batch (\d+), (\d+) of (\d+)", s).groups())
            found[n] += 1
            sizes[n] = count
        assert all(found[n] == sizes[n] for n in found), f"a batch is there in part (seed {SEED})"
        assert not set(batches.acked) - set(found), f"a batch that was acknowledged is lost (seed {SEED})"

        versions = [int(s.split()[1]) for s in subjects(m, "Drafts")]
        assert len(versions) == 1, f"{versions} (seed {SEED})"
        assert versions[0] >= max(draft.acked), f"{versions}, {draft.acked[-3:]} (seed {SEED})"
        count, whole = annotated(m, "Notes")
        assert count == whole >= len(notes.acked), f"{count} messages, {whole} annotated (seed {SEED})"
        copies, whole = annotated(m, "Copies")
        assert copies == whole >= len(notes.acked), f"{copies} copies, {whole} annotated (seed {SEED})"
        assert len(re.findall("^message ", text, re.M)) == len(subjects(m, "INBOX")) + 1 + count + copies
        for name in m.member_names("backenda"):
            m.roost("verify", "-C", m.daemon(name)["config"])
