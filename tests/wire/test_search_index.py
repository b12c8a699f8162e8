"""SEARCH with the index and without it: the same mail on two backends, one of which keeps none, asked the same; and through a frontend."""
import base64
import json
import os
import quopri
import random
import re

import pytest

from roost import Murder, http, wait_for
from test_imap_session import ok

SEED = int(os.environ.get("ROOST_SEARCH_SEED", random.randrange(1 << 32)))
MESSAGES = 330
WORDS = ("Straße", "café", "naïve", "Ünïcödé", "日本語", "こんにちは", "поиск", "index", "Hello", "WORLD", "a", "of", "the", "=?x?", "x=3D", "100%",
         "\"quoted\"", "İstanbul", "ﬁsh", "😀", "e\u0301te", "mail", "Re:", "end.", "back\\slash", "tab\there")
CHARSETS = ("utf-8", "iso-8859-1", "windows-1251", "iso-2022-jp", "shift_jis", "koi8-r", "us-ascii", "x-unknown", "utf-16")


def words(rng, n):
    return " ".join(rng.choice(WORDS) + (str(rng.randrange(30)) if rng.random() < 0.3 else "") for _ in range(n))


def encoded(text, charset):
    try:
        return text.encode(charset if charset != "x-unknown" else "latin-1", "replace")
    except LookupError:
        return text.encode()


def field(rng, name, text):
    """A field in one of the ways in which they are written, folded or not."""
    kind = rng.randrange(6)
    if kind == 0:
        body = text.encode("ascii", "replace")
    elif kind == 1:
        body = text.encode()
    elif kind == 2:
        body = text.encode("latin-1", "replace")
    else:
        charset = rng.choice(CHARSETS[:6])
        pieces = [text[i:i + 10] for i in range(0, len(text), 10)]
        body = b"\r\n ".join(b"=?%s?b?%s?=" % (charset.encode(), base64.b64encode(encoded(p, charset))) if rng.random() < 0.5 else
                             b"=?%s?Q?%s?=" % (charset.encode(), b"".join(b"=%02X" % o for o in encoded(p, charset))) for p in pieces)
    if kind < 3 and rng.random() < 0.4:
        body = body.replace(b" ", b"\r\n\t", rng.randrange(3))
    return name.encode() + b": " + body + b"\r\n"


def part(rng, depth=0):
    """A MIME part: header and body, perhaps broken."""
    kind = rng.randrange(9 if depth < 3 else 6)
    text = "\n".join(words(rng, rng.randrange(12)) for _ in range(rng.randrange(6))).replace("\n", "\r\n") + "\r\n"
    charset = rng.choice(CHARSETS)
    body = encoded(text, charset)
    if kind < 2:
        head, out = b"Content-Type: text/plain; charset=%s\r\n" % charset.encode(), body
    elif kind == 2:
        head = b"Content-Type: text/html; charset=\"%s\"\r\nContent-Transfer-Encoding: quoted-printable\r\n" % charset.encode()
        out = quopri.encodestring(b"<p>" + body + b"</p>").replace(b"\n", b"\r\n")
    elif kind == 3:
        head = b"Content-Type: TEXT/Plain; charset=%s\r\nContent-Transfer-Encoding: BASE64\r\n" % charset.encode()
        out = base64.encodebytes(body).replace(b"\n", b"\r\n")
    elif kind == 4:
        head = b"Content-Type: application/octet-stream; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n" % rng.choice(WORDS).encode()
        out = base64.encodebytes(body).replace(b"\n", b"\r\n")
    elif kind == 5:
        head, out = b"", body
    elif kind == 6:
        return b"Content-Type: message/rfc822\r\n\r\n" + message(rng, depth + 1)
    else:
        mark = b"b%d" % rng.randrange(10 ** 9)
        inner = b"".join(b"--" + mark + b"\r\n" + part(rng, depth + 1) + b"\r\n" for _ in range(rng.randrange(4)))
        end = b"--" + mark + b"--\r\n" if rng.random() < 0.8 else b""
        return b"Content-Type: multipart/mixed; boundary=" + mark + b"\r\n\r\npreamble " + rng.choice(WORDS).encode() + b"\r\n" + inner + end
    return head + b"\r\n" + out


