"""CONDSTORE and QRESYNC (RFC 7162), on a backend and through a frontend."""
import re

import pytest

from test_imap_search import esearch, fill
from test_imap_session import no, ok


@pytest.fixture
def c(session):
    c = session()
    fill(c)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def code(lines, name):
    found = [m.group(1) for x in lines for m in [re.search(rf"\[{name} ([^\]]*)\]", x)] if m]
    assert found, (name, lines)
    return found[-1]


def modseqs(c, numbers="1:*"):
    """UID to modseq."""
    rows = [re.search(r"UID (\d+) MODSEQ \((\d+)\)", x) for x in ok(c.cmd(f"FETCH {numbers} (UID MODSEQ)"))]
    return {int(m.group(1)): int(m.group(2)) for m in rows if m}


def test_select_and_status_tell_the_highest(c):
    lines, done = c.cmd("SELECT Box")
    highest = int(code(lines, "HIGHESTMODSEQ"))
    lines, done = c.cmd("SELECT Box (CONDSTORE)")
    assert done.startswith("OK [READ-WRITE]") and int(code(lines, "HIGHESTMODSEQ")) == highest
    assert f"* STATUS Box (MESSAGES 8 HIGHESTMODSEQ {highest})" in ok(c.cmd("STATUS Box (MESSAGES HIGHESTMODSEQ)"))
    assert max(modseqs(c).values()) == highest
    assert len(set(modseqs(c).values())) == 8, "each arrival has its own"


def test_what_enables(session, c):
    """Each of them makes the server tell modseqs from then on (section 3.1)."""
    for command in ("ENABLE CONDSTORE", "FETCH 1 MODSEQ", "FETCH 1 (FLAGS) (CHANGEDSINCE 1)", "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (x)",
                    "SEARCH MODSEQ 1", "STATUS INBOX (HIGHESTMODSEQ)"):
        d = session()
        ok(d.cmd("SELECT Box"))
        assert "MODSEQ (" not in "".join(ok(d.cmd("FETCH 2 FLAGS")))
        lines = ok(d.cmd(command))
        code(lines, "HIGHESTMODSEQ")
        flag = re.sub(r"\W", "", command)
        ok(c.cmd(f"STORE 2 +FLAGS.SILENT ({flag})"))
        told = [x for x in ok(d.cmd("NOOP")) if x.startswith("* 2 FETCH")]
        assert told and "MODSEQ (" in told[0] and flag in told[0], (command, told)
    assert "* ENABLED CONDSTORE" in ok(c.cmd("ENABLE CONDSTORE X-NOSUCH"))
    assert "* ENABLED" in ok(c.cmd("ENABLE CONDSTORE"))
    assert "* ENABLED QRESYNC" in ok(c.cmd("ENABLE qresync"))


