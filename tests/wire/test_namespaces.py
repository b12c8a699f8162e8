"""Namespaces as Cyrus has them: altnamespace, unixhierarchysep and virtdomains in every combination, on a backend and through a frontend. What a
name is to whom is computed here anew, from the internal name."""
import itertools
import re

import pytest

from pop3 import Pop3
from roost import PASSWORD, Murder, Raw
from test_imap_session import no, ok
from test_lmtp import deliver, say

COMBINATIONS = list(itertools.product((True, False), ("/", "."), (False, True)))


class World:
    def __init__(self, alt, sep, virt):
        self.alt, self.sep, self.virt = alt, sep, virt
        self.at = "@example.com" if virt else ""
        self.users = ["fred" + self.at, "bob" + self.at, "eve@example.org" if virt else "eve", "joe"]
        self.fred, self.bob, self.eve, self.joe = self.users
        limits = {"altnamespace": "yes" if alt else "no", "unixhierarchysep": "yes" if sep == "/" else "no",
                  "virtdomains": "userid" if virt else "off"}
        if virt:
            limits["defaultdomain"] = "default.org"
        self.murder = Murder(users=self.users, limits=limits).start()
        self.fe = self.murder.add_frontend(limits)
        self.populate()

    def name(self, text, domain=None):
        """An administrator's name, written with '/'."""
        return text.replace("/", self.sep) + (self.at if domain is None else domain)

    def populate(self):
        a = self.murder.raw().login("admin")
        dot = "v1.2" if self.sep == "/" else "v1-2"
        self.internal = {}  # an internal name -> its domain
        for text, domain in (("user/fred", None), ("user/bob", None), ("news", None), ("news/old", None), ("closed", None),
                             ("user/eve", "@example.org" if self.virt else ""), ("user/joe", ""), ("far", "@example.org" if self.virt else "")):
            ok(a.cmd(f'CREATE "{self.name(text, domain)}"'))
            self.internal[text.replace("/", ".")] = (self.at if domain is None else domain)[1:]
        ok(a.cmd(f'DELETEACL "{self.name("closed")}" anyone'))
        a.close()
        f = self.murder.raw().login(self.fred)
        for text in ("Work", "Work/2026", dot, "caf&AOk-", "INBOXes"):
            ok(f.cmd(f'CREATE "{self.own(text)}"'))
            self.internal["user.fred." + text.replace(".", "^").replace("/", ".")] = self.at[1:]
        f.close()
        b = self.murder.raw().login(self.bob)
        for text in ("Box", "Secret"):
            ok(b.cmd(f'CREATE "{self.own(text)}"'))
            self.internal["user.bob." + text] = self.at[1:]
        ok(b.cmd(f'SETACL "{self.own("Box")}" fred lrsk'))  # of his own domain, where there are any
        b.close()

    def own(self, text):
        return ("" if self.alt else "INBOX" + self.sep) + text.replace("/", self.sep)

    def levels(self, internal):
        return internal.replace(".", self.sep).replace("^", "." if self.sep == "/" else "^")

    def external(self, internal, user="fred"):
        """As USER, of example.com if there are domains, sees it."""
        inbox = "user." + user
        if internal == inbox:
            return "INBOX"
        if internal.startswith(inbox + "."):
            return self.own("") + self.levels(internal[len(inbox) + 1:])
        if not self.alt:
            return self.levels(internal)
        if internal.startswith("user."):
            return "Other Users" + self.sep + self.levels(internal[5:])
        return "Shared Folders" + self.sep + self.levels(internal)

    def admins(self, internal):
        domain = self.internal[internal]
        return self.levels(internal) + ("@" + domain if domain else "")

    def seen_by_fred(self):
        names = {"user.fred", "news", "news.old", "user.bob.Box"} | {n for n in self.internal if n.startswith("user.fred.")}
        return names if self.virt else names | {"far"}


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda c: f"alt={'yes' if c[0] else 'no'},sep={c[1]},virt={'userid' if c[2] else 'off'}")
def world(request):
    w = World(*request.param)
    yield w
    w.murder.stop()


