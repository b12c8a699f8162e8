"""ACL (RFC 4314) on a backend and through a frontend: every right at every command, with it and without; what is said to those who have not
enough; and the commands themselves. POP3 and LMTP, too."""
import re

import pytest

from pop3 import Pop3
from roost import PASSWORD, Murder, Raw
from test_imap_session import no, ok
from test_lmtp import deliver, say

RIGHTS = "lrswipkxtean"
BOX = '"Other Users/fred/Box"'
MISSING = '"Other Users/fred/Nowhere"'


@pytest.fixture(scope="module")
def murder():
    m = Murder(users=["fred", "bob", "ann"]).start()
    m.add_frontend()
    for u in ("fred", "bob", "ann"):
        m.create_user(u)
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def at(request, murder):
    """A function that logs in there; Fred's and Bob's mailboxes are those of a new user at first."""
    made = []
    daemon = murder.first if request.param == "backend" else murder.frontends[0]

    def log_in(user):
        made.append(murder.raw(daemon.imap).login(user))
        return made[-1]
    log_in.daemon = daemon
    yield log_in
    for c in made:
        c.close()
    a = murder.raw().login("admin")
    for u in ("fred", "bob", "ann"):
        ok(a.cmd(f"DELETE user/{u}"))
        ok(a.cmd(f"CREATE user/{u}"))
    a.close()


def append(c, mailbox, flags="", body=b"Subject: x\r\n\r\ntext\r\n"):
    return c.cmd(b"APPEND %s (%s) {%d+}\r\n%s" % (mailbox.encode(), flags.encode(), len(body), body))


def flags_of(c, mailbox, uid="*"):
    """The flags of the last message, as Fred sees them."""
    ok(c.cmd(f"EXAMINE {mailbox}"))
    line = next(x for x in ok(c.cmd(f"UID FETCH {uid} FLAGS")) if "FETCH" in x)
    ok(c.cmd("UNSELECT"))
    return set(re.search(r"FLAGS \(([^)]*)\)", line).group(1).split()) - {r"\Recent"}


def count(c, mailbox):
    return int(re.search(r"MESSAGES (\d+)", ok(c.cmd(f"STATUS {mailbox} (MESSAGES)"))[0]).group(1))


class World:
    """Fred's Box, with a message of each kind, and what Bob does to it."""

    def __init__(self, at):
        self.fred, self.bob = at("fred"), at("bob")

    def reset(self, rights):
        f, b = self.fred, self.bob
        b.cmd("UNSELECT")
        for c, name in ((f, "Box/sub"), (f, "Box/Mine"), (f, "Box"), (b, "Mine"), (b, "Keep")):
            c.cmd(f"DELETE {name}")
        ok(f.cmd("CREATE Box"))
        ok(append(f, "Box"))
        ok(append(f, "Box", r"\Deleted"))
        ok(b.cmd("CREATE Keep"))
        ok(append(b, "Keep", r"\Seen \Flagged \Deleted word"))
        if rights:
            ok(f.cmd(f"SETACL Box bob {rights}"))
            b.cmd("NOOP")

    def select(self, verb="SELECT", name=BOX):
        return self.bob.cmd(f"{verb} {name}")[1]


# Each says whether it came to pass, and the tagged answer where one is to be looked at.

def do_list(w):
    return bool([x for x in ok(w.bob.cmd(f'LIST "" {BOX}')) if "Box" in x]), None


def simple(command):
    def do(w):
        done = w.bob.cmd(command.format(box=BOX))[1]
        return done.startswith("OK"), done
    return do


def do_getacl(w):
    lines, done = w.bob.cmd(f"GETACL {BOX}")
    assert done.startswith("OK") == any(x.startswith("* ACL") for x in lines)
    return done.startswith("OK"), done


def store(item, flag):
    def do(w):
        done = w.select()
        if not done.startswith("OK"):
            return False, done
        done = w.bob.cmd(f"STORE 1 {item} ({flag})")[1]
        w.bob.cmd("UNSELECT")
        return flag in flags_of(w.fred, "Box", "1"), done if done.startswith("NO") else None
    return do


def do_fetch_sets_seen(w):
    done = w.select()
    if not done.startswith("OK"):
        return False, done
    ok(w.bob.cmd("FETCH 1 BODY[TEXT]"))
    w.bob.cmd("UNSELECT")
    return r"\Seen" in flags_of(w.fred, "Box", "1"), None


