"""IMAP on one backend: states, login, TLS, unsolicited answers, idling; and every way of being wrong."""
import base64
import socket
import time

import pytest

from roost import PASSWORD, Raw, wait_for

SHARED = '"Shared Folders/team"'  # of the fixture `team`, as fred has it


@pytest.fixture
def c(backend):
    c = backend.raw().login("fred")
    yield c
    c.close()


def no(done, *words):
    assert done.startswith(("NO ", "BAD ")), done
    for w in words:
        assert w.lower() in done.lower(), (w, done)
    return done


def ok(answer):
    lines, done = answer
    assert done.startswith("OK"), done
    return lines


def test_greeting_and_capabilities(backend):
    c = backend.raw()
    greeting = c.line()
    assert greeting.startswith("* OK [CAPABILITY IMAP4rev1 ") and "MUPDATE=mupdate://" in greeting
    lines = ok(c.cmd("CAPABILITY"))
    assert any("LITERAL+" in x and "SASL-IR" in x for x in lines)
    no(c.cmd("SELECT INBOX")[1])
    no(c.cmd("FETCH 1 FLAGS")[1])
    lines, done = c.cmd("LOGOUT")
    assert lines[0].startswith("* BYE") and done.startswith("OK")
    assert c.line() == ""


@pytest.mark.parametrize("how", ["PLAIN", "PLAIN-IR", "LOGIN", "login"])
def test_logins(backend, how):
    c = backend.raw()
    c.line()
    plain = base64.b64encode(b"\0fred\0" + PASSWORD.encode()).decode()
    if how == "login":
        done = c.cmd(f"LOGIN fred {{{len(PASSWORD)}+}}\r\n{PASSWORD}")[1]
    elif how == "PLAIN-IR":
        done = c.cmd("AUTHENTICATE PLAIN " + plain)[1]
    else:
        c.send(f"a AUTHENTICATE {how}\r\n")
        words = [plain] if how == "PLAIN" else [base64.b64encode(w).decode() for w in (b"fred", PASSWORD.encode())]
        for w in words:
            assert c.line().startswith("+")
            c.send(w + "\r\n")
        done = c.until("a")[1]
    assert done.startswith("OK"), done
    no(c.cmd("LOGIN fred x")[1])
    c.close()


def test_refused_logins(backend):
    c = backend.raw()
    c.line()
    assert "AUTHENTICATIONFAILED" in no(c.cmd("LOGIN fred wrong")[1])
    assert "AUTHENTICATIONFAILED" in no(c.cmd("LOGIN nobody wrong")[1])
    no(c.cmd("AUTHENTICATE NONSENSE")[1])
    c.send("a AUTHENTICATE PLAIN\r\n")
    c.line()
    c.send("*\r\n")
    no(c.until("a")[1])
    c.send("b AUTHENTICATE PLAIN\r\n")
    c.line()
    c.send("!!!notbase64\r\n")
    no(c.until("b")[1])
    # Another's name is for proxies and administrators only.
    no(c.cmd("AUTHENTICATE PLAIN " + base64.b64encode(b"bob\0fred\0" + PASSWORD.encode()).decode())[1])
    assert c.cmd("AUTHENTICATE PLAIN " + base64.b64encode(b"bob\0admin\0" + PASSWORD.encode()).decode())[1].startswith("OK")
    c.close()


