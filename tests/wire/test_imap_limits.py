"""MESSAGELIMIT (RFC 9738) and INPROGRESS (RFC 9585), on a backend and through a frontend: daemons of their own, as both are of
their configuration."""
import re

import pytest

from roost import Murder
from test_imap_search import esearch, fill
from test_imap_session import ok

LIMIT = 5


@pytest.fixture(scope="module")
def murder():
    limits = {"imap_message_limit": LIMIT, "imap_progress_ms": 1, "imap_max_search_mailboxes": 3, "imap_max_notify_mailboxes": 4}
    m = Murder(users=["fred"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}, limits=limits).start()
    m.add_frontend({"imap_progress_ms": 1, "imap_max_search_mailboxes": 3})
    m.create_user("fred")
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def session(request, murder):
    made = []

    def log_in(user="fred"):
        port = murder.first.imap if request.param == "backend" else murder.frontends[0].imap
        made.append(murder.raw(port).login(user))
        return made[-1]
    yield log_in
    for c in made:
        c.close()


@pytest.fixture
def c(session):
    """Box with UIDs 11 to 18 selected, all of them \\Deleted."""
    c = session()
    fill(c, count=18)
    for uids in ("1:5", "6:10"):
        ok(c.cmd(rf"UID STORE {uids} +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    for uids in ("11:14", "15:18"):
        ok(c.cmd(rf"UID STORE {uids} +FLAGS.SILENT (\Deleted)"))
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def rows(lines, word="FETCH"):
    return [int(re.search(r"UID (\d+)", x).group(1)) for x in lines if f" {word} (" in x]


def limited(done, uid, status="OK"):
    assert done.startswith(f"{status} [MESSAGELIMIT {LIMIT} {uid}] "), done


def test_is_offered(session):
    words = ok(session().cmd("CAPABILITY"))[0].split()
    assert f"MESSAGELIMIT={LIMIT}" in words and "INPROGRESS" in words


def test_is_not_offered_without_a_limit(fronted):
    for port in (fronted.first.imap, fronted.frontends[0].imap):
        c = fronted.raw(port).login("fred")
        assert "MESSAGELIMIT" not in "".join(ok(c.cmd("CAPABILITY")))
        c.close()


def test_fetch(c):
    lines, done = c.cmd("UID FETCH 1:* (FLAGS)")
    assert rows(lines) == [18, 17, 16, 15, 14], "from the highest down"
    limited(done, 14)
    lines, done = c.cmd("UID FETCH 1:13 (FLAGS)")
    assert rows(lines) == [11, 12, 13] and done == "OK done"
    lines, done = c.cmd("FETCH 1:7 (UID)")
    assert rows(lines) == [17, 16, 15, 14, 13]
    limited(done, 13)
    assert c.cmd("FETCH 1:5 (UID)")[1] == "OK done", "as many as the limit are not too many"


def test_fetch_sets_seen_on_what_it_tells(c):
    lines, done = c.cmd("UID FETCH 11:18 (BODY[TEXT])")
    limited(done, 14)
    assert "* SEARCH 14 15 16 17 18" in ok(c.cmd("UID SEARCH UID 14:18 SEEN"))
    assert "* SEARCH" in ok(c.cmd("UID SEARCH UID 11:13 SEEN"))


def test_fetch_partial(c):
    assert c.cmd("UID FETCH 1:* (FLAGS) (PARTIAL 1:6)")[1].startswith(f"NO [MESSAGELIMIT {LIMIT}] ")
    lines, done = c.cmd("UID FETCH 1:* (FLAGS) (PARTIAL -1:-5)")
    assert rows(lines) == [14, 15, 16, 17, 18] and done == "OK done"


def test_fetch_changedsince_counts_what_changed(c):
    highest = int(re.search(r"HIGHESTMODSEQ (\d+)", "".join(ok(c.cmd("STATUS Box (HIGHESTMODSEQ)")))).group(1))
    ok(c.cmd(r"UID STORE 11:13 +FLAGS.SILENT (\Draft)"))
    lines, done = c.cmd(f"UID FETCH 1:* (UID) (CHANGEDSINCE {highest})")
    assert rows(lines) == [11, 12, 13] and done == "OK done"


def test_store(c):
    lines, done = c.cmd(r"UID STORE 11:18 +FLAGS (mine)")
    assert rows(lines) == [18, 17, 16, 15, 14]
    limited(done, 14)
    assert "* SEARCH" in ok(c.cmd("UID SEARCH UID 11:13 KEYWORD mine"))
    limited(c.cmd(r"STORE 1:8 +FLAGS.SILENT (mine)")[1], 14)
    assert c.cmd(r"UID STORE 11:13 +FLAGS.SILENT (mine)")[1] == "OK done"


def test_another_code_goes_first(c):
    """Section 3.1: then the limit is told in an untagged NO."""
    lines, done = c.cmd(r"UID STORE 11:18 (UNCHANGEDSINCE 1) +FLAGS.SILENT (mine)")
    assert done.startswith("OK [MODIFIED 14:18]")
    assert [x for x in lines if x.startswith(f"* NO [MESSAGELIMIT {LIMIT} 14] ")]


def test_search_counts_what_it_looks_at(c):
    lines, done = c.cmd("UID SEARCH ALL")
    assert "* SEARCH 14 15 16 17 18" in lines
    limited(done, 14)
    lines, done = c.cmd("UID SEARCH FLAGGED")
    assert "* SEARCH 15 17" in lines
    limited(done, 14)
    assert c.cmd("UID SEARCH UID 11:12,18 ALL")[1] == "OK done", "three are looked at, though they are far apart"
    lines, done = c.cmd("UID SEARCH UIDBEFORE 14 DELETED")
    assert "* SEARCH 11 12 13" in lines and done == "OK done"
    lines, done = c.cmd("SEARCH RETURN (COUNT ALL) UIDAFTER 11 UNDRAFT")
    assert f'COUNT 5 ALL 4:8' in lines[-1], lines
    limited(done, 14)


@pytest.mark.parametrize("program,wanted", [("UIDAFTER 16", "17 18"), ("UIDAFTER 18", ""), ("UIDAFTER 4294967294", ""), ("UIDBEFORE 13", "11 12"),
                                            ("UIDBEFORE 11", ""), ("UIDBEFORE 1", ""), ("NOT UIDBEFORE 17 UIDAFTER 13", "17 18"),
                                            ("UIDAFTER 12 UIDBEFORE 15", "13 14")])
def test_uidafter_and_uidbefore(c, program, wanted):
    assert ("* SEARCH " + wanted).strip() in ok(c.cmd("UID SEARCH " + program))


@pytest.mark.parametrize("program", ["UIDAFTER", "UIDAFTER 0", "UIDAFTER *", "UIDAFTER 1:2", "UIDBEFORE 4294967295", "UIDBEFORE x"])
def test_uidafter_and_uidbefore_malformed(c, program):
    assert c.cmd("UID SEARCH " + program)[1].startswith("BAD")


def test_saved_results_are_cut(c):
    """Section 3.4."""
    limited(c.cmd("UID SEARCH RETURN (SAVE) ALL")[1], 14)
    assert rows(ok(c.cmd("UID FETCH $ (UID)"))) == [14, 15, 16, 17, 18]


@pytest.mark.parametrize("command", ["UID SORT (DATE) UTF-8 ALL", "UID SORT RETURN (PARTIAL 1:2) (DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"])
def test_sort_and_thread_do_all_or_nothing(c, command):
    lines, done = c.cmd(command)
    assert done.startswith(f"NO [MESSAGELIMIT {LIMIT}] ") and not [x for x in lines if "SORT" in x or "THREAD" in x]
    assert c.cmd(command.replace("ALL", "UID 12:16"))[1] == "OK done"


def test_copy_does_all_or_nothing(c):
    c.cmd("DELETE Target")
    ok(c.cmd("CREATE Target"))
    limited(c.cmd("UID COPY 11:18 Target")[1], 14, "NO")
    assert "* STATUS Target (MESSAGES 0)" in ok(c.cmd("STATUS Target (MESSAGES)"))
    assert c.cmd("UID COPY 14:18 Target")[1].startswith("OK [COPYUID")
    ok(c.cmd("DELETE Target"))


def test_append_does_all_or_nothing(c):
    many = " {1+}\r\nx" * (LIMIT + 1)
    assert c.cmd("APPEND Box" + many)[1].startswith(f"NO [MESSAGELIMIT {LIMIT}] ")
    assert "* STATUS Box (MESSAGES 8)" in ok(c.cmd("STATUS Box (MESSAGES)"))
    assert c.cmd("APPEND Box" + " {1+}\r\nx" * LIMIT)[1].startswith("OK [APPENDUID ")


def test_move_takes_the_highest(c):
    c.cmd("DELETE Target")
    ok(c.cmd("CREATE Target"))
    lines, done = c.cmd("UID MOVE 1:* Target")
    limited(done, 14)
    assert any(re.match(r"\* OK \[COPYUID \d+ 14:18 1:5\]", x) for x in lines), lines
    assert "* SEARCH 11 12 13" in ok(c.cmd("UID SEARCH ALL"))
    assert c.cmd("UID MOVE 1:* Target")[1].startswith("OK moved")
    ok(c.cmd("DELETE Target"))


def test_uid_expunge_counts_what_is_deleted(c):
    ok(c.cmd(r"UID STORE 17:18 -FLAGS.SILENT (\Deleted)"))
    lines, done = c.cmd("UID EXPUNGE 1:*")
    limited(done, 12)
    assert "* SEARCH 11 17 18" in ok(c.cmd("UID SEARCH ALL"))
    assert c.cmd("UID EXPUNGE 1:*")[1].startswith("OK expunged")


def test_expunge_has_no_limit(c):
    lines, done = c.cmd("EXPUNGE")
    assert done.startswith("OK expunged") and sum("EXPUNGE" in x for x in lines) == 8


def test_between_servers(murder):
    """The frontend copies by commands of its own, which the backends limit."""
    a = murder.raw(murder.frontends[0].imap).login("admin")
    a.cmd("DELETE elsewhere")
    ok(a.cmd("CREATE elsewhere backendb"))
    ok(a.cmd("SETACL elsewhere fred lrswipkxtea"))
    c = murder.raw(murder.frontends[0].imap).login("fred")
    fill(c, count=8)
    limited(c.cmd('COPY 1:* "Shared Folders/elsewhere"')[1], 4, "NO")
    lines, done = c.cmd('UID MOVE 1:* "Shared Folders/elsewhere"')
    limited(done, 4)
    assert any(re.match(r"\* OK \[COPYUID \d+ 4:8 1:5\]", x) for x in lines), lines
    assert "* SEARCH 1 2 3" in ok(c.cmd("UID SEARCH ALL"))
    progress = [x for x in lines if "INPROGRESS" in x]
    assert progress and re.match(r'\* OK \[INPROGRESS \("x\d+" \d 5\)\] ', progress[0]), lines
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))
    ok(a.cmd("DELETE elsewhere"))
    a.close()
    c.close()


