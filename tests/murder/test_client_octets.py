"""What a client sends through a frontend arrives at the backend to the octet, and what is refused is not taken for commands."""
import pytest

from local import LocalMurder, password_of
from roost import Raw


@pytest.fixture(scope="module")
def murder():
    with LocalMurder(users=("fred",), pairs=1, frontends=1) as m:
        yield m


def connect(murder):
    c = Raw(int(murder.info["frontends"][0]["imap"].rsplit(":", 1)[1]))
    c.login("fred", password_of("fred"))
    return c


def fetch_all(c, mailbox):
    """The octets of each message."""
    assert c.cmd(f"SELECT {mailbox}")[1].startswith("OK")
    c.send("f FETCH 1:* BODY.PEEK[]\r\n")
    bodies = []
    while True:
        line = c.line()
        if line.startswith("f "):
            assert line.startswith("f OK"), line
            return bodies
        if line.endswith("}"):
            bodies.append(c.read(int(line[line.rindex("{") + 1:-1])))


TRICKY = [
    b"Subject: one {3}\r\n\r\nline {10}\r\nabc {5+}\r\n",
    b"Subject: two\r\n\r\nx LOGOUT\r\ny {2}\r\nz LOGOUT\r\n",
    b"Subject: bare\n\nline {7}\nend\r\n",
    b"Subject: brace\r\n\r\n{3}",
    b"{9}\r\n\r\n\r\n",
]


@pytest.mark.parametrize("sync", [False, True])
def test_what_looks_like_a_literal_within_a_message_is_none(murder, sync):
    c = connect(murder)
    mailbox = "sync" if sync else "nonsync"
    assert c.cmd(f"CREATE {mailbox}")[1].startswith("OK")
    for message in TRICKY:
        head = f"a APPEND {mailbox} {{{len(message)}{'' if sync else '+'}}}\r\n".encode()
        if sync:
            c.send(head)
            assert c.line().startswith("+ ")
            c.send(message + b"\r\n")
        else:
            c.send(head + message + b"\r\n")
        assert c.until("a")[1].startswith("OK")
    assert fetch_all(c, mailbox) == TRICKY
    c.close()


def test_names_and_fields_may_be_literals(murder):
    c = connect(murder)
    assert c.cmd(b"CREATE {6+}\r\nlit {1")[1].startswith("OK")
    message = b"Subject: x\r\nFrom: y\r\n\r\nz\r\n"
    assert c.cmd(b"APPEND {6+}\r\nlit {1 (\\Seen) {%d+}\r\n%s" % (len(message), message))[1].startswith("OK")
    assert c.cmd(b'SELECT "lit {1"')[1].startswith("OK")
    c.send(b"a FETCH 1 BODY.PEEK[HEADER.FIELDS ({7+}\r\nSubject {4+}\r\nFrom)]\r\n")
    # The section is told in a form that a server may send.
    assert c.line() == "* 1 FETCH (BODY[HEADER.FIELDS (Subject From)] {23}"
    assert c.read(23) == b"Subject: x\r\nFrom: y\r\n\r\n"
    assert c.until("a")[1].startswith("OK")
    c.close()


def test_a_refused_commands_literal_is_not_read_as_commands(murder):
    c = connect(murder)
    long = b"x" * 70000
    inner = b"q1 CREATE smuggled\r\n"
    c.send(b"a SELECT " + long + b" {%d+}\r\n%s\r\nb NOOP\r\n" % (len(inner), inner))
    lines, done = c.until("b")
    assert done.startswith("OK")
    assert not any(line.startswith("q1 ") for line in lines), lines
    lines, _ = c.cmd('LIST "" smuggled')
    assert lines == []
    c.close()


def test_no_mailbox_is_made_that_would_be_shown_as_another_one(murder):
    c = connect(murder)
    for name in ("Other Users/fred/INBOX", "Other Users/fred/Other Users/bob", "Shared Folders/user/fred/Shared Folders/x"):
        assert c.cmd(f'CREATE "{name}"')[1].startswith("NO"), name
    assert c.cmd('CREATE "Other Users/fred/plain"')[1].startswith("OK")
    lines, _ = c.cmd('LIST "" *')
    names = [line.rsplit(' "/" ', 1)[1].strip('"') for line in lines]
    assert "plain" in names and len(names) == len(set(names)), names
    c.close()
