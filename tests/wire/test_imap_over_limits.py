"""IMAP beyond every limit, on a backend and through a frontend: each limit crossed is an answer, and the connection, or at least
everybody else's, goes on. Limits are those of `fronted`."""
import base64
import re
import socket
import time

import pytest

from roost import PASSWORD, Murder, Raw, http, wait_for
from test_imap_session import no, ok

LINE, LITERAL, COMMAND, LIST, DEPTH, MESSAGE = 4096, 8192, 16384, 100, 10, 1 << 20


@pytest.fixture
def c(session):
    c = session("bob")
    ok(c.cmd("SELECT INBOX"))
    return c


# What has a literal, written as %s, other than a message.
PLACES = ["SELECT %s", "CREATE %s", "RENAME %s b", "RENAME a %s", "STATUS %s (MESSAGES)", "LIST %s *", 'LIST "" %s', "LSUB %s *", "SEARCH SUBJECT %s", "SEARCH HEADER %s x",
          "SEARCH NOT (OR TEXT %s ALL)", "SEARCH CHARSET %s ALL", "FETCH 1 BODY[HEADER.FIELDS (a %s)]", "COPY 1 %s", "ID (%s x)", "SETACL INBOX %s lr", "GETACL %s", "SORT (DATE) %s ALL", "THREAD REFS UTF-8 BODY %s",
          "SUBSCRIBE %s", "UID MOVE 1 %s", "LISTRIGHTS INBOX %s", "MYRIGHTS %s"]


@pytest.mark.parametrize("place", PLACES)
def test_literals_over_the_limit(c, place):
    for n in (LITERAL + 1, LITERAL * 4, 10 * MESSAGE):
        c.send("s " + place.split("%s")[0] + f"{{{n}}}\r\n")  # refused, so that the rest is not sent
        assert "octets" in no(c.until("s")[1])
        ok(c.cmd("NOOP"))
    octets = b"x" * (LITERAL + 1)
    assert "octets" in no(c.cmd(place.encode() % (b"{%d+}\r\n%s" % (len(octets), octets)))[1])
    ok(c.cmd("NOOP"))
    no_octets = place.encode() % b"{0+}\r\n"
    assert re.match("OK|NO|BAD", c.cmd(no_octets)[1])
    ok(c.cmd("NOOP"))


def test_literals_that_are_too_many(c):
    part = b"{4000+}\r\n" + b"y" * 4000
    assert "octets" in no(c.cmd(b"SEARCH" + b" SUBJECT " + b" SUBJECT ".join([part] * 5))[1])
    ok(c.cmd("NOOP"))
    assert re.match("OK|NO", c.cmd(b"SEARCH" + b" SUBJECT " + b" SUBJECT ".join([part] * 3))[1])
    c.send(b"m SEARCH SUBJECT {4000}\r\n")
    for _ in range(3):
        assert c.line().startswith("+")
        c.send(b"y" * 4000 + b" SUBJECT {4000}\r\n")
    assert c.line().startswith("+")
    c.send(b"y" * 4000 + b" SUBJECT {4000}\r\n")
    assert "octets" in no(c.until("m")[1])
    ok(c.cmd("NOOP"))


def test_messages_over_the_limit(c):
    ok(c.cmd("CREATE Big"))
    c.send(b"s APPEND Big {%d}\r\n" % (MESSAGE + 1))
    assert "TOOBIG" in no(c.until("s")[1])
    assert "TOOBIG" in no(c.cmd(b"APPEND Big {%d+}\r\n%s" % (MESSAGE + 1, b"x" * (MESSAGE + 1)))[1])
    head = b"Subject: x\r\n\r\n"
    ok(c.cmd(b"APPEND Big {%d+}\r\n%s" % (MESSAGE, head + b"x" * (MESSAGE - len(head)))))
    assert "MESSAGES 1" in ok(c.cmd("STATUS Big (MESSAGES)"))[0]
    ok(c.cmd("DELETE Big"))


def test_a_literal_that_is_not_worth_waiting_for(fronted, port):
    for n in (10 ** 9, 2 ** 32, 2 ** 63 - 1, 2 ** 63):
        c = Raw(port).login("bob")
        c.send(f"a SELECT {{{n}+}}\r\n")
        line = c.line()
        assert "[LIMIT]" in line if n < 2 ** 62 else line.startswith(("a BAD", "* BYE")), line
        c.close()
    ok(Raw(port).login("bob").cmd("NOOP"))