def test_search_in_several_mailboxes(c):
    """RFC 7377 section 2.4: limits up front. The messages of all count together."""
    assert c.cmd("ESEARCH IN (mailboxes Box) ALL")[1].startswith(f"NO [MESSAGELIMIT {LIMIT}] ")
    limited(c.cmd("ESEARCH IN (selected) ALL")[1], 14)
    assert c.cmd("ESEARCH IN (mailboxes INBOX) ALL")[1].startswith("OK")
    for i in range(3):
        c.cmd(f"CREATE More/{i}")
    assert c.cmd("ESEARCH IN (subtree More) ALL")[1].startswith("OK")
    assert c.cmd("ESEARCH IN (subtree More mailboxes INBOX) ALL")[1].startswith("NO [LIMIT] ")
    for i in range(3):
        ok(c.cmd(f"DELETE More/{i}"))


def test_no_more_mailboxes_are_watched_than_may_be(session):
    """RFC 5465 sections 3.1 and 5.8."""
    c, other = session(), session()
    for i in range(5):
        c.cmd(f"DELETE Many/{i}")
    for i in range(4):
        ok(other.cmd(f"CREATE Many/{i}"))
    assert c.cmd("NOTIFY SET (subtree Many mailboxes (MailboxName))")[1].startswith("BAD")
    ok(c.cmd("NOTIFY SET (subtree Many (MailboxName))"))
    assert c.cmd("NOTIFY SET (subtree Many (MailboxName)) (mailboxes INBOX (MessageNew MessageExpunge))")[1].startswith("NO [NOTIFICATIONOVERFLOW] ")
    ok(other.cmd("CREATE Many/4"))
    assert c.line().startswith("* OK [NOTIFICATIONOVERFLOW] ")
    ok(other.cmd("DELETE Many/4"))
    assert ok(c.cmd("NOOP")) == []
    for i in range(4):
        ok(other.cmd(f"DELETE Many/{i}"))


