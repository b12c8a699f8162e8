"""ANNOTATE-EXPERIMENT-1 (RFC 5257), on a backend and through a frontend: the RFC's examples, rights, limits and bad input."""
import re

import pytest

from test_imap_metadata import TOKEN
from test_imap_session import no, ok

PLAIN = "Subject: %s\r\n\r\ntext\r\n"
PARTS = ("Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n")


def parse(text, at):
    """A parenthesized list that begins at AT, as lists; and where it ends."""
    t = TOKEN.match(text, at)
    assert t.group(4) == "(", text[at:]
    at, found = t.end(), []
    while True:
        t = TOKEN.match(text, at)
        if t.group(4) == "(":
            inner, at = parse(text, at)
            found.append(inner)
            continue
        at = t.end()
        if t.group(4) == ")":
            return found, at
        if t.group(2) is not None:
            found.append(text[at:at + int(t.group(2))])
            at += int(t.group(2))
        elif t.group(1) is not None:
            found.append(re.sub(r"\\(.)", r"\1", t.group(1)))
        else:
            found.append(None if t.group(3) else t.group(5))


def annotations(answer):
    """Message number to entry to attribute to value of all FETCH responses."""
    text, found = "\r\n".join(ok(answer)) + "\r\n", {}
    for m in re.finditer(r"(?m)^\* (\d+) FETCH ", text):
        items, _ = parse(text, m.end())
        for name, value in zip(items[::2], items[1::2]):
            if name == "ANNOTATION":
                found[int(m.group(1))] = {e: dict(zip(a[::2], a[1::2])) for e, a in zip(value[::2], value[1::2])}
    return found


@pytest.fixture
def c(session):
    c = session("fred")
    c.cmd("DELETE Annotated")
    ok(c.cmd("CREATE Annotated"))
    for text in [PLAIN % i for i in range(3)] + [PARTS]:
        ok(c.cmd(f"APPEND Annotated {{{len(text)}+}}\r\n{text}"))
    ok(c.cmd("SELECT Annotated"))
    yield c
    c.cmd("CLOSE")
    c.cmd("DELETE Annotated")


def fetch(c, what, numbers="1:*"):
    return annotations(c.cmd(f"FETCH {numbers} (ANNOTATION ({what}))"))


def test_offered_and_told(c):
    assert "ANNOTATE-EXPERIMENT-1" in " ".join(ok(c.cmd("CAPABILITY"))).split()
    lines = ok(c.cmd("SELECT Annotated (ANNOTATE)"))
    assert any(x.startswith("* OK [ANNOTATIONS 2048]") for x in lines)
    assert any(x.startswith("* OK [ANNOTATIONS READ-ONLY]") for x in ok(c.cmd("EXAMINE Annotated (CONDSTORE ANNOTATE)")))
    no(c.cmd('STORE 1 ANNOTATION (/comment (value.priv "x"))')[1], "NO [READ-ONLY]")


def test_the_rfcs_examples(c):
    ok(c.cmd('STORE 1 ANNOTATION (/comment (value.priv "My comment" value.shared "Group note"))'))
    assert fetch(c, "/comment value", 1) == {1: {"/comment": {"value.priv": "My comment", "value.shared": "Group note"}}}
    ok(c.cmd("STORE 1 ANNOTATION (/comment (value.shared NIL))"))
    assert fetch(c, "/comment value", 1) == {1: {"/comment": {"value.priv": "My comment", "value.shared": None}}}
    assert fetch(c, "/comment (value size)", 1) == {1: {"/comment": {"value.priv": "My comment", "value.shared": None, "size.priv": "10",
                                                                     "size.shared": "0"}}}
    ok(c.cmd('STORE 1 ANNOTATION (/comment (value.priv "Get tix Tuesday") /altsubject (value.priv "Wots On"))'))
    want = {"/comment": {"value.priv": "Get tix Tuesday"}, "/altsubject": {"value.priv": "Wots On"}}
    assert fetch(c, "(/comment /altsubject) value.priv", 1) == fetch(c, "/% value.priv", 1) == {1: want}
    ok(c.cmd('STORE 1 ANNOTATION (/vendor/foobar/personality (value.priv "Tallulah Bankhead"))'))
    assert fetch(c, "/% value.priv", 1) == {1: want}
    found = fetch(c, "/* (value.priv size.priv)", 1)[1]
    assert set(found) == {"/comment", "/altsubject", "/vendor/foobar/personality"}
    assert found["/vendor/foobar/personality"] == {"value.priv": "Tallulah Bankhead", "size.priv": "17"}
    # What has none that match is left out, what is named is told as NIL.
    assert fetch(c, "/* value") == {1: fetch(c, "/* value", 1)[1]}
    assert fetch(c, "/comment value.shared", 2) == {2: {"/comment": {"value.shared": None}}}
    lines = ok(c.cmd("UID FETCH 2 (ANNOTATION (/* value))"))
    assert lines == ["* 2 FETCH (UID 2)"]