def leaves(command, of="fred", box="Box", left=1):
    """COMMAND, in the selected mailbox: OF has so many in BOX then."""
    def do(w):
        done = w.select()
        if not done.startswith("OK"):
            return False, done
        done = w.bob.cmd(command)[1]
        w.bob.cmd("UNSELECT")
        return count(getattr(w, of), box) == left, done if done.startswith("NO") else None
    return do


def do_append(w):
    done = append(w.bob, BOX)[1]
    return done.startswith("OK"), done


def append_keeps(flag):
    def do(w):
        done = append(w.bob, BOX, r"\Seen \Flagged \Deleted word")[1]
        if not done.startswith("OK"):
            return False, done
        return flag in flags_of(w.fred, "Box"), None
    return do


def brings(command, flag=None):
    """COPY or MOVE from a mailbox of Bob's own."""
    def do(w):
        ok(w.bob.cmd("SELECT Keep"))
        done = w.bob.cmd(command.format(box=BOX))[1]
        ok(w.bob.cmd("UNSELECT"))
        if not done.startswith("OK"):
            return False, done
        return flag is None or flag in flags_of(w.fred, "Box"), None
    return do


def takes(command):
    """To a mailbox of Bob's own."""
    return leaves(command, "bob", "Keep", 2)


ANY = set("lrikxa")
TABLE = {
    # what                  needs, what does it
    "LIST": ("l", do_list),
    "SELECT": ("r", simple("SELECT {box}")),
    "EXAMINE": ("r", simple("EXAMINE {box}")),
    "STATUS": ("r", simple("STATUS {box} (MESSAGES)")),
    "GETQUOTAROOT": ("r", simple("GETQUOTAROOT {box}")),
    "STORE seen": ("rs", store("+FLAGS", r"\Seen")),
    "STORE flagged": ("rw", store("+FLAGS", r"\Flagged")),
    "STORE word": ("rw", store("+FLAGS", "word")),
    "STORE deleted": ("rt", store("+FLAGS", r"\Deleted")),
    "STORE replace": ("rw", store("FLAGS", r"\Draft")),
    "FETCH": ("rs", do_fetch_sets_seen),
    "EXPUNGE": ("re", leaves("EXPUNGE")),
    "UID EXPUNGE": ("re", leaves("UID EXPUNGE 1:*")),
    "CLOSE": ("re", leaves("CLOSE")),
    "APPEND": ("i", do_append),
    "APPEND seen": ("is", append_keeps(r"\Seen")),
    "APPEND flagged": ("iw", append_keeps(r"\Flagged")),
    "APPEND word": ("iw", append_keeps("word")),
    "APPEND deleted": ("it", append_keeps(r"\Deleted")),
    "COPY to": ("i", brings("COPY 1 {box}")),
    "UID COPY to": ("i", brings("UID COPY 1 {box}")),
    "MOVE to": ("i", brings("MOVE 1 {box}")),
    "COPY seen": ("is", brings("COPY 1 {box}", r"\Seen")),
    "COPY flagged": ("iw", brings("COPY 1 {box}", r"\Flagged")),
    "COPY word": ("iw", brings("COPY 1 {box}", "word")),
    "MOVE deleted": ("it", brings("MOVE 1 {box}", r"\Deleted")),
    "COPY from": ("r", takes("COPY 1 Keep")),
    "MOVE from": ("rte", takes("MOVE 1 Keep")),
    "CREATE": ("k", simple('CREATE "Other Users/fred/Box/sub"')),
    "RENAME to": ("k", simple('RENAME Keep "Other Users/fred/Box/Mine"')),
    "RENAME from": ("x", simple("RENAME {box} Mine")),
    "DELETE": ("x", simple("DELETE {box}")),
    "GETACL": ("a", do_getacl),
    "SETACL": ("a", simple("SETACL {box} ann lr")),
    "DELETEACL": ("a", simple("DELETEACL {box} ann")),
    "LISTRIGHTS": ("a", simple("LISTRIGHTS {box} ann")),
    "MYRIGHTS": (ANY, simple("MYRIGHTS {box}")),
    "SUBSCRIBE": ("", simple("SUBSCRIBE {box}")),
    "UNSUBSCRIBE": ("", simple("UNSUBSCRIBE {box}")),
}
# Whose words are of something else than the mailbox: the parent of what would be made.
ABOUT_OTHERS = {"CREATE", "RENAME to"}