def test_progress_of_a_search(murder):
    """Here a client is told after a millisecond; a search has a turn of five."""
    b = murder.raw(murder.first.imap).login("fred")
    b.cmd("DELETE Long")
    ok(b.cmd("CREATE Long"))
    text = "Subject: long\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + "\r\n".join(["gr\u00fcn ist die Heide" * 50] * 4000)
    octets = text.encode()
    for _ in range(LIMIT):
        b.send(b"a APPEND Long {%d+}\r\n" % len(octets) + octets + b"\r\n")
        assert b.until("a")[1].startswith("OK")
    for port in (murder.first.imap, murder.frontends[0].imap):
        c = murder.raw(port).login("fred")
        ok(c.cmd("SELECT Long"))
        for command, word, parts in (("UID SEARCH CHARSET UTF-8 BODY nowhere", "SEARCH", 1), ("UID SORT (SIZE) UTF-8 BODY nowhere", "SORT", 3),
                                     ("UID THREAD REFERENCES UTF-8 BODY nowhere", "THREAD", 3)):
            lines = ok(c.cmd(command))
            told = [re.match(r'\* OK \[INPROGRESS \("x\d+" (\d+) (\d+)\)\] \d+% done$', x) for x in lines if "INPROGRESS" in x]
            assert told and all(told), lines
            numbers = [int(m.group(1)) for m in told]
            assert numbers == sorted(numbers) and numbers[-1] <= LIMIT * parts and {m.group(2) for m in told} == {str(LIMIT * parts)}
            assert lines[-1].startswith("* " + word), "nothing is told in the middle of an answer, or behind it"
        c.close()
    ok(b.cmd("DELETE Long"))
    b.close()


def test_short_commands_tell_nothing(fronted):
    c = fronted.raw(fronted.first.imap).login("fred")
    fill(c, count=3)
    for command in ("SEARCH TEXT body", "SORT (SUBJECT) UTF-8 ALL", "COPY 1:* Box", "NOOP", "EXPUNGE"):
        assert "INPROGRESS" not in "".join(ok(c.cmd(command)))
    ok(c.cmd("DELETE Box")) if c.cmd("UNSELECT")[1].startswith("OK") else None
    c.close()
