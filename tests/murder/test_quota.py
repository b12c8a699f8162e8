"""Quotas in a pair: limits and what is used survive failovers, both members count the same, and nobody gets more in than there is
room for, whoever is master."""
import imaplib
import threading

from local import LocalMurder
from roost import wait_for

LIMIT = 400


def quota(c, root="INBOX"):
    typ, data = c._simple_command("GETQUOTA", root)
    assert typ == "OK", data
    return c._untagged_response(typ, data, "QUOTA")[1][-1].decode()


def settle(m):
    m.wait_in_sync("backenda")
    m.dumps_equal("backenda")
    for name in m.member_names("backenda"):
        assert m.own_status(name).get("differences", 0) == 0
        m.roost("verify", "-C", m.daemon(name)["config"])


class Crowd:
    """Clients that append to one INBOX at once, each until it is told that there is no room."""

    def __init__(self, m, count):
        self.m, self.taken, self.threads = m, [], [threading.Thread(target=self.work, args=(i,)) for i in range(count)]
        for t in self.threads:
            t.start()

    def work(self, i):
        n = 0
        while True:
            try:
                c = self.m.imap("fred")
                while True:
                    n += 1
                    typ, data = c.append("INBOX", None, None, f"Subject: {i}-{n}\r\n\r\nx\r\n".encode())
                    if typ == "OK":
                        self.taken.append(f"{i}-{n}")
                    elif b"OVERQUOTA" in data[0]:
                        return
            except (OSError, imaplib.IMAP4.error):  # the master went
                continue

    def join(self):
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()


def test_limits_hold_through_failovers():
    with LocalMurder(["fred", "mary"], pairs=1, restart=False) as m:
        admin = m.imap("admin")
        typ, data = admin._simple_command("SETQUOTA", "user/fred", f"(MESSAGE {LIMIT} MAILBOX 4)")
        assert typ == "OK", data
        crowd = Crowd(m, 4)
        for part in (1, 2):
            wait_for(lambda: len(crowd.taken) > LIMIT * part / 4, "some are in", 60)
            old = m.master("backenda")
            m.kill(old)
            wait_for(lambda: m.master("backenda") not in (None, old), "another is master", 30)
            assert len(crowd.taken) < LIMIT, "it was killed while they wrote"
            m.revive(old)
            m.wait_in_sync("backenda")
        crowd.join()
        c = m.imap("fred", mailbox="INBOX")
        assert quota(c) == f"INBOX (MESSAGE {LIMIT} {LIMIT} MAILBOX 1 4)"
        typ, data = c.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        subjects = [item[1].split()[1].decode() for item in data if isinstance(item, tuple)]
        assert len(subjects) == LIMIT and set(crowd.taken) <= set(subjects), "what was acknowledged is there, and no more than fits"
        for name in ("a", "b", "c"):
            assert c.create(name)[0] == "OK"
        assert c.create("d")[0] == "NO"
        assert c.rename("a", "z")[0] == "OK"
        c.store("1:10", "+FLAGS", r"(\Deleted)")
        c.expunge()
        assert quota(c) == f"INBOX (MESSAGE {LIMIT - 10} {LIMIT} MAILBOX 4 4)"
        settle(m)
        m.roost("failover", "backenda", "--murder", m.dir)
        c = m.imap("fred", mailbox="INBOX")
        assert quota(c) == f"INBOX (MESSAGE {LIMIT - 10} {LIMIT} MAILBOX 4 4)"
        settle(m)