@pytest.fixture(params=["backend", "frontend"])
def at(request, world):
    made = []
    daemon = world.murder.first if request.param == "backend" else world.fe

    def log_in(user):
        made.append(world.murder.raw(daemon.imap).login(user))
        return made[-1]
    log_in.daemon = daemon
    yield log_in
    for c in made:
        c.close()


def names_of(lines, word="LIST"):
    found = {}
    for line in lines:
        m = re.match(rf'\* {word} \(([^)]*)\) "(.)" (?:"(.*)"|(\S+))$', line)
        assert m, line
        name = m.group(3) if m.group(3) is not None else m.group(4)
        assert name not in found, "told twice: " + name
        found[name] = set(m.group(1).split())
    return found


def count(c, mailbox):
    return int(re.search(r"MESSAGES (\d+)", ok(c.cmd(f'STATUS "{mailbox}" (MESSAGES)'))[0]).group(1))


def test_namespace(world, at):
    s = world.sep
    shared = f'(("Shared Folders{s}" "{s}"))' if world.alt else f'(("" "{s}"))'
    others = f'(("Other Users{s}" "{s}"))' if world.alt else f'(("user{s}" "{s}"))'
    own = f'(("" "{s}"))' if world.alt else f'(("INBOX{s}" "{s}"))'
    assert ok(at(world.fred).cmd("NAMESPACE")) == [f"* NAMESPACE {own} {others} {shared}"]
    # Administrators have the plain one in any case.
    assert ok(at("admin").cmd("NAMESPACE")) == [f'* NAMESPACE (("INBOX{s}" "{s}")) (("user{s}" "{s}")) (("" "{s}"))']
    assert ok(at(world.fred).cmd('LIST "" ""')) == [f'* LIST (\\Noselect) "{s}" ""']


def test_list_and_what_it_tells_can_be_used(world, at):
    c = at(world.fred)
    want = {world.external(n) for n in world.seen_by_fred()}
    listed = names_of(ok(c.cmd('LIST "" *')))
    assert {n for n, a in listed.items() if r"\NonExistent" not in a and r"\Noselect" not in a} == want
    for name in want:
        assert name in names_of(ok(c.cmd(f'LIST "" "{name}"')))
        ok(c.cmd(f'SELECT "{name}"'))
        ok(c.cmd(f'STATUS "{name}" (MESSAGES UIDNEXT)'))
        ok(c.cmd(f'MYRIGHTS "{name}"'))
        ok(c.cmd("UNSELECT"))
    tops = {n.split(world.sep)[0] for n in want}
    assert set(names_of(ok(c.cmd('LIST "" %')))) == tops
    for top in tops:
        below = {world.sep.join(n.split(world.sep)[:2]) for n in want if n.startswith(top + world.sep)}
        assert set(names_of(ok(c.cmd(f'LIST "" "{top}{world.sep}%"')))) == below
        # The reference is what stands before.
        assert set(names_of(ok(c.cmd(f'LIST "{top}{world.sep}" %')))) == below
    assert not ok(c.cmd('LIST "" "user.*"')) if world.sep == "/" else True


def test_administrators_see_all_with_their_domains(world, at):
    a = at("admin")
    want = {world.admins(n) for n in world.internal}
    listed = {n for n, x in names_of(ok(a.cmd('LIST "" *'))).items() if not x & {r"\NonExistent", r"\Noselect"}}
    assert listed == want
    for name in want:
        ok(a.cmd(f'SELECT "{name}"'))
        ok(a.cmd(f'GETACL "{name}"'))
    ok(a.cmd("UNSELECT"))


def test_identifiers(world, at):
    """A user names others of his own domain without it; the ACL has whole names."""
    bob = at(world.bob)
    words = ok(bob.cmd(f'GETACL "{world.own("Box")}"'))[0].replace('"', "").split()
    assert world.fred in words and world.bob in words
    ok(bob.cmd(f'SETACL "{world.own("Box")}" -fred s'))
    assert ok(at(world.fred).cmd(f'MYRIGHTS "{world.external("user.bob.Box")}"'))[0].endswith(" lrkc")
    ok(bob.cmd(f'DELETEACL "{world.own("Box")}" -fred'))
    assert ok(at(world.fred).cmd(f'MYRIGHTS "{world.external("user.bob.Box")}"'))[0].endswith(" lrskc")
    line = ok(bob.cmd(f'LISTRIGHTS "{world.own("Box")}" bob'))[0]
    assert " bob lkxanc " in line, "he is the owner, whichever way he is named"


