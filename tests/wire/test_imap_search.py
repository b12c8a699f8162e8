"""SEARCH's extensions, on a backend and through a frontend: ESEARCH (RFC 4731), SEARCHRES (RFC 5182), WITHIN (RFC 5032)."""
import re

import pytest

from test_imap_mail import fetch
from test_imap_session import no, ok


def fill(c, mailbox="Box", count=8):
    """COUNT messages, the odd ones flagged, UIDs from 1."""
    c.cmd("DELETE " + mailbox)
    ok(c.cmd("CREATE " + mailbox))
    for i in range(1, count + 1):
        text = f"Subject: number {i}\r\nFrom: {'john' if i in (2, 5) else 'mary'}@example.org\r\n\r\nbody {i}\r\n"
        flags = r"(\Flagged) " if i % 2 else ""
        ok(c.cmd(f"APPEND {mailbox} {flags}{{{len(text)}+}}\r\n{text}"))
    ok(c.cmd("SELECT " + mailbox))


@pytest.fixture
def c(session):
    c = session()
    fill(c)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def esearch(answer):
    """What stands behind the tag in the one ESEARCH response."""
    lines = [x for x in ok(answer) if x.startswith("* ESEARCH")]
    assert len(lines) == 1, answer
    m = re.match(r'\* ESEARCH \(TAG "x\d+"\)(.*)', lines[0])
    assert m, lines
    return m.group(1).strip()


@pytest.mark.parametrize("program,wanted", [
    ("RETURN (MIN COUNT) FLAGGED", "MIN 1 COUNT 4"), ("RETURN () FLAGGED", "ALL 1,3,5,7"), ("RETURN (ALL) ALL", "ALL 1:8"),
    ("RETURN (MIN) FLAGGED", "MIN 1"), ("RETURN (MAX) FLAGGED", "MAX 7"), ("RETURN (MIN MAX) 2:6", "MIN 2 MAX 6"),
    ("RETURN (COUNT) DELETED", "COUNT 0"), ("RETURN (MIN MAX ALL) DELETED", ""), ("RETURN (ALL) OR 1:3 7", "ALL 1:3,7"),
    ("RETURN (COUNT ALL) 3:6 UNFLAGGED", "COUNT 2 ALL 4,6"), ("RETURN (COUNT) CHARSET UTF-8 FROM john", "COUNT 2"),
    ("RETURN (MIN) 100:200", None),
])
def test_esearch(c, program, wanted):
    if wanted is None:
        assert esearch(c.cmd("UID SEARCH RETURN (MIN) UID 100:200")) == "UID"
        return
    assert esearch(c.cmd("SEARCH " + program)) == wanted
    assert esearch(c.cmd("UID SEARCH " + program)) == ("UID " + wanted).strip()


