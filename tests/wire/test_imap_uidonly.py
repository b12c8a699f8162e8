"""UIDONLY (RFC 9586), on a backend and through a frontend."""
import re

import pytest

from test_imap_search import esearch, fill
from test_imap_session import ok


@pytest.fixture
def c(session):
    """UIDONLY enabled, Box selected: UIDs 11 to 18, numbers 1 to 8."""
    c = session()
    fill(c, count=18)
    ok(c.cmd(r"STORE 1:10 +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    ok(c.cmd("SELECT Box"))  # nothing is \\Recent any more
    assert "* ENABLED UIDONLY" in ok(c.cmd("ENABLE UIDONLY"))
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def test_is_offered(session):
    assert " UIDONLY" in "".join(ok(session().cmd("CAPABILITY")))


@pytest.mark.parametrize("command", [
    "FETCH 1 FLAGS", "FETCH 1:* (UID)", r"STORE 1 +FLAGS (\Seen)", "COPY 1 INBOX", "MOVE * INBOX", "SEARCH ALL", "SEARCH RETURN (MIN) UNSEEN",
    "UID SEARCH 1:5", "UID SEARCH NOT (OR FLAGGED 2)", "UID SEARCH *", "SORT (DATE) UTF-8 ALL", "UID SORT (DATE) UTF-8 2:4",
    "REPLACE 1 Box {1+}\r\nx", "ESEARCH IN (mailboxes Box) 1:3", "THREAD REFERENCES UTF-8 ALL", "UID THREAD REFERENCES UTF-8 1:3", "SORT RETURN (MIN) (DATE) UTF-8 ALL",
])
def test_numbers_are_refused(c, command):
    lines, done = c.cmd(command)
    assert done.startswith("BAD [UIDREQUIRED] "), done
    assert not [x for x in lines if "FETCH" in x or "SEARCH" in x], lines
    assert "* 11 UIDFETCH (FLAGS (\\Flagged))" in ok(c.cmd("UID FETCH 11 FLAGS")), "the session goes on"


def test_qresync_without_numbers(c):
    lines = ok(c.cmd("ENABLE QRESYNC"))
    assert "* ENABLED CONDSTORE QRESYNC" in lines
    validity = re.search(r"UIDVALIDITY (\d+)", "".join(ok(c.cmd("STATUS Box (UIDVALIDITY)")))).group(1)
    assert c.cmd(f"SELECT Box (QRESYNC ({validity} 1 1:20 (1:2 11:12)))")[1].startswith("BAD [UIDREQUIRED]")
    assert "* 12 UIDFETCH (UID 12)" in ok(c.cmd("UID FETCH 12 UID")), "the mailbox is still selected"
    lines = ok(c.cmd(f"SELECT Box (QRESYNC ({validity} 1 1:20))"))
    assert "* VANISHED (EARLIER) 1:10" in lines
    rows = [x for x in lines if "UIDFETCH" in x]
    assert len(rows) == 8 and re.match(r"\* 11 UIDFETCH \(FLAGS \(\\Flagged\) MODSEQ \(\d+\)\)$", rows[0]), rows
    assert not re.search(r"\d+ FETCH|UNSEEN", "".join(lines))


def test_fetch(c):
    """Section 3.3: UIDs in front; the UID item where it was asked for."""
    assert ok(c.cmd("UID FETCH 12:13 (FLAGS)")) == [r"* 12 UIDFETCH (FLAGS ())", r"* 13 UIDFETCH (FLAGS (\Flagged))"]
    assert ok(c.cmd("UID FETCH 12 (UID RFC822.SIZE)"))[0].startswith("* 12 UIDFETCH (UID 12 RFC822.SIZE ")
    assert len(ok(c.cmd("UID FETCH 1:* (UID)"))) == 8
    assert ok(c.cmd("UID FETCH 1:10 (UID)")) == []
    lines = ok(c.cmd("UID FETCH 12 BODY[TEXT]"))
    assert lines[0].startswith(r"* 12 UIDFETCH (FLAGS (\Seen) BODY[TEXT] {"), lines
    lines = ok(c.cmd("UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)"))
    assert [x.split()[1] for x in lines] == ["17", "18"] and all("UIDFETCH" in x for x in lines)
    assert ok(c.cmd("UID FETCH 14 (UID) (CHANGEDSINCE 1)"))[-1].startswith("* 14 UIDFETCH (UID 14 MODSEQ (")


def test_store(c):
    assert ok(c.cmd(r"UID STORE 15 +FLAGS (\Draft)")) == [r"* 15 UIDFETCH (FLAGS (\Flagged \Draft))"]
    assert ok(c.cmd(r"UID STORE 16 +FLAGS.SILENT (\Draft)")) == []
    ok(c.cmd("ENABLE CONDSTORE"))
    lines = ok(c.cmd(r"UID STORE 17 +FLAGS.SILENT (\Draft)"))
    assert len(lines) == 1 and re.match(r"\* 17 UIDFETCH \(MODSEQ \(\d+\)\)$", lines[0]), lines
    lines, done = c.cmd(r"UID STORE 15:18 (UNCHANGEDSINCE 1) +FLAGS (x)")
    assert done.startswith("OK [MODIFIED 15:18]"), done


def test_expunge_is_vanished(session, c):
    ok(c.cmd(r"UID STORE 12:13,18 +FLAGS.SILENT (\Deleted)"))
    lines = ok(c.cmd("UID EXPUNGE 12"))
    assert "* VANISHED 12" in lines and "EXPUNGE" not in "".join(lines)
    lines = ok(c.cmd("EXPUNGE"))
    assert "* VANISHED 13,18" in lines and not any(re.match(r"\* \d+ EXPUNGE", x) for x in lines)


def test_news_of_others(session, c):
    ok(c.cmd("SELECT Box"))
    other = session()
    ok(other.cmd("SELECT Box"))
    c.send("i1 IDLE\r\n")
    assert c.line().startswith("+")
    ok(other.cmd(r"STORE 2 +FLAGS.SILENT (\Answered)"))
    assert c.line() == r"* 12 UIDFETCH (FLAGS (\Answered))"
    ok(other.cmd(r"STORE 3 +FLAGS.SILENT (\Deleted)"))
    assert c.line() == r"* 13 UIDFETCH (FLAGS (\Flagged \Deleted))"
    ok(other.cmd("EXPUNGE"))
    assert c.line() == "* VANISHED 13"
    ok(other.cmd("APPEND Box {4+}\r\na: b"))
    assert c.line() == "* 8 EXISTS", "a count is no message number"
    assert c.line().endswith(" RECENT")
    c.send("DONE\r\n")
    assert c.until("i1")[1].startswith("OK")


def test_searching(c):
    assert "* SEARCH 11 13" in ok(c.cmd("UID SEARCH UID 1:14 FLAGGED"))
    assert esearch(c.cmd("UID SEARCH RETURN (MIN COUNT SAVE) FLAGGED")) == "UID MIN 11 COUNT 4"
    assert len(ok(c.cmd("UID FETCH $ (UID)"))) == 4
    assert esearch(c.cmd("UID SEARCH RETURN (ALL) $")) == "UID ALL 11,13,15,17", "$ is no message number"
    assert esearch(c.cmd("UID SORT RETURN (PARTIAL 1:2) (REVERSE ARRIVAL) UTF-8 ALL")).startswith("UID PARTIAL (1:2 ")
    assert "* THREAD (11)(12)" in ok(c.cmd("UID THREAD ORDEREDSUBJECT UTF-8 UID 11:12"))


def test_select_tells_no_number(c):
    lines = ok(c.cmd("SELECT Box"))
    assert "* 8 EXISTS" in lines and "UNSEEN" not in "".join(lines)


def test_unauthenticate_ends_it(fronted, c):
    ok(c.cmd("UNAUTHENTICATE"))
    ok(c.cmd("LOGIN fred secret"))
    ok(c.cmd("SELECT Box"))
    assert ok(c.cmd("FETCH 1 UID")) == ["* 1 FETCH (UID 11)"]


def test_copy_and_move_to_another_server(fronted):
    """The frontend fetches what it appends: it must know UIDFETCH."""
    a = fronted.raw(fronted.frontends[0].imap).login("admin")
    a.cmd("DELETE user/fred/Away")
    a.cmd("DELETE elsewhere")
    ok(a.cmd("CREATE elsewhere backendb"))
    ok(a.cmd("SETACL elsewhere fred lrswipkxtea"))
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    fill(c, count=4)
    ok(c.cmd("ENABLE UIDONLY"))
    lines, done = c.cmd('UID COPY 2:3 "Shared Folders/elsewhere"')
    assert re.match(r"OK \[COPYUID \d+ 2:3 1:2\]", done), done
    lines, done = c.cmd('UID MOVE 4 "Shared Folders/elsewhere"')
    assert done.startswith("OK") and any(re.match(r"\* OK \[COPYUID \d+ 4 3\]", x) for x in lines) and "* VANISHED 4" in lines, lines
    assert c.cmd('COPY 1 "Shared Folders/elsewhere"')[1].startswith("BAD [UIDREQUIRED]")
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))
    ok(a.cmd("DELETE elsewhere"))
    a.close()
    c.close()


def test_what_happens_during_a_copy_to_another_server_is_told(fronted):
    """Commands of the frontend's own come in between: the news with their answers are the client's."""
    a = fronted.raw(fronted.frontends[0].imap).login("admin")
    a.cmd("DELETE elsewhere")
    ok(a.cmd("CREATE elsewhere backendb"))
    ok(a.cmd("SETACL elsewhere fred lrswipkxtea"))
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    fill(c, count=4)
    other = fronted.raw(fronted.first.imap).login("fred")
    ok(other.cmd("SELECT Box"))
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    ok(other.cmd(r"UID STORE 4 +FLAGS.SILENT (\Answered)"))
    lines = ok(c.cmd('UID COPY 2 "Shared Folders/elsewhere"'))
    assert "* 1 EXPUNGE" in lines and any("Answered" in x for x in lines), lines
    assert ok(c.cmd("FETCH 1 UID")) == ["* 1 FETCH (UID 2)"]
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))
    ok(a.cmd("DELETE elsewhere"))
    for x in (a, c, other):
        x.close()
