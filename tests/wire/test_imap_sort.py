"""SORT and THREAD (RFC 5256, 5957), SORT's RETURN (RFC 5267), PARTIAL (RFC 9394), on a backend and through a frontend."""
import random
import re

import pytest

from mail import crlf
from test_imap_search import esearch, fill
from test_imap_session import no, ok

#        subject                 from                          to              day  message-id  references        in-reply-to
MAIL = [("Zebra",                "Bob <carl@example.org>",     "x@example.org", 5, "1", "", ""),
        ("Re: apple",            "anna@example.org",           "b@example.org", 9, "2", "3", ""),
        ("apple",                '"Zoe" <bert@example.org>',   "a@example.org", 2, "3", "", ""),
        ("=?utf-8?q?=C3=84pfel?=", "=?utf-8?b?w4RybmUh?= <dora@example.org>", "c@example.org", 7, "4", "", "3"),
        ("[list] Fwd: Zebra (fwd)", "carl@example.org",        "Ann <d@example.org>", 1, "5", "", ""),
        ("re: RE : [x] re: apple", "emil@example.org",         "e@example.org", 9, "6", "3 2", "")]


def message(subject, sender, to, day, mid, references, in_reply_to, size=0):
    lines = [f"Subject: {subject}", f"From: {sender}", f"To: {to}", f"Date: {day:2d} Nov 2026 10:00:00 +0000", f"Message-ID: <{mid}@x>"]
    if references:
        lines.append("References: " + " ".join(f"<{r}@x>" for r in references.split()))
    if in_reply_to:
        lines.append(f"In-Reply-To: <{in_reply_to}@x>")
    return crlf(("\n".join(lines) + "\n\n" + "x" * size + "\n").encode())


def put(c, messages, mailbox="Box"):
    c.cmd("UNSELECT")
    c.cmd("DELETE " + mailbox)
    ok(c.cmd("CREATE " + mailbox))
    for i, m in enumerate(messages):
        ok(c.cmd(b'APPEND %s "%02d-Jan-2020 00:00:00 +0000" {%d+}\r\n%s' % (mailbox.encode(), 20 - i % 20 if i < 20 else 1, len(m), m)))
    ok(c.cmd("SELECT " + mailbox))


@pytest.fixture
def c(session):
    c = session()
    put(c, [message(*m, size=100 * (i * 7 % 5)) for i, m in enumerate(MAIL)])
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def numbers(answer, word="SORT"):
    found = [x for x in ok(answer) if x.startswith("* " + word)]
    assert len(found) == 1, answer
    return found[0][len("* " + word):].strip()


@pytest.mark.parametrize("program,wanted", [
    ("(DATE) UTF-8 ALL", "5 3 1 4 2 6"), ("(REVERSE DATE) UTF-8 ALL", "2 6 4 1 3 5"), ("(ARRIVAL) UTF-8 ALL", "6 5 4 3 2 1"),
    ("(SUBJECT) UTF-8 ALL", "2 3 6 4 1 5"), ("(SUBJECT DATE) UTF-8 ALL", "3 2 6 4 5 1"), ("(SUBJECT REVERSE DATE) UTF-8 ALL", "2 6 3 4 1 5"),
    ("(FROM) UTF-8 ALL", "2 3 1 5 4 6"), ("(TO) UTF-8 ALL", "3 2 4 5 6 1"), ("(CC) UTF-8 ALL", "1 2 3 4 5 6"),
    ("(DISPLAYFROM) UTF-8 ALL", "2 4 1 5 6 3"), ("(DISPLAYTO) UTF-8 ALL", "3 5 2 4 6 1"),
    ("(DATE) US-ASCII SUBJECT apple", "3 2 6"), ("(REVERSE SIZE DATE) UTF-8 2:4", "3 2 4"), ("(DATE) UTF-8 DELETED", ""),
])
def test_sort(c, program, wanted):
    assert numbers(c.cmd("SORT " + program)) == wanted
    assert numbers(c.cmd("UID SORT " + program)) == wanted