def test_values_are_octets(c):
    ok(c.cmd(b'STORE 2 ANNOTATION (/comment (value.priv ~{4+}\r\na\0b\xe9 value.shared ""))'))
    c.send("b FETCH 2 (ANNOTATION (/comment (value size)))\r\n")
    assert c.line() == "* 2 FETCH (ANNOTATION (/comment (value.priv ~{4}"
    assert c.read(4) == b"a\0b\xe9"
    assert c.line() == ' value.shared "" size.priv "4" size.shared "0")))' and c.line().startswith("b OK")


def test_search(c):
    ok(c.cmd('STORE 1,3 ANNOTATION (/comment (value.priv "about IMAP4 servers"))'))
    ok(c.cmd('STORE 2 ANNOTATION (/vendor/x/y (value.shared "imap4"))'))

    def search(what):
        return ok(c.cmd("SEARCH " + what))[0].split()[2:]
    assert search('ANNOTATION /comment value "IMAP4"') == ["1", "3"]
    assert search('ANNOTATION * value "IMAP4"') == ["1", "2", "3"]
    assert search('ANNOTATION * value.priv "IMAP4"') == ["1", "3"]
    assert search('ANNOTATION /% value "imap4"') == ["1", "3"]
    assert search('NOT ANNOTATION * value.shared "IMAP4"') == ["1", "3", "4"]
    assert search('OR ANNOTATION /comment value "servers" SUBJECT "1"') == ["1", "2", "3"]
    assert search('ANNOTATION /comment value ""') == ["1", "3"]


def test_sort(c):
    for n, value in ((1, "delta"), (2, "Alpha"), (4, "charlie")):
        ok(c.cmd(f'STORE {n} ANNOTATION (/altsubject (value.shared "{value}"))'))

    def sort(what):
        return ok(c.cmd(f"SORT ({what}) UTF-8 ALL"))[0].split()[2:]
    assert sort("ANNOTATION /altsubject value.shared") == ["3", "2", "4", "1"]
    assert sort("REVERSE ANNOTATION /altsubject value.shared") == ["1", "4", "2", "3"]
    assert sort("ANNOTATION /altsubject value.priv REVERSE SUBJECT") == ["4", "3", "2", "1"]
    assert sort("ANNOTATION /altsubject value.shared SUBJECT") == ["3", "2", "4", "1"]
    answer = c.cmd("SORT RETURN (ALL UPDATE) (ANNOTATION /altsubject value.shared) UTF-8 ALL")
    assert any("NOUPDATE" in x for x in ok(answer))


def test_a_change_has_a_modseq(c, session):
    ok(c.cmd("ENABLE CONDSTORE"))
    other = session("fred")
    ok(other.cmd("SELECT Annotated (CONDSTORE)"))
    lines = ok(c.cmd('STORE 1:2 ANNOTATION (/comment (value.priv "x"))'))
    modseqs = [int(re.search(r"MODSEQ \((\d+)\)", x).group(1)) for x in lines]
    assert len(modseqs) == 2 and modseqs[0] == modseqs[1]
    assert sum(1 for x in ok(other.cmd("NOOP")) if f"MODSEQ ({modseqs[0]})" in x) == 2, "others hear that something has changed"
    # As it is already: no change, no modseq.
    ok(c.cmd('STORE 1:2 ANNOTATION (/comment (value.priv "x"))'))
    assert f"MODSEQ ({modseqs[0]})" in ok(c.cmd("FETCH 1 (MODSEQ)"))[0]
    answer = c.cmd(f'STORE 1:3 (UNCHANGEDSINCE {modseqs[0] - 1}) ANNOTATION (/comment (value.priv "y"))')
    assert "[MODIFIED 1:2]" in answer[1], answer
    assert fetch(c, "/comment value.priv", "1:3") == {n: {"/comment": {"value.priv": v}} for n, v in ((1, "x"), (2, "x"), (3, "y"))}


