"""MULTISEARCH (RFC 7377): on a backend; and through a frontend, over two servers."""
import re

import pytest

from test_imap_search import fill
from test_imap_session import SHARED, ok


def add(c, mailbox, *subjects, flags=""):
    for subject in subjects:
        text = f"Subject: {subject}\r\n\r\nx\r\n"
        ok(c.cmd(f"APPEND {mailbox} ({flags}) {{{len(text)}+}}\r\n{text}"))


def clean(c):
    c.cmd("UNSELECT")
    for m in ("Folder2/peach/stone", "Folder2/peach", "Folder2/banana", "Folder2", "folder1", "Empty", "Box"):
        c.cmd("DELETE " + m)
        c.cmd("UNSUBSCRIBE " + m)


@pytest.fixture
def c(session):
    """folder1: chad, unseen, chad; Folder2: chad; Folder2/banana: none of them; Folder2/peach: chad, seen; Folder2/peach/stone: chad."""
    c = session()
    clean(c)
    for m in ("folder1", "Folder2", "Folder2/banana", "Folder2/peach", "Folder2/peach/stone", "Empty"):
        ok(c.cmd("CREATE " + m))
    add(c, "folder1", "chad one", "other", "chad two")
    add(c, "Folder2", "chad three")
    add(c, "Folder2/banana", "nothing")
    add(c, "Folder2/peach", "chad four", flags=r"\Seen")
    add(c, "Folder2/peach/stone", "chad five")
    yield c
    clean(c)


def found(answer, tag):
    """Mailbox to what was told of it."""
    told = {}
    for line in ok(answer):
        m = re.match(r'\* ESEARCH \(TAG "(\w+)" MAILBOX ("[^"]*"|\S+) UIDVALIDITY (\d+)\) UID ?(.*)$', line)
        if not m:
            assert not line.startswith("* ESEARCH"), line
            continue
        assert m.group(1) == tag and int(m.group(3)) > 0
        name = m.group(2).strip('"')
        assert name not in told, "one answer for each"
        told[name] = m.group(4)
    return told


def esearch(c, text):
    answer = c.cmd("ESEARCH " + text)
    return found(answer, f"x{c.tags}")


def test_is_offered(session):
    assert "MULTISEARCH" in ok(session().cmd("CAPABILITY"))[0].split()


def test_example(c):
    """Section 3."""
    assert esearch(c, 'IN (mailboxes "folder1" subtree "Folder2") unseen') == {
        "folder1": "ALL 1:3", "Folder2": "ALL 1", "Folder2/banana": "ALL 1", "Folder2/peach/stone": "ALL 1"}
    assert esearch(c, 'IN (mailboxes "folder1" subtree-one "Folder2") subject "chad"') == {
        "folder1": "ALL 1,3", "Folder2": "ALL 1", "Folder2/peach": "ALL 1"}
    assert c.cmd("ESEARCH IN (mailboxes folder1) ALL")[1] == "OK done", "nothing is selected by it"
    assert c.cmd("FETCH 1 UID")[1].startswith("BAD")


@pytest.mark.parametrize("sources,wanted", [
    ("mailboxes folder1", {"folder1"}), ("mailboxes (folder1 Folder2)", {"folder1", "Folder2"}), ("subtree-one (Folder2)", {"Folder2", "Folder2/peach"}),
    ("subtree (Folder2 folder1)", {"folder1", "Folder2", "Folder2/peach", "Folder2/peach/stone"}),
    ("mailboxes (folder1 folder1) subtree folder1", {"folder1"}), ("mailboxes (nosuch Nosuch/x)", set()), ("subtree nosuch", set()),
    ('mailboxes ("F%" "folder*")', set()), ("mailboxes (Folder2/ folder1)", {"folder1", "Folder2"}), ('mailboxes ("" "a//b" folder1)', {"folder1"}),
    ("personal", {"folder1", "Folder2", "Folder2/peach", "Folder2/peach/stone"}),
    ("inboxes", {"folder1", "Folder2", "Folder2/peach", "Folder2/peach/stone"}), ("subtree INBOX", set()),
])
def test_sources(c, sources, wanted):
    assert set(esearch(c, f"IN ({sources}) SUBJECT chad")) == wanted