@pytest.mark.parametrize("before", [b"", b"a ", b"a NOOP ", b"a SELECT ", b"a SEARCH SUBJECT {3+}\r\nabc ", b'a SELECT "', b"a SEARCH (", b"a FETCH 1 ("])
def test_a_line_of_a_megabyte(fronted, port, before):
    for is_in in (True, False):
        c = Raw(port)
        if is_in:
            c.login("bob")
            ok(c.cmd("SELECT INBOX"))
        else:
            c.line()
        try:
            c.send(before + b"x" * MESSAGE + b"\r\nb NOOP\r\n")
            lines, done = c.until("b")
            ok((lines, done))
            assert any(re.match(r"(a|\*) BAD .*octets", x) for x in lines), lines
        except (EOFError, ConnectionError):
            pass  # it was not worth waiting for its end
        c.close()


def test_a_line_without_end(fronted, port):
    """Also in the midst of IDLE and AUTHENTICATE, which have lines of their own."""
    for begin in (b"", b"i IDLE\r\n", b"i AUTHENTICATE PLAIN\r\n"):
        c = Raw(port)
        if b"IDLE" in begin:
            c.login("bob")
        else:
            c.line()
        c.send(begin)
        if begin:
            assert c.line().startswith("+")
        try:
            for _ in range(64):
                c.send(b"A" * 65536)
            c.s.shutdown(socket.SHUT_WR)
            text = c.f.read()
            assert b"BAD" in text or b"BYE" in text, text
        except OSError:
            pass
        c.close()
    ok(Raw(port).login("bob").cmd("NOOP"))


NESTED = ["SEARCH " + "(" * 500 + "ALL" + ")" * 500, "SEARCH " + "NOT " * 500 + "ALL", "SEARCH " + "OR ALL " * 500 + "ALL", "SEARCH " + "OR (" * 500 + "ALL", "SORT (DATE) UTF-8 " + "(" * 500 + "ALL" + ")" * 500,
          "THREAD REFS UTF-8 " + "NOT " * 500 + "ALL", "FETCH 1 BODY[" + "1." * 500 + "1]", "FETCH 1 BINARY[" + "1." * 500 + "1]"]


@pytest.mark.parametrize("command", NESTED)
def test_nesting(c, command):
    assert re.search("deep|more than", no(c.cmd(command)[1]))
    ok(c.cmd("NOOP"))


LISTS = ["FETCH 1 (" + "UID " * 200 + "UID)", "FETCH 1 BODY[HEADER.FIELDS (" + "a " * 200 + "a)]", "STORE 1 FLAGS (" + "k " * 200 + "k)", 'LIST "" (' + "a " * 200 + "a)", "SEARCH " + "ALL " * 200 + "ALL", "ID (" + '"a" "b" ' * 200 + '"a" "b")',
         "ENABLE " + "X " * 200 + "X", "FETCH " + "1:2," * 200 + "1 UID", "UID FETCH 1 UID (CHANGEDSINCE 1) " + "x" * 200, "SORT (" + "DATE " * 200 + "DATE) UTF-8 ALL", "SEARCH " + " ".join(f"{2 * i + 1}" for i in range(200)),
         "SEARCH UID " + ",".join(f"{2 * i + 1}" for i in range(200))]


@pytest.mark.parametrize("command", LISTS, ids=lambda x: x[:20])
def test_lists(c, command):
    no(c.cmd(command)[1])
    ok(c.cmd("NOOP"))


def test_keywords(c):
    ok(c.cmd("CREATE Key"))
    ok(c.cmd(b"APPEND Key {10+}\r\nSubject: x"))
    ok(c.cmd("SELECT Key"))
    for i in range(64):
        ok(c.cmd(f"STORE 1 +FLAGS.SILENT (k{i})"))
    assert "LIMIT" in no(c.cmd("STORE 1 +FLAGS.SILENT (k64)")[1])
    no(c.cmd(b"APPEND Key (k65) {10+}\r\nSubject: x")[1])
    ok(c.cmd("STORE 1 -FLAGS.SILENT (k0)"))
    assert "FLAGS" in ok(c.cmd("FETCH 1 FLAGS"))[0]
    ok(c.cmd("CLOSE"))
    ok(c.cmd("DELETE Key"))