@pytest.mark.parametrize("what", TABLE)
def test_each_right_at_each_command(at, what):
    needs, do = TABLE[what]
    w = World(at)
    sets = ["".join(RIGHTS), "".join(sorted(needs)), "", "l"] + [RIGHTS.replace(r, "") for r in RIGHTS]
    sets += [r for r in RIGHTS if len(needs) < 2]
    for rights in sets:
        has = bool(set(needs) & set(rights)) if needs is ANY else set(needs) <= set(rights)
        w.reset(rights)
        did, done = do(w)
        assert did == has, (what, rights, done)
        if did or done is None or what in ABOUT_OTHERS:
            continue
        # Who may look it up is told that he may not; who may not, what he would be told of one that is not there.
        if "l" in rights:
            assert "[NOPERM]" in done, (what, rights, done)
        elif "r" not in rights or what.split()[0] in ("APPEND", "COPY", "MOVE") and "to" in what:
            assert done.startswith(("NO [NONEXISTENT]", "NO [TRYCREATE]")), (what, rights, done)


@pytest.mark.parametrize("command", ["SELECT {}", "EXAMINE {}", "STATUS {} (MESSAGES)", "DELETE {}", "RENAME {} Mine", "GETACL {}", "MYRIGHTS {}",
                                     "SETACL {} ann lr", "DELETEACL {} ann", "LISTRIGHTS {} ann", "GETQUOTAROOT {}", "GETQUOTA {}", "CREATE {}",
                                     "APPEND {} {{3+}}\r\na:b"])
@pytest.mark.parametrize("rights", ["", "p", "sw", "te"])
def test_what_may_not_be_seen_is_not_there(at, command, rights):
    w = World(at)
    w.reset(rights)
    assert w.bob.cmd(command.format(BOX)) == w.bob.cmd(command.format(MISSING))
    ok(w.bob.cmd("SELECT Keep"))
    for verb in ("COPY", "MOVE"):
        assert w.bob.cmd(f"{verb} 1 {BOX}")[1] == w.bob.cmd(f"{verb} 1 {MISSING}")[1]
    for pattern in ('"Other Users/*"', "*", '"Other Users/%"', "%"):
        assert not any("fred" in x for x in ok(w.bob.cmd(f'LIST "" {pattern}')))


def acl_of(c, mailbox):
    words = ok(c.cmd(f"GETACL {mailbox}"))[0].replace('"', "").split()[3:]
    return dict(zip(words[::2], words[1::2]))


def test_acl_commands_from_the_rfc(at):
    """Sections 2.1.1 and 3, with c for k, and d for x, t and e."""
    c = at("fred")
    ok(c.cmd("CREATE Drafts"))
    assert acl_of(c, "Drafts") == {"fred": "lrswipkxteancd"}
    ok(c.cmd("SeTacl Drafts David lrswida"))
    assert acl_of(c, "Drafts")["David"] == "lrswixtead"
    ok(c.cmd("Setacl Drafts Byron lrswikda"))
    assert acl_of(c, "Drafts")["Byron"] == "lrswikxteacd"
    ok(c.cmd("SETACL Drafts Tom t"))
    assert acl_of(c, "Drafts")["Tom"] == "td", "d is told for any of its members"
    ok(c.cmd("SETACL Drafts Chris lrswi"))
    ok(c.cmd("SETACL Drafts Chris +cda"))
    assert acl_of(c, "Drafts")["Chris"] == "lrswikxteacd"
    ok(c.cmd("SETACL Drafts Chris -d"))
    assert acl_of(c, "Drafts")["Chris"] == "lrswikac"
    ok(c.cmd("SETACL Drafts Chris -lrswika"))
    assert "Chris" not in acl_of(c, "Drafts")
    for rights in ("lrQswicda", "lrqswicda", "+Q", "L", "-é", "l r", "*"):
        assert c.cmd(f'SETACL Drafts John "{rights}"')[1].startswith("BAD"), rights
    assert "John" not in acl_of(c, "Drafts")
    ok(c.cmd("SETACL Drafts -fred wetd"))
    ok(c.cmd("DELETEACL Drafts Byron"))
    ok(c.cmd("DELETEACL Drafts nobody"))
    assert set(acl_of(c, "Drafts")) == {"fred", "David", "Tom", "-fred"}
    ok(c.cmd("DELETEACL Drafts fred"))
    assert acl_of(c, "Drafts")["-fred"] == "wxted"
    assert ok(c.cmd("LISTRIGHTS Drafts smith")) == ['* LISTRIGHTS Drafts smith "" l r s w i p k x t e a n c d']
    assert ok(c.cmd("LISTRIGHTS Drafts fred")) == ["* LISTRIGHTS Drafts fred lkxanc r s w i p t e d"]
    for command in ('SETACL Drafts "" lr', 'DELETEACL Drafts ""', 'LISTRIGHTS Drafts ""', "SETACL Drafts - lr", 'SETACL Drafts "a\tb" lr',
                    "SETACL Drafts bob", "GETACL", "MYRIGHTS", "LISTRIGHTS Drafts"):
        assert c.cmd(command)[1].startswith("BAD"), command
    assert no(c.cmd("SETACL Drafts group:staff lr")[1]), "there are no groups"
    assert "NONEXISTENT" in no(c.cmd("GETACL Nowhere")[1])
    line = next(x for x in ok(c.cmd("CAPABILITY")) if "CAPABILITY" in x)
    assert "ACL" in line.split() and re.search(r"RIGHTS=\w*", line).group(0)[7:] and set("kxte") <= set(re.search(r"RIGHTS=(\w*)", line).group(1))