def told(lines):
    return [x for x in lines if "ANNOTATION" in x]


def test_select_annotate_tells_changes(c, session):
    plain, other = session("fred"), session("fred")
    ok(plain.cmd("SELECT Annotated"))
    ok(other.cmd("SELECT Annotated (ANNOTATE)"))
    ok(c.cmd('STORE 2 ANNOTATION (/comment (value.shared "x"))'))
    assert told(ok(other.cmd("NOOP"))) == ['* 2 FETCH (UID 2 ANNOTATION ("/comment" (value.priv NIL value.shared "x")))'.replace('"/comment"', "/comment")]
    assert told(ok(plain.cmd("NOOP"))) == []
    assert told(ok(other.cmd('STORE 1 ANNOTATION (/comment (value.priv "own"))'))) == [], "its own are no news"
    ok(other.cmd("ENABLE CONDSTORE"))
    ok(c.cmd("STORE 2 ANNOTATION (/comment (value.shared NIL))"))
    lines = ok(other.cmd("NOOP"))
    assert told(lines) == [] and any(re.search(r"MODSEQ \(\d+\)", x) for x in lines), lines
    ok(other.cmd("SELECT Annotated"))
    ok(c.cmd('STORE 2 ANNOTATION (/comment (value.shared "y"))'))
    assert told(ok(other.cmd("NOOP"))) == []


def test_notify_tells_changes(c, session):
    """RFC 5465, AnnotationChange: FETCH of the selected mailbox, STATUS of others, with CONDSTORE."""
    here, there = session("fred"), session("fred")
    ok(here.cmd("SELECT Annotated"))
    ok(here.cmd("NOTIFY SET (selected (MessageNew MessageExpunge AnnotationChange))"))
    ok(there.cmd("ENABLE CONDSTORE"))
    ok(there.cmd("NOTIFY SET (mailboxes Annotated (MessageNew MessageExpunge AnnotationChange))"))
    ok(c.cmd('STORE 3 ANNOTATION (/comment (value.shared "x"))'))
    assert here.line() == "* 3 FETCH (UID 3 ANNOTATION (/comment (value.priv NIL value.shared \"x\")))"
    assert re.fullmatch(r"\* STATUS Annotated \(UIDVALIDITY \d+ HIGHESTMODSEQ \d+\)", there.line())
    ok(c.cmd(r"STORE 1 +FLAGS (\Flagged)"))
    assert ok(here.cmd("NOOP")) == [], "no flags, and no annotations that it could have"


def test_copies_have_what_their_user_may(c, session):
    ok(c.cmd('STORE 1 ANNOTATION (/comment (value.priv "mine" value.shared "ours"))'))
    ok(c.cmd("SETACL Annotated bob lr"))
    bob = session("bob")
    ok(bob.cmd('SELECT "Other Users/fred/Annotated"'))
    ok(bob.cmd('STORE 1 ANNOTATION (/comment (value.priv "bobs"))'))
    no(bob.cmd('STORE 1 ANNOTATION (/comment (value.shared "bobs"))')[1], "NO [NOPERM]")
    assert fetch(bob, "/comment value", 1) == {1: {"/comment": {"value.priv": "bobs", "value.shared": "ours"}}}
    bob.cmd("DELETE Copies")
    ok(bob.cmd("CREATE Copies"))
    ok(bob.cmd("COPY 1 Copies"))
    ok(bob.cmd("SELECT Copies"))
    assert fetch(bob, "/* value") == {1: {"/comment": {"value.priv": "bobs", "value.shared": "ours"}}}
    # Where he may not annotate for all, the shared one stays behind.
    ok(c.cmd("SETACL Annotated bob lrswi"))
    ok(bob.cmd('COPY 1 "Other Users/fred/Annotated"'))
    ok(c.cmd("NOOP"))
    assert fetch(c, "/* value", 5) == {}
    ok(bob.cmd('SELECT "Other Users/fred/Annotated"'))
    assert fetch(bob, "/* value", 5) == {5: {"/comment": {"value.priv": "bobs", "value.shared": None}}}
    ok(bob.cmd("DELETE Copies"))
    # MOVE, and EXPUNGE.
    ok(c.cmd("MOVE 1 INBOX"))
    ok(c.cmd("SELECT INBOX"))
    last = sum(1 for _ in ok(c.cmd("FETCH 1:* (UID)")))
    assert fetch(c, "/* value", last) == {last: {"/comment": {"value.priv": "mine", "value.shared": "ours"}}}
    ok(c.cmd(rf"STORE {last} +FLAGS.SILENT (\Deleted)"))
    ok(c.cmd("EXPUNGE"))


