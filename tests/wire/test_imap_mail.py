"""IMAP on one backend: mailboxes, messages, searching, rights; answers as RFC 3501, 4314, 4315, 6851 have them."""
import re

import pytest

from mail import crlf, samples
from test_imap_session import c, no, ok  # noqa: F401

MULTI = crlf(b"""From: =?utf-8?q?S=C3=B8ren?= <s@example.org>
To: a@example.org, "B, C" <b@example.org>
Cc: c@example.org
Subject: =?utf-8?b?R3LDvMOfZQ==?= test
Date: Mon, 23 Nov 2026 10:00:00 +0100
Message-ID: <multi@example.org>
In-Reply-To: <before@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe, needle one
--outer
Content-Type: message/rfc822

Subject: inner
From: i@example.org
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain

inner text
--inner
Content-Type: text/html

<b>inner</b>
--inner--
--outer
Content-Type: application/octet-stream
Content-Disposition: attachment; filename="a.bin"
Content-Transfer-Encoding: base64

AAECAwQ=
--outer--
""")


def append(c, mailbox, message, flags=""):
    return c.cmd(f"APPEND {mailbox} {flags}{{{len(message)}+}}\r\n".encode() + message)


def fetch(c, item, number=1, uid=False):
    """The octets of one item's literal or quoted string, or what stands behind its name."""
    c.tags += 1
    tag = f"f{c.tags}"
    c.send(f"{tag} {'UID ' if uid else ''}FETCH {number} {item}\r\n")
    out = b""
    while True:
        line = c.f.readline()
        if line.startswith(tag.encode() + b" "):
            assert b" OK" in line, line
            return out
        m = re.search(rb"\{(\d+)\}\r\n$", line)
        if m:
            out += c.f.read(int(m.group(1)))
        else:
            q = re.search(rb'(?:BODY\[.*?\](?:<\d+>)?|RFC822(?:\.TEXT|\.HEADER)?) "(.*)"', line)
            out += q.group(1) if q else b""


@pytest.fixture
def box(c):  # noqa: F811
    ok(c.cmd("CREATE Box"))
    ok(append(c, "Box", MULTI, r"(\Seen alpha) "))
    ok(append(c, "Box", b"Subject: two\r\nFrom: x@example.org\r\n\r\nsecond body\r\n"))
    ok(append(c, "Box", b"no header at all"))
    ok(c.cmd("SELECT Box"))
    yield c
    c.cmd("CLOSE")
    c.cmd("DELETE Box")


def test_sections(box):
    c = box  # noqa: F811
    assert fetch(c, "BODY.PEEK[]") == MULTI
    assert fetch(c, "RFC822") == MULTI
    head = MULTI[:MULTI.index(b"\r\n\r\n") + 4]
    assert fetch(c, "BODY.PEEK[HEADER]") == head
    assert fetch(c, "RFC822.HEADER") == head
    assert fetch(c, "BODY.PEEK[TEXT]") == MULTI[len(head):]
    assert fetch(c, "BODY.PEEK[1]") == b"Gr=C3=BC=C3=9Fe, needle one"
    assert fetch(c, "BODY.PEEK[1.MIME]") == b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    assert fetch(c, "BODY.PEEK[2.HEADER]").startswith(b"Subject: inner\r\n")
    assert fetch(c, "BODY.PEEK[2.1]") == b"inner text"
    assert fetch(c, "BODY.PEEK[2.2]") == b"<b>inner</b>"
    assert fetch(c, "BODY.PEEK[2.2.MIME]") == b"Content-Type: text/html\r\n\r\n"
    assert fetch(c, "BODY.PEEK[3]") == b"AAECAwQ="
    assert fetch(c, "BODY.PEEK[4]") == b""
    assert fetch(c, "BODY.PEEK[]<10.20>") == MULTI[10:30]
    assert fetch(c, "BODY.PEEK[]<100000.20>") == b""
    assert fetch(c, "BODY.PEEK[HEADER.FIELDS (SUBJECT message-id)]") == \
        b"Subject: =?utf-8?b?R3LDvMOfZQ==?= test\r\nMessage-ID: <multi@example.org>\r\n\r\n"
    rest = fetch(c, "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]")
    assert b"Subject" not in rest and b"From:" in rest and rest.endswith(b"\r\n\r\n")
    assert fetch(c, "BODY.PEEK[]", 3) == b"no header at all"


def test_structure(box):
    lines = ok(box.cmd("FETCH 1 (ENVELOPE BODYSTRUCTURE RFC822.SIZE)"))
    text = " ".join(lines)
    assert f"RFC822.SIZE {len(MULTI)}" in text
    for part in ('"=?utf-8?b?R3LDvMOfZQ==?= test"', '"<multi@example.org>"', '"<before@example.org>"', '"B, C"', '"c" "example.org"'):
        assert part in text, (part, text)
    for part in ('"boundary" "outer"', '"alternative"', '"attachment" ("filename" "a.bin")', '"rfc822"'):
        assert part.lower() in text.lower(), (part, text)
    assert text.count("(") == text.count(")")
    for macro in ("ALL", "FAST", "FULL"):
        assert len(ok(box.cmd(f"FETCH 1:3 {macro}"))) == 3


