"""The same Message-ID through a frontend, with the master killed and handed over in between, and index and journal made anew: one message."""
import glob
import threading

from local import LocalMurder
from roost import wait_for


def message(i, text):
    return f"Subject: number {i}\r\nMessage-ID: <{i}@dup.example>\r\n\r\n{text}\r\n".encode()


def numbers(m, user):
    """Subjects in the order of arrival, and what was kept of each: the first text."""
    c = m.imap(user, mailbox="INBOX")
    typ, data = c.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT])")
    c.logout()
    flat = [part for item in data if isinstance(item, tuple) for part in item[1:]]
    return [(int(flat[i].split()[2]), flat[i + 1].strip().decode()) for i in range(0, len(flat), 2)]


def send_all(m, count, text):
    answers = []
    c = m.lmtp()
    for i in range(count):
        answers += [code for code, _ in c.deliver("s@example.org", ["fred", "mary"], message(i, text))]
    c.close()
    return answers


def test_once_whatever_happens_in_between():
    murder = LocalMurder(["fred", "mary"], pairs=1).start()
    murder.stop(keep=True)
    for path in glob.glob(murder.dir + "/backend*.conf"):
        with open(path, "a") as f:
            f.write("duplicatesuppression: yes\n")
    with murder as m:
        assert send_all(m, 20, "first") == [250] * 40
        m.wait_in_sync("backenda")
        old = m.master("backenda")
        m.kill(old)
        assert send_all(m, 20, "after a kill") == [250] * 40
        m.wait_in_sync("backenda")
        wait_for(lambda: m.roost("failover", "backenda", "--murder", m.dir, check=False).returncode == 0, "handed over", 30)
        assert send_all(m, 25, "after a hand-over") == [250] * 50
        # Two at once, of a client that gives up and comes again, and the master goes meanwhile.
        m.wait_in_sync("backenda")
        threads = [threading.Thread(target=send_all, args=(m, 60, "at once")) for _ in range(3)]
        for t in threads:
            t.start()
        m.kill(m.master("backenda"))
        for t in threads:
            t.join()
        assert send_all(m, 60, "last") == [250] * 120
        for user in ("fred", "mary"):
            got = numbers(m, user)
            assert sorted(i for i, _ in got) == list(range(60)), got
            assert all(text == "first" for i, text in got if i < 20), "the first stays"
        m.dumps_equal("backenda")
