"""A search in a large message holds up nobody else: on the one loop of a backend the others' commands are answered meanwhile."""
import base64
import select

import pytest

from roost import Murder
from test_imap_session import ok

# Some 10 MB, not ASCII, so that all of it is decoded and folded.
TEXT = "Größe und Übermaß der Bücher, \u0434\u043b\u0438\u043d\u043d\u043e\u0435 \u043f\u0438\u0441\u044c\u043c\u043e. ".encode()


@pytest.fixture(scope="module")
def large():
    limits = {"maxmessagesize": "64M", "imap_max_append": "64M"}
    m = Murder(users=["fred"], limits=limits, loops=1).start()
    m.add_frontend(limits)
    m.create_user("fred")
    c = m.raw().login("fred")
    ok(c.cmd("CREATE Large"))
    text = base64.encodebytes(TEXT * 120000 + "Nadelöhr".encode())
    body = (b"Subject: the large one\r\nX-Other: something\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + text.replace(b"\n", b"\r\n"))
    header = b"Subject: small\r\nX-Long: " + b"filler\r\n " * 60000 + b"needle\r\n\r\nsmall text\r\n"
    for message in (b"Subject: first\r\n\r\nnadelohr\r\n", body, b"Subject: last\r\nX-Other: last\r\n\r\nplain\r\n", header):
        c.send(b"a APPEND Large {%d+}\r\n" % len(message) + message + b"\r\n")
        ok(c.until("a"))
    c.close()
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def session(request, large):
    made = []

    def log_in():
        made.append(large.raw(large.first.imap if request.param == "backend" else large.frontends[0].imap).login("fred"))
        return made[-1]
    yield log_in
    for c in made:
        c.close()


@pytest.mark.parametrize("program,wanted", [
    ('BODY "nadel\u00f6hr"', "2"), ("BODY nowhere", ""), ('TEXT "b\u00fccher"', "2"), ('NOT BODY "b\u00fccher"', "1 3 4"),
    ('OR BODY nowhere BODY "nadel\u00f6hr"', "2"), ('BODY "gr\u00f6\u00dfe" BODY "\u0434\u043b\u0438\u043d\u043d\u043e\u0435" NOT TEXT nowhere', "2"),
    ("HEADER X-Other something", "2"), ("HEADER X-Long needle", "4"), ("HEADER X-Long needle NOT BODY small", ""),
    ("BODY small SUBJECT small", "4"), ("FUZZY BODY nadelohr", "1 2"), ("FUZZY TEXT nedelohr", "1 2"), ("FUZZY HEADER X-Long nedle", "4"),
    ("OR SUBJECT last FUZZY BODY bucher", "2 3"),
])
def test_what_is_found(large, program, wanted):
    c = large.raw().login("fred")
    ok(c.cmd("SELECT Large"))
    assert ok(c.cmd("SEARCH CHARSET UTF-8 " + program))[-1] == ("* SEARCH " + wanted).rstrip()
    c.close()


@pytest.mark.parametrize("command", ["SEARCH BODY nowhere", "SEARCH FUZZY BODY nowhere", "SORT (SUBJECT) UTF-8 TEXT nowhere",
                                     "THREAD REFERENCES UTF-8 BODY nowhere", "ESEARCH IN (mailboxes Large) RETURN (COUNT) BODY nowhere"])
def test_others_are_answered_meanwhile(session, command):
    c, other = session(), session()
    ok(c.cmd("SELECT Large"))
    c.send("s " + command + "\r\n")
    answered = 0
    while not select.select([c.s], [], [], 0)[0]:
        ok(other.cmd("STATUS INBOX (MESSAGES)"))
        answered += 1
    ok(c.until("s"))
    assert answered >= 10, answered


def test_a_client_that_goes_meanwhile_leaves_nothing(session, large):
    other = session()
    for _ in range(3):
        c = session()
        ok(c.cmd("SELECT Large"))
        c.send("s SEARCH OR BODY nowhere FUZZY TEXT nothing\r\n")
        ok(other.cmd("NOOP"))
        c.close()
    ok(other.cmd("SELECT Large"))
    assert ok(other.cmd("SEARCH BODY plain"))[-1] == "* SEARCH 3"


def test_a_large_message_that_is_expunged_meanwhile(session):
    c, other = session(), session()
    ok(c.cmd("CREATE Gone"))
    ok(c.cmd("SELECT Large"))
    ok(c.cmd("COPY 1:3 Gone"))
    ok(c.cmd("SELECT Gone"))
    ok(other.cmd("SELECT Gone"))
    c.send("s SEARCH OR BODY plain BODY nowhere\r\n")
    ok(other.cmd(r"STORE 2 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    lines, done = c.until("s")
    assert done.startswith(("OK", "NO [EXPUNGEISSUED]")) and "* SEARCH 3" in lines, (lines, done)
    ok(c.cmd("UNSELECT"))
    ok(other.cmd("UNSELECT"))
    ok(c.cmd("DELETE Gone"))
