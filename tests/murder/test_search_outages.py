"""ESEARCH over two servers through a frontend while one of them is lost: its new master is asked again where that can be; where it cannot, the
client hears NO, never an OK that leaves mailboxes out."""
import signal

import pytest

from local import LocalMurder
from roost import wait_for
from test_outages import deliver, server_of

QUESTION = b'ESEARCH IN (mailboxes (INBOX "Other Users/mary")) RETURN (COUNT) ALL\r\n'


@pytest.fixture
def murder():
    with LocalMurder(["fred", "mary"], restart=False) as m:
        for user in ("fred", "mary"):
            m.wait_in_sync(server_of(m, user))
            assert deliver(m, user)[0] == 250
        assert server_of(m, "fred") != server_of(m, "mary")
        c = m.imap("mary")
        assert c.setacl("INBOX", "fred", "lr")[0] == "OK"
        c.logout()
        yield m


def ask(c, tag):
    c.send(tag + b" " + QUESTION)


def lines_until(c, tag, sort=b"* ESEARCH"):
    """The responses of that sort, and the tagged one."""
    found = []
    while True:
        line = c.readline()
        assert line, found
        if line.startswith(tag + b" "):
            return found, line
        if line.startswith(sort):
            found.append(line)


def searched_in(lines):
    return sorted(line.split(b"MAILBOX ")[1].split(b" UIDVALIDITY")[0].strip(b'"') for line in lines)


def both(c):
    ask(c, b"b")
    lines, done = lines_until(c, b"b")
    return done.startswith(b"b OK") and searched_in(lines) == [b"INBOX", b"Other Users/mary"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_failover_meanwhile_is_not_noticed(murder, is_first):
    """The server that is asked first, or last, has its master killed when it was asked."""
    where = sorted({server_of(murder, u) for u in ("fred", "mary")})[0 if is_first else 1]
    old = murder.master(where)
    c = murder.imap("fred")
    wait_for(lambda: both(c), "both are searched", 20)
    murder.kill(old, signal.SIGSTOP)
    ask(c, b"f")
    lines = []
    if not is_first:
        lines.append(c.readline())
        assert lines[0].startswith(b"* ESEARCH"), lines
    murder.kill(old)
    more, done = lines_until(c, b"f")
    assert done.startswith(b"f OK"), done
    assert searched_in(lines + more) == [b"INBOX", b"Other Users/mary"]
    c.logout()
    murder.revive(old)
    murder.dumps_equal(where)


def test_a_server_that_is_gone_is_not_left_out_silently(murder):
    where = sorted({server_of(murder, u) for u in ("fred", "mary")})[1]
    c = murder.imap("fred")
    wait_for(lambda: both(c), "both are searched", 20)
    for name in murder.member_names(where):
        murder.kill(name)
    ask(c, b"g")
    lines, done = lines_until(c, b"g")
    assert done.startswith(b"g NO [UNAVAILABLE]") and b"not all mailboxes were searched" in done, done
    assert len(lines) == 1, "what the other has was told"
    for name in murder.member_names(where):
        murder.revive(name)
    wait_for(lambda: both(c), "both are searched again", 40)
    c.logout()


def test_a_server_lost_in_the_midst_of_its_answer(murder):
    """It has told of one mailbox, and is at the large messages of the next: nothing is told twice, and what is missing is said."""
    c = murder.imap("mary")
    assert c.create("Large")[0] == "OK" and c.setacl("Large", "fred", "lr")[0] == "OK"
    for i in range(2):
        text = f"Subject: {i}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + "äöüÄÖÜßäöüÄÖÜß\r\n" * 200000 + "body\r\n"
        assert c.append("Large", None, None, text.encode())[0] == "OK"
    assert c.select("Large")[0] == "OK" and c.copy("1:*", "INBOX")[0] == "OK"
    c.logout()
    c = murder.imap("fred")
    question = b' ESEARCH IN (mailboxes (INBOX "Other Users/mary" "Other Users/mary/Large")) RETURN (COUNT) BODY body\r\n'

    def all_three():
        c.send(b"a" + question)
        lines, done = lines_until(c, b"a")
        return done.startswith(b"a OK") and len(lines) == 3
    wait_for(all_three, "all are searched", 20)
    old = murder.master(server_of(murder, "mary"))
    c.send(b"m" + question)
    line = b""
    while b"/mary" not in line:
        line = c.readline()
        assert line.startswith(b"*"), line
    murder.kill(old)
    lines, done = lines_until(c, b"m")
    assert done.startswith(b"m NO [UNAVAILABLE]") and b"not all mailboxes were searched" in done and lines == [], (lines, done)
    wait_for(all_three, "all are searched at the new master", 20)
    c.logout()
    murder.revive(old)
    murder.dumps_equal(server_of(murder, "mary"))
