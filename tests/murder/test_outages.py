"""What goes on while something is away: the directory, a whole server, a client's backend."""
import imaplib
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import LocalMurder, Lmtp
from roost import wait_for

MESSAGE = b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"


def deliver(m, user, timeout=60):
    c = m.lmtp(timeout=timeout)
    code, text = c.deliver("s@example.org", [user], MESSAGE)[0]
    c.close()
    return code, text


def server_of(m, user):
    return m.roost("mailbox", "find", "user." + user, "--murder", m.dir).stdout.split("\t")[1].split("!")[0]


def messages(m, user):
    c = m.imap(user)
    n = int(c.select("INBOX")[1][0])
    c.logout()
    return n


def test_mail_goes_on_without_the_directory():
    with LocalMurder(["fred", "mary"], restart=False) as m:
        for s in ("backenda", "backendb"):
            m.wait_in_sync(s)
        where = server_of(m, "fred")
        m.kill("mupdate")
        for i in range(5):
            assert deliver(m, "fred")[0] == 250
            assert deliver(m, "mary")[0] == 250
        c = m.imap("fred", mailbox="INBOX")
        assert c.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK"
        assert c.expunge()[0] == "OK"
        # What needs the directory is refused, clearly and soon, and changes nothing.
        began = time.monotonic()
        typ, data = c.create("New")
        assert typ == "NO" and time.monotonic() - began < 40, data
        c.logout()
        # A new frontend knows the list from its last life.
        m.kill("frontend1")
        m.revive("frontend1")
        wait_for(lambda: m.imap("fred").logout(), "the frontend serves", 20)
        # Without the arbiter nobody takes a dead master's place: two masters would be worse.
        old = m.master(where)
        m.kill(old)
        other = next(n for n in m.member_names(where) if n != old)
        time.sleep(3)  # three leases, in which nothing may happen
        assert m.http(m.daemon(other)["admin"], "/role")[0] == 503
        m.revive("mupdate")
        wait_for(lambda: m.master(where) == other, "the partner takes over once the directory is back", 30)
        assert deliver(m, "fred")[0] == 250
        m.revive(old)
        m.dumps_equal(where)
        c = m.imap("fred")
        assert c.create("New")[0] == "OK"
        c.logout()
        assert messages(m, "fred") == 6


def test_a_client_of_a_dead_master_hears_bye_and_is_served_again():
    with LocalMurder(["fred", "mary"], restart=False) as m:
        where = server_of(m, "fred")
        old = m.wait_in_sync(where)
        deliver(m, "fred")
        idle, plain = m.imap("fred", mailbox="INBOX"), m.imap("fred", mailbox="INBOX")
        idle.send(b"i IDLE\r\n")
        assert idle.readline().startswith(b"+")
        elsewhere = m.imap("mary", mailbox="INBOX")
        m.kill(old)
        line = b""
        while line and not line.startswith(b"* BYE") or line == b"":
            line = idle.readline()
            assert line, "the connection ended without a word"
        assert line.startswith(b"* BYE"), line
        with pytest.raises(imaplib.IMAP4.abort) as told:
            plain.noop()
        assert told.value
        assert elsewhere.noop()[0] == "OK", "who is on another server notices nothing"

        def again():
            c = m.imap("fred", mailbox="INBOX")
            n = c.search(None, "ALL")[1][0]
            c.logout()
            return n == b"1"
        wait_for(again, "served again", 20)
        elsewhere.logout()
        m.revive(old)
        m.dumps_equal(where)


def test_a_whole_server_away_is_a_temporary_failure():
    with LocalMurder(["fred", "mary"], restart=False) as m:
        where, other = server_of(m, "fred"), server_of(m, "mary")
        m.wait_in_sync(where)
        names = m.member_names(where)
        for n in names:
            m.kill(n)
        # Each waits for half a minute: both at once.
        with ThreadPoolExecutor() as pool:
            refused = pool.submit(deliver, m, "fred", timeout=90)
            c = m.imap("fred")
            typ, data = c.select("INBOX")
            assert typ == "NO", data
            c.logout()
            code, text = refused.result()
        assert code // 100 == 4, (code, text)
        assert deliver(m, "mary")[0] == 250 and other != where
        for n in names:
            m.revive(n)
        m.wait_in_sync(where)
        assert deliver(m, "fred")[0] == 250
        # The one that was refused is there once at most: nobody was told that it is.
        assert messages(m, "fred") in (1, 2)


def test_a_stopped_master_is_replaced_and_does_not_come_back_as_one():
    """SIGSTOP: it is not dead, and when it wakes it still believes that it rules."""
    with LocalMurder(["fred", "mary"], restart=False) as m:
        where = server_of(m, "fred")
        old = m.wait_in_sync(where)
        other = next(n for n in m.member_names(where) if n != old)
        direct = Lmtp(m.daemon(old)["lmtp"])
        m.kill(old, signal.SIGSTOP)
        wait_for(lambda: m.http(m.daemon(other)["admin"], "/role")[0] == 200, "the partner takes over", 20)
        assert deliver(m, "fred")[0] == 250
        m.kill(old, signal.SIGCONT)
        try:
            code = direct.deliver("s@example.org", ["fred"], MESSAGE)[0][0]
        except (OSError, EOFError):
            code = None
        assert code is None or code // 100 == 4, "a deposed master acknowledged a write"
        assert m.wait_in_sync(where) == other
        m.dumps_equal(where)
        assert messages(m, "fred") == 1


def test_a_new_mailbox_is_everywhere_at_once():
    with LocalMurder(["fred", "mary"], frontends=2) as m:
        a, b = m.imap("fred", frontend=0), m.imap("fred", frontend=1)
        for i in range(20):
            assert a.create(f"Box{i}")[0] == "OK"
            assert b.select(f"Box{i}")[0] == "OK", "the other frontend knows it at once"
            assert b.close()[0] == "OK"
            assert b.delete(f"Box{i}")[0] == "OK"
            assert a.select(f"Box{i}")[0] == "NO"
        assert a.rename("INBOX", "Old")[0] == "OK"
        assert b.select("Old")[0] == "OK"
        a.logout()
        b.logout()
