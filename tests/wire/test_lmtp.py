"""LMTP on one backend (RFC 2033), raw."""
import re

import pytest

from roost import Murder, Raw, http, wait_for
from test_imap_mail import fetch
from test_imap_session import ok

MESSAGE = b"Subject: hello\r\nFrom: a@example.org\r\n\r\nLine\r\n..two dots\r\n.\r\n"


@pytest.fixture
def l(backend):  # noqa: E741
    l = Raw(backend.first.lmtp)  # noqa: E741
    assert l.reply()[0] == 220
    assert say(l, "LHLO test")[0] == 250
    yield l
    l.close()


def say(l, line):  # noqa: E741
    l.send(line if isinstance(line, bytes) else line + "\r\n")
    return l.reply()


def stuffed(message):
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


def deliver(l, to, message, extra=""):  # noqa: E741
    code, text = say(l, f"MAIL FROM:<s@example.org>{extra}")
    if code != 250:
        return [(code, text)]
    answers = [say(l, f"RCPT TO:<{r}>") for r in to]
    if not any(code == 250 for code, _ in answers):
        say(l, "RSET")
        return answers
    assert say(l, "DATA")[0] == 354
    l.send(stuffed(message))
    return [l.reply() if code == 250 else (code, text) for code, text in answers]


def count(backend, user, mailbox="INBOX"):
    c = backend.raw().login(user)
    n = int(re.search(r"MESSAGES (\d+)", ok(c.cmd(f"STATUS {mailbox} (MESSAGES)"))[0]).group(1))
    c.close()
    return n


def test_capabilities(backend):
    l = Raw(backend.first.lmtp)  # noqa: E741
    l.reply()
    code, text = say(l, "LHLO test")
    for wanted in ("PIPELINING", "8BITMIME", "SIZE 1048576", "ENHANCEDSTATUSCODES"):
        assert wanted in text, text
    assert say(l, "HELO x")[0] == 500 and say(l, "EHLO x")[0] == 500
    assert say(l, "NOOP")[0] == 250 and say(l, "VRFY fred")[0] // 100 == 2 and say(l, "RSET")[0] == 250
    assert say(l, "QUIT")[0] == 221
    assert l.line() == ""


def test_answers_per_recipient(backend, l):  # noqa: E741
    before = count(backend, "fred"), count(backend, "bob")
    answers = deliver(l, ["fred", "nobody", "bob@anything.example"], MESSAGE)
    assert [a[0] for a in answers] == [250, 550, 250]
    assert re.match(r"2\.\d\.\d ", answers[0][1][0]) and answers[1][1][0].startswith("5.1.1 ")
    assert (count(backend, "fred"), count(backend, "bob")) == (before[0] + 1, before[1] + 1)


def test_octets_are_kept(backend, l):  # noqa: E741
    odd = b"Subject: 8 bit\r\n\r\n" + bytes(range(128, 256)) + b"\r\n." + b"x" * 5000 + b"\r\n.a\r\n"
    for m in (MESSAGE, odd, b"no header\r\n", b"\r\n"):
        assert deliver(l, ["ann"], m)[0][0] == 250
        c = backend.raw().login("ann")
        ok(c.cmd("SELECT INBOX"))
        stored = fetch(c, "BODY.PEEK[]", "*")
        assert stored.endswith(m), stored[:200]
        added = stored[:-len(m)]
        assert added.startswith(b"Return-Path: <s@example.org>\r\n") and added.endswith(b"\r\n"), added
        c.close()


def test_subaddress(backend, l):  # noqa: E741
    c = backend.raw().login("bob")
    c.cmd("CREATE Lists")
    ok(c.cmd("SETACL Lists anyone p"))
    assert deliver(l, ["bob+Lists"], MESSAGE)[0][0] == 250
    assert count(backend, "bob", "Lists") == 1
    before = count(backend, "bob")
    assert deliver(l, ["bob+Nothing"], MESSAGE)[0][0] == 250
    assert count(backend, "bob") == before + 1, "a folder that is not there: INBOX"
    c.cmd("DELETE Lists")
    c.close()