def test_anyone_and_negative_rights(at):
    w = World(at)
    w.reset("")
    f, b = w.fred, w.bob
    ok(f.cmd("SETACL Box anyone lrs"))
    assert ok(b.cmd(f"MYRIGHTS {BOX}"))[0].endswith(" lrs")
    ok(f.cmd("SETACL Box bob wi"))
    assert ok(b.cmd(f"MYRIGHTS {BOX}"))[0].endswith(" lrswi"), "both count"
    ok(f.cmd("SETACL Box -bob rw"))
    assert ok(b.cmd(f"MYRIGHTS {BOX}"))[0].endswith(" lsi")
    assert "NOPERM" in no(b.cmd(f"SELECT {BOX}")[1])
    ok(f.cmd("SETACL Box -anyone l"))
    assert "NONEXISTENT" in no(b.cmd(f"SELECT {BOX}")[1])
    assert not ok(b.cmd(f'LIST "" {BOX}'))
    ok(f.cmd("DELETEACL Box -bob"))
    ok(f.cmd("DELETEACL Box -anyone"))
    ok(b.cmd(f"SELECT {BOX}"))


def test_owners_and_administrators(at):
    w = World(at)
    w.reset("lra")
    f, b, a = w.fred, w.bob, at("admin")
    ok(b.cmd(f'SETACL {BOX} fred ""'))
    ok(b.cmd(f"SETACL {BOX} -fred lrswipkxtean"))
    assert ok(f.cmd("MYRIGHTS Box"))[0].endswith(" lkxancd"), "an owner never locks himself out"
    assert no(f.cmd("SELECT Box")[1])
    ok(f.cmd("DELETEACL Box -fred"))
    ok(f.cmd("SETACL Box fred lrswipkxtean"))
    ok(f.cmd("SETACL Box bob lrswipkxten"))
    assert "NOPERM" in no(b.cmd(f"SETACL {BOX} bob +a")[1]), "he may do all, but not that"
    assert "NOPERM" in no(b.cmd(f"SETACL {BOX} fred -a")[1])
    ok(a.cmd("SETACL user/fred/Box bob lr"))
    assert ok(a.cmd("MYRIGHTS user/fred/Box"))[0].endswith(" lrswipkxteancd")
    ok(a.cmd("SELECT user/fred/Box"))
    ok(a.cmd("UNSELECT"))
    # What is made below has the ACL of what is above.
    ok(f.cmd("CREATE Box/sub"))
    assert acl_of(f, "Box/sub") == acl_of(f, "Box")
    ok(f.cmd("RENAME Box/sub Sub"))
    assert "bob" in acl_of(f, "Sub"), "a rename leaves it as it is"
    ok(f.cmd("DELETE Sub"))