def test_seen_is_set_by_reading_and_not_by_peeking(box):
    fetch(box, "BODY.PEEK[]", 2)
    assert "Seen" not in ok(box.cmd("FETCH 2 FLAGS"))[0]
    fetch(box, "BODY[TEXT]", 2)
    assert "Seen" in ok(box.cmd("FETCH 2 FLAGS"))[0]


SEARCHES = [
    ("ALL", "1 2 3"), ("SEEN", "1"), ("UNSEEN", "2 3"), ("KEYWORD alpha", "1"), ("UNKEYWORD alpha", "2 3"), ("SUBJECT two", "2"),
    ("FROM x@", "2"), ("TO b@example.org", "1"), ("CC c@", "1"), ("BCC nobody", ""), ("HEADER Message-ID multi", "1"),
    ('HEADER Subject ""', "1 2"), ("BODY second", "2"), ("TEXT needle", "1"), ("BODY needle", "1"), ("LARGER 500", "1"), ("SMALLER 500", "2 3"),
    ("NOT SEEN", "2 3"), ("OR SEEN SUBJECT two", "1 2"), ("(OR SEEN SUBJECT two) NOT SUBJECT two", "1"), ("1,3", "1 3"), ("2:*", "2 3"),
    ("UID 1:2", "1 2"), ("SENTON 23-Nov-2026", "1"), ("SENTBEFORE 1-Jan-2020", ""), ("SENTSINCE 1-Jan-2026", "1"),
    ("SINCE 1-Jan-2020", "1 2 3"), ("BEFORE 1-Jan-2020", ""), ("ANSWERED", ""), ("UNANSWERED", "1 2 3"), ("DELETED", ""), ("UNDELETED", "1 2 3"),
    ("DRAFT", ""), ("UNDRAFT", "1 2 3"), ("FLAGGED", ""), ("UNFLAGGED", "1 2 3"), ("OLD", ""), ("RECENT", "1 2 3"), ("NEW", "2 3"),
    ("TEXT inner", "1"), ("CHARSET US-ASCII SUBJECT TWO", "2"), ("NOT NOT SEEN", "1"),
]


@pytest.mark.parametrize("program,wanted", SEARCHES)
def test_search(box, program, wanted):
    lines = ok(box.cmd("SEARCH " + program))
    assert ("* SEARCH " + wanted).strip() in lines, lines


def test_search_with_charset(box):
    assert ok(box.cmd("SEARCH CHARSET UTF-8 SUBJECT {7+}\r\nGr\u00fc\u00dfe".encode()))[0] == "* SEARCH 1"
    assert ok(box.cmd("SEARCH CHARSET UTF-8 BODY {7+}\r\nGr\u00fc\u00dfe".encode()))[0] == "* SEARCH 1"
    assert "BADCHARSET" in no(box.cmd("SEARCH CHARSET NOSUCH SUBJECT x")[1])


def test_store_copy_move_expunge(box):
    c = box  # noqa: F811
    ok(c.cmd("CREATE Other"))
    assert r"\Flagged" in ok(c.cmd(r"STORE 1 +FLAGS (\Flagged)"))[0]
    assert ok(c.cmd(r"STORE 1 -FLAGS.SILENT (\Flagged)")) == []
    assert "beta" in ok(c.cmd("UID STORE 2 FLAGS (beta)"))[-1]
    done = c.cmd("COPY 1:2 Other")[1]
    assert re.match(r"OK \[COPYUID \d+ 1:2 1:2\]", done), done
    lines, done = c.cmd("UID MOVE 3 Other")
    assert any("COPYUID" in x and x.startswith("* OK") for x in lines) and "* 3 EXPUNGE" in lines
    ok(c.cmd(r"STORE 1:2 +FLAGS (\Deleted)"))
    assert "* 1 EXPUNGE" in ok(c.cmd("UID EXPUNGE 1"))
    assert [x for x in ok(c.cmd("UID SEARCH ALL"))] == ["* SEARCH 2"]
    assert "* 1 EXPUNGE" in ok(c.cmd("EXPUNGE"))
    no(c.cmd("COPY 1 Other")[1])
    status = ok(c.cmd("STATUS Other (MESSAGES UIDNEXT UNSEEN)"))[0]
    assert "MESSAGES 3" in status and "UIDNEXT 4" in status and "UNSEEN 2" in status
    ok(c.cmd("SELECT Other"))
    assert "beta" in ok(c.cmd("FETCH 2 FLAGS"))[0]
    assert "TRYCREATE" in no(c.cmd("COPY 1 Nowhere")[1])
    assert "TRYCREATE" in no(append(c, "Nowhere", b"x")[1])
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Other"))