def message(rng, depth=0):
    head = field(rng, "Subject", words(rng, rng.randrange(8))) + field(rng, "From", words(rng, 2) + " <who@example.org>")
    head += field(rng, "To", words(rng, 1) + " <to%d@example.com>" % rng.randrange(50))
    if rng.random() < 0.3:
        head += field(rng, rng.choice(("X-Note", "x-note ", "=?utf-8?q?X", "List-Id")), words(rng, 5))
    if rng.random() < 0.1:
        head += b"no field at all\r\n"
    if rng.random() < 0.05: # beyond what is looked at of a header
        head += b"X-Long: " + b"long long ago\r\n " * 400 + b"x\r\n" + field(rng, "Cc", words(rng, 3))
    return (head + part(rng, depth)).replace(b"\0", b"?")


def strings_of(rng):
    """A string that may be found, and its charset."""
    text = words(rng, 1 + rng.randrange(3))
    if rng.random() < 0.7:
        at = rng.randrange(max(1, len(text) - 3))
        text = text[at:at + 1 + rng.randrange(8)]
    if rng.random() < 0.3:
        text = text.swapcase()
    return text.replace("\r", "").replace("\n", "").replace("\0", "")


def key(rng, depth=0):
    kind = rng.randrange(12 if depth < 2 else 8)
    text = strings_of(rng).encode()
    literal = b"{%d+}\r\n%s" % (len(text), text)
    if kind < 4:
        return rng.choice((b"TEXT ", b"BODY ")) + literal
    if kind < 7:
        return rng.choice((b"SUBJECT ", b"FROM ", b"TO ", b"CC ", b"HEADER X-Note ", b"HEADER List-Id ", b"HEADER Received ")) + literal
    if kind == 7:
        return rng.choice((b"FLAGGED", b"1:200", b"UID 100:*", b"LARGER 400"))
    if kind == 8:
        return b"NOT " + key(rng, depth + 1)
    if kind == 9:
        return b"OR " + key(rng, depth + 1) + b" " + key(rng, depth + 1)
    return b"(" + key(rng, depth + 1) + b" " + key(rng, depth + 1) + b")"


def append(c, mailbox, octets):
    c.send(b"a APPEND " + mailbox.encode() + b" {%d+}\r\n" % len(octets) + octets + b"\r\n")
    ok(c.until("a"))


def search(c, program, command=b"UID SEARCH"):
    c.send(b"s " + command + b" CHARSET UTF-8 " + program + b"\r\n")
    lines = ok(c.until("s"))
    return [x for x in lines if x.startswith("* SEARCH")]


def status(m):
    return json.loads(http(f"127.0.0.1:{m.first.admin}", "/status.json")[1])


def metric(m, name):
    body = http(f"127.0.0.1:{m.first.admin}", "/metrics")[1]
    return int(re.search(rf"^{name} (\d+)$", body if isinstance(body, str) else body.decode(), re.M).group(1))


def wait_current(m):
    wait_for(lambda: (lambda s: s["search_index"] == "current" and s["search_lag"] == 0)(status(m)), "the search index has everything")


@pytest.fixture(scope="module")
def two():
    limits = {"mime_max_header": "4096", "mime_max_depth": "6"}
    murders = [Murder(users=["fred"], limits={**limits, "search_index": x}).start() for x in ("yes", "no")]
    murders[0].add_frontend()
    try:
        rng = random.Random(SEED)
        mail = [message(rng) for _ in range(MESSAGES)]
        for m in murders:
            m.create_user("fred")
            c = m.raw().login("fred")
            for octets in mail:
                append(c, "INBOX", octets)
            ok(c.cmd("SELECT INBOX"))
            ok(c.cmd(r"STORE 1:20 +FLAGS.SILENT (\Flagged)"))
            c.close()
        wait_current(murders[0])
        yield murders
    finally:
        for m in murders:
            m.stop()


@pytest.fixture
def clients(two):
    made = [two[0].raw(), two[1].raw(), two[0].raw(two[0].frontends[0].imap)]
    for c in made:
        c.login("fred")
        ok(c.cmd("SELECT INBOX"))
    yield made
    for c in made:
        c.close()