def test_flags_are_copied_as_far_as_the_target_allows(at):
    """The example of RFC 4314 section 4."""
    w = World(at)
    for rights, kept in (("rwisl", [{r"\Draft"}, {r"\Answered"}, {"$Forwarded", r"\Seen"}]), ("rstil", [{r"\Deleted"}, set(), {r"\Seen"}])):
        w.reset(rights)
        ok(w.bob.cmd("SELECT Keep"))
        ok(w.bob.cmd(r"STORE 1 FLAGS.SILENT (\Deleted)"))
        ok(w.bob.cmd("EXPUNGE"))
        for flags in (r"\Draft \Deleted", r"\Answered", r"$Forwarded \Seen"):
            ok(append(w.bob, "Keep", flags))
        ok(w.bob.cmd("NOOP"))
        ok(w.bob.cmd(f"COPY 1:3 {BOX}"))
        assert [flags_of(w.fred, "Box", str(u)) for u in (3, 4, 5)] == kept


def test_store_of_several_flags_changes_what_it_may(at):
    w = World(at)
    w.reset("lrs")
    ok(w.fred.cmd("SELECT Box"))
    ok(w.fred.cmd(r"STORE 1 FLAGS (\Flagged)"))
    ok(w.fred.cmd("UNSELECT"))
    lines = ok(w.bob.cmd(f"SELECT {BOX}"))
    assert any(r"[PERMANENTFLAGS (\Seen)]" in x for x in lines)
    ok(w.bob.cmd(r"STORE 1 +FLAGS (\Seen \Deleted word)"))
    assert flags_of(w.fred, "Box", "1") == {r"\Seen", r"\Flagged"}
    ok(w.bob.cmd("STORE 1 FLAGS ()"))
    assert flags_of(w.fred, "Box", "1") == {r"\Flagged"}
    assert "NOPERM" in no(w.bob.cmd(r"STORE 1 +FLAGS (\Deleted)")[1])
    assert "NOPERM" in no(w.bob.cmd(r"STORE 1 -FLAGS (\Flagged)")[1])
    w.reset("lr")
    lines, done = w.bob.cmd(f"SELECT {BOX}")
    assert "READ-ONLY" in done and any("[PERMANENTFLAGS ()]" in x for x in lines)
    assert no(w.bob.cmd("STORE 1 FLAGS ()")[1])
    for rights, answer in (("lri", "READ-WRITE"), ("lre", "READ-WRITE"), ("lrs", "READ-WRITE"), ("lrt", "READ-WRITE"), ("lrw", "READ-WRITE"),
                           ("lrpkxa", "READ-ONLY")):
        w.reset(rights)
        assert answer in w.select(), rights


def test_rights_that_change_under_a_session(at):
    w = World(at)
    w.reset("lrswite")
    ok(w.bob.cmd(f"SELECT {BOX}"))
    ok(w.fred.cmd("SETACL Box bob lrs"))
    lines, done = w.bob.cmd(r"STORE 1 +FLAGS (\Flagged)")
    assert "NOPERM" in no(done) and any(r"[PERMANENTFLAGS (\Seen)]" in x for x in lines)
    assert no(w.bob.cmd("EXPUNGE")[1])
    ok(w.fred.cmd("SETACL Box bob lrsw"))
    ok(w.bob.cmd(r"STORE 1 +FLAGS (\Flagged)"))
    ok(w.fred.cmd("DELETEACL Box bob"))
    w.bob.send("z FETCH 1 BODY[TEXT]\r\n")
    seen = [w.bob.line()]
    while seen[-1] and not seen[-1].startswith("* BYE"):
        seen.append(w.bob.line())
    assert seen[-1] == "* BYE you may not read the mailbox any more" and not any("FETCH (" in x for x in seen), seen


def test_idle_ends_with_the_right_to_read(at):
    w = World(at)
    w.reset("lr")
    ok(w.bob.cmd(f"SELECT {BOX}"))
    w.bob.send("i IDLE\r\n")
    assert w.bob.line().startswith("+")
    ok(w.fred.cmd("SETACL Box -bob r"))
    ok(append(w.fred, "Box"))
    seen = [w.bob.line()]
    while seen[-1] and not seen[-1].startswith("* BYE"):
        seen.append(w.bob.line())
    assert seen[-1] == "* BYE you may not read the mailbox any more" and not any("EXISTS" in x for x in seen), seen