def test_append(c):
    text = PLAIN % "appended"
    ok(c.cmd(f'APPEND Annotated (\\Seen) ANNOTATION (/comment (value.priv "Don\'t send until I say so")) {{{len(text)}+}}\r\n{text}'))
    assert fetch(c, "/* value", 5) == {5: {"/comment": {"value.priv": "Don't send until I say so", "value.shared": None}}}
    two = f'ANNOTATION (/comment (value.shared "1st")) {{{len(text)}+}}\r\n{text} ANNOTATION (/1/comment (value.priv "2nd")) {{{len(text)}+}}\r\n{text}'
    ok(c.cmd("APPEND Annotated " + two))
    assert fetch(c, "/* value.priv", "6:*") == {7: {"/1/comment": {"value.priv": "2nd"}}}
    assert fetch(c, "/comment value.shared", 6) == {6: {"/comment": {"value.shared": "1st"}}}
    no(c.cmd(f'APPEND Annotated ANNOTATION (/2/comment (value.priv "x")) {{{len(text)}+}}\r\n{text}')[1], "BAD", "part")
    no(c.cmd(f"APPEND Annotated ANNOTATION (/comment (value.priv {{2049+}}\r\n{'x' * 2049})) {{{len(text)}+}}\r\n{text}")[1],
       "NO [ANNOTATE TOOBIG]")
    many = " ".join(f'/n{i} (value.priv "x")' for i in range(13))
    no(c.cmd(f"APPEND Annotated ANNOTATION ({many}) {{{len(text)}+}}\r\n{text}")[1], "NO")
    ok(c.cmd("NOOP"))
    assert len(ok(c.cmd("FETCH 1:* (UID)"))) == 7


def test_parts(c):
    ok(c.cmd('STORE 4 ANNOTATION (/2/comment (value.priv "x") /1/flags/seen (value.priv "1"))'))
    assert fetch(c, "/* value.priv", 4)[4] == {"/2/comment": {"value.priv": "x"}, "/1/flags/seen": {"value.priv": "1"}}
    for entry in ("/3/comment", "/2.2/comment", "/4294967295/comment"):
        no(c.cmd(f'STORE 4 ANNOTATION ({entry} (value.priv "x"))')[1], "BAD")
    no(c.cmd('STORE 1:4 ANNOTATION (/2/comment (value.priv "y"))')[1], "BAD")
    assert fetch(c, "/2/comment value.priv", 4)[4] == {"/2/comment": {"value.priv": "x"}}


def test_limits(c):
    no(c.cmd(f"STORE 1 ANNOTATION (/comment (value.priv {{2049+}}\r\n{'x' * 2049}))")[1], "NO [ANNOTATE TOOBIG]")
    ok(c.cmd(f"STORE 1 ANNOTATION (/comment (value.priv {{2048+}}\r\n{'x' * 2048}))"))
    ok(c.cmd("STORE 1 ANNOTATION (" + " ".join(f'/n{i} (value.priv "x")' for i in range(11)) + ")"))
    no(c.cmd('STORE 1:2 ANNOTATION (/more (value.priv "x"))')[1], "NO [ANNOTATE TOOMANY]")
    assert fetch(c, "/* value.priv", 2) == {}, "of several messages none"
    ok(c.cmd('STORE 1 ANNOTATION (/more (value.shared "x"))'))
    ok(c.cmd('STORE 1 ANNOTATION (/n0 (value.priv NIL) /more (value.priv "x"))'))
    no(c.cmd("STORE 1 ANNOTATION (/" + "n" * 64 + ' (value.priv "x"))')[1], "NO [LIMIT]")
    ok(c.cmd('UID STORE 100:200 ANNOTATION (/comment (value.priv "x"))'))