def test_esearch_tells_uids(c):
    ok(c.cmd(r"STORE 1:3 +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    assert esearch(c.cmd("SEARCH RETURN (ALL) ALL")) == "ALL 1:5"
    assert esearch(c.cmd("UID SEARCH RETURN (ALL MIN) ALL")) == "UID MIN 4 ALL 4:8"
    assert "* SEARCH 4 5" in ok(c.cmd("UID SEARCH 1:2"))


@pytest.mark.parametrize("program", ["RETURN", "RETURN (", "RETURN () ", "RETURN (NOSUCH) ALL", "RETURN (MIN MAX ALL", "RETURN MIN ALL",
                                     "RETURN (MIN)", "OLDER 0", "YOUNGER x", "OLDER", "MODSEQ", "MODSEQ x", "MODSEQ -1", "$:3", "$,1",
                                     'MODSEQ "/flags/x" 3', 'MODSEQ "/nothing" all 3', 'MODSEQ "/flags/x" some 3',
                                     "MODSEQ 9999999999999999999"])
def test_malformed(c, program):
    assert c.cmd("SEARCH " + program)[1].startswith("BAD")
    ok(c.cmd("NOOP"))


def test_saved_results(c):
    """As RFC 5182 section 2.3 plays it, on mail of our own."""
    assert not [x for x in ok(c.cmd("SEARCH RETURN (SAVE) FROM john")) if "SEARCH" in x]
    fetched = ok(c.cmd("FETCH $ (UID)"))
    assert fetched == ["* 2 FETCH (UID 2)", "* 5 FETCH (UID 5)"]
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 2"
    assert esearch(c.cmd("UID SEARCH RETURN (ALL) UID $ SUBJECT 5")) == "UID ALL 5"
    assert "* SEARCH 1 3 4 6 7 8" in ok(c.cmd("SEARCH NOT $"))
    assert esearch(c.cmd("UID SEARCH RETURN (SAVE MIN) FLAGGED")) == "UID MIN 1"
    assert ok(c.cmd("FETCH $ (UID)")) == ["* 1 FETCH (UID 1)"]
    assert esearch(c.cmd("SEARCH RETURN (SAVE MAX MIN) FLAGGED")) == "MIN 1 MAX 7"
    assert esearch(c.cmd("SEARCH RETURN (ALL) $")) == "ALL 1,7"
    assert esearch(c.cmd("SEARCH RETURN (SAVE COUNT) FLAGGED")) == "COUNT 4"
    ok(c.cmd(r"STORE $ +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("COPY $ INBOX"))
    ok(c.cmd("EXPUNGE"))
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 0", "what is gone is in it no more"
    assert ok(c.cmd("FETCH $ (UID)")) == []


def test_saved_results_are_kept_in_step(session, c):
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(c.cmd("SEARCH RETURN (SAVE) 2:5"))
    ok(other.cmd(r"STORE 1,3 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    ok(c.cmd("NOOP"))
    assert ok(c.cmd("FETCH $ (UID)")) == ["* 1 FETCH (UID 2)", "* 2 FETCH (UID 4)", "* 3 FETCH (UID 5)"]
    assert "BADCHARSET" in no(c.cmd("SEARCH RETURN (SAVE) CHARSET nosuch SUBJECT x")[1])
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 0", "a search that fails empties it"
    ok(c.cmd("SEARCH RETURN (SAVE) 1:2"))
    assert c.cmd("SEARCH RETURN (SAVE) NOSUCH")[1].startswith("BAD")
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 2", "a malformed one does not"
    ok(c.cmd("SELECT Box"))
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 0"


def test_within(c):
    text = "Subject: old\r\n\r\nx\r\n"
    ok(c.cmd(f'APPEND Box "17-Jul-1996 02:44:25 -0700" {{{len(text)}+}}\r\n{text}'))
    ok(c.cmd("NOOP"))
    assert "* SEARCH 9" in ok(c.cmd("SEARCH OLDER 86400"))
    assert "* SEARCH 1 2 3 4 5 6 7 8" in ok(c.cmd("SEARCH YOUNGER 86400"))
    assert esearch(c.cmd("UID SEARCH RETURN (MIN COUNT) UNSEEN YOUNGER 259200")) == "UID MIN 1 COUNT 8"


def test_headers_that_are_too_long_to_be_kept_beside_the_message(c):
    """Then the message itself is looked at."""
    ids = " ".join(f"<id-{i}-{'x' * 40}@example.org>\r\n" for i in range(200))
    text = f"Subject: long one\r\nReferences: {ids}X-Other: z\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nx\r\n".encode()
    ok(c.cmd(b"APPEND Box {%d+}\r\n%s" % (len(text), text)))
    ok(c.cmd("NOOP"))
    for program in ("HEADER References id-199-", "SUBJECT long", "HEADER X-Other z", "SENTON 23-Nov-2026"):
        assert "* SEARCH 9" in ok(c.cmd("SEARCH " + program)), program
    assert fetch(c, "BODY.PEEK[HEADER.FIELDS (SUBJECT DATE)]", 9) == b"Subject: long one\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n"
    assert "* SEARCH 1 2 3 4 5 6 7 8 9" in ok(c.cmd("SEARCH 1:9 NOT HEADER References nothing"))
