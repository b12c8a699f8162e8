"""CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267), on a backend and through a frontend."""
import random
import re

import pytest

from test_imap_search import fill
from test_imap_session import no, ok


@pytest.fixture
def c(session):
    c = session()
    fill(c)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


@pytest.fixture
def other(session, c):
    other = session()
    ok(other.cmd("SELECT Box"))
    return other


def updates(lines):
    """What stands behind the tag of each ESEARCH with news."""
    return [m.group(1) for x in lines for m in [re.match(r'\* ESEARCH \(TAG "[^"]*"\)(.*(?:ADDTO|REMOVEFROM).*)$', x)] if m]


def set_of(text):
    found = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


class Results:
    """A client's list of results, as RFC 5267 section 4.3 has it kept."""

    def __init__(self, found=()):
        self.list = list(found)

    def take(self, lines, tag):
        for line in lines:
            if not line.startswith(f'* ESEARCH (TAG "{tag}")'):
                continue
            for kind, payload in re.findall(r"(ADDTO|REMOVEFROM) \(([^)]*)\)", line):
                words = payload.split()
                for position, numbers in zip(words[::2], words[1::2]):
                    position, numbers = int(position), set_of(numbers)
                    if kind == "ADDTO" and position:
                        self.list[position - 1:position - 1] = numbers
                    elif kind == "ADDTO":
                        assert not set(numbers) & set(self.list), (line, self.list)
                        self.list = sorted(self.list + numbers)
                    elif position:
                        assert self.list[position - 1:position - 1 + len(numbers)] == numbers, (line, self.list)
                        del self.list[position - 1:position - 1 + len(numbers)]
                    else:
                        assert set(numbers) <= set(self.list), (line, self.list)
                        self.list = [n for n in self.list if n not in numbers]


def test_is_offered(session):
    words = ok(session().cmd("CAPABILITY"))[0].split()
    assert {"CONTEXT=SEARCH", "CONTEXT=SORT", "ESORT"} <= set(words)


def test_context_is_a_hint(c):
    assert ok(c.cmd("SEARCH RETURN (CONTEXT COUNT) FLAGGED"))[-1].endswith(" COUNT 4")
    assert "UPDATE" not in "".join(ok(c.cmd("NOOP")))
    assert ok(c.cmd("UID SEARCH RETURN (CONTEXT PARTIAL 1:2) FLAGGED"))[-1].endswith(" UID PARTIAL (1:2 1,3)")
    assert ok(c.cmd("UID SEARCH RETURN (PARTIAL 5:9 UPDATE) FLAGGED"))[-1].endswith(" UID PARTIAL (5:9 NIL)")


def test_flags(c, other):
    """Section 4.3.3's example: FETCH, then ADDTO, and no COUNT."""
    lines, done = c.cmd(r"UID SEARCH RETURN (UPDATE COUNT) DELETED KEYWORD $Junk")
    assert lines[-1].endswith(" UID COUNT 0") and done.startswith("OK")
    ok(other.cmd(r"UID STORE 3,4,7 +FLAGS.SILENT ($Junk)"))
    assert updates(ok(c.cmd("NOOP"))) == []
    ok(other.cmd(r"UID STORE 3,4,7 +FLAGS.SILENT (\Deleted)"))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" UID ADDTO (0 3:4,7)"]
    assert max(i for i, x in enumerate(lines) if "FETCH" in x) < min(i for i, x in enumerate(lines) if "ESEARCH" in x)
    ok(other.cmd(r"UID STORE 4 -FLAGS.SILENT (\Deleted)"))
    ok(other.cmd(r"UID STORE 7 +FLAGS.SILENT (\Seen)"))
    assert updates(ok(c.cmd("NOOP"))) == [" UID REMOVEFROM (0 4)"]


def test_own_changes_too(c):
    ok(c.cmd("SEARCH RETURN (UPDATE) FLAGGED"))
    assert updates(ok(c.cmd(r"STORE 2:3 FLAGS (\Flagged)"))) == [" ADDTO (0 2)"]
    assert updates(ok(c.cmd(r"STORE 2:3 FLAGS.SILENT ()"))) == [" REMOVEFROM (0 2:3)"]


def test_arrivals_come_behind_exists(c, other):
    ok(c.cmd("SEARCH RETURN (UPDATE) FROM john"))
    for i, who in enumerate(("john", "mary", "john")):
        text = f"From: {who}@example.org\r\n\r\nx"
        ok(other.cmd(f"APPEND Box {{{len(text)}+}}\r\n{text}"))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" ADDTO (0 9,11)"]
    assert lines.index("* 11 EXISTS") < [i for i, x in enumerate(lines) if "ESEARCH" in x][0]


