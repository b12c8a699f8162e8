"""URLAUTH (RFC 4467) and URL-PARTIAL (RFC 5550), on a backend and through a frontend; CATENATE of what lies on another server."""
import re
import subprocess
import time

import pytest

from roost import ROOST, Murder, wait_for
from test_imap_append import literal
from test_imap_catenate import PARTED, body, cat, fill_parted, text, url
from test_imap_search import fill
from test_imap_session import no, ok


@pytest.fixture
def c(session):
    c = session()
    fill_parted(c)
    yield c
    ok(c.cmd("RESETKEY"))
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def rump(access="anonymous", what="/Box/;UID=3/;SECTION=1", user="fred", expire=""):
    return f"imap://{user}@host{what}{expire};URLAUTH={access}"


def generate(c, *rumps):
    lines, done = c.cmd("GENURLAUTH " + " ".join(f'"{r}" INTERNAL' for r in rumps))
    assert done.startswith("OK"), done
    lines = [x for x in lines if x.startswith("* GENURLAUTH ")]
    assert len(lines) == 1, lines
    made = re.findall(r'"([^"]*)"', lines[0])
    assert len(made) == len(rumps)
    for r, m in zip(rumps, made):
        assert re.fullmatch(re.escape(r) + r":internal:[0-9a-f]{64}", m), m
    return made


def urlfetch(c, *urls):
    """The octets of each; None: NIL."""
    c.send("u URLFETCH " + " ".join(f'"{u}"' for u in urls) + "\r\n")
    found = {}
    while True:
        line = c.line()
        m = re.fullmatch(r'\* URLFETCH "([^"]*)" (?:NIL|\{(\d+)\})', line)
        if not m:
            assert line.startswith("u OK"), line
            return [found[u] for u in urls]
        found[m.group(1)] = None
        if m.group(2) is not None:
            found[m.group(1)] = c.read(int(m.group(2)))
            assert c.line() == ""


def test_an_authorized_url_gives_what_it_names(c, session):
    assert any(" URLAUTH" in x and "URL-PARTIAL" in x for x in ok(c.cmd("CAPABILITY")))
    assert any("[URLMECH INTERNAL]" in x for x in ok(c.cmd("SELECT Box")))
    made = generate(c, rump(), rump("user+bob"), rump("authuser", "/Box/;UID=3/;SECTION=2/;PARTIAL=3.6"), rump("submit+bob"))
    bob, ann = session("bob"), session("ann")
    assert urlfetch(bob, *made) == [b"first part", b"first part", b"second", None]
    assert urlfetch(ann, *made) == [b"first part", None, b"second", None]
    assert generate(c, rump()) == made[:1], "the key stays"
    assert urlfetch(bob, *generate(c, rump(what="/Box/;UID=3"))) == [PARTED]


def test_what_is_changed_is_void(c):
    made, = generate(c, rump())
    flipped = made[:-1] + ("0" if made[-1] != "0" else "1")
    others = [flipped, made.replace("UID=3", "UID=2"), made.replace("SECTION=1", "SECTION=2"), made.replace("anonymous", "authuser"),
              made.replace("@host", "@other"), made.replace(":internal:", ":other:"), made[:-32], made + "00", made.replace("fred@", "bob@"),
              made.replace("fred@", ""), made.split(":internal:")[0], made.replace("/Box/", "/INBOX/"), "/Box/;UID=3", "imap://fred@host/Box/;UID=3",
              made.replace("UID=3", "uid=3")]
    assert urlfetch(c, made, *others) == [b"first part"] + [None] * len(others)
    assert urlfetch(c, made.upper().replace("FRED", "fred").replace("HOST", "host").replace("BOX", "Box")) == [None]
    assert urlfetch(c, made.replace(":internal:", ":INTERNAL:")) == [b"first part"]
    assert urlfetch(c, made[:-64] + made[-64:].upper()) == [b"first part"]


def test_expiry(c):
    def at(seconds):
        return time.strftime(";EXPIRE=%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    made = generate(c, rump(expire=at(3600)), rump(expire=at(-1)), rump(expire=";EXPIRE=2006-11-09T08:00:00-08:00"))
    assert urlfetch(c, *made) == [b"first part", None, None]


def test_keys_are_reset(c, session):
    c.cmd("DELETE Box2")
    ok(c.cmd("CREATE Box2"))
    ok(c.cmd(b"APPEND Box2 " + literal(PARTED)))
    one, two = generate(c, rump(), rump(what="/Box2/;UID=1/;SECTION=2"))
    assert c.cmd("RESETKEY Box INTERNAL")[1].startswith("OK [URLMECH INTERNAL]")
    assert urlfetch(c, one, two) == [None, b"<p>second</p>"]
    again, = generate(c, rump())
    assert again != one and urlfetch(c, again) == [b"first part"]
    # Another user's keys are his.
    ok(session("bob").cmd("RESETKEY"))
    assert urlfetch(c, again, two) == [b"first part", b"<p>second</p>"]
    assert c.cmd("RESETKEY")[1].startswith("OK [URLMECH INTERNAL]")
    assert urlfetch(c, again, two) == [None, None]
    assert urlfetch(c, *generate(c, rump())) == [b"first part"]
    ok(c.cmd("DELETE Box2"))


def test_a_url_ends_with_its_mailbox_and_its_rights(c, session):
    bob = session("bob")
    ok(c.cmd("SETACL Box bob lr"))
    made, = generate(bob, rump(user="bob", what="/Other%20Users/fred/Box/;UID=3/;SECTION=1"))
    assert urlfetch(c, made) == [b"first part"]
    ok(c.cmd("SETACL Box bob ls"))
    assert urlfetch(c, made) == [None]
    mine, = generate(c, rump())
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("RENAME Box Moved"))
    assert urlfetch(c, mine) == [None]
    ok(c.cmd("RENAME Moved Box"))
    assert urlfetch(c, mine) == [b"first part"]
    ok(c.cmd("DELETE Box"))
    fill(c, count=3)
    assert urlfetch(c, mine) == [None]