def test_sort_tells_uids(c):
    ok(c.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    assert numbers(c.cmd("SORT (DATE) UTF-8 ALL")) == "4 2 3 1 5"
    assert numbers(c.cmd("UID SORT (DATE) UTF-8 ALL")) == "5 3 4 2 6"
    assert "BADCHARSET" in no(c.cmd("SORT (DATE) NOSUCH ALL")[1])


def test_sort_returns(c):
    assert esearch(c.cmd("SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL")) == "MIN 5 MAX 6 COUNT 6"
    assert esearch(c.cmd("UID SORT RETURN () (REVERSE DATE) UTF-8 ALL")) == "UID ALL 2,6,4,1,3,5"
    assert esearch(c.cmd("SORT RETURN (ALL) (SUBJECT) UTF-8 1:3")) == "ALL 2:3,1"
    assert esearch(c.cmd("SORT RETURN (COUNT) (DATE) UTF-8 DELETED")) == "COUNT 0"
    assert esearch(c.cmd("SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL")) == "PARTIAL (2:3 3,1)"


def test_many_are_sorted_in_turns(session, c):
    """More than one piece: sizes and dates at random, ties in the order of the mailbox."""
    rng = random.Random(5)
    for i in range(12):
        text = message(f"s{rng.randrange(5)}", "a@x", "b@x", 1 + rng.randrange(28), f"m{i}", "", "", rng.randrange(9))
        ok(c.cmd(b"APPEND Box {%d+}\r\n%s" % (len(text), text)))
    for _ in range(9):
        ok(c.cmd("COPY 1:* Box"))
    ok(c.cmd("NOOP"))
    d = session()
    ok(d.cmd("SELECT Box"))
    rows = {}
    for line in ok(d.cmd("FETCH 1:* (RFC822.SIZE ENVELOPE)")):
        m = re.match(r'\* (\d+) FETCH \(RFC822.SIZE (\d+) ENVELOPE \("\s?(\d+) Nov', line)
        rows[int(m.group(1))] = (int(m.group(2)), int(m.group(3)))
    assert len(rows) == 18 * 2 ** 9
    got = [int(n) for n in numbers(d.cmd("SORT (SIZE REVERSE DATE) UTF-8 ALL")).split()]
    assert got == sorted(rows, key=lambda n: (rows[n][0], -rows[n][1], n))
    assert numbers(d.cmd("THREAD REFERENCES UTF-8 ALL"), "THREAD").count("(") >= 9
    assert len(re.findall(r"\d+", numbers(d.cmd("THREAD ORDEREDSUBJECT UTF-8 ALL"), "THREAD"))) == len(rows)


def sorted_by(rows, criteria):
    """UIDs of ROWS, {uid: {criterion: value}}, as SORT (CRITERIA) orders them."""
    uids = sorted(rows)
    for c in reversed(criteria.split(",")):
        uids.sort(key=lambda u: rows[u][c.split()[-1]], reverse=c.startswith("REVERSE"))  # equals keep their order
    return uids


def test_what_is_kept_for_sorting_follows_the_mailbox(session, c):
    """What SORT and THREAD have of messages stays in memory: messages come and go in between, in another session, too."""
    seed = random.randrange(1 << 32)
    rng, rows, other = random.Random(seed), {}, session()
    put(c, [])
    ok(other.cmd("SELECT Box"))
    uid = 0
    words = ["", "Apple", "apple pie", "zoo", "x" * 1500 + "a", "Zoo", "b" * 8 + "1", "b" * 8 + "2", "b" * 8]
    for step in range(60):
        for _ in range(rng.randrange(4)):
            uid += 1
            subject, sender, to, day = rng.choice(words), rng.choice("abc"), rng.choice("de"), 1 + rng.randrange(28)
            ref = rng.choice([str(rng.randrange(1, uid + 3)), ""])
            text = message(subject, sender + "@x", to + "@x", day, str(uid), ref, "", rng.randrange(4))
            ok(rng.choice([c, other]).cmd(b'APPEND Box " 1-Jan-20%02d 00:00:00 +0000" {%d+}\r\n%s' % (rng.randrange(10, 30), len(text), text)))
            rows[uid] = {"SUBJECT": subject.lower(), "FROM": sender, "TO": to, "DATE": day, "SIZE": len(text), "CC": "",
                         "DISPLAYFROM": sender + "@x", "DISPLAYTO": to + "@x"}
        ok(other.cmd("NOOP"))
        for u in rng.sample(sorted(rows), rng.randrange(3) if len(rows) > 5 else 0):
            ok(other.cmd(rf"UID STORE {u} +FLAGS.SILENT (\Deleted)"))
            ok(other.cmd(f"UID EXPUNGE {u}"))
            del rows[u]
        for d in (c, other):
            ok(d.cmd("NOOP"))
            names = rng.sample(["SUBJECT", "FROM", "TO", "DATE", "SIZE", "CC", "DISPLAYFROM", "DISPLAYTO"], rng.randrange(1, 4))
            criteria = ",".join(rng.choice(["", "REVERSE "]) + n for n in names)
            some = sorted(u for u in rows if rng.random() < 0.8)
            got = numbers(d.cmd(f"UID SORT ({criteria.replace(',', ' ')}) UTF-8 UID {','.join(map(str, some)) or '1000000'}"))
            want = " ".join(map(str, sorted_by({u: rows[u] for u in some}, criteria)))
            assert got == want, f"seed {seed} step {step}: {criteria} of {some}: {rows}"
        told = numbers(c.cmd("UID THREAD REFERENCES UTF-8 ALL"), "THREAD")
        assert sorted(int(x) for x in re.findall(r"\d+", told)) == sorted(rows), f"seed {seed} step {step}"
    # A mailbox that was never sorted, with the same messages in the same order, is threaded alike.
    c.cmd("DELETE Copy")
    ok(c.cmd("CREATE Copy"))
    if rows:
        ok(c.cmd("COPY 1:* Copy"))
    for algorithm in ("REFERENCES", "REFS", "ORDEREDSUBJECT"):
        ok(c.cmd("SELECT Box"))
        told = numbers(c.cmd(f"THREAD {algorithm} UTF-8 ALL"), "THREAD")
        ok(c.cmd("SELECT Copy"))
        assert numbers(c.cmd(f"THREAD {algorithm} UTF-8 ALL"), "THREAD") == told, f"seed {seed}"
    c.cmd("UNSELECT")
    c.cmd("DELETE Copy")


@pytest.mark.parametrize("algorithm,wanted", [
    ("ORDEREDSUBJECT", "(5 1)(3 (2)(6))(4)"), ("REFERENCES", "(3 (4)(2 6))(1 5)"), ("REFS", "(5)(3 (4)(2 6))(1)"),
])
def test_thread(c, algorithm, wanted):
    assert numbers(c.cmd(f"THREAD {algorithm} UTF-8 ALL"), "THREAD") == wanted


def thread(c, messages, algorithm="REFERENCES"):
    put(c, messages)
    return numbers(c.cmd(f"THREAD {algorithm} UTF-8 ALL"), "THREAD")


def m(mid, references="", subject="x", day=1, in_reply_to=""):
    return message(subject, "a@example.org", "b@example.org", day, mid, references, in_reply_to)


def test_threads_by_reference(c):
    """RFC 5256 section 3's rules, one by one."""
    assert thread(c, [m("a", subject="s1"), m("b", "a", "s2"), m("c", "a b", "s3"), m("d", "a", "s4", 3)]) == "(1 (2 3)(4))"
    assert thread(c, [m("c", "a b"), m("b", "a"), m("a")]) == "(3 2 1)", "whatever the order of arrival"
    assert thread(c, [m("b", "gone"), m("c", "gone", day=2)]) == "((1)(2))", "siblings whose parent is not there"
    assert thread(c, [m("b", "gone")]) == "(1)"
    assert thread(c, [m("a", subject="p"), m("c", "a gone", "q"), m("d", "a gone", "r", 2)]) == "(1 (2)(3))", "promoted to the message above"
    assert thread(c, [m("a", "b", "p"), m("b", "a", "q")]) in ("(2 1)", "(1 2)"), "no circles"
    assert thread(c, [m("a", "a", "p")]) == "(1)"
    assert thread(c, [m("a", subject="p"), m("a", subject="q", day=2), m("b", "a", "r", 3)]) == "(1 3)(2)", "the same id twice"
    assert thread(c, [m("a", "x y z", "p"), m("b", "z y x", "q"), m("c", "y", "r")]).count("1") == 1
    assert thread(c, [m("a", subject="topic"), m("b", subject="Re: topic", day=2), m("c", subject="Re: topic", day=3)]) == "(1 (2)(3))"
    assert thread(c, [m("a", subject="topic"), m("b", subject="topic", day=2)]) == "((1)(2))", "neither is a reply"
    assert thread(c, [m("a", subject=""), m("b", subject="", day=2)]) == "(1)(2)", "no subject gathers nothing"
    assert thread(c, [m("a", subject="p", in_reply_to="b"), m("b", subject="q", day=2)]) == "(2 1)"
    assert thread(c, [m("a"), m("b", "a", "x", 2), m("c", subject="y", day=3)], "REFS") == "(3)(1 2)", "by the newest arrival of each"


def test_a_long_chain_and_a_wide_fan(c):
    """Neither deep nor wide threads take a stack or long."""
    n = 240
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")
    ok(c.cmd("CREATE Box"))
    for i in range(n):
        text = m(f"m{i}", f"m{i - 1}" if i and i < n // 2 else "m0" if i else "", f"s{i}", 1)
        ok(c.cmd(b'APPEND Box {%d+}\r\n%s' % (len(text), text)))
    ok(c.cmd("SELECT Box"))
    got = numbers(c.cmd("THREAD REFERENCES UTF-8 ALL"), "THREAD")
    assert sorted(int(x) for x in re.findall(r"\d+", got)) == list(range(1, n + 1))
    assert " ".join(str(i) for i in range(2, n // 2 + 1)) in got and got.count("(") == got.count(")") == n // 2 + 2


def test_partial(session):
    c = session()
    fill(c, count=8)
    assert esearch(c.cmd("UID SEARCH RETURN (PARTIAL 1:3) ALL")) == "UID PARTIAL (1:3 1:3)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL 2:3 COUNT) FLAGGED")) == "COUNT 4 PARTIAL (2:3 3,5)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL -1:-2) FLAGGED")) == "PARTIAL (-1:-2 5,7)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL -3:-100) FLAGGED")) == "PARTIAL (-3:-100 1,3)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL 5:9) FLAGGED")) == "PARTIAL (5:9 NIL)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL 1:9) DELETED")) == "PARTIAL (1:9 NIL)"
    assert esearch(c.cmd("SEARCH RETURN (PARTIAL 9:2) ALL")) == "PARTIAL (2:9 2:8)"
    assert [x.split()[1] for x in ok(c.cmd("UID FETCH 1:* (FLAGS) (PARTIAL -1:-3)"))] == ["6", "7", "8"]
    assert [x.split()[1] for x in ok(c.cmd("UID FETCH 3:* (UID) (PARTIAL 2:3)"))] == ["4", "5"]
    assert ok(c.cmd("UID FETCH 3:* (UID) (PARTIAL 20:30)")) == []
    assert len(ok(c.cmd("UID FETCH 1:* (UID) (PARTIAL -7:-99)"))) == 2