def test_pop3_is_under_the_acl_of_the_inbox(at):
    fred, a = at("fred"), at("admin")
    ok(append(fred, "INBOX"))

    def pop():
        p = Pop3(at.daemon.pop3)
        p.ok("USER fred")
        return p, p.cmd(f"PASS {PASSWORD}").startswith("+OK")
    ok(a.cmd("SETACL user/fred fred lswipkxtea"))
    p, answer = pop()
    assert not answer, "he may not read it"
    p.close()
    for rights, left in (("lr", 1), ("lrt", 1), ("lre", 1), ("lrte", 0)):
        ok(a.cmd(f"SETACL user/fred fred {rights}"))
        p, answer = pop()
        assert answer
        p.cmd("DELE 1")
        p.cmd("QUIT")
        p.close()
        ok(a.cmd("SETACL user/fred fred lrswipkxtea"))
        assert count(fred, "INBOX") == left, rights


def test_lmtp_needs_the_right_to_post(at):
    fred = at("fred")
    ok(fred.cmd("CREATE Lists"))

    def send(to):
        l = Raw(at.daemon.lmtp)  # noqa: E741
        l.reply()
        say(l, "LHLO x")
        assert [code for code, _ in deliver(l, [to], b"Subject: x\r\n\r\nx\r\n")] == [250]
        l.close()
    send("fred+Lists")
    assert (count(fred, "Lists"), count(fred, "INBOX")) == (0, 1), "nobody may post there: to the INBOX"
    ok(fred.cmd("SETACL Lists anyone p"))
    send("fred+Lists")
    assert (count(fred, "Lists"), count(fred, "INBOX")) == (1, 1)
    ok(fred.cmd("SETACL Lists -anyone p"))
    send("fred+Lists")
    assert (count(fred, "Lists"), count(fred, "INBOX")) == (1, 2)
    ok(fred.cmd("SETACL Lists anyone +lrswi"))
    ok(fred.cmd("DELETEACL Lists -anyone"))
    ok(fred.cmd("SETACL Lists anyone -p"))
    send("fred+Lists")
    assert (count(fred, "Lists"), count(fred, "INBOX")) == (1, 3), "what anyone may append is not what anyone may post"


def test_move_to_another_server_needs_the_same_rights():
    m = Murder(users=["fred", "bob"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}).start()
    try:
        fe = m.add_frontend()
        a, fred, bob = (m.raw(fe.imap), m.raw(fe.imap), m.raw(fe.imap))
        a.login("admin")
        ok(a.cmd("CREATE user/fred backenda"))
        ok(a.cmd("CREATE user/bob backendb"))
        fred.login("fred")
        bob.login("bob")
        ok(fred.cmd("CREATE Box"))
        ok(append(fred, "Box", r"\Seen \Flagged"))
        for rights, moved in (("lr", False), ("lrt", False), ("lre", False), ("lrte", True)):
            ok(fred.cmd(f"SETACL Box bob {rights}"))
            ok(bob.cmd(f"SELECT {BOX}"))
            done = bob.cmd("MOVE 1 INBOX")[1]
            assert done.startswith("OK" if moved else "NO ["), (rights, done)
            ok(bob.cmd("UNSELECT"))
            assert (count(fred, "Box"), count(bob, "INBOX")) == ((0, 1) if moved else (1, 0)), rights
        # What may not be seen is not told of by CREATE, whichever server has it.
        ok(a.cmd("CREATE user/fred/far backendb"))
        ok(a.cmd("DELETEACL user/fred/far bob"))
        assert bob.cmd('CREATE "Other Users/fred/far"')[1] == bob.cmd('CREATE "Other Users/fred/none"')[1]
        ok(fred.cmd("SETACL far bob l"))
        assert "ALREADYEXISTS" in no(bob.cmd('CREATE "Other Users/fred/far"')[1])
        # Mail finds a folder on another server than the INBOX's, if it may be posted there.
        ok(fred.cmd("SETACL far anyone p"))
        before = count(fred, "INBOX")
        l = Raw(fe.lmtp)  # noqa: E741
        l.reply()
        say(l, "LHLO x")
        assert [code for code, _ in deliver(l, ["fred+far", "fred+Box", "bob"], b"Subject: x\r\n\r\nx\r\n")] == [250] * 3
        l.close()
        assert (count(fred, "far"), count(fred, "INBOX"), count(bob, "INBOX")) == (1, before + 1, 2)
        for c in (a, fred, bob):
            c.close()
    finally:
        m.stop()