WRONG = [
    b"", b" ", b"NOSUCH", b"LOGIN", b"SELECT", b"SELECT (", b'SELECT "INBOX', b"FETCH", b"FETCH 0 FLAGS", b"FETCH a FLAGS",
    b"FETCH 1 (FLAGS", b"FETCH 1 NOSUCH", b"FETCH 1 BODY[", b"FETCH 1 BODY[0]", b"FETCH 1 BODY[1.MIME.1]", b"FETCH 1 BODY[]<0>",
    b"FETCH 1 BODY[]<0.0>", b"STORE 1 FLAGS", b"STORE 1 +FLAG (a)", b"STORE 1 FLAGS (\\Nonsense)", b"SEARCH", b"SEARCH NOSUCH",
    b"SEARCH CHARSET", b"SEARCH (ALL", b"SEARCH BEFORE 1-Foo-2020", b"SEARCH 1:", b"COPY 1", b"UID", b"UID NOOP", b"UID FETCH 1",
    b"APPEND", b"APPEND INBOX", b"APPEND INBOX (\\Seen", b'APPEND INBOX "yesterday" {3+}\r\nabc', b"LIST", b'LIST ""', b"STATUS INBOX",
    b"STATUS INBOX ()", b"STATUS INBOX (NOSUCH)", b"CREATE", b"RENAME a", b"SETACL INBOX fred", b"ENABLE", b"ID", b"ID (a)",
    b"CAPABILITY x", b"NOOP x", b"IDLE x", b"\xff\xfe", b"NOOP\0", b"SELECT \x01", b"LOGOUT now", b"NAMESPACE x",
]


@pytest.mark.parametrize("what", WRONG)
def test_wrong_commands_are_bad_and_the_session_goes_on(backend, what):
    c = backend.raw().login("fred")
    ok(c.cmd("SELECT INBOX"))
    lines, done = c.cmd(what)
    assert done.startswith("BAD"), (what, done)
    assert len(done) > 8, "it says what is wrong"
    ok(c.cmd("NOOP"))
    c.close()


def test_wrong_lines_without_a_tag(backend):
    c = backend.raw().login("fred")
    for line in (b"\r\n", b" \r\n", b"+ x\r\n", b"(a) NOOP\r\n", b'"a" NOOP\r\n', b"\0\r\n"):
        c.send(line)
        assert c.line().startswith("* BAD"), line
    ok(c.cmd("NOOP"))
    c.close()


def test_limits(backend):
    c = backend.raw().login("fred")
    no(c.cmd("SELECT " + "x" * 3000)[1])
    no(c.cmd("NOOP " + "x" * 10000)[1], "octets")
    ok(c.cmd("NOOP"))
    # A literal over the limit: refused before it is sent, or skipped when it does not wait.
    c.send("a SELECT {9000}\r\n")
    no(c.until("a")[1])
    no(c.cmd(b"SELECT {9000+}\r\n" + b"x" * 9000)[1])
    ok(c.cmd("NOOP"))
    no(c.cmd(b"APPEND INBOX {2000000}")[1], "TOOBIG")
    ok(c.cmd("NOOP"))
    assert "TOOBIG" in no(c.cmd(b"APPEND INBOX {1100000+}\r\n" + b"x" * 1100000)[1])
    ok(c.cmd("NOOP"))
    ok(c.cmd("SELECT INBOX"))
    no(c.cmd("SEARCH " + "(" * 50 + "ALL" + ")" * 50)[1], "deep")
    no(c.cmd("SEARCH " + "NOT " * 50 + "ALL")[1], "deep")
    ok(c.cmd("NOOP"))
    no(c.cmd("FETCH " + ",".join(str(i) for i in range(1, 400, 2)) + " FLAGS")[1])
    no(c.cmd("FETCH 1 (" + "FLAGS " * 200 + "FLAGS)")[1])
    for n in ("99999999999999999999", "4294967296", "-1"):
        no(c.cmd(f"FETCH {n} FLAGS")[1])
        ok(c.cmd("NOOP"))
        no(c.cmd(f"SELECT {{{n}}}")[1])
        ok(c.cmd("NOOP"))
    ok(c.cmd("NOOP"))
    c.close()


def test_an_enormous_line_ends_in_bounded_memory(backend):
    c = backend.raw()
    c.line()
    try:
        for _ in range(200):
            c.send(b"a" * 65536)
    except OSError:
        pass  # it was cut off
    c.close()
    ok(backend.raw().login("fred").cmd("NOOP"))