def test_an_operation_id_takes_effect_once(backend):
    l = Raw(backend.first.lmtp)  # noqa: E741
    l.reply()
    assert "XROOST-OP" in say(l, "LHLO frontend")[1]
    before = count(backend, "cleo")
    op = "0123456789abcdef" * 2
    for _ in range(3):
        assert deliver(l, ["cleo"], MESSAGE, f" XROOST-OP={op}")[0][0] == 250
    assert count(backend, "cleo") == before + 1
    assert say(l, "MAIL FROM:<> XROOST-OP=xyz")[0] == 501
    l.close()


def identified(field, text="hello"):
    return f"Subject: x\r\n{field}\r\n\r\n{text}\r\n".encode()


LONG = "x" * 200 + "@example.org"


@pytest.mark.parametrize("one, same, others", [
    ("Message-ID: <dup1@x>", ["message-id:  <dup1@x> ", "Message-Id:\r\n <dup1@x>", "MESSAGE-ID: a comment <dup1@x>"],
     ["Message-ID: <Dup1@x>", "Message-ID: <dup2@x>", "X-Message-ID: <dup1@x>", "Resent-Message-ID: <dup1@x>"]),
    ("Message-ID: bare3@x", ["Message-ID: <bare3@x>"], ["Message-ID: <bare3@x", "Message-ID: <>", "Message-ID: ", "References: <bare3@x>"]),
    (f"Message-ID: <{LONG}>", [f"Message-ID:\r\n\t<{LONG}>"], [f"Message-ID: <y{LONG}>", f"Message-ID: <{LONG[1:]}>", f"Message-ID: <{'z' * 63}>",
                                                              f"Message-ID: <{'z' * 64}>"]),
])
def test_a_message_is_delivered_once(backend, l, one, same, others):  # noqa: E741
    """duplicatesuppression is on: what has the same Message-ID goes to the same mailbox once, and is answered 250 ever again."""
    before = count(backend, "ann")
    for n, field in enumerate([one, one, *same]):
        (code, text), = deliver(l, ["ann"], identified(field, f"text {n}"))
        assert code == 250 and ("already" in text[0]) == (n > 0), (field, text)
    assert count(backend, "ann") == before + 1
    for field in others:
        (code, text), = deliver(l, ["ann"], identified(field))
        assert code == 250 and "already" not in text[0], (field, text)
    assert count(backend, "ann") == before + 1 + len(others)