def test_changedsince(c):
    before = modseqs(c)
    highest = max(before.values())
    assert [x for x in ok(c.cmd(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {highest})")) if "FETCH" in x] == []
    ok(c.cmd(r"STORE 4,6 +FLAGS.SILENT (\Answered)"))
    rows = [x for x in ok(c.cmd(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {highest})"))]
    assert [x.split()[1] for x in rows] == ["4", "6"] and all("MODSEQ" in x and "Answered" in x for x in rows)
    rows = ok(c.cmd(f"UID FETCH 5:* (FLAGS) (CHANGEDSINCE {highest})"))
    assert len(rows) == 1 and "UID 6 " in rows[0]
    assert len(ok(c.cmd("FETCH 1:* (UID) (CHANGEDSINCE 1)"))) == 8
    after = modseqs(c)
    assert {u for u in after if after[u] != before[u]} == {4, 6} and after[4] == after[6] > highest


def test_unchangedsince(session, c):
    ok(c.cmd("ENABLE CONDSTORE"))
    base = modseqs(c)
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(other.cmd(r"STORE 2,5 +FLAGS.SILENT (\Draft)"))
    highest = max(base.values())
    lines, done = c.cmd(rf"STORE 1:6 (UNCHANGEDSINCE {highest}) +FLAGS.SILENT (\Deleted)")
    assert done.startswith("OK [MODIFIED 2,5]"), done
    own = [x for x in lines if "MODSEQ" in x and "FLAGS" not in x]
    assert [x.split()[1] for x in own] == ["1", "3", "4", "6"], "even with .SILENT the modseq is told"
    assert all(x in "".join(lines) for x in ("* 2 FETCH", "* 5 FETCH")), "and what the other did"
    assert "* SEARCH 1 3 4 6" in ok(c.cmd("SEARCH DELETED"))
    lines, done = c.cmd(r"UID STORE 7 (UNCHANGEDSINCE 0) FLAGS (\Seen)")
    assert done.startswith("OK [MODIFIED 7]"), done
    assert "Seen" not in "".join(ok(c.cmd("FETCH 7 FLAGS")))
    lines, done = c.cmd(rf"UID STORE 7 (UNCHANGEDSINCE {highest}) +FLAGS (\Seen $Forwarded)")
    assert done.startswith("OK ") and "MODIFIED" not in done and re.search(r"UID 7 FLAGS \([^)]*Forwarded\) MODSEQ", "".join(lines)), lines
    assert c.cmd("STORE 8 (UNCHANGEDSINCE 99999999) FLAGS (x)")[1].startswith("OK ")


def test_only_one_of_two_wins(session, c):
    """Section 3.1.3: two clients that mean to change the same message as they know it."""
    d = session()
    ok(d.cmd("SELECT Box"))
    known = modseqs(c)[3]
    assert "MODIFIED" not in c.cmd(rf"STORE 3 (UNCHANGEDSINCE {known}) +FLAGS (mine)")[1]
    assert d.cmd(rf"STORE 3 (UNCHANGEDSINCE {known}) +FLAGS (mine)")[1].startswith("OK [MODIFIED 3]")


def test_search_modseq(c):
    ms = modseqs(c)
    limit = ms[6]
    lines = ok(c.cmd(f"SEARCH MODSEQ {limit}"))
    assert f"* SEARCH 6 7 8 (MODSEQ {ms[8]})" in lines
    assert f'* SEARCH 6 7 (MODSEQ {ms[7]})' in ok(c.cmd(f'SEARCH MODSEQ "/flags/\\\\draft" all {limit} 1:7'))
    assert "* SEARCH" in ok(c.cmd("SEARCH MODSEQ 99999999"))
    assert esearch(c.cmd(f"SEARCH RETURN (ALL) MODSEQ {limit}")) == f"MODSEQ {ms[8]} ALL 6:8"
    assert esearch(c.cmd(f"UID SEARCH RETURN (MIN) MODSEQ {limit}")) == f"UID MIN 6 MODSEQ {ms[6]}"
    assert esearch(c.cmd(f"UID SEARCH RETURN (MIN MAX) MODSEQ {limit}")) == f"UID MIN 6 MAX 8 MODSEQ {ms[8]}"
    assert esearch(c.cmd("SEARCH RETURN (COUNT) MODSEQ 99999999")) == "COUNT 0"


@pytest.mark.parametrize("command", [
    "SELECT Box (QRESYNC (1 1))", "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",  # not enabled
    "SELECT Box (", "SELECT Box ()", "SELECT Box (NOSUCH)", "SELECT Box (CONDSTORE CONDSTORE)", "SELECT Box (QRESYNC)",
    "SELECT Box (QRESYNC 1 2)", "SELECT Box (QRESYNC (0 1))", "SELECT Box (QRESYNC (1 0))", "SELECT Box (QRESYNC (1))",
    "SELECT Box (QRESYNC (1 2 *))", "SELECT Box (QRESYNC (1 2 $))", "SELECT Box (QRESYNC (1 2 1:5 (1:2 1)))",
    "SELECT Box (QRESYNC (1 2 1:5 (1:2 1:2 3)))", "SELECT Box (QRESYNC (1 2 1:5 (1:2)))", "SELECT Box (QRESYNC (1 2 1:5",
    "SELECT Box (QRESYNC (9999999999 2))", "SELECT Box (QRESYNC (1 9999999999999999999))",
    "FETCH 1 FLAGS (CHANGEDSINCE)", "FETCH 1 FLAGS (CHANGEDSINCE x)", "FETCH 1 FLAGS (CHANGEDSINCE 1", "FETCH 1 FLAGS (NOSUCH 1)",
    "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "UID FETCH 1 FLAGS (VANISHED)", "FETCH 1 FLAGS ()",
    "STORE 1 (UNCHANGEDSINCE) FLAGS (x)", "STORE 1 (UNCHANGEDSINCE x) FLAGS (x)", "STORE 1 (UNCHANGEDSINCE 1 FLAGS (x)",
    "STORE 1 (NOSUCH 1) FLAGS (x)", "STORE 1 () FLAGS (x)", "STORE 1 (UNCHANGEDSINCE 1)", "ENABLE",
])
def test_malformed(c, command):
    assert c.cmd(command)[1].startswith("BAD"), command
    ok(c.cmd("FETCH 1 FLAGS"))


@pytest.fixture
def q(c):
    """QRESYNC enabled, Box selected."""
    assert "* ENABLED CONDSTORE QRESYNC" in ok(c.cmd("ENABLE QRESYNC CONDSTORE"))
    assert "* OK [CLOSED] " in "\n".join(ok(c.cmd("SELECT Box")))
    return c


def test_vanished_instead_of_expunge(session, q):
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(q.cmd(r"STORE 2:4,7 +FLAGS.SILENT (\Deleted)"))
    lines, done = q.cmd("UID EXPUNGE 2:4")
    assert "* VANISHED 2:4" in lines and not any("EXPUNGE" in x for x in lines)
    assert re.match(r"OK \[HIGHESTMODSEQ \d+\]", done), done
    lines, done = q.cmd("EXPUNGE")
    assert "* VANISHED 7" in lines and re.match(r"OK \[HIGHESTMODSEQ \d+\]", done), done
    lines, done = q.cmd("EXPUNGE")
    assert "HIGHESTMODSEQ" not in done and not [x for x in lines if "VANISHED" in x]
    assert [x for x in ok(other.cmd("NOOP")) if "EXPUNGE" in x] == [f"* {n} EXPUNGE" for n in (7, 4, 3, 2)], "who did not enable it"
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    assert "* VANISHED 1" in ok(q.cmd("NOOP"))
    lines, done = q.cmd("UID MOVE 5 INBOX")
    assert "* VANISHED 5" in lines and re.match(r"OK \[HIGHESTMODSEQ \d+\]", done), (lines, done)


def test_flag_changes_carry_uid_and_modseq(session, q):
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(other.cmd(r"STORE 3 +FLAGS.SILENT (\Draft)"))
    assert any(re.match(r"\* 3 FETCH \(UID 3 FLAGS \(.*Draft.*\) MODSEQ \(\d+\)\)", x) for x in ok(q.cmd("NOOP")))
    assert any(re.match(r"\* 1 FETCH \(UID 1 .*MODSEQ \(\d+\)\)", x) for x in ok(q.cmd(r"STORE 1 +FLAGS (\Draft)")))
    assert re.match(r"\* 5 FETCH \(UID 5 FLAGS \([^)]*Seen[^)]*\) MODSEQ \(\d+\) BODY\[TEXT\]", ok(q.cmd("FETCH 5 BODY[TEXT]<0.1>"))[0])


def resync(c, parameters, mailbox="Box"):
    """SELECT with QRESYNC: the UIDs of VANISHED (EARLIER) as written, those of FETCH, all lines."""
    lines = ok(c.cmd(f"SELECT {mailbox} (QRESYNC ({parameters}))"))
    gone = [x[len("* VANISHED (EARLIER) "):] for x in lines if x.startswith("* VANISHED")]
    fetched = [int(re.search(r"UID (\d+)", x).group(1)) for x in lines if " FETCH (" in x]
    assert all("MODSEQ (" in x and "FLAGS (" in x for x in lines if " FETCH (" in x)
    return ",".join(gone), fetched, lines


def test_resynchronising(session, q):
    lines = ok(q.cmd("SELECT Box"))
    validity, known = code(lines, "UIDVALIDITY"), code(lines, "HIGHESTMODSEQ")
    ok(q.cmd("UNSELECT"))
    gone, fetched, lines = resync(q, f"{validity} {known}")
    assert (gone, fetched) == ("", [])
    ok(q.cmd("UNSELECT"))
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(other.cmd(r"STORE 2,4,6 +FLAGS.SILENT (\Draft)"))
    ok(other.cmd(r"STORE 3:4,8 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    text = "Subject: new\r\n\r\nx\r\n"
    ok(other.cmd(f"APPEND Box {{{len(text)}+}}\r\n{text}"))
    gone, fetched, lines = resync(q, f"{validity} {known}")
    assert (gone, fetched) == ("3:4,8", [2, 6, 9])
    assert any(x.startswith("* 6 EXISTS") for x in lines)
    vanished = next(i for i, x in enumerate(lines) if "VANISHED" in x)
    assert vanished > max(i for i, x in enumerate(lines) if "UIDNEXT" in x or "EXISTS" in x), "after the mailbox's own data"
    assert resync(q, f"{validity} {known} 1:5")[:2] == ("3:4", [2])
    assert resync(q, f"{validity} {known} 4:20")[:2] == ("4,8", [6, 9])
    assert resync(q, f"{validity} {known} 1:9 (1,3 1,3)")[:2] == ("3:4,8", [2, 6, 9])
    assert resync(q, f"{int(validity) + 1} {known}")[:2] == ("", []), "another UIDVALIDITY: nothing is known"
    assert "* OK [CLOSED] " in "\n".join(ok(q.cmd("SELECT Box")))
    rows = ok(q.cmd(f"UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {known} VANISHED)"))
    assert rows[0] == "* VANISHED (EARLIER) 3:4,8" and len(rows) == 4, rows
    rows = ok(q.cmd(f"UID FETCH 8 (UID FLAGS) (CHANGEDSINCE {known} VANISHED)"))
    assert rows == ["* VANISHED (EARLIER) 8"]


def test_the_last_message_gone_is_told_to_a_star(q):
    known = max(modseqs(q).values())
    ok(q.cmd(r"STORE 7:8 +FLAGS.SILENT (\Deleted)"))
    ok(q.cmd("EXPUNGE"))
    assert "* VANISHED (EARLIER) 7:8" in ok(q.cmd(f"UID FETCH 1:* (UID) (CHANGEDSINCE {known} VANISHED)"))
    ok(q.cmd(r"STORE 1:* +FLAGS.SILENT (\Deleted)"))
    ok(q.cmd("EXPUNGE"))
    assert "* VANISHED (EARLIER) 1:8" in ok(q.cmd(f"UID FETCH 1:* (UID) (CHANGEDSINCE {known} VANISHED)"))


def test_close_expunges_without_a_word(q):
    ok(q.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    lines, done = q.cmd("CLOSE")
    assert lines == [] and "HIGHESTMODSEQ" not in done
    assert no(q.cmd("FETCH 1 FLAGS")[1])


def test_many_changes_of_one_modseq_are_told_whole(session, c):
    """More changes than are told at once, all by one STORE: the rest is told with the commands after it."""
    text = "Subject: x\r\n\r\nx\r\n"
    ok(c.cmd(r"STORE 1:* +FLAGS.SILENT (a)"))
    for _ in range(9):
        ok(c.cmd("COPY 1:* Box"))
    d = session()
    count = int(re.search(r"\* (\d+) EXISTS", "\n".join(ok(d.cmd("SELECT Box")))).group(1))
    assert count == 4096
    # Each line long, so that all together are more than the output holds.
    words = " ".join("keyword-of-a-client-" + "x" * 200 + str(i) for i in range(3))
    ok(c.cmd(f"STORE 1:* +FLAGS.SILENT ({words})"))
    told = set()
    for _ in range(20):
        told |= {x.split()[1] for x in ok(d.cmd("NOOP")) if " FETCH (" in x}
        if len(told) == count:
            break
    assert len(told) == count
    assert not [x for x in ok(d.cmd("NOOP")) if " FETCH (" in x]
    ok(c.cmd(f"APPEND Box {{{len(text)}+}}\r\n{text}"))


def flags_told(answer):
    return sorted(int(x.split()[1]) for x in ok(answer) if "FETCH" in x)


def test_what_others_changed_is_told_beside_the_commands_own_change(session, c):
    """A silent STORE is told of by nothing, but what another session changed before it, or at the same messages, is not lost with it."""
    d = session()
    ok(d.cmd("SELECT Box"))
    ok(c.cmd("NOOP"))
    ok(d.cmd(r"STORE 1:2 -FLAGS.SILENT (\Flagged \Seen)"))
    ok(c.cmd("NOOP"))
    ok(d.cmd("NOOP"))
    assert flags_told(c.cmd(r"STORE 1:* +FLAGS.SILENT (\Answered)")) == []
    ok(d.cmd("NOOP"))
    ok(d.cmd(r"STORE 1 +FLAGS.SILENT (\Flagged)"))
    assert flags_told(c.cmd(r"STORE 2 +FLAGS.SILENT (\Seen)")) == [1], "before it"
    ok(d.cmd("NOOP"))
    ok(d.cmd(r"STORE 1 -FLAGS.SILENT (\Flagged)"))
    assert flags_told(c.cmd(r"STORE 2 +FLAGS.SILENT (\Seen)")) == [1], "it changed nothing itself"
    assert flags_told(c.cmd("NOOP")) == []
    d.close()