@pytest.mark.parametrize("command,wanted", [
    ("GENURLAUTH", "BAD"), ("GENURLAUTH x", "BAD"), ('GENURLAUTH "imap://fred@host/Box/;UID=3" INTERNAL', "BAD"),
    ('GENURLAUTH "/Box/;UID=3;URLAUTH=anonymous" INTERNAL', "BAD"), ('GENURLAUTH "imap://host/Box/;UID=3;URLAUTH=anonymous" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://fred@host/Box;URLAUTH=anonymous" INTERNAL', "BAD"), ('GENURLAUTH "imap://fred@host/Box/;UID=3;URLAUTH=all" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://fred@host/Box/;UID=3;EXPIRE=soon;URLAUTH=anonymous" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://fred@host/Box/;UID=3;URLAUTH=anonymous:internal:91354a473744909de610943775f92038" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://bob@host/INBOX/;UID=3;URLAUTH=anonymous" INTERNAL', "NO"), ('GENURLAUTH "imap://fred@host/Nowhere/;UID=3;URLAUTH=anonymous" INTERNAL', "NO"),
    ('GENURLAUTH "imap://fred@host/Other%20Users/bob/;UID=3;URLAUTH=anonymous" INTERNAL', "NO"),
    ('GENURLAUTH "imap://fred@host/Box;UIDVALIDITY=1/;UID=3;URLAUTH=anonymous" INTERNAL', "NO"),
    ('GENURLAUTH "imap://fred@host/Box/;UID=3;URLAUTH=anonymous" XSECRET', "NO"), ('GENURLAUTH "imap://fred@host/Box/;UID=3;URLAUTH=anonymous"', "BAD"),
    ("RESETKEY Nowhere", "NO"), ("RESETKEY Box XSECRET", "NO"), ("RESETKEY Box INTERNAL ", "BAD"), ("RESETKEY (", "BAD"), ("URLFETCH", "BAD"),
    ("URLFETCH (", "BAD"), ("URLFETCH x ", "BAD"),
])
def test_malformed_or_refused(c, command, wanted):
    lines, done = c.cmd(command)
    assert done.startswith(wanted), done
    assert not any("GENURLAUTH" in x for x in lines), lines


def test_submission_servers():
    m = Murder(users=["fred", "submit"], limits={"submitservers": "submit", "imap_url_hosts": "mail.example.org other.example.org"}).start()
    try:
        for u in ("fred", "submit"):
            m.create_user(u)
        c, submit = m.raw().login("fred"), m.raw().login("submit")
        fill(c, count=1)
        ok(c.cmd(b"APPEND Box " + literal(PARTED)))
        name = "imap://fred@mail.example.org/Box/;UID=2/;SECTION=1;URLAUTH=submit+fred"
        made, = generate(c, name)
        assert urlfetch(submit, made) == [b"first part"] and urlfetch(c, made) == [None]
        assert no(c.cmd(f'GENURLAUTH "{name.replace("mail.", "far.")}" INTERNAL')[1])
        assert cat(c, url("imap://far.example.org/Box/;UID=2"))[1].startswith("NO [BADURL")
        ok(cat(c, url("imap://OTHER.example.org/Box/;UID=2")))
        # After a restart it is as good; and nobody is shown the key.
        dump = subprocess.run([ROOST, "dump", "-C", m.first.config], capture_output=True, text=True, check=True).stdout
        assert re.search(r"^attribute uid=0 user=fred name=secret:urlauth hash=[0-9a-f]{16}$", dump, re.M), dump
        m.first.stop()
        m.first.start()
        wait_for(lambda: m.imap("submit"), "it serves again").logout()
        submit = m.raw().login("submit")
        assert urlfetch(submit, made) == [b"first part"]
    finally:
        m.stop()


# Through the frontend, from one server to the other.

@pytest.fixture
def elsewhere(fronted):
    """Fred, and a mailbox on the other server that he may read, with PARTED in it."""
    port = fronted.frontends[0].imap
    admin, c = fronted.raw(port).login("admin"), fronted.raw(port).login("fred")
    admin.cmd("DELETE elsewhere")
    ok(admin.cmd("CREATE elsewhere backendb"))
    ok(admin.cmd("SETACL elsewhere fred lrsiwte"))
    fill(c, count=2)
    ok(c.cmd(b'APPEND "Shared Folders/elsewhere" ' + literal(PARTED)))
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")
    ok(admin.cmd("DELETE elsewhere"))
    admin.close()
    c.close()