def test_what_is_a_duplicate(backend, l):  # noqa: E741
    """By mailbox; also of mail that was removed since, from another connection, under an operation id, and to several at once."""
    c = backend.raw().login("cleo")
    for name in ("Duptest", "Duptest2"):
        ok(c.cmd(f"CREATE {name}"))
        ok(c.cmd(f"SETACL {name} anyone p"))
    message = identified("Message-ID: <what@dup>")
    assert [a[0] for a in deliver(l, ["cleo", "cleo+Duptest"], message)] == [250, 250]
    assert [count(backend, "cleo", b) for b in ("Duptest", "Duptest2")] == [1, 0]
    inbox = count(backend, "cleo")
    ok(c.cmd("SELECT Duptest"))
    ok(c.cmd("STORE 1:* +FLAGS (\\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    other = Raw(backend.first.lmtp)
    other.reply()
    say(other, "LHLO test")
    answers = deliver(other, ["cleo", "cleo+Duptest", "cleo+Duptest2", "nobody"], message, " XROOST-OP=" + "a1" * 16)
    assert [code for code, _ in answers] == [250, 250, 250, 550]
    assert ["already" in t[0] for _, t in answers] == [True, True, False, False]
    assert [count(backend, "cleo", b) for b in ("INBOX", "Duptest", "Duptest2")] == [inbox, 0, 1]
    # One that is made anew is another.
    ok(c.cmd("CLOSE"))
    ok(c.cmd("DELETE Duptest"))
    ok(c.cmd("CREATE Duptest"))
    ok(c.cmd("SETACL Duptest anyone p"))
    assert "already" not in deliver(other, ["cleo+Duptest"], message)[0][1][0]
    # Without a Message-ID every delivery is one.
    for _ in range(2):
        assert "already" not in deliver(other, ["cleo+Duptest2"], MESSAGE)[0][1][0]
    assert count(backend, "cleo", "Duptest2") == 3
    # APPEND is no delivery.
    c.send(b"a APPEND Duptest2 {%d+}\r\n%s\r\n" % (len(message), message))
    assert c.until("a")[1].startswith("OK")
    assert count(backend, "cleo", "Duptest2") == 4
    assert re.search(r"roost_lmtp_duplicates_total [1-9]", http(f"127.0.0.1:{backend.first.admin}", "/metrics")[1])
    for name in ("Duptest", "Duptest2"):
        ok(c.cmd(f"DELETE {name}"))
    c.close()
    other.close()


def test_duplicates_are_delivered_where_it_is_off():
    m = Murder(users=["fred"]).start()
    m.create_user("fred")
    l = Raw(m.first.lmtp)  # noqa: E741
    l.reply()
    say(l, "LHLO test")
    for _ in range(3):
        assert "already" not in deliver(l, ["fred"], identified("Message-ID: <off@dup>"))[0][1][0]
    assert count(m, "fred") == 3
    l.close()
    m.stop()


def test_sizes(l):  # noqa: E741
    assert deliver(l, ["fred"], MESSAGE, " SIZE=99999999")[0][0] == 552
    assert deliver(l, ["fred"], b"Subject: big\r\n\r\n" + b"x" * 70 * 20000 + b"\r\n")[0][0] == 552
    assert deliver(l, ["fred"], MESSAGE)[0][0] == 250


@pytest.mark.parametrize("line,code", [
    ("NONSENSE", 500), ("MAIL", 501), ("MAIL FROM:", 501), ("MAIL FROM:<a", 501), ("MAIL FROM:<a@b> NOSUCH=1", 555), ("MAIL FROM:<a@b> SIZE=x", 501),
    ("RCPT TO:<fred>", 503), ("DATA", 503), ("RCPT", 501), ("\0", 500), ("LHLO", 501), ("", 500),
])
def test_wrong_commands(l, line, code):  # noqa: E741
    got, text = say(l, line)
    assert got // 100 == 5 and (got == code or code in (500, 501, 503)), (line[:40], got, text)
    assert say(l, "NOOP")[0] == 250


def test_an_over_long_line_is_refused(l):  # noqa: E741
    code, text = say(l, "x" * 5000)
    assert code == 500 and "long" in text[0], text


def test_wrong_order(l):  # noqa: E741
    assert say(l, "MAIL FROM:<a@b>")[0] == 250
    assert say(l, "MAIL FROM:<a@b>")[0] == 503
    assert say(l, "DATA")[0] == 503
    assert say(l, "RCPT TO:<nobody>")[0] == 550
    assert say(l, "DATA")[0] == 503
    assert say(l, "RSET")[0] == 250


def test_a_client_that_goes_leaves_nothing(backend):
    before = count(backend, "fred")
    for data in (b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<fred>\r\nDATA\r\nSubject: half", b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<fred>\r\nDATA\r\nx\r\n.",
                 b"LHLO x\r\nMAIL FROM:<>\r\n"):
        l = Raw(backend.first.lmtp)  # noqa: E741
        l.send(data)
        l.reply()
        l.close()
    l = Raw(backend.first.lmtp)  # noqa: E741
    l.reply()
    say(l, "LHLO x")
    assert deliver(l, ["fred"], MESSAGE)[0][0] == 250
    l.close()
    assert count(backend, "fred") == before + 1


def test_pipelined_whole(backend, l):  # noqa: E741
    before = count(backend, "fred")
    l.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<fred>\r\nRCPT TO:<nobody>\r\nDATA\r\n")
    assert [l.reply()[0] for _ in range(4)] == [250, 250, 550, 354]
    l.send(b"x: y\r\n\r\n.\r\nMAIL FROM:<a@b>\r\nRSET\r\nNOOP\r\n")
    assert [l.reply()[0] for _ in range(4)] == [250, 250, 250, 250]
    assert count(backend, "fred") == before + 1


def test_many_recipients(backend, l):  # noqa: E741
    say(l, "MAIL FROM:<a@b>")
    l.send("RCPT TO:<fred>\r\n" * 1001)
    codes = [l.reply()[0] for _ in range(1001)]
    assert codes[:1000] == [250] * 1000 and codes[1000] == 452
    assert say(l, "RSET")[0] == 250


def test_idle_hears_of_a_delivery(backend, l):  # noqa: E741
    c = backend.raw().login("ann")
    ok(c.cmd("SELECT INBOX"))
    c.send("i IDLE\r\n")
    c.line()
    assert deliver(l, ["ann"], MESSAGE)[0][0] == 250
    wait_for(lambda: "EXISTS" in c.line(), "IDLE tells")
    c.close()