def test_the_index_changes_no_result(two, clients):
    """Random mail in random charsets and encodings, random programs."""
    rng = random.Random(SEED + 1)
    before, found = metric(two[0], "roost_search_answered_total"), 0
    for _ in range(150):
        program = key(rng) + (b" " + key(rng) if rng.random() < 0.3 else b"")
        answers = [search(c, program) for c in clients]
        assert answers[0] == answers[1] == answers[2], (SEED, program, answers)
        found += answers[0][0] != "* SEARCH"
    assert found > 40, SEED
    assert metric(two[0], "roost_search_answered_total") > before + 100
    assert metric(two[0], "roost_search_failures_total") == 0


def test_sort_and_thread_find_the_same(clients):
    rng = random.Random(SEED + 2)
    for _ in range(8):
        program = key(rng)
        for command in (b"UID SORT (SUBJECT) UTF-8 ", b"UID THREAD REFERENCES UTF-8 ", b"UID SEARCH RETURN (MIN MAX COUNT) CHARSET UTF-8 "):
            answers = []
            for c in clients:
                c.send(b"s " + command + program + b"\r\n")
                answers.append([x for x in ok(c.until("s")) if x.startswith(("* SORT", "* THREAD", "* ESEARCH"))])
            assert answers[0] == answers[1] == answers[2], (SEED, command, program, answers)


def test_what_is_not_in_it_yet_is_found(two, clients):
    """Appended, copied and moved: at once, whatever the index has."""
    c = clients[0]
    ok(c.cmd("CREATE Work"))
    for i in range(5):
        append(c, "INBOX", b"Subject: brandnew%d\r\n\r\nunheard-of %d\r\n" % (i, i))
        uid = search(c, b"BODY \"unheard-of %d\"" % i)[0].split()[-1]
        assert search(c, b"SUBJECT brandnew%d" % i) == [f"* SEARCH {uid}"]
    ok(c.cmd("UID COPY 1:300 Work"))
    ok(c.cmd(f"UID MOVE {uid} Work"))
    assert search(c, b"BODY unheard-of")[0].split()[2:] != [] and uid not in search(c, b"BODY unheard-of")[0].split()
    ok(c.cmd("SELECT Work"))
    moved = search(c, b"BODY unheard-of")
    assert len(moved[0].split()) == 3
    texts = status(two[0])["search_texts"]
    wait_current(two[0])
    assert search(c, b"BODY unheard-of") == moved
    assert status(two[0])["search_texts"] <= texts + 5, "what moves within a user's mail is not taken in again"
    ok(c.cmd("SELECT INBOX"))
    ok(c.cmd(r"UID STORE 331:* +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    assert search(c, b"BODY unheard-of") == ["* SEARCH"]
    ok(c.cmd("DELETE Work"))


def test_one_that_renames_his_mailbox_finds_his_mail(two, clients):
    c = clients[0]
    ok(c.cmd("CREATE Old"))
    ok(c.cmd("UID COPY 1:* Old"))
    wait_current(two[0])
    ok(c.cmd("RENAME Old New"))
    want = search(c, b"TEXT hello")
    ok(c.cmd("SELECT New"))
    assert len(search(c, b"TEXT hello")[0].split()) == len(want[0].split())
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE New"))


def test_a_client_that_goes_while_the_index_is_asked(two):
    for _ in range(20):
        c = two[0].raw().login("fred")
        ok(c.cmd("SELECT INBOX"))
        c.send(b"s SEARCH TEXT hello TEXT world\r\n")
        c.close()
    c = two[0].raw().login("fred")
    ok(c.cmd("SELECT INBOX"))
    ok(c.cmd("SEARCH TEXT hello"))
    c.close()


def test_status_tells_of_it(two):
    wait_for(lambda: status(two[1])["search_index"] == "off", "it is off")
    wait_current(two[0])
    s = status(two[0])
    assert s["search_texts"] >= MESSAGES - 1 and s["search_octets"] > 10000
    for name in ("lag", "texts", "octets", "anew_total", "asked_total"):
        assert metric(two[0], "roost_search_" + name) >= 0
