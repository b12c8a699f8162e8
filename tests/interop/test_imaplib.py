"""Python's imaplib through the frontend: every method it has."""
import imaplib
import time

import pytest

from local import ADMIN, password_of
from mail import crlf, samples

MESSAGE = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: one\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"


def ok(answer):
    typ, data = answer
    assert typ == "OK", data
    return data


def no(answer):
    typ, data = answer
    assert typ in ("NO", "BAD"), (typ, data)
    return data[0].decode()


@pytest.fixture
def c(murder):
    c = murder.imap("ann")
    yield c
    try:
        c.logout()
    except (imaplib.IMAP4.error, OSError):
        pass


def test_any_state(murder):
    info = murder.info["frontends"][0]
    host, port = info["imap"].rsplit(":", 1)
    c = imaplib.IMAP4(host, int(port))
    caps = ok(c.capability())[0].decode().split()
    for wanted in ("IMAP4rev1", "LITERAL+", "ID", "SASL-IR", "AUTH=PLAIN", "AUTH=SCRAM-SHA-256"):
        assert wanted in caps, caps
    ok(c.noop())
    with pytest.raises(imaplib.IMAP4.error):
        c.login("ann", "wrong")
    ok(c.login("ann", password_of("ann")))
    for wanted in ("IDLE", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT", "CHILDREN", "SPECIAL-USE", "ACL", "ENABLE"):
        assert wanted in ok(c.capability())[0].decode().split()
    assert c.logout()[0] == "BYE"


def test_authenticate(murder):
    host, port = murder.info["frontends"][0]["imap"].rsplit(":", 1)
    c = imaplib.IMAP4(host, int(port))
    ok(c.authenticate("PLAIN", lambda _: b"\0ann\0" + password_of("ann").encode()))
    c.logout()
    c = imaplib.IMAP4(host, int(port))
    words = iter([b"ann", password_of("ann").encode()])
    ok(c.authenticate("LOGIN", lambda _: next(words)))
    c.logout()
    c = imaplib.IMAP4(host, int(port))
    with pytest.raises(imaplib.IMAP4.error):
        c.login_cram_md5("ann", password_of("ann"))


def test_mailboxes(c):
    ok(c.create("Work"))
    ok(c.create("Work/2026"))
    no(c.create("Work"))
    listed = [x.decode() for x in ok(c.list())]
    assert any('"Work"' in x or x.endswith(" Work") for x in listed), listed
    assert any("Work/2026" in x for x in listed), listed
    assert any("INBOX" in x for x in listed)
    ok(c.subscribe("Work/2026"))
    assert any(b"Work/2026" in x for x in ok(c.lsub()))
    ok(c.unsubscribe("Work/2026"))
    assert not any(x and b"Work/2026" in x for x in ok(c.lsub()))
    ok(c.rename("Work", "Job"))
    listed = [x.decode() for x in ok(c.list('""', "*"))]
    assert any("Job/2026" in x for x in listed) and not any("Work" in x for x in listed), listed
    no(c.delete("Nothing"))
    ok(c.delete("Job/2026"))
    ok(c.delete("Job"))
    ns = ok(c.namespace())[0].decode()
    assert "Other Users" in ns and "Shared Folders" in ns, ns


def test_messages(c):
    ok(c.create("Msgs"))
    t = time.time() - 86400
    data = ok(c.append("Msgs", r"(\Seen kw1)", imaplib.Time2Internaldate(t), MESSAGE))
    assert b"APPENDUID" in data[0]
    for s in samples()[:10]:
        ok(c.append("Msgs", None, None, s))
    assert ok(c.select("Msgs")) == [b"11"]
    ok(c.check())
    got = ok(c.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
    assert got[0][1] == MESSAGE
    assert imaplib.Internaldate2tuple(got[0][0]) == time.localtime(int(t))
    assert b"kw1" in got[0][0] and rb"\Seen" in got[0][0]
    for i, s in enumerate(samples()[:10]):
        assert ok(c.fetch(str(i + 2), "(BODY.PEEK[])"))[0][1] == crlf(s)
    assert ok(c.search(None, "SUBJECT", "one")) == [b"1"]
    assert ok(c.search("UTF-8", "KEYWORD", "kw1")) == [b"1"]
    assert ok(c.uid("SEARCH", "HEADER", "Message-ID", "1@example.org")) == [b"1"]
    ok(c.store("2:3", "+FLAGS", r"(\Deleted)"))
    got = ok(c.store("2", "-FLAGS", r"(\Deleted)"))
    assert rb"\Deleted" not in got[0]
    assert ok(c.expunge()) == [b"3"]
    ok(c.create("Copies"))
    assert b"COPYUID" in ok(c.copy("1:2", "Copies"))[0]
    ok(c.uid("MOVE", "4", "Copies"))
    assert c.response("COPYUID")[1][0]
    assert ok(c.uid("SEARCH", "UID", "4")) == [b""]
    assert ok(c.status("Copies", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)"))
    no(c.copy("1", "Nowhere"))
    ok(c.close())
    ok(c.select("Copies", readonly=True))
    no(c.store("1", "+FLAGS", r"(\Deleted)"))
    ok(c.unselect())
    ok(c.delete("Msgs"))
    ok(c.delete("Copies"))


def test_rights(murder, c):
    ok(c.create("Open"))
    ok(c.setacl("Open", "bob", "lrs"))
    assert b"bob" in ok(c.getacl("Open"))[0]
    bob = murder.imap("bob")
    assert b"lrs" in ok(bob.myrights('"Other Users/ann/Open"'))[0]
    ok(bob.select('"Other Users/ann/Open"'))
    no(bob.append('"Other Users/ann/Open"', None, None, MESSAGE))
    ok(bob.unselect())
    ok(c.deleteacl("Open", "bob"))
    assert b"bob" not in ok(c.getacl("Open"))[0]
    no(bob.select('"Other Users/ann/Open"'))
    bob.logout()
    ok(c.delete("Open"))


def test_what_is_not_offered_is_refused_clearly(c):
    ok(c.select("INBOX"))
    for refused in (lambda: c.getquota("x"), lambda: c.setquota("x", "(STORAGE 1)"), lambda: c.getannotation("INBOX", "*", "value"),
                    lambda: c.setannotation("INBOX", '"/x"', '("value.priv" "1")'), lambda: c.proxyauth("bob"),
                    lambda: c.partial("1", "RFC822", "1", "2")):
        try:
            assert no(refused())
        except imaplib.IMAP4.error:
            pass  # imaplib's way of telling BAD
    ok(c.noop())


def test_quota(c):
    assert ok(c.getquotaroot("INBOX")) == [[b"INBOX"], [None]], "no limit is set"


def test_sort_and_thread(c):
    ok(c.create("Sorted"))
    for name in (b"b", b"a", b"c"):
        ok(c.append("Sorted", None, None, MESSAGE.replace(b"one", name).replace(b"<1@", b"<%s@" % name)))
    ok(c.select("Sorted"))
    assert ok(c.sort("(SUBJECT)", "UTF-8", "ALL")) == [b"2 1 3"]
    assert ok(c.uid("SORT", "(REVERSE SUBJECT)", "UTF-8", "ALL")) == [b"3 1 2"]
    assert sorted(ok(c.thread("REFERENCES", "UTF-8", "ALL"))[0].strip(b"()").split(b")(")) == [b"1", b"2", b"3"]
    ok(c.close())
    ok(c.delete("Sorted"))


def test_enable_and_id(c):
    assert c.enable("CONDSTORE")[0] == "OK"
    imaplib.Commands["ID"] = ("AUTH", "SELECTED")
    typ, _ = c._simple_command("ID", '("name" "test")')
    assert typ == "OK"
    assert b"name" in c.response("ID")[1][0].lower()
    assert ok(c.xatom("NOOP"))


def test_shared_folder_on_the_other_server(murder):
    """ann's INBOX is on one server, bob's on the other: one connection opens both, and copies between them."""
    where = {u: murder.roost("mailbox", "find", "user." + u, "--murder", murder.dir).stdout.split("\t")[1] for u in ("mary", "fred")}
    assert len(set(where.values())) == 2, where
    fred, mary = murder.imap("fred"), murder.imap("mary")
    ok(mary.create("Plans"))
    ok(mary.append("Plans", None, None, MESSAGE))
    ok(mary.setacl("Plans", "fred", "lrswipte"))
    ok(fred.append("INBOX", None, None, MESSAGE.replace(b"one", b"own")))
    assert ok(fred.select("INBOX"))[0] != b"0"
    listed = [x.decode() for x in ok(fred.list('""', "*"))]
    assert any("Other Users/mary/Plans" in x for x in listed), listed
    n = int(ok(fred.select('"Other Users/mary/Plans"'))[0])
    assert n == 1
    assert b"one" in ok(fred.fetch("1", "(BODY.PEEK[HEADER])"))[0][1]
    ok(fred.copy("1", "INBOX"))
    ok(fred.select("INBOX"))
    ids = ok(fred.search(None, "SUBJECT", "own"))[0].split()
    ok(fred.copy(ids[-1].decode(), '"Other Users/mary/Plans"'))
    ok(mary.select("Plans"))
    assert ok(mary.search(None, "SUBJECT", "own")) == [b"2"]
    ok(fred.search(None, "SUBJECT", "one"))
    fred.logout()
    mary.logout()


def test_admin(murder):
    a = murder.imap("admin")
    ok(a.create("user/ann/ByAdmin"))
    ok(a.setacl("user/ann/ByAdmin", "anyone", "lr"))
    ok(a.create("announce"))
    ok(a.setacl("announce", "anyone", "lrs"))
    bob = murder.imap("bob")
    ok(bob.select('"Shared Folders/announce"'))
    ok(a.delete("user/ann/ByAdmin"))
    ok(a.delete("announce"))
    bob.logout()
    a.logout()
    assert ADMIN