def test_select_answers(box):
    lines, done = box.cmd("SELECT Box")
    text = "\n".join(lines)
    for part in ("* FLAGS (", "3 EXISTS", "RECENT", "[UIDVALIDITY ", "[UIDNEXT 4]", "[UNSEEN 2]", "[PERMANENTFLAGS ("):
        assert part in text, (part, text)
    assert done.startswith("OK [READ-WRITE]")
    assert box.cmd("EXAMINE Box")[1].startswith("OK [READ-ONLY]")
    no(box.cmd(r"STORE 1 +FLAGS (\Seen)")[1])
    no(box.cmd("EXPUNGE")[1])


def names(lines):
    return {re.search(r'"/" "?(.*?)"?$', x).group(1) for x in lines if x.startswith(("* LIST", "* LSUB"))}


def test_mailboxes(c):  # noqa: F811
    ok(c.cmd("CREATE A/b/c"))
    assert {"A/b/c"} <= names(ok(c.cmd('LIST "" "A*"')))
    ok(c.cmd("CREATE A"))
    ok(c.cmd("CREATE A/b/"))
    assert names(ok(c.cmd('LIST "" A/%'))) == {"A/b"}
    assert names(ok(c.cmd('LIST A/ %'))) == {"A/b"}
    assert any(r"\HasChildren" in x for x in ok(c.cmd('LIST "" A')))
    assert any(r"\HasNoChildren" in x for x in ok(c.cmd('LIST "" A/b/c')))
    assert ok(c.cmd('LIST "" ""'))[0].endswith('"/" ""')
    ok(c.cmd("RENAME A Z"))
    assert names(ok(c.cmd('LIST "" Z*'))) == {"Z", "Z/b", "Z/b/c"}
    assert "ALREADYEXISTS" in no(c.cmd("RENAME Z/b Z")[1])
    no(c.cmd("RENAME Nothing Y")[1])
    no(c.cmd("DELETE INBOX")[1])
    no(c.cmd("CREATE INBOX")[1])
    ok(c.cmd("SUBSCRIBE Z/b"))
    ok(c.cmd("SUBSCRIBE Gone/away"))
    assert {"Z/b"} <= names(ok(c.cmd('LSUB "" *')))
    ok(c.cmd("UNSUBSCRIBE Z/b"))
    ok(c.cmd("UNSUBSCRIBE Gone/away"))
    for x in ("Z/b/c", "Z/b", "Z"):
        ok(c.cmd("DELETE " + x))
    assert "NONEXISTENT" in no(c.cmd("DELETE Z")[1])
    assert names(ok(c.cmd('LIST "" Z*'))) == set()


@pytest.mark.parametrize("name", ['"a&b"', '"&"', '"&Zeb!-"', '"&AGE-"', '"a//b"', '"*"', '"%"', '""', '"&-&"', '"/"', "INBOX/" + "x" * 600,
                                  '"Other Users"', '"Shared Folders"'])
def test_bad_names(c, name):  # noqa: F811
    no(c.cmd("CREATE " + name)[1])
    ok(c.cmd("NOOP"))


def test_good_strange_names(c):  # noqa: F811
    for name in ('"&ZeVnLIqe-"', '"a b"', "a.b", "a_b", '"(x)"', "&-", "x" * 200):
        ok(c.cmd("CREATE " + name))
        ok(c.cmd("SELECT " + name))
        ok(c.cmd("CLOSE"))
        ok(c.cmd("DELETE " + name))


def test_inbox_renamed_keeps_inbox(backend):
    c = backend.raw().login("cleo")  # noqa: F811
    ok(append(c, "INBOX", b"Subject: x\r\n\r\n"))
    ok(c.cmd("RENAME INBOX Old"))
    assert "MESSAGES 1" in ok(c.cmd("STATUS Old (MESSAGES)"))[0]
    assert "MESSAGES 0" in ok(c.cmd("STATUS INBOX (MESSAGES)"))[0]
    c.close()


def test_uidvalidity_of_a_new_mailbox_is_new(c):  # noqa: F811
    def validity():
        return int(re.search(r"UIDVALIDITY (\d+)", ok(c.cmd("STATUS Again (UIDVALIDITY)"))[0]).group(1))
    ok(c.cmd("CREATE Again"))
    first = validity()
    ok(c.cmd("DELETE Again"))
    ok(c.cmd("CREATE Again"))
    assert validity() > first
    ok(c.cmd("DELETE Again"))


