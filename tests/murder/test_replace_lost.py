"""REPLACE (RFC 8508) between two servers of which one dies in the midst: the client is told, and the message is never lost, at worst there twice."""
import re
import signal
import threading

import pytest

from local import LocalMurder, password_of
from roost import Raw, wait_for


def ok(answer):
    assert answer[1].startswith("OK"), answer
    return answer[0]


def connect(m, user="fred", password=None):
    host, port = m.info["frontends"][0]["imap"].rsplit(":", 1)
    return Raw(int(port), timeout=60).login(user, password or password_of(user))


def subjects(m, mailbox):
    c = connect(m)
    ok(c.cmd(f"SELECT {mailbox}"))
    lines = ok(c.cmd("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
    c.close()
    return re.findall(r"Subject: (\w+)", "\n".join(lines))


def literal(text):
    return b"{%d+}\r\n%s" % (len(text), text)


@pytest.fixture(scope="module")
def murder():
    with LocalMurder(["fred"], pairs=2) as m:
        admin = connect(m, "admin", "adminsecret")
        home = next(s for s in ("backenda", "backendb") if re.search(r"user\.fred\b.*" + s, m.roost("mailbox", "list", "--murder", m.dir).stdout))
        other = {"backenda": "backendb", "backendb": "backenda"}[home]
        ok(admin.cmd(f"CREATE elsewhere {other}"))
        ok(admin.cmd("SETACL elsewhere fred lrswipkxte"))
        admin.close()
        yield m, home, other


@pytest.mark.parametrize("dies", ["source", "target"])
def test_a_server_dies_in_the_midst(murder, dies):
    m, home, other = murder
    new, old = f"new{dies}", f"old{dies}"
    for s in (home, other):
        m.wait_in_sync(s)
    c = connect(m)
    ok(c.cmd(b"APPEND INBOX " + literal(b"Subject: %s\r\n\r\nold\r\n" % old.encode())))
    ok(c.cmd("SELECT INBOX"))
    source, target = m.master(home), m.master(other)
    # The APPEND waits at its server; the other has found the message by then.
    pid, before = m.daemon(target)["pid"], m.daemon(source)["pid"]
    m.kill(target, signal.SIGSTOP)
    answer = []

    def replace():
        try:
            answer.append(c.cmd(b'REPLACE * "Shared Folders/elsewhere" ' + literal(b"Subject: %s\r\n\r\nnew\r\n" % new.encode())))
        except EOFError as e:
            answer.append((e.args[0], "BYE"))
    t = threading.Thread(target=replace, daemon=True)
    t.start()
    t.join(0.5)
    assert t.is_alive(), answer
    m.kill(source if dies == "source" else target)
    if dies == "source":
        wait_for(lambda: m.daemon(source)["pid"] not in (0, before) and m.master(home), "the source has a master again", 20)
        m.kill(target, signal.SIGCONT)
        assert m.daemon(target)["pid"] == pid
    t.join(30)
    assert not t.is_alive(), "no answer"
    lines, done = answer[0]
    print(done, lines)
    there = subjects(m, "INBOX").count(old), subjects(m, '"Shared Folders/elsewhere"').count(new)
    assert there in ([(0, 1)] if done.startswith("OK") else [(1, 0), (1, 1)]), (there, answer)
    if there == (1, 1):
        assert re.match(r"NO \[UNAVAILABLE\] .*the new message (may be|is) kept", done) or done.startswith("NO [APPENDUID") or done == "BYE", answer
    for s in (home, other):
        m.wait_in_sync(s)
        m.dumps_equal(s)
