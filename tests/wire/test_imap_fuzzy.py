"""SEARCH=FUZZY (RFC 6203), on a backend and through a frontend: FUZZY keys, scores by RETURN, SORT (RELEVANCY)."""
import re

import pytest

from test_imap_session import no, ok

MAIL = [
    ("IMAP break", "hello world"), ("break it, IMAP", "help me"), ("nothing", "say HELO to him"), ("Work", "the velocity"),
    ("Caf\u00e9 au lait", "a relevant relevancy"), ("IMAPs breaking", "hello hello"),
]


@pytest.fixture
def c(session):
    c = session()
    c.cmd("DELETE Fuzzy")
    ok(c.cmd("CREATE Fuzzy"))
    for i, (subject, text) in enumerate(MAIL):
        octets = f"Subject: {subject}\r\nFrom: user{i}@example.com\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
        c.send(b"a APPEND Fuzzy %s{%d+}\r\n" % (b"(\\Flagged) " if i % 2 else b"", len(octets)) + octets + b"\r\n")
        ok(c.until("a"))
    ok(c.cmd("SELECT Fuzzy"))
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Fuzzy")


def answer(c, command):
    """The one untagged response, without its tag."""
    lines = [x for x in ok(c.cmd(command)) if re.match(r"\* (SEARCH|SORT|ESEARCH|THREAD)", x)]
    assert len(lines) == 1, lines
    return re.sub(r' \(TAG "x\d+"\)', "", lines[0])[2:]


def test_it_is_offered(c):
    assert "SEARCH=FUZZY" in ok(c.cmd("CAPABILITY"))[0].split()


@pytest.mark.parametrize("program,wanted", [
    # RFC 6203 section 3
    ('FUZZY (SUBJECT "IMAP break")', "SEARCH 1 2 6"),
    ('SUBJECT "IMAP break"', "SEARCH 1"),
    ("FUZZY SUBJECT work FROM user3@example.com", "SEARCH 4"),
    ("FUZZY SUBJECT work FROM user2@example.com", "SEARCH"),
    ("FUZZY FROM usor3@example.com", "SEARCH 4"),
    ("FROM usor3@example.com", "SEARCH"),
    ('FUZZY TEXT "Helo"', "SEARCH 1 2 3 6"),
    ("FUZZY BODY helo", "SEARCH 1 2 3 6"),
    ("FUZZY BODY imap", "SEARCH"),
    ("FUZZY SUBJECT cafe", "SEARCH 5"),
    ("FUZZY HEADER X-None x", "SEARCH"),
    ("fuzzy fuzzy subject WORC", "SEARCH 4"),
    ("NOT FUZZY BODY helo", "SEARCH 4 5"),
    ("OR FUZZY BODY velocety FUZZY BODY relevent", "SEARCH 4 5"),
    ("FUZZY (BODY helo FLAGGED)", "SEARCH 2 6"),
    # section 5: of keys without a string it means nothing
    ("FUZZY 2:3 FUZZY UNFLAGGED", "SEARCH 3"),
    ("FUZZY ALL FUZZY UID 4", "SEARCH 4"),
    ('FUZZY SUBJECT ""', "SEARCH 1 2 3 4 5 6"),
    ('FUZZY SUBJECT "!"', "SEARCH"),
])
def test_fuzzy_keys(c, program, wanted):
    assert answer(c, "SEARCH " + program) == wanted