RIGHTS = [  # right, what it allows
    ("l", None), ("lr", "EXAMINE"), ("lrs", "SEEN"), ("lrw", "FLAG"), ("lri", "APPEND"), ("lrt", "DELETED"), ("lrte", "EXPUNGE"),
    ("lrk", "CREATE"), ("lrx", "DELETE"), ("lra", "SETACL"),
]


@pytest.mark.parametrize("rights,allowed", RIGHTS)
def test_each_right_allows_its_own(backend, c, rights, allowed):  # noqa: F811
    bob = backend.raw().login("bob")
    name = '"Other Users/fred/Rights"'
    ok(c.cmd("CREATE Rights"))
    ok(append(c, "Rights", b"Subject: x\r\n\r\n", r"(\Deleted) " if allowed == "EXPUNGE" else ""))
    ok(c.cmd("SETACL Rights bob " + rights))
    assert f" {rights}" in ok(bob.cmd(f"MYRIGHTS {name}"))[0]
    assert bool(names(ok(bob.cmd('LIST "" "Other Users/fred/*"'))))
    can = {}
    can["EXAMINE"] = bob.cmd(f"EXAMINE {name}")[1].startswith("OK")
    is_open = bob.cmd(f"SELECT {name}")[1].startswith("OK")
    can["SEEN"] = is_open and r"\Seen" in "".join(bob.cmd(r"STORE 1 +FLAGS (\Seen)")[0])
    can["FLAG"] = is_open and r"\Flagged" in "".join(bob.cmd(r"STORE 1 +FLAGS (\Flagged)")[0])
    can["DELETED"] = is_open and r"\Deleted" in "".join(bob.cmd(r"STORE 1 +FLAGS (\Deleted)")[0])
    can["EXPUNGE"] = is_open and any("EXPUNGE" in x for x in bob.cmd("EXPUNGE")[0])
    can["APPEND"] = append(bob, name, b"x: y\r\n\r\n")[1].startswith("OK")
    can["CREATE"] = bob.cmd('CREATE "Other Users/fred/Rights/sub"')[1].startswith("OK")
    can["SETACL"] = bob.cmd(f"SETACL {name} ann lr")[1].startswith("OK")
    bob.cmd("UNSELECT")
    can["DELETE"] = bob.cmd(f"DELETE {name}")[1].startswith("OK")
    wanted = {allowed} | ({"EXAMINE"} if "r" in rights else set()) | ({"DELETED"} if "t" in rights else set())
    assert {k for k, v in can.items() if v} == {w for w in wanted if w}
    bob.close()
    c.cmd("DELETE Rights/sub")
    c.cmd("DELETE Rights")


def test_acl_commands(backend, c):  # noqa: F811
    ok(c.cmd("CREATE Acl"))
    assert "fred lrswipkxtea" in ok(c.cmd("GETACL Acl"))[0].replace('"', "")
    assert ok(c.cmd("LISTRIGHTS Acl bob"))[0].startswith("* LISTRIGHTS")
    ok(c.cmd("SETACL Acl bob lrs"))
    ok(c.cmd("SETACL Acl bob +i"))
    ok(c.cmd("SETACL Acl bob -s"))
    assert "bob lri" in ok(c.cmd("GETACL Acl"))[0].replace('"', "")
    no(c.cmd("SETACL Acl bob lrQ")[1])
    ok(c.cmd("DELETEACL Acl bob"))
    assert "bob" not in ok(c.cmd("GETACL Acl"))[0]
    bob = backend.raw().login("bob")
    no(bob.cmd('SELECT "Other Users/fred/Acl"')[1])
    no(bob.cmd('GETACL "Other Users/fred/Acl"')[1])
    assert "Acl" not in str(bob.cmd('LIST "" *')[0])
    bob.close()
    ok(c.cmd("DELETE Acl"))


def test_samples_are_kept_to_the_octet(c):  # noqa: F811
    ok(c.cmd("CREATE Samples"))
    all_samples = samples()
    for s in all_samples:
        ok(append(c, "Samples", s))
    ok(c.cmd("SELECT Samples"))
    for i, s in enumerate(all_samples, 1):
        assert fetch(c, "BODY.PEEK[]", i) == s
    ok(c.cmd("FETCH 1:* (ENVELOPE BODY BODYSTRUCTURE)"))
    ok(c.cmd("CLOSE"))
    ok(c.cmd("DELETE Samples"))


def test_special_use_and_namespace(c):  # noqa: F811
    ok(c.cmd("CREATE Sent"))
    assert any(r"\Sent" in x for x in ok(c.cmd('LIST "" Sent')))
    assert ok(c.cmd("NAMESPACE"))[0] == '* NAMESPACE (("" "/")) (("Other Users/" "/")) (("Shared Folders/" "/"))'
    ok(c.cmd("DELETE Sent"))
    assert any(x.startswith("* ID (") for x in ok(c.cmd('ID ("name" "test")')))
    ok(c.cmd("ENABLE X-NOTHING"))