def test_what_is_told(c):
    assert esearch(c, "IN (mailboxes (folder1 Folder2)) RETURN (MIN MAX COUNT) SUBJECT chad") == {
        "folder1": "MIN 1 MAX 3 COUNT 2", "Folder2": "MIN 1 MAX 1 COUNT 1"}
    assert esearch(c, "IN (mailboxes (folder1 Empty)) RETURN () ALL") == {"folder1": "ALL 1:3"}
    assert esearch(c, "IN (mailboxes (folder1 Empty)) RETURN (COUNT) SUBJECT nosuch") == {}, "no zeros"
    assert esearch(c, "IN (mailboxes folder1) RETURN (PARTIAL 2:3 CONTEXT) CHARSET UTF-8 SUBJECT chad") == {"folder1": "PARTIAL (2:3 3)"}
    assert esearch(c, "IN (subtree Folder2) 1 SUBJECT chad")["Folder2"] == "ALL 1", "numbers are those of each mailbox"
    assert esearch(c, "IN (mailboxes folder1) UID 2:*") == {"folder1": "ALL 2:3"}
    assert esearch(c, "IN (mailboxes (Folder2 folder1)) UID *") == {"folder1": "ALL 3", "Folder2": "ALL 1"}, "and so is *"
    assert re.match(r"MODSEQ \d+ ALL 1:3$", esearch(c, "IN (mailboxes folder1) MODSEQ 1")["folder1"])


def test_selected(session, c):
    for text in ("ALL", "IN (selected) ALL", "IN (selected mailboxes folder1) ALL", "RETURN (UPDATE) ALL", "IN (mailboxes folder1) RETURN (UPDATE) ALL"):
        assert c.cmd("ESEARCH " + text)[1].startswith("BAD"), text
    ok(c.cmd("SELECT Folder2"))
    assert esearch(c, "SUBJECT chad") == {"Folder2": "ALL 1"}
    assert esearch(c, "IN (selected) RETURN (COUNT) ALL") == {"Folder2": "COUNT 1"}
    assert esearch(c, "IN (mailboxes (folder1 Folder2) selected) SUBJECT chad") == {"Folder2": "ALL 1", "folder1": "ALL 1,3"}
    other = session()
    add(other, "Folder2", "chad six")
    answer = c.cmd("ESEARCH IN (selected) ALL")
    assert found(answer, f"x{c.tags}") == {"Folder2": "ALL 1"} and "* 2 EXISTS" in answer[0], "as the client knows it"
    assert ok(c.cmd("FETCH 2 UID")) == ["* 2 FETCH (UID 2)"], "it is still selected"


def test_saved_results(c):
    ok(c.cmd("SELECT folder1"))
    assert esearch(c, "IN (selected) RETURN (SAVE) SUBJECT chad") == {}
    assert ok(c.cmd("UID FETCH $ UID")) == ["* 1 FETCH (UID 1)", "* 3 FETCH (UID 3)"]
    assert esearch(c, "RETURN (ALL) $") == {"folder1": "ALL 1,3"}
    assert c.cmd("ESEARCH IN (mailboxes Folder2) RETURN (ALL) $")[1].startswith("NO")
    assert c.cmd("ESEARCH IN (mailboxes folder1) RETURN (SAVE) ALL")[1].startswith("BAD")
    assert c.cmd("ESEARCH IN (selected mailboxes Folder2) RETURN (SAVE COUNT) ALL")[1].startswith("BAD")


def test_updates_are_of_the_selected_mailbox(session, c):
    ok(c.cmd("SELECT folder1"))
    assert esearch(c, "IN (selected mailboxes Folder2) RETURN (UPDATE COUNT) FLAGGED") == {}
    tag = f"x{c.tags}"
    assert f'* ESEARCH (TAG "{tag}") UID ADDTO (0 2)' in ok(c.cmd(r"STORE 2 +FLAGS (\Flagged)"))
    c.send(f"{tag} ESEARCH IN (selected) RETURN (UPDATE) ALL\r\n")
    assert c.until(tag)[1].startswith("BAD")


def test_subscribed(c):
    assert set(esearch(c, "IN (subscribed) SUBJECT chad")) == set()
    for m in ("Folder2/peach", "Nosuch", "Empty"):
        ok(c.cmd("SUBSCRIBE " + m))
    assert set(esearch(c, "IN (subscribed) SUBJECT chad")) == {"Folder2/peach"}
    assert set(esearch(c, "IN (subscribed mailboxes folder1) SUBJECT chad")) == {"Folder2/peach", "folder1"}
    ok(c.cmd("UNSUBSCRIBE Nosuch"))


def test_rights(session, c):
    """Section 2.2: r; and l for what is not named. What may not be searched is as if it were not there."""
    bob = session("bob")
    other = '"Other Users/fred/%s"'
    named = f"IN (mailboxes ({other % 'folder1'} {other % 'Folder2'})) SUBJECT chad"
    assert esearch(bob, named) == {} and bob.cmd("ESEARCH " + named)[1].startswith("OK")
    ok(c.cmd("SETACL folder1 bob r"))
    ok(c.cmd("SETACL Folder2 bob l"))
    ok(c.cmd("SETACL Folder2/peach bob lr"))
    ok(c.cmd("SETACL Folder2/peach/stone bob r"))
    assert set(esearch(bob, named)) == {"Other Users/fred/folder1"}
    assert set(esearch(bob, f"IN (subtree {other % 'Folder2'}) SUBJECT chad")) == {"Other Users/fred/Folder2/peach"}