NULS = [b"NOOP\0", b"SELECT a\0b", b'SELECT "a\0b"', b"SELECT {3+}\r\na\0b", b"CREATE {3+}\r\na\0b", b"CREATE {3+}\r\na\rb", b"CREATE {3+}\r\na\nb", b"SEARCH SUBJECT {3+}\r\na\0b", b"SEARCH HEADER {3+}\r\na\0b x",
        b"FETCH 1 BODY[HEADER.FIELDS ({3+}\r\na\0b)]", b"FETCH 1 BODY[HEADER.FIELDS ({3+}\r\na\nb)]", b"SETACL INBOX {3+}\r\na\0b lr", b"SETACL INBOX bob {3+}\r\nl\0r", b"SUBSCRIBE {3+}\r\na\0b", b"RENAME INBOX {3+}\r\na\nb",
        b"SEARCH CHARSET {3+}\r\na\0b ALL", b"STORE 1 FLAGS (a\0b)", b'LIST "" {3+}\r\na\0b', b'LIST {3+}\r\na\nb *', b"NO\rOP", b"NOOP\r\r", b"SELECT IN\rBOX", b"STATUS {3+}\r\na\nb (MESSAGES)", b"COPY 1 {3+}\r\na\0b"]


@pytest.mark.parametrize("command", NULS)
def test_octets_that_have_no_place_there(c, command):
    """NUL, a bare CR or LF: no mailbox, keyword, subscription or right has one, and no line is broken by one."""
    c.send(b"t " + command + b"\r\nu NOOP\r\n")
    lines, done = c.until("u")
    ok((lines, done))
    tagged = [x for x in lines if x.startswith("t ")]
    assert len(tagged) == 1 and not any(ord(x) < 32 for x in "".join(lines)), lines
    if b"LIST" not in command and b"SEARCH" not in command:
        assert tagged[0].startswith(("t NO", "t BAD")), lines
    assert not [x for x in ok(c.cmd('LIST "" *')) if "a" in x.split('"')[-1] and len(x.split()[-1]) == 3]


def test_ten_in_a_row_and_not_one_more(fronted, port):
    c = Raw(port).login("bob")
    for _ in range(9):
        assert c.cmd("NONSENSE")[1].startswith("BAD")
    ok(c.cmd("NOOP"))
    for _ in range(9):
        assert c.cmd("NONSENSE")[1].startswith("BAD")
    c.send("z NONSENSE\r\n")
    text = c.f.read().decode()
    assert "* BYE" in text, text
    c.close()


def test_names_and_passwords_that_are_too_long(fronted, port):
    def tried(data, literal=None):
        c = Raw(port)
        c.line()
        c.send(data)
        if literal is not None:
            assert c.line().startswith("+")
            c.send(literal + b"\r\n")
        no(c.until("l")[1])
        ok(c.cmd("NOOP"))
        c.close()
    for n in (4097, 16000):
        tried(b"l LOGIN bob {%d+}\r\n%s\r\n" % (n, b"x" * n))
        tried(b"l LOGIN {%d+}\r\n%s x\r\n" % (n, b"x" * n))
        tried(b"l LOGIN bob {%d}\r\n" % n)
    tried(b"l LOGIN bob {4000}\r\n", b"x" * 4000)
    for text in (b"\0bob\0" + b"x" * 5000, b"x" * 9000, b"\0\0\0\0", b"", b"\xff" * 100, b"bob\0bob\0" + PASSWORD.encode() + b"\0"):
        tried(b"l AUTHENTICATE PLAIN\r\n", base64.b64encode(text))


# Waiting for what does not come.

@pytest.fixture(scope="module")
def hasty():
    """A murder that waits two seconds for everything."""
    limits = {"imap_idle_timeout_s": "3", "imap_login_timeout_s": "2", "imap_stall_timeout_s": "1", "maxmessagesize": "1M", "max_inflight": "3200K"}
    m = Murder(users=["fred"], limits=limits).start()
    m.add_frontend(limits)
    m.create_user("fred")
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def hasty_port(request, hasty):
    return hasty.first.imap if request.param == "backend" else hasty.frontends[0].imap