def test_create_rename_delete(world, at):
    c = at(world.fred)
    s = world.sep
    ok(c.cmd(f'CREATE "{world.own("New/deep/er")}"'))
    ok(c.cmd(f'CREATE "{world.own("New")}{s}"')), "a separator at the end is dropped"
    assert world.own("New/deep/er") in names_of(ok(c.cmd('LIST "" *')))
    assert "ALREADYEXISTS" in no(c.cmd(f'CREATE "{world.own("New")}"')[1])
    ok(c.cmd(f'RENAME "{world.own("New")}" "{world.own("Newer")}"'))
    listed = names_of(ok(c.cmd('LIST "" *')))
    assert world.own("Newer/deep/er") in listed and not any(re.search(r"New\b", n) for n in listed)
    # Below another's mailbox, where he may.
    there = world.external("user.bob.Box")
    ok(c.cmd(f'CREATE "{there}{s}mine"'))
    ok(at(world.bob).cmd(f'STATUS "{world.own("Box/mine")}" (MESSAGES)'))
    ok(at(world.bob).cmd(f'DELETE "{world.own("Box/mine")}"'))
    ok(c.cmd(f'RENAME "{world.own("Newer/deep/er")}" "{there}{s}moved"'))
    ok(at(world.bob).cmd(f'DELETE "{world.own("Box/moved")}"'))
    ok(c.cmd(f'DELETE "{world.own("Newer")}"'))
    for text in ("user.bob.Secret.x", "user.bob.y", "user.nobody", "closed.x", "brandnew"):
        assert no(c.cmd(f'CREATE "{world.external(text)}"')[1]), text
    a = at("admin")
    ok(a.cmd(f'CREATE "{world.name("news/new")}"'))
    ok(a.cmd(f'RENAME "{world.name("news/new")}" "{world.name("fresh/er")}"'))
    assert world.external("fresh.er") in names_of(ok(c.cmd('LIST "" *')))
    ok(a.cmd(f'DELETE "{world.name("fresh/er")}"'))


@pytest.mark.parametrize("name", ["", "a//b", "//", "/a", "a*b", "a%b", "a!b", "caf&", "&AGE-", "Other Users", "Shared Folders", "user"])
def test_names_that_cannot_be(world, at, name):
    if name in ("Other Users", "Shared Folders") and not world.alt or name == "user" and world.alt:
        return
    c = at(world.fred)
    wire = name.replace("/", world.sep)
    before = names_of(ok(c.cmd('LIST "" *')))
    for command in (f'CREATE "{wire}"', f'RENAME "{world.own("Work")}" "{wire}"'):
        done = c.cmd(command)[1]
        assert done.startswith(("NO", "BAD")), (command, done)
    assert names_of(ok(c.cmd('LIST "" *'))) == before


def test_the_other_separator(world, at):
    """'.' within a level goes with '/' between them; '/' never goes within one."""
    c = at(world.fred)
    if world.sep == "/":
        assert world.own("v1.2") in names_of(ok(c.cmd('LIST "" *')))
        assert no(c.cmd(f'CREATE "{world.own("v1^2")}"')[1]), "'^' is what '.' is inside"
    else:
        assert no(c.cmd(f'CREATE "{world.own("")}a/b"')[1])
        ok(c.cmd(f'CREATE "{world.own("a.b")}"')), "levels"
        ok(c.cmd(f'DELETE "{world.own("a.b")}"'))