@pytest.mark.parametrize("command", [
    "SORT", "SORT (DATE)", "SORT (DATE) UTF-8", "SORT () UTF-8 ALL", "SORT (NOSUCH) UTF-8 ALL", "SORT (REVERSE) UTF-8 ALL",
    "SORT DATE UTF-8 ALL", "SORT (DATE UTF-8 ALL", "SORT RETURN (NOSUCH) (DATE) UTF-8 ALL", "SORT RETURN (SAVE) (DATE) UTF-8 ALL",
    "SORT (" + "DATE " * 20 + "SIZE) UTF-8 ALL", "THREAD", "THREAD REFERENCES", "THREAD NOSUCH UTF-8 ALL", "THREAD REFERENCES UTF-8",
    "THREAD REFERENCES UTF-8 NOSUCH", "SEARCH RETURN (PARTIAL) ALL", "SEARCH RETURN (PARTIAL 0:1) ALL", "SEARCH RETURN (PARTIAL 1:-1) ALL",
    "SEARCH RETURN (PARTIAL 1) ALL", "SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "SEARCH RETURN (PARTIAL 1:99999999999) ALL",
    "FETCH 1 FLAGS (PARTIAL 1:2)", "UID FETCH 1 FLAGS (PARTIAL)", "UID FETCH 1 FLAGS (PARTIAL 0:1)", "UID FETCH 1 FLAGS (PARTIAL 1:2",
])
def test_malformed(c, command):
    assert c.cmd(command)[1].startswith("BAD"), command
    ok(c.cmd("NOOP"))