HALF = [b"a LOGIN fred {6}\r\n", b"a LOGIN fred {6+}\r\nsec", b"a APPEND INBOX {1000}\r\n", b"a APPEND INBOX {1000000+}\r\nSubj", b"a SELECT {5}\r\n", b"a SELECT {5+}\r\nIN", b"a SEL", b"a SEARCH SUBJECT {5}\r\n",
        b"a AUTHENTICATE PLAIN\r\n", b"a"]


def test_what_is_announced_and_never_sent(hasty, hasty_port):
    waiting = []
    for data in HALF:
        c = Raw(hasty_port, timeout=15)
        if b"LOGIN" in data or b"AUTHENTICATE" in data:
            c.line()
        else:
            c.login("fred")
        c.send(data)
        waiting.append((data, c))
    # Others are served meanwhile.
    began = time.monotonic()
    other = Raw(hasty_port).login("fred")
    ok(other.cmd(b"APPEND INBOX {10+}\r\nSubject: x"))
    other.close()
    assert time.monotonic() - began < 2.5, "not for the idle time-out"
    for data, c in waiting:
        text = c.f.read().decode()
        assert "* BYE" in text, (data, text)
        c.close()
    assert time.monotonic() - began < 10


def test_one_octet_at_a_time_before_login(hasty, hasty_port):
    """Who keeps talking has no longer to log in."""
    c = Raw(hasty_port, timeout=15)
    c.line()
    began = time.monotonic()
    try:
        while time.monotonic() - began < 10:
            c.send(b"x")
            c.s.settimeout(0.3)
            try:
                if c.s.recv(100) == b"":
                    break
                break
            except TimeoutError:
                pass
    except OSError:
        pass
    assert time.monotonic() - began < 6
    c.close()


def test_who_announces_much_and_sends_little_is_cut_off(hasty, hasty_port):
    """All that may be in memory is announced by clients that send nothing, or an octet now and then; others wait for a second, not for
    the idle time-out."""
    message = b"Subject: x\r\n\r\n" + b"x" * 200000
    other = Raw(hasty_port).login("fred")
    many = [Raw(hasty_port, timeout=15).login("fred") for _ in range(3)]
    for i, c in enumerate(many):
        c.send(b"a APPEND INBOX {%d%s}\r\n" % (1 << 20, b"+" if i % 2 else b""))
    daemon = hasty.first if hasty_port == hasty.first.imap else hasty.frontends[0]
    wait_for(lambda: int(re.search(r"^roost_(?:frontend_)?inflight_octets\S* (\d+)", http(f"127.0.0.1:{daemon.admin}", "/metrics")[1],
                                   re.M)[1]) >= 3 << 20, "all room is taken", 3)
    refused = other.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(message), message))[1]
    assert refused.startswith("NO [LIMIT]"), refused

    def gets_in():
        for c in many:
            try:
                c.send(b"x")
            except OSError:
                pass
        return other.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(message), message))[1].startswith("OK")
    wait_for(gets_in, "a message gets in")
    for c in many:
        c.s.settimeout(5)
        try:
            assert b"too slowly" in c.f.read()
        except ConnectionError:
            pass  # it was cut off while it was sending
        c.close()
    other.close()


def test_a_slow_message_that_comes_on_is_taken(hasty, hasty_port):
    c = Raw(hasty_port, timeout=15).login("fred")
    message = b"Subject: x\r\n\r\n" + b"x" * 600000
    c.send(b"a APPEND INBOX {%d+}\r\n" % len(message))
    for at in range(0, len(message), 100000):
        c.send(message[at:at + 100000])
        time.sleep(0.3)  # the client's own slowness
    c.send(b"\r\n")
    ok(c.until("a"))
    c.close()


def test_what_was_refused_in_the_midst_holds_nothing(fronted, port):
    """The refusal of a later literal, while an earlier one was waited for, leaves neither octets to wait for nor memory counted."""
    c = Raw(port).login("bob")
    for i in range(3):
        c.send(b"a APPEND INBOX {%d+}\r\n%s {%d}\r\n" % (900000, b"x" * 900000, 2 * MESSAGE))
        assert "octets" in no(c.until("a")[1])
        ok(c.cmd("NOOP"))
    c.close()