def test_subscriptions(world, at):
    c = at(world.fred)
    want = {world.external(n) for n in world.seen_by_fred()}
    for name in want:
        ok(c.cmd(f'SUBSCRIBE "{name}"'))
    assert set(names_of(ok(c.cmd('LSUB "" *')), "LSUB")) == want
    assert set(names_of(ok(c.cmd('LSUB "" %')), "LSUB")) == {n.split(world.sep)[0] for n in want}
    assert {n for n, a in names_of(ok(c.cmd('LIST (SUBSCRIBED) "" *'))).items() if r"\Subscribed" in a} == want
    for name in want:
        ok(c.cmd(f'UNSUBSCRIBE "{name}"'))
    assert names_of(ok(c.cmd('LSUB "" *')), "LSUB") == {}


def test_quota_roots_are_named_as_mailboxes(world, at):
    a, c = at("admin"), at(world.fred)
    root = world.name("user/fred")
    assert ok(a.cmd(f'SETQUOTA "{root}" (MESSAGE 1000)'))[0].replace('"', "").startswith(f"* QUOTA {root} (MESSAGE ")
    line = ok(c.cmd(f'GETQUOTAROOT "{world.own("Work/2026")}"'))[0].replace('"', "")
    assert line == f"* QUOTAROOT {world.own('Work/2026')} INBOX"
    ok(a.cmd(f'SETQUOTA "{world.name("user/bob")}" (MESSAGE 1000)'))
    line = ok(c.cmd(f'GETQUOTAROOT "{world.external("user.bob.Box")}"'))[0].replace('"', "")
    assert line == f"* QUOTAROOT {world.external('user.bob.Box')} {world.external('user.bob')}"


def test_lmtp_addresses(world, at):
    """user+folder, whatever the namespace shows; a shared folder behind a lone '+'; the default domain's users without a domain."""
    c, a = at(world.fred), at("admin")
    ok(c.cmd(f'SETACL "{world.own("Work/2026")}" anyone p'))
    ok(a.cmd(f'SETACL "{world.name("news/old")}" anyone lrsp'))
    deep, old = world.own("Work/2026"), world.external("news.old")

    def send(local, domain=None):
        l = Raw(at.daemon.lmtp)  # noqa: E741
        l.reply()
        say(l, "LHLO x")
        address = local.replace("/", world.sep) + ("@example.com" if domain is None else domain)
        answers = deliver(l, [address], b"Subject: x\r\n\r\nx\r\n")
        l.close()
        return answers[0][0]

    def grows(mailbox, session, *address):
        before = count(session, mailbox)
        assert send(*address) == 250, address
        assert count(session, mailbox) == before + 1, address
    grows("INBOX", c, "fred")
    grows("INBOX", c, "FRED")
    grows("INBOX", c, "fred+")
    grows("INBOX", c, "fred+Work"), "nobody may post there"
    grows("INBOX", c, "fred+Nowhere")
    grows(deep, c, "fred+Work/2026")
    grows("INBOX", c, "fred+work/2026"), "folders are as they are written"
    grows(old, c, "+news/old")
    assert send("+news") == 550, "nobody may post there"
    assert send("+closed") == 550
    assert send("+user/fred") == 550, "a user's mailboxes are not shared ones"
    assert send("+user/fred/Work/2026") == 550
    assert send("nobody") == 550
    if world.virt:
        joe = at(world.joe)
        grows("INBOX", joe, "joe", "@default.org")
        grows("INBOX", joe, "joe", "")
        assert send("joe") == 550, "he is of another domain"
        assert send("fred", "@example.org") == 550
        grows("INBOX", at(world.eve), "eve", "@EXAMPLE.ORG")
    else:
        grows("INBOX", at(world.joe), "joe", "@whatever.example"), "domains do not matter"
        grows("INBOX", c, "fred", "")


def test_pop3_has_the_inbox(world, at):
    c = at(world.fred)
    ok(c.cmd(b"APPEND INBOX {14+}\r\nSubject: x\r\n\r\n"))
    p = Pop3(at.daemon.pop3, world.fred)
    assert p.ok("STAT").split()[0] == str(count(c, "INBOX"))
    p.ok("QUIT")
    p.close()
    p = Pop3(at.daemon.pop3)
    p.ok("USER eve" if world.virt else "USER nobody")
    p.err(f"PASS {PASSWORD}")
    p.close()