def test_refused_alike_by_all(c):
    assert c.cmd("ESEARCH IN (personal) CHARSET X-NOSUCH ALL")[1].startswith("NO [BADCHARSET")
    ok(c.cmd("ENABLE UIDONLY"))
    assert c.cmd("ESEARCH IN (personal) 1:2")[1].startswith("BAD [UIDREQUIRED]")
    assert esearch(c, "IN (mailboxes folder1) UID 1:2") == {"folder1": "ALL 1:2"}


@pytest.mark.parametrize("text", [
    "", "IN ALL", "IN () ALL", "IN (bogus) ALL", 'IN ("personal") ALL', "IN (selected-delayed) ALL", "IN (subtree-one) ALL", "IN (subtree-one ) ALL",
    "IN (subtree-one (Test) ) ALL", "IN (mailboxes ()) ALL", "IN (mailboxes (a b) ALL", "IN (personal)", "IN (personal) RETURN (NOSUCH) ALL",
    "IN (personal) NOSUCH", "IN (personal (x 1)) ALL", "RETURN (ALL) IN (personal) ALL", "IN (mailboxes a b) ALL",
])
def test_malformed(c, text):
    assert c.cmd(("ESEARCH " + text).strip())[1].startswith("BAD"), text


def test_utf8_names(c):
    ok(c.cmd("ENABLE UTF8=ACCEPT"))
    c.cmd('DELETE "gr\u00fcn"')
    ok(c.cmd('CREATE "gr\u00fcn"'))
    add(c, '"gr\u00fcn"', "chad")
    assert esearch(c, 'IN (mailboxes "gr\u00fcn") ALL') == {"gr\u00fcn": "ALL 1"}
    ok(c.cmd('DELETE "gr\u00fcn"'))


@pytest.fixture
def f(fronted, c, team):
    """Through the frontend only."""
    f = fronted.raw(fronted.frontends[0].imap).login("fred")
    add(f, SHARED, "chad shared", "other")
    yield f
    f.cmd(f"UNSUBSCRIBE {SHARED}")
    f.close()


def test_over_two_servers(f):
    assert esearch(f, f"IN (mailboxes ({SHARED} folder1)) SUBJECT chad") == {"Shared Folders/team": "ALL 1", "folder1": "ALL 1,3"}
    assert esearch(f, f"IN (personal subtree {SHARED}) RETURN (COUNT) SUBJECT chad") == {
        "Shared Folders/team": "COUNT 1", "folder1": "COUNT 2", "Folder2": "COUNT 1", "Folder2/peach": "COUNT 1", "Folder2/peach/stone": "COUNT 1"}
    assert f.cmd(f"ESEARCH IN (mailboxes ({SHARED} folder1)) CHARSET X-NOSUCH ALL")[1].startswith("NO [BADCHARSET")
    answer = f.cmd(f"ESEARCH IN (mailboxes ({SHARED} folder1)) SUBJECT {{4+}}\r\nchad")
    assert set(found(answer, f"x{f.tags}")) == {"Shared Folders/team", "folder1"}, "literals go to all"


def test_selected_and_others_over_two_servers(f):
    ok(f.cmd(f"SELECT {SHARED}"))
    assert esearch(f, "IN (mailboxes folder1 selected) RETURN (UPDATE COUNT) SUBJECT chad") == {"Shared Folders/team": "COUNT 1", "folder1": "COUNT 2"}
    tag = f"x{f.tags}"
    text = "Subject: chad again\r\n\r\nx"
    assert f'* ESEARCH (TAG "{tag}") UID ADDTO (0 3)' in ok(f.cmd(f"APPEND {SHARED} {{{len(text)}+}}\r\n{text}"))


def test_subscribed_over_two_servers(f):
    for m in (SHARED, "Folder2"):
        ok(f.cmd("SUBSCRIBE " + m))
    assert set(esearch(f, "IN (subscribed) SUBJECT chad")) == {"Shared Folders/team", "Folder2"}
    ok(f.cmd("UNSUBSCRIBE Folder2"))
    assert set(esearch(f, "IN (subscribed) SUBJECT chad")) == {"Shared Folders/team"}, "all of it is where the subscriptions are not"


def test_many_names_are_asked_for_in_pieces(f, c):
    names = [f"Box{i:02}{'x' * 60}" for i in range(30)]
    try:
        for n in names:
            ok(f.cmd("CREATE " + n))
            add(f, n, "chad")
        assert len(esearch(f, f"IN (personal mailboxes {SHARED}) SUBJECT chad")) == len(names) + 5
    finally:
        for n in names:
            f.cmd("DELETE " + n)
