r"""INBOXes that make themselves, at the first login and for the first mail: on a backend, through frontends, by many at once."""
import subprocess
import threading

import pytest

from roost import ROOST, Murder, Raw
from test_imap_list import rows
from test_imap_session import no, ok

KEYS = {"autocreate": "yes", "autocreate_post": "yes", "autocreate_inbox_folders": "Drafts | Gesendet | Entwürfe/Alt | Mist|",
        "autocreate_subscribe_folders": "Drafts|Gesendet", "xlist-sent": "Gesendet", "xlist-junk": "Mist", "autocreate_quota": "1000"}
ALL = {"INBOX", "Drafts", "Gesendet", "Mist", "Entw&APw-rfe", "Entw&APw-rfe/Alt"}
USERS = ["fred", "bob", "ann", "cleo", "dora", "emil", "gus", "hans"]


@pytest.fixture(scope="module")
def murder():
    m = Murder(users=USERS, backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}, limits=dict(KEYS)).start()
    m.add_frontend({"autocreate": "yes", "autocreate_post": "yes"})
    m.add_frontend({"autocreate": "yes", "autocreate_post": "yes"})
    yield m
    m.stop()


def send(port, *to):
    """The codes for each RCPT, sent in one go, then for each that was taken."""
    c = Raw(port)
    c.line()
    c.send("LHLO x\r\n")
    while c.line()[3] == "-":
        pass
    c.send("MAIL FROM:<a@example.com>\r\n" + "".join(f"RCPT TO:<{x}>\r\n" for x in to) + "NOOP\r\n")
    assert c.line().startswith("250")
    codes = [c.line()[:3] for _ in to]
    assert c.line().startswith("250 2.0.0")
    if "250" in codes:
        c.send("DATA\r\n")
        assert c.line().startswith("354")
        c.send("Subject: x\r\n\r\nx\r\n.\r\n")
        codes += [c.line()[:3] for x in codes if x == "250"]
    c.close()
    return codes


def everything(c):
    return rows(c.cmd('LIST "" * RETURN (SUBSCRIBED)'))


def check_all(c):
    found = everything(c)
    assert set(found) == ALL, found
    assert r"\NonExistent" in found["Entw&APw-rfe"][0]
    assert {n for n, (a, _) in found.items() if r"\Subscribed" in a} == {"INBOX", "Drafts", "Gesendet"}
    assert {n: a & {r"\Sent", r"\Junk", r"\Drafts"} for n, (a, _) in found.items() if a & {r"\Sent", r"\Junk", r"\Drafts"}} == \
        {"Gesendet": {r"\Sent"}, "Mist": {r"\Junk"}, "Drafts": {r"\Drafts"}}
    ok(c.cmd("SELECT INBOX"))
    assert any("STORAGE 0 1000" in x for x in ok(c.cmd("GETQUOTAROOT INBOX")))


def directory(m):
    """What the directory says, by a frontend that has just asked it."""
    c = Raw(m.frontends[0].imap).login("admin")
    ok(c.cmd("NOOP"))
    found = set(rows(c.cmd('LIST "" *')))
    c.close()
    return found


def test_first_login_at_a_backend(murder):
    c = murder.raw().login("fred")
    check_all(c)
    ok(c.cmd("DELETE Mist"))
    c.close()
    c = murder.raw().login("fred")
    assert set(everything(c)) == ALL - {"Mist"}, "once"
    c.close()
    assert {"user/fred", "user/fred/Gesendet"} <= directory(murder)


def test_first_login_through_a_frontend(murder):
    c = Raw(murder.frontends[0].imap).login("bob")
    check_all(c)
    other = Raw(murder.frontends[1].imap).login("bob")
    check_all(other)
    for x in (c, other):
        x.close()
    assert {"user/bob", "user/bob/Gesendet"} <= directory(murder)


@pytest.mark.parametrize("user,how", [("ann", "backend"), ("cleo", "frontends"), ("dora", "everywhere")])
def test_many_first_logins_at_once(murder, user, how):
    ports = {"backend": [murder.first.imap] * 8, "frontends": [f.imap for f in murder.frontends] * 4,
             "everywhere": [f.imap for f in murder.frontends] * 3 + [x.imap for x in murder.members.values()] * 2}[how]
    failed = []

    def log_in(port):
        try:
            c = Raw(port).login(user)
            ok(c.cmd("NOOP"))
            c.close()
        except Exception as e:  # told below, by the thread that runs the test
            failed.append(repr(e))
    threads = [threading.Thread(target=log_in, args=(p,)) for p in ports]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed
    c = Raw(murder.frontends[0].imap).login(user)
    check_all(c)
    c.close()
    assert {f"user/{user}", f"user/{user}/Mist"} <= directory(murder)


@pytest.mark.parametrize("user,how", [("emil", "backend"), ("gus", "frontend")])
def test_first_mail(murder, user, how):
    port = murder.first.lmtp if how == "backend" else murder.frontends[0].lmtp
    assert send(port, user, "nobody-of-that-name", user + "+Mist") == ["250", "550", "250", "250", "250"]
    c = Raw(murder.frontends[1].imap).login(user)
    check_all(c)
    # Nobody may post to the folder: both went to INBOX, and of one delivery it keeps one.
    assert any("MESSAGES 1)" in x for x in ok(c.cmd("STATUS INBOX (MESSAGES)")))
    c.close()
    assert "user/nobody-of-that-name" not in directory(murder)


def test_not_for_administrators_and_daemons(murder):
    Raw(murder.frontends[0].imap).login("admin").close()
    murder.raw().login("admin").close()
    for port in (murder.frontends[0].lmtp, murder.first.lmtp):
        for who in ("admin", "frontend", "backenda"):
            assert "550" in send(port, who)
    assert not {"user/admin", "user/frontend", "user/backenda"} & directory(murder)


def test_clients_may_not_ask_for_it(murder):
    for port in (murder.first.imap, murder.frontends[0].imap):
        c = Raw(port).login("hans")
        no(c.cmd("XAUTOCREATE")[1], "BAD")
        c.close()


def test_off_by_default_and_only_for_who_is_listed():
    m = Murder(users=["fred", "bob"]).start()
    try:
        c = m.raw().login("fred")
        assert rows(c.cmd('LIST "" *')) == {}
        c.close()
        assert send(m.first.lmtp, "fred") == ["550"]
    finally:
        m.stop()
    m = Murder(users=["fred", "bob"], limits={"autocreate": "yes", "autocreate_users": "fred"}).start()
    try:
        for user, want in (("fred", {"INBOX"}), ("bob", set())):
            c = m.raw().login(user)
            assert set(rows(c.cmd('LIST "" *'))) == want
            c.close()
    finally:
        m.stop()


@pytest.mark.parametrize("key,value,words", [("xlist-nothing", "Sent", "xlist-nothing"), ("autocreate_inbox_folders", "Drafts | a//b", "a//b"),
                                             ("autocreate_subscribe_folders", "Other Users/x", "Other Users")])
def test_what_cannot_be_is_refused_at_the_start(murder, tmp_path, key, value, words):
    path = tmp_path / "bad.conf"
    path.write_text("".join(f"{k}: {v}\n" for k, v in {**murder.first.values, key: value}.items()))
    r = subprocess.run([ROOST, "backend", "-C", str(path)], capture_output=True, text=True, timeout=20)
    assert r.returncode != 0 and words in r.stderr + r.stdout, (r.stderr, r.stdout)
