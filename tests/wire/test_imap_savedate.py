"""SAVEDATE (RFC 8514) and PREVIEW (RFC 8970), on a backend and through a frontend."""
import re
import time

import pytest

from test_imap_search import fill
from test_imap_session import no, ok

DAY = 86400


def imap_date(seconds):
    return time.strftime("%d-%b-%Y", time.gmtime(seconds))


def add(c, text, mailbox="Box", date=""):
    text = text.encode() if isinstance(text, str) else text
    ok(c.cmd(f"APPEND {mailbox} {date}{{{len(text)}+}}\r\n".encode() + text))


@pytest.fixture
def c(session):
    c = session()
    fill(c, count=2)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def savedate(c, n):
    lines = [x for x in ok(c.cmd(f"FETCH {n} (SAVEDATE)")) if "SAVEDATE" in x]
    m = re.fullmatch(r'\* \d+ FETCH \(SAVEDATE "([ \d]\d-\w{3}-\d{4} \d\d:\d\d:\d\d) \+0000"\)', lines[0])
    assert m, lines
    return time.mktime(time.strptime(m.group(1).strip(), "%d-%b-%Y %H:%M:%S")) - time.timezone


def search(c, program):
    return [x for x in ok(c.cmd("SEARCH " + program)) if x.startswith("* SEARCH")]


def test_the_time_of_saving_is_not_the_internal_date(c):
    now = time.time()
    add(c, "Subject: old\r\n\r\nx\r\n", date='"01-Jan-2001 00:00:00 +0000" ')
    assert any("SAVEDATE" in x for x in ok(c.cmd("CAPABILITY")))
    ok(c.cmd("NOOP"))
    assert abs(savedate(c, 3) - now) < 60
    assert "1-Jan-2001" in ok(c.cmd("FETCH 3 INTERNALDATE"))[0]
    first = savedate(c, 1)
    assert abs(first - now) < 120
    time.sleep(1.1)  # the times have seconds
    ok(c.cmd("COPY 1 Box"))
    ok(c.cmd("NOOP"))
    assert savedate(c, 4) > first and savedate(c, 1) == first
    ok(c.cmd(r"STORE 1 +FLAGS (\Flagged)"))
    assert savedate(c, 1) == first, "it never changes"


def test_search_by_the_time_of_saving(c):
    now = time.time()
    add(c, "Subject: old\r\n\r\nx\r\n", date='"01-Jan-2001 00:00:00 +0000" ')
    ok(c.cmd("NOOP"))
    assert search(c, f"SAVEDSINCE {imap_date(now - DAY)}") == ["* SEARCH 1 2 3"]
    assert search(c, f"SAVEDBEFORE {imap_date(now - DAY)}") == ["* SEARCH"]
    assert search(c, f"SAVEDBEFORE {imap_date(now + 2 * DAY)}") == ["* SEARCH 1 2 3"]
    assert search(c, "BEFORE 01-Jan-2002 NOT SAVEDBEFORE 01-Jan-2002") == ["* SEARCH 3"]
    on = [search(c, f"SAVEDON {imap_date(t)}")[0] for t in (now - DAY, now, now + DAY)]
    assert sorted(on)[0] == "* SEARCH" and "* SEARCH 1 2 3" in on
    assert search(c, "SAVEDATESUPPORTED") == ["* SEARCH 1 2 3"]
    assert search(c, "NOT SAVEDATESUPPORTED") == ["* SEARCH"]


@pytest.mark.parametrize("command", [
    "SEARCH SAVEDBEFORE", "SEARCH SAVEDON 32-Foo-2014", "SEARCH SAVEDSINCE 1", "SEARCH SAVEDATESUPPORTED 1-Jan-2014",
    "FETCH 1 SAVEDATES", "FETCH 1 (SAVEDATE", "FETCH 1 PREVIEW (LAZY", "FETCH 1 PREVIEW (EAGER)", "FETCH 1 (PREVIEW (LAZY EAGER))",
    "FETCH 1 (PREVIEW ())", "FETCH 1 (PREVIEW LAZY)", "FETCH 1 PREVIEW(LAZY)", "FETCH 1 (PREVIEW (LAZY ))",
])
def test_bad_input(c, command):
    assert c.cmd(command)[1].startswith("BAD")


def preview(c, n, item="PREVIEW"):
    """What is told of message N; None: NIL."""
    lines = [x for x in ok(c.cmd(f"FETCH {n} ({item} UID)")) if x]
    text = "\n".join(lines)
    m = re.search(r'PREVIEW (NIL|"(?P<q>(?:[^"\\]|\\.)*)"|\{\d+\}\n(?P<l>.*?))( UID|\)$)', text, re.S)
    assert m, text
    if m.group(1) == "NIL":
        return None
    return m.group("l") if m.group("l") is not None else re.sub(r"\\(.)", r"\1", m.group("q"))


@pytest.mark.parametrize("item", ["PREVIEW", "PREVIEW (LAZY)", "preview (lazy lazy)"])
def test_preview(c, item):
    assert preview(c, 1, item) == "body 1"
    add(c, 'Subject: x\r\n\r\nSay "hi" to \\ all\r\n  and\tsome.\r\n')
    add(c, "Content-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\u00fc\u00dfe &amp; <b>K\u00fc</b>sse</p>\r\n")
    add(c, "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n")
    add(c, "Subject: long\r\n\r\n" + "\u00e4" * 1000)
    ok(c.cmd("NOOP"))
    assert preview(c, 3, item) == 'Say "hi" to \\ all and some.'
    assert preview(c, 4, item) == "Gr\u00fc\u00dfe & K\u00fcsse"
    assert preview(c, 5, item) == "", "there is no text, and there never will be"
    assert preview(c, 6, item) == "\u00e4" * 200
    assert not any("Seen" in x for x in ok(c.cmd("FETCH 1:* FLAGS")))


def test_preview_with_other_modifiers(c):
    lines = ok(c.cmd("UID FETCH 1:* PREVIEW (LAZY) (CHANGEDSINCE 1)"))
    assert len([x for x in lines if "PREVIEW" in x]) == 2
    lines = ok(c.cmd("UID FETCH 1:* PREVIEW (CHANGEDSINCE 1)"))
    assert len([x for x in lines if "PREVIEW" in x]) == 2


def test_preview_of_odd_messages(c):
    """Nested deeper than is looked at, of many parts, of a header without end: an answer, quickly."""
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n" for i in range(300)) + "\r\ninnermost\r\n"
    parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + "--b\r\nContent-Type: image/x\r\n\r\nx\r\n" * 3000 + "--b--\r\n"
    header = "X: " + "y" * 200000 + "\r\n\r\ntext\r\n"
    base64 = "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + "PHA+" * 100000
    for text in (deep, parts, header, base64):
        add(c, text)
    ok(c.cmd("NOOP"))
    began = time.monotonic()
    assert preview(c, 4) == ""
    assert preview(c, 5) == "text"
    assert preview(c, 6) == ""
    assert preview(c, 3) is not None
    assert time.monotonic() - began < 10