@pytest.mark.parametrize("command,wanted", [
    # section 4
    ('SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT "Helo"', "ESEARCH ALL 1:3,6 RELEVANCY (60 60 100 60)"),
    ('UID SEARCH RETURN (ALL RELEVANCY) FUZZY TEXT "Hel"', "ESEARCH UID ALL 1:3,6 RELEVANCY (90 90 90 90)"),
    ("SEARCH RETURN (RELEVANCY) FUZZY BODY relevant", "ESEARCH RELEVANCY (100)"),
    ("SEARCH RETURN (RELEVANCY COUNT) FUZZY BODY nowhere", "ESEARCH COUNT 0 RELEVANCY ()"),
    ("SEARCH RETURN (MIN MAX RELEVANCY) FUZZY BODY helo", "ESEARCH MIN 1 MAX 6 RELEVANCY (60 60 100 60)"),
    ("SEARCH RETURN (RELEVANCY ALL) OR FUZZY BODY helo FLAGGED", "ESEARCH ALL 1:4,6 RELEVANCY (60 60 100 100 60)"),
    ("SEARCH RETURN (RELEVANCY ALL) FUZZY (BODY helo SUBJECT break)", "ESEARCH ALL 1:2,6 RELEVANCY (80 80 75)"),
    ("SEARCH RETURN (PARTIAL 2:3 RELEVANCY) FUZZY BODY helo", "ESEARCH PARTIAL (2:3 2:3) RELEVANCY (60 100)"),
    ("SEARCH RETURN (PARTIAL 7:9 RELEVANCY) FUZZY BODY helo", "ESEARCH PARTIAL (7:9 NIL) RELEVANCY ()"),
    # section 6
    ('SORT (RELEVANCY) UTF-8 FUZZY TEXT "Helo"', "SORT 3 1 2 6"),
    ('SORT (REVERSE RELEVANCY) UTF-8 FUZZY TEXT "Helo"', "SORT 1 2 6 3"),
    ('SORT (RELEVANCY REVERSE SUBJECT) UTF-8 FUZZY TEXT "Helo"', "SORT 3 6 1 2"),
    ('SORT (REVERSE ARRIVAL RELEVANCY) UTF-8 FUZZY TEXT "Helo"', None),
    ('SORT RETURN (RELEVANCY ALL) (RELEVANCY) UTF-8 FUZZY TEXT "Helo"', "ESEARCH ALL 3,1:2,6 RELEVANCY (100 60 60 60)"),
    ('SORT RETURN (PARTIAL 1:2) (RELEVANCY) UTF-8 FUZZY TEXT "Helo"', "ESEARCH PARTIAL (1:2 3,1)"),
    ('UID SORT RETURN (PARTIAL -1:-2 RELEVANCY) (RELEVANCY) UTF-8 FUZZY TEXT "Helo"', "ESEARCH UID PARTIAL (-1:-2 2,6) RELEVANCY (60 60)"),
    ("SORT (ARRIVAL) UTF-8 FUZZY BODY velocety", "SORT 4"),
    ("UID THREAD REFERENCES UTF-8 FUZZY BODY velocety", "THREAD (4)"),
])
def test_relevancy(c, command, wanted):
    if wanted is not None:
        assert answer(c, command) == wanted
    else:
        assert len(answer(c, command).split()) == 5


def test_results_are_saved_and_kept_up_to_date(c):
    ok(c.cmd("SEARCH RETURN (SAVE RELEVANCY) FUZZY BODY helo"))
    assert answer(c, "SEARCH $ FLAGGED") == "SEARCH 2 6"
    lines = ok(c.cmd("SORT RETURN (UPDATE ALL) (RELEVANCY) UTF-8 FUZZY BODY helo"))
    assert any("[NOUPDATE " in x for x in lines), lines
    lines = ok(c.cmd("SEARCH RETURN (UPDATE COUNT) FUZZY BODY helo"))
    assert not any("NOUPDATE" in x for x in lines), lines
    tag = re.search(r'TAG "(x\d+)"', "".join(lines)).group(1)
    octets = b"Subject: more\r\n\r\nhallo\r\n"
    c.send(b"a APPEND Fuzzy {%d+}\r\n" % len(octets) + octets + b"\r\n")
    lines = ok(c.until("a"))
    octets = b"Subject: more\r\n\r\nhelp\r\n"
    c.send(b"a APPEND Fuzzy {%d+}\r\n" % len(octets) + octets + b"\r\n")
    lines += ok(c.until("a")) + ok(c.cmd("NOOP"))
    told = [x for x in lines if f'TAG "{tag}"' in x and "ADDTO" in x]
    assert told and "8" in told[-1] and not any(re.search(r"\b7\b", x.split("ADDTO")[1]) for x in told), lines


@pytest.mark.parametrize("command", [
    "SEARCH RETURN (RELEVANCY) TEXT helo", "SEARCH RETURN (RELEVANCY ALL) ALL", "SORT (RELEVANCY) UTF-8 TEXT helo",
    "SORT RETURN (RELEVANCY) (ARRIVAL) UTF-8 TEXT helo", "SEARCH FUZZY", "SEARCH FUZZY ", "SEARCH FUZZY nosuchkey", "SEARCH FUZZY()",
    "SEARCH FUZZY (TEXT a", "SEARCH RETURN (RELEVANCY 5) FUZZY TEXT a", "SEARCH FUZZYTEXT a", "SORT (RELEVANCE) UTF-8 FUZZY TEXT a",
    "SEARCH " + "FUZZY " * 20 + "ALL",
])
def test_what_is_no_fuzzy_search_is_refused(c, command):
    no(c.cmd(command)[1])
    ok(c.cmd("NOOP"))


def test_long_strings_and_texts_take_no_long(c):
    """Many words, and words of many characters, over a text that is nearly them."""
    words = " ".join("abcdefghi" * 8 + str(i) for i in range(60))
    octets = ("Subject: long\r\n\r\n" + ("abcdefgix" * 8 + "\r\n") * 2000).encode()
    c.send(b"a APPEND Fuzzy {%d+}\r\n" % len(octets) + octets + b"\r\n")
    ok(c.until("a"))
    assert answer(c, f"SEARCH FUZZY TEXT \"{words[:2000]}\"") == "SEARCH"
    assert answer(c, "SEARCH RETURN (RELEVANCY ALL) FUZZY TEXT abcdefghixabcdefgix") == "ESEARCH ALL 7 RELEVANCY (60)"