THERE = "/Shared%20Folders/elsewhere/;UID=1"


def test_catenate_across_servers(elsewhere):
    c = elsewhere
    done = cat(c, text(b"A: b\r\n"), url(THERE + "/;SECTION=1.MIME"), text(b"+"), url("/Box/;UID=2/;SECTION=TEXT"), url(THERE + "/;SECTION=1"))[1]
    assert re.search(r"APPENDUID \d+ 3\]", done), done
    assert body(c, 3) == b"A: b\r\nContent-Type: text/plain\r\n\r\n+body 2\r\nfirst part"
    # Of what is selected here, there.
    done = cat(c, text(b"A: b\r\n\r\n"), url(";UID=2/;SECTION=TEXT"), url(THERE + "/;SECTION=2"), command='APPEND "Shared Folders/elsewhere"')[1]
    assert done.startswith("OK"), done
    ok(c.cmd('SELECT "Shared Folders/elsewhere"'))
    assert body(c, 2) == b"A: b\r\n\r\nbody 2\r\n<p>second</p>"
    # And in place of another.
    ok(c.cmd("SELECT Box"))
    lines, done = cat(c, url(";UID=2"), command='UID REPLACE 2 "Shared Folders/elsewhere"')
    assert done.startswith("OK") and "* 2 EXPUNGE" in lines, (lines, done)
    ok(c.cmd('SELECT "Shared Folders/elsewhere"'))
    assert body(c, 3).startswith(b"Subject: number 2")


@pytest.mark.parametrize("u", [THERE.replace("UID=1", "UID=9"), THERE.replace("/;UID", ";UIDVALIDITY=1/;UID"), THERE + "/;SECTION=7", "/Shared%20Folders/nowhere/;UID=1"])
def test_a_bad_url_of_another_server(elsewhere, u):
    assert cat(elsewhere, text(b"A: b\r\n\r\n"), url(u))[1].startswith(f'NO [BADURL "{u}"]')
    assert "MESSAGES 2" in ok(elsewhere.cmd("STATUS Box (MESSAGES)"))[0]


def test_too_much_from_another_server(elsewhere):
    c = elsewhere
    ok(c.cmd(b'APPEND "Shared Folders/elsewhere" ' + literal(b"Subject: big\r\n\r\n" + b"x" * 700000)))
    big = url(THERE.replace("UID=1", "UID=2"))
    assert cat(c, big, big)[1].startswith("NO [TOOBIG]")
    assert cat(c, *[big] * 6)[1].startswith("NO [TOOBIG]")
    ok(c.cmd("NOOP"))
    assert "MESSAGES 2" in ok(c.cmd("STATUS Box (MESSAGES)"))[0]


def test_urls_of_both_servers(elsewhere, fronted):
    c = elsewhere
    here, there = generate(c, rump(what="/Box/;UID=1/;SECTION=TEXT"), rump(what=THERE + "/;SECTION=1"))
    gone = here.replace("/Box/", "/Nowhere/")
    assert urlfetch(c, here, gone, there) == [b"body 1\r\n", None, b"first part"]
    bob = fronted.raw(fronted.frontends[0].imap).login("bob")
    assert urlfetch(bob, there, here) == [b"first part", b"body 1\r\n"]
    lines, done = c.cmd(f'GENURLAUTH "{rump(what="/Box/;UID=1")}" INTERNAL "{rump(what="/Nowhere/;UID=1")}" INTERNAL')
    assert done.startswith("NO") and not lines
    ok(c.cmd("RESETKEY"))
    assert urlfetch(c, here, there) == [None, None], "on both servers"
    bob.close()


def test_many_urls_that_name_nothing(elsewhere):
    here, = generate(elsewhere, rump(what="/Box/;UID=1/;SECTION=TEXT"))
    there, = generate(elsewhere, rump(what=THERE + "/;SECTION=1"))
    assert urlfetch(elsewhere, *[f"x{i}" for i in range(45)], here, *[f"y{i}" for i in range(45)], there) == [None] * 45 + [b"body 1\r\n"] + [None] * 45 + [b"first part"]
    assert elsewhere.cmd("URLFETCH" + " x" * 101)[1].startswith("BAD")


def test_a_server_that_is_away(elsewhere, fronted):
    c = elsewhere
    here, there = generate(c, rump(what="/Box/;UID=1/;SECTION=TEXT"), rump(what=THERE + "/;SECTION=1"))
    away = fronted.members["backendb1"]
    away.stop()
    try:
        assert urlfetch(c, here) == [b"body 1\r\n"]
    finally:
        away.start()
        wait_for(lambda: fronted.imap("fred", member=away), "it serves again").logout()
    assert wait_for(lambda: urlfetch(c, here, there) == [b"body 1\r\n", b"first part"], "both are there", 20)