@pytest.mark.parametrize("command", [
    "FETCH 1 (ANNOTATION)", "FETCH 1 (ANNOTATION ())", "FETCH 1 (ANNOTATION (/comment))", "FETCH 1 (ANNOTATION (/comment ()))",
    "FETCH 1 (ANNOTATION (() value))", "FETCH 1 (ANNOTATION (/comment nothing))", "FETCH 1 (ANNOTATION (comment value))",
    "FETCH 1 (ANNOTATION (//comment value))", "FETCH 1 (ANNOTATION (/comment/ value))", "FETCH 1 (ANNOTATION (/comment value)",
    "FETCH 1 (ANNOTATION (/0/comment value))", "FETCH 1 (ANNOTATION (/1. value))", "FETCH 1 (ANNOTATION (/1 value))",
    "STORE 1 ANNOTATION", "STORE 1 ANNOTATION ()", "STORE 1 ANNOTATION (/comment)", "STORE 1 ANNOTATION (/comment ())",
    'STORE 1 ANNOTATION (/comment (value "x"))', 'STORE 1 ANNOTATION (/comment (size.priv "1"))', "STORE 1 ANNOTATION (/comment (value.priv x))",
    'STORE 1 ANNOTATION (/com* (value.priv "x"))', 'STORE 1 ANNOTATION (/flags/x (value.priv "x"))', 'STORE 1 ANNOTATION (/1/flags/seen (value.priv "2"))',
    'STORE 1 ANNOTATION (/1/flags/other (value.priv "1"))', 'STORE 1 ANNOTATION (/01x/comment (value.priv "1"))',
    'STORE 1 ANNOTATION ("/\x01" (value.priv "1"))', 'STORE 9 ANNOTATION (/comment (value.priv "x"))',
    "SEARCH ANNOTATION", "SEARCH ANNOTATION /comment", 'SEARCH ANNOTATION /comment size "1"', "SEARCH ANNOTATION /comment value NIL",
    'SEARCH ANNOTATION comment value "x"', "SORT (ANNOTATION /comment value) UTF-8 ALL", "SORT (ANNOTATION /com* value.priv) UTF-8 ALL",
    "SORT (ANNOTATION /comment size.priv) UTF-8 ALL", "SORT (ANNOTATION) UTF-8 ALL", "SELECT Annotated (ANNOTATE ANNOTATE)"])
def test_bad_input(c, command):
    no(c.cmd(command)[1], "BAD")
    ok(c.cmd("NOOP"))


def test_copies_to_another_server_have_them(fronted):
    """Through the frontend: fetched here, appended there."""
    admin = fronted.raw(fronted.members["backendb1"].imap).login("admin")
    ok(admin.cmd("CREATE far"))
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    try:
        for rights, want in (("lrswitepn", {"value.priv": "m\"i\\ne", "value.shared": "a\r\nb"}),
                             ("lrswitep", {"value.priv": "m\"i\\ne", "value.shared": None})):
            ok(admin.cmd(f"SETACL far fred {rights}"))
            text = PLAIN % "far"
            ok(c.cmd("NOOP"))
            ok(c.cmd("CREATE Near"))
            ok(c.cmd('APPEND Near ANNOTATION (/comment (value.priv "m\\"i\\\\ne" value.shared {4+}\r\na\r\nb)) '
                     f"{{{len(text)}+}}\r\n{text}"))
            ok(c.cmd("SELECT Near"))
            ok(c.cmd('COPY 1 "Shared Folders/far"'))
            ok(c.cmd('SELECT "Shared Folders/far"'))
            assert fetch(c, "/* value", "*") == {len(ok(c.cmd("FETCH 1:* (UID)"))): {"/comment": want}}
            ok(c.cmd("DELETE Near"))
    finally:
        c.close()
        ok(admin.cmd("DELETE far"))
        admin.close()