def test_half_commands(backend):
    for data in (b"a NOO", b"a SELECT {5}\r\nIN", b"a APPEND INBOX {100+}\r\nabc", b"a AUTHENTICATE PLAIN\r\n", b""):
        c = Raw(backend.first.imap)
        c.line()
        if b"INBOX" in data:
            c.cmd("LOGIN fred " + PASSWORD)
        c.send(data)
        c.close()
    c = backend.raw().login("fred")
    c.s.sendall(b"h NOOP\r\n")
    c.s.shutdown(socket.SHUT_WR)
    assert c.until("h")[1].startswith("OK")
    c.close()


def test_one_octet_at_a_time(backend):
    c = backend.raw()
    c.line()
    for octet in f"a LOGIN fred {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\n".encode():
        c.send(bytes([octet]))
    assert c.until("a")[1].startswith("OK")
    c.close()


def test_pipelined(c):
    c.send("".join(f"p{i} NOOP\r\n" for i in range(500)))
    for i in range(500):
        assert c.until(f"p{i}")[1].startswith("OK")


def test_idle_tells_what_happens(backend, c):
    other = backend.raw().login("fred")
    ok(c.cmd("CREATE Idle"))
    ok(c.cmd("SELECT Idle"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    ok(other.cmd(b"APPEND Idle {6+}\r\na: b\r\n"))
    assert c.line() == "* 1 EXISTS"
    assert "RECENT" in c.line()
    ok(other.cmd("SELECT Idle"))
    ok(other.cmd(r"STORE 1 +FLAGS (\Flagged kw)"))
    seen = []
    while not any("FETCH" in x for x in seen):
        seen.append(c.line())
    assert any("FLAGS" in x and "kw" in x for x in seen)
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    assert "Deleted" in c.line()
    ok(other.cmd("EXPUNGE"))
    assert c.line() == "* 1 EXPUNGE"
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK")
    c.send("j IDLE\r\nDONE\r\n")
    assert c.until("j")[1].startswith("OK")
    ok(other.cmd("CLOSE"))
    ok(other.cmd("DELETE Idle"))
    other.close()


def test_expunge_is_told_only_where_it_may_be(backend, c):
    other = backend.raw().login("fred")
    ok(c.cmd("CREATE Exp"))
    for _ in range(3):
        ok(c.cmd(b"APPEND Exp {6+}\r\na: b\r\n"))
    ok(c.cmd("SELECT Exp"))
    ok(other.cmd("SELECT Exp"))
    ok(other.cmd(r"STORE 2 +FLAGS (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    lines = ok(c.cmd("FETCH 1:3 FLAGS"))
    assert not any("EXPUNGE" in x for x in lines)
    lines = ok(c.cmd("SEARCH ALL"))
    assert not any("EXPUNGE" in x for x in lines)
    lines = ok(c.cmd("NOOP"))
    assert "* 2 EXPUNGE" in lines
    assert [x for x in ok(c.cmd("UID SEARCH ALL"))][0] == "* SEARCH 1 3"
    ok(c.cmd("CLOSE"))
    ok(other.cmd("CLOSE"))
    ok(c.cmd("DELETE Exp"))
    other.close()


def test_a_mailbox_deleted_under_its_reader(backend, c):
    other = backend.raw().login("fred")
    ok(c.cmd("CREATE Gone"))
    ok(c.cmd("SELECT Gone"))
    ok(other.cmd("DELETE Gone"))

    def told():
        try:
            lines, done = c.cmd("NOOP")
        except (EOFError, OSError):
            return True
        return any("BYE" in x for x in lines) or done.startswith("NO")
    wait_for(told, "the reader is told")
    other.close()


def test_many_connections(backend):
    began = time.monotonic()
    many = [backend.raw() for _ in range(300)]
    for c in many:
        assert c.line().startswith("* OK")
    for c in many:
        c.close()
    assert time.monotonic() - began < 20