def test_expunges_come_before_expunge(c, other):
    """Appendix A.3: at once, though EXPUNGE has to wait."""
    ok(c.cmd("SEARCH RETURN (UPDATE) FLAGGED"))
    tag = f"x{c.tags}"
    ok(c.cmd("UID SEARCH RETURN (UPDATE) ALL"))
    uid_tag = f"x{c.tags}"
    ok(other.cmd(r"UID STORE 2:3 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    lines = ok(c.cmd("FETCH 1 UID"))
    assert f'* ESEARCH (TAG "{tag}") REMOVEFROM (0 3)' in lines and f'* ESEARCH (TAG "{uid_tag}") UID REMOVEFROM (0 2:3)' in lines
    assert "EXPUNGE" not in "".join(lines)
    lines = ok(c.cmd("NOOP"))
    assert "* 3 EXPUNGE" in lines and "* 2 EXPUNGE" in lines and updates(lines) == [], lines
    ok(other.cmd(r"UID STORE 5 -FLAGS.SILENT (\Flagged)"))
    assert f'* ESEARCH (TAG "{tag}") REMOVEFROM (0 3)' in ok(c.cmd("NOOP")), "the number that it has now"


def test_all_in_one(c, other):
    """Removed, expunged, changed and new ones between two commands."""
    ok(c.cmd("UID SEARCH RETURN (UPDATE) OR FLAGGED KEYWORD x"))
    ok(other.cmd(r"UID STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    ok(other.cmd(r"UID STORE 4 +FLAGS.SILENT (x)"))
    ok(other.cmd(r"UID STORE 5 -FLAGS.SILENT (\Flagged)"))
    ok(other.cmd("APPEND Box (x) {1+}\r\nx"))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" UID REMOVEFROM (0 1,5) ADDTO (0 4)", " UID ADDTO (0 9)"]
    order = [next(i for i, x in enumerate(lines) if word in x) for word in ("FETCH", "REMOVEFROM", "EXPUNGE", "EXISTS", "ADDTO (0 9)")]
    assert order == sorted(order), lines


def test_in_idle(c, other):
    ok(c.cmd("UID SEARCH RETURN (UPDATE) UNFLAGGED"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    ok(other.cmd(r"UID STORE 1 -FLAGS.SILENT (\Flagged)"))
    assert "FETCH" in c.line() and updates([c.line()]) == [" UID ADDTO (0 1)"]
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK")


def test_numbers_mean_what_they_were(c, other):
    """Section 4.3: numbers in the program are of the time of the command; so is "$"."""
    ok(c.cmd("SEARCH RETURN (SAVE) 4:5"))
    for program in ("3:5 UNSEEN", "UID 3:5 UNSEEN", "OR $ 3 UNSEEN", "3:100 NOT 6:* UNSEEN"):
        ok(c.cmd("UID SEARCH RETURN (UPDATE) " + program))
    ok(c.cmd("UID SEARCH RETURN (UPDATE) UID 8:* UNSEEN"))
    ok(c.cmd("UID SEARCH RETURN (UPDATE) * UNSEEN"))
    ok(other.cmd(r"UID STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    ok(other.cmd("APPEND Box {1+}\r\nx"))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" UID ADDTO (0 9)"], "a UID set with * takes what comes"
    ok(c.cmd("SEARCH RETURN (SAVE) ALL"))
    ok(other.cmd(r"UID STORE 5,6 +FLAGS.SILENT (\Seen)"))
    assert updates(ok(c.cmd("NOOP"))) == [" UID REMOVEFROM (0 5)"] * 4


def test_tags_in_use(c):
    ok(c.cmd("UID SEARCH RETURN (UPDATE COUNT) ALL"))
    tag = f"x{c.tags}"
    for command in ("SORT RETURN (UPDATE) (DATE) UTF-8 FLAGGED", "SEARCH RETURN (UPDATE) FLAGGED"):
        c.send(f"{tag} {command}\r\n")
        lines, done = c.until(tag)
        assert done.startswith("BAD") and not lines, "it is rejected, and has no effect"
    c.send(f"{tag} SEARCH RETURN (COUNT) FLAGGED\r\n")
    assert c.until(tag)[1].startswith("OK"), "without UPDATE it is the client's own affair"


def test_cancelupdate(c):
    ok(c.cmd("UID SEARCH RETURN (UPDATE) FLAGGED"))
    ok(c.cmd("UID SEARCH RETURN (UPDATE) UNFLAGGED"))
    ok(c.cmd("UID SEARCH RETURN (UPDATE) ALL"))
    tags = [f"x{c.tags - i}" for i in (2, 1, 0)]
    assert c.cmd(f'CANCELUPDATE "{tags[0]}" "{tags[2]}"')[1] == "OK no further updates"
    assert updates(ok(c.cmd(r"STORE 1:2 +FLAGS.SILENT (\Flagged)"))) == [" UID REMOVEFROM (0 2)"]
    no(c.cmd(f'CANCELUPDATE "{tags[0]}"')[1])
    no(c.cmd('CANCELUPDATE "nosuch"')[1])
    assert c.cmd(f'CANCELUPDATE "{tags[1]}"')[1].startswith("OK")
    assert updates(ok(c.cmd(r"STORE 1:2 -FLAGS.SILENT (\Flagged)"))) == []
    c.send(f"{tags[0]} UID SEARCH RETURN (UPDATE) ALL\r\n")
    assert c.until(tags[0])[1].startswith("OK"), "the tag can be used again"


def test_they_end_with_the_mailbox(c):
    ok(c.cmd("UID SEARCH RETURN (UPDATE) FLAGGED"))
    tag = f"x{c.tags}"
    ok(c.cmd("SELECT Box"))
    assert updates(ok(c.cmd(r"STORE 1:2 +FLAGS.SILENT (\Flagged)"))) == []
    no(c.cmd(f'CANCELUPDATE "{tag}"')[1])
    ok(c.cmd("UNSELECT"))
    assert c.cmd(f'CANCELUPDATE "{tag}"')[1].startswith("BAD")
    ok(c.cmd("SELECT Box"))


def test_no_more_than_so_many(c):
    """Section 4.3.1: the rest of the command is done."""
    for _ in range(20):
        ok(c.cmd("UID SEARCH RETURN (UPDATE) FLAGGED"))
    lines = ok(c.cmd("UID SEARCH RETURN (UPDATE COUNT) FLAGGED"))
    assert any(x.startswith(f'* NO [NOUPDATE "x{c.tags}"] ') for x in lines) and any(x.endswith(" UID COUNT 4") for x in lines), lines
    ok(c.cmd(f'CANCELUPDATE "x{c.tags - 1}"'))
    assert "NOUPDATE" not in "".join(ok(c.cmd("SORT RETURN (UPDATE) (DATE) UTF-8 FLAGGED")))


@pytest.mark.parametrize("command", [
    "SEARCH RETURN (UPDATE ALL PARTIAL 1:2) ALL", "SEARCH RETURN (UPDATE (NOSUCH)) ALL", "SEARCH RETURN (UPDATE () COUNT) ALL", "SEARCH RETURN (UPDATES) ALL",
    "CANCELUPDATE", "CANCELUPDATE x1", 'CANCELUPDATE "x1', 'CANCELUPDATE "x1"x', "SEARCH RETURN (UPDATE (UID) ALL", "SEARCH RETURN (UPDATE(UID FLAGS) ALL",
])
def test_malformed(c, command):
    assert c.cmd(command)[1].startswith("BAD"), command


def test_sorted_results(c, other):
    """Positions are of the list as the client has it."""
    lines = ok(c.cmd("UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 FLAGGED"))
    assert lines[-1].endswith(" UID ALL 7,5,3,1")
    r = Results([7, 5, 3, 1])
    tag = f"x{c.tags}"
    ok(other.cmd(r"UID STORE 4 +FLAGS.SILENT (\Flagged)"))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" UID ADDTO (3 4)"]
    r.take(lines, tag)
    text = "Subject: number 6a\r\n\r\nx"
    ok(other.cmd(rf"APPEND Box (\Flagged) {{{len(text)}+}}" + "\r\n" + text))
    lines = ok(c.cmd("NOOP"))
    assert updates(lines) == [" UID ADDTO (2 9)"]
    r.take(lines, tag)
    assert r.list == [7, 9, 5, 4, 3, 1]
    ok(other.cmd(r"UID STORE 5,7 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    ok(other.cmd(r"UID STORE 1 -FLAGS.SILENT (\Flagged)"))
    lines = ok(c.cmd("NOOP"))
    r.take(lines, tag)
    assert r.list == [9, 4, 3], lines
    assert all("EXPUNGE" not in x for x in lines[:lines.index([x for x in lines if "REMOVEFROM" in x][0])])


@pytest.mark.parametrize("seed", range(3))
def test_at_random(c, other, seed):
    """Whatever happens, the lists that are kept are those of a new search."""
    rng = random.Random(seed)
    searches = {"UID SEARCH RETURN (UPDATE ALL) {}": ("", "UID SEARCH RETURN (ALL) {}"),
                "UID SORT RETURN (UPDATE ALL) (SUBJECT REVERSE SIZE) UTF-8 {}": ("", "UID SORT RETURN (ALL) (SUBJECT REVERSE SIZE) UTF-8 {}")}
    kept = {}
    for program in ("FLAGGED", "NOT KEYWORD k", "SUBJECT number OR FLAGGED SEEN", "BODY 3"):
        for start, (_, again) in searches.items():
            lines = ok(c.cmd(start.format(program)))
            m = re.search(r" ALL (\S+)$", [x for x in lines if "ESEARCH" in x][-1])
            kept[f"x{c.tags}"] = (Results(set_of(m.group(1)) if m else []), again.format(program))
    for step in range(25):
        uids = [int(u) for u in ok(other.cmd("UID SEARCH ALL"))[-1].split()[2:]]
        for _ in range(rng.randrange(1, 4)):
            some = ",".join(str(u) for u in rng.sample(uids, min(len(uids), rng.randrange(1, 4)))) or "1"
            what = rng.randrange(5)
            if what < 3:
                ok(other.cmd(rf"UID STORE {some} {rng.choice('+-')}FLAGS.SILENT ({rng.choice([chr(92) + 'Flagged', 'k', chr(92) + 'Seen'])})"))
            elif what == 3:
                ok(other.cmd(rf"UID STORE {some} +FLAGS.SILENT (\Deleted)"))
                ok(other.cmd("EXPUNGE"))
                uids = [int(u) for u in ok(other.cmd("UID SEARCH ALL"))[-1].split()[2:]]
            else:
                text = f"Subject: number {rng.randrange(9)}\r\n\r\n" + "3" * rng.randrange(5)
                ok(other.cmd(f"APPEND Box {{{len(text)}+}}\r\n{text}"))
        lines = ok(c.cmd(rng.choice(["NOOP", "UID FETCH 1 UID", "CHECK"])))
        for tag, (r, again) in kept.items():
            r.take(lines, tag)
    lines = ok(c.cmd("NOOP"))
    for tag, (r, again) in kept.items():
        r.take(lines, tag)
        m = re.search(r" ALL (\S+)$", [x for x in ok(c.cmd(again)) if "ESEARCH" in x][-1])
        assert r.list == (set_of(m.group(1)) if m else []), (seed, again)


def test_many_changes_are_told_in_turns(c, other):
    """More than one turn of the loop has time for: the rest follows while the client idles."""
    for _ in range(7):
        ok(other.cmd("UID COPY 1:* Box"))
    count = int(re.search(r"MESSAGES (\d+)", "".join(ok(other.cmd("STATUS Box (MESSAGES)")))).group(1))
    assert count == 1024
    ok(c.cmd("NOOP"))
    for _ in range(10):
        ok(c.cmd("UID SORT RETURN (UPDATE) (SUBJECT FROM DATE) UTF-8 TEXT body UNSEEN"))
    ok(c.cmd("UID SEARCH RETURN (UPDATE) SEEN"))
    tag = f"x{c.tags}"
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    ok(other.cmd(r"STORE 1:* +FLAGS.SILENT (\Seen)"))
    r, told = Results(), 0
    while len(r.list) < count:
        line = c.line()
        told += line.startswith(f'* ESEARCH (TAG "{tag}")')
        r.take([line], tag)
    c.send("DONE\r\n")
    lines, done = c.until("i")
    assert done.startswith("OK") and told > 1


def test_many_that_go_are_told_in_turns(c, other):
    """Each is looked for in all sorted results, at their ends where the order is turned round: other clients' turns come between."""
    for _ in range(9):
        ok(other.cmd("UID COPY 1:* Box"))
    ok(c.cmd("NOOP"))
    for _ in range(20):
        tagged = f"x{c.tags + 1}"
        ok(c.cmd("UID SORT RETURN (UPDATE) (REVERSE ARRIVAL) UTF-8 ALL"))
    ok(other.cmd("NOOP"))
    lines = ok(other.cmd("UID SEARCH RETURN (ALL COUNT) ALL"))
    uids = set_of(re.search(r" ALL (\S+)", lines[-1]).group(1))
    ok(other.cmd(r"STORE 1:* +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("NOOP"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    ok(other.cmd("EXPUNGE"))
    removed, expunged, turns, was_update = [], 0, 0, False
    while expunged < len(uids):
        line = c.line()
        is_update = line.startswith(f'* ESEARCH (TAG "{tagged}")')
        turns += not is_update and was_update
        was_update = is_update
        if is_update:
            removed += [int(n) for x in re.findall(r"REMOVEFROM \(([^)]*)\)", line) for n in x.split()[1::2]]
        elif re.match(r"\* \d+ EXPUNGE$", line):
            expunged += 1
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK")
    assert sorted(removed) == uids and turns > 1, (len(removed), len(uids), turns)
