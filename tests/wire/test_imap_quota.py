"""QUOTA (RFC 9208) on a backend and through a frontend: commands, rights, what is refused, and what LMTP answers."""
import re
import threading

import pytest

from roost import Murder, Raw, http
from test_imap_session import no, ok
from test_lmtp import deliver, say

USERS = ["fred", "bob", "ann", "cleo", "dan", "eve"]


@pytest.fixture(scope="module")
def limited():
    m = Murder(users=USERS, backends={"backenda": ["backenda1"], "backendb": ["backendb1"]},
               limits={"maxmessagesize": "1M", "quotawarn": "80"}).start()
    m.add_frontend()
    for u in USERS:
        m.create_user(u)
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def at(request, limited):
    """Log in at the backend that has the users, or at the frontend; each time the users begin without limits and mail."""
    made = []
    daemon = limited.first if request.param == "backend" else limited.frontends[0]

    def log_in(user="fred"):
        made.append(limited.raw(daemon.imap).login(user))
        return made[-1]
    log_in.lmtp = daemon.lmtp
    log_in.is_frontend = request.param == "frontend"
    yield log_in
    for c in made:
        c.close()
    a = limited.raw(limited.first.imap).login("admin")
    for u in USERS:
        ok(a.cmd(f"DELETE user/{u}"))
        ok(a.cmd(f"CREATE user/{u}"))
    a.close()


def append(c, mailbox, octets, flags=""):
    body = b"Subject: x\r\n\r\n"
    body += b"x" * (octets - len(body))
    return c.cmd(b"APPEND %s (%s) {%d+}\r\n%s" % (mailbox.encode(), flags.encode(), len(body), body))


def quota_of(c, root="INBOX"):
    lines = ok(c.cmd(f"GETQUOTA {root}"))
    assert len(lines) == 1 and lines[0].startswith("* QUOTA "), lines
    return lines[0][8:]


def test_capabilities(at):
    line = next(x for x in ok(at().cmd("CAPABILITY")) if x.startswith("* CAPABILITY"))
    for name in ("QUOTA", "QUOTASET", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "QUOTA=RES-MAILBOX"):
        assert name in line.split(), name


def test_limits_are_set_and_told(at):
    admin, fred = at("admin"), at()
    assert ok(fred.cmd("GETQUOTAROOT INBOX")) == ["* QUOTAROOT INBOX"], "it has none"
    assert "NONEXISTENT" in no(fred.cmd("GETQUOTA INBOX")[1])
    # RFC 9208 section 4.1.3: what is not named is not limited any more.
    assert ok(admin.cmd("SETQUOTA user/fred (STORAGE 111 MESSAGE 1000)")) == ["* QUOTA user/fred (STORAGE 0 111 MESSAGE 0 1000)"]
    assert ok(admin.cmd('SETQUOTA "user/fred" (storage 512)')) == ["* QUOTA user/fred (STORAGE 0 512)"]
    assert ok(admin.cmd("SETQUOTA user/fred (MAILBOX 7 MESSAGE 0 STORAGE 9223372036854775807)")) == [
        "* QUOTA user/fred (STORAGE 0 9223372036854775807 MESSAGE 0 0 MAILBOX 1 7)"]
    assert quota_of(fred) == "INBOX (STORAGE 0 9223372036854775807 MESSAGE 0 0 MAILBOX 1 7)"
    assert ok(fred.cmd("GETQUOTAROOT INBOX")) == ["* QUOTAROOT INBOX INBOX",
                                                  "* QUOTA INBOX (STORAGE 0 9223372036854775807 MESSAGE 0 0 MAILBOX 1 7)"]
    # A mailbox that is not there: which root it would have.
    assert ok(fred.cmd("GETQUOTAROOT Some/Where"))[0] == "* QUOTAROOT Some/Where INBOX"
    assert ok(admin.cmd("GETQUOTAROOT user/fred/x"))[0] == "* QUOTAROOT user/fred/x user/fred"
    assert ok(admin.cmd("SETQUOTA user/fred ()")) == ["* QUOTA user/fred ()"]
    assert quota_of(fred) == "INBOX ()"


def test_a_nearer_root_governs_what_is_below_it(at):
    admin, fred = at("admin"), at()
    for name in ("Big", "Big/sub", "Small"):
        ok(fred.cmd(f"CREATE {name}"))
    ok(append(fred, "Big/sub", 3000))
    ok(append(fred, "Small", 1024))
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 10 MAILBOX 9)"))
    assert quota_of(fred) == "INBOX (STORAGE 3 10 MAILBOX 4 9)"
    ok(admin.cmd("SETQUOTA user/fred/Big (STORAGE 20)"))
    assert quota_of(fred) == "INBOX (STORAGE 1 10 MAILBOX 2 9)"
    assert ok(fred.cmd("GETQUOTAROOT Big/sub")) == ["* QUOTAROOT Big/sub Big", "* QUOTA Big (STORAGE 2 20)"]
    ok(fred.cmd("RENAME Big Huge"))
    assert quota_of(fred, "Huge") == "Huge (STORAGE 2 20)"
    assert "NONEXISTENT" in no(fred.cmd("GETQUOTA Big")[1])
    # A root whose own mailbox is gone stays with what is below it, and goes with that.
    ok(fred.cmd("DELETE Huge"))
    assert quota_of(fred, "Huge") == "Huge (STORAGE 2 20)"
    ok(admin.cmd("SETQUOTA user/fred/Huge (STORAGE 30)"))
    ok(fred.cmd("DELETE Huge/sub"))
    assert "NONEXISTENT" in no(fred.cmd("GETQUOTA Huge")[1])


@pytest.mark.parametrize("command", [
    "GETQUOTA", "GETQUOTA a b", "GETQUOTAROOT", "SETQUOTA user/fred", "SETQUOTA user/fred STORAGE 1", "SETQUOTA user/fred (STORAGE)",
    "SETQUOTA user/fred (STORAGE x)", "SETQUOTA user/fred (STORAGE -1)", "SETQUOTA user/fred (STORAGE 9223372036854775808)",
    "SETQUOTA user/fred (STORAGE 1", "SETQUOTA user/fred (STORAGE 1 STORAGE 2)", "SETQUOTA user/fred ( STORAGE 1)",
    "SETQUOTA user/fred (STORAGE 1 MESSAGE)", "SETQUOTA user/fred (" + " ".join(f"R{i} 1" for i in range(17)) + ")", "SETQUOTA (STORAGE 1)"])
def test_malformed(at, command):
    admin = at("admin")
    assert admin.cmd(command)[1].startswith("BAD"), command
    assert "NONEXISTENT" in no(admin.cmd("GETQUOTA user/fred")[1]), "and nothing was set"


def test_refused(at):
    admin, fred = at("admin"), at()
    assert "NOPERM" in no(fred.cmd("SETQUOTA INBOX (STORAGE 1)")[1])
    assert no(admin.cmd("SETQUOTA user/fred (ANNOTATION-STORAGE 1)")[1])
    assert no(admin.cmd("SETQUOTA user/fred (STORAGE 1 X-WHAT 1)")[1])
    assert "NONEXISTENT" in no(admin.cmd("SETQUOTA user/nobody (STORAGE 1)")[1])
    assert "NONEXISTENT" in no(admin.cmd("GETQUOTA user/nobody")[1])
    assert no(admin.cmd("SETQUOTA a//b (STORAGE 1)")[1])
    assert "NONEXISTENT" in no(admin.cmd("GETQUOTA user/fred")[1])


def test_others_see_what_they_may(at):
    admin, fred, bob = at("admin"), at(), at("bob")
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 10)"))
    hidden = no(bob.cmd('GETQUOTAROOT "Other Users/nobody"')[1])
    assert no(bob.cmd('GETQUOTAROOT "Other Users/fred"')[1]) == hidden and "NONEXISTENT" in hidden
    hidden = no(bob.cmd('GETQUOTA "Other Users/nobody"')[1])
    assert no(bob.cmd('GETQUOTA "Other Users/fred"')[1]) == hidden
    ok(fred.cmd("SETACL INBOX bob l"))
    assert "NOPERM" in no(bob.cmd('GETQUOTAROOT "Other Users/fred"')[1])
    assert "NOPERM" in no(bob.cmd('GETQUOTA "Other Users/fred"')[1])
    ok(fred.cmd("SETACL INBOX bob lr"))
    assert ok(bob.cmd('GETQUOTAROOT "Other Users/fred"')) == ['* QUOTAROOT "Other Users/fred" "Other Users/fred"',
                                                              '* QUOTA "Other Users/fred" (STORAGE 0 10)']
    assert quota_of(bob, '"Other Users/fred"') == '"Other Users/fred" (STORAGE 0 10)'
    ok(fred.cmd("SETACL INBOX fred lswipkxtea"))
    assert quota_of(fred), "one's own is one's own"


def test_what_does_not_fit_changes_nothing(at):
    admin, fred = at("admin"), at()
    ok(fred.cmd("CREATE Free"))
    ok(admin.cmd("SETQUOTA user/fred/Free ()"))
    ok(append(fred, "Free", 2000))
    ok(append(fred, "Free", 100))
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 2 MESSAGE 3 MAILBOX 2)"))
    ok(append(fred, "INBOX", 1000))
    assert "OVERQUOTA" in no(append(fred, "INBOX", 1049)[1])
    ok(append(fred, "INBOX", 1048))
    ok(fred.cmd("SELECT Free"))
    ok(fred.cmd("NOOP"))
    before = ok(fred.cmd("STATUS INBOX (MESSAGES UIDNEXT SIZE)"))
    for command in ("COPY 1:2 INBOX", "UID COPY 2 INBOX", "MOVE 2 INBOX", "UID MOVE 1:* INBOX"):
        assert no(fred.cmd(command)[1]).startswith("NO [OVERQUOTA]"), command
    assert ok(fred.cmd("STATUS INBOX (MESSAGES UIDNEXT SIZE)")) == before
    assert len(ok(fred.cmd("FETCH 1:* UID"))) == 2
    ok(fred.cmd("COPY 1 Free")), "there is no limit there"
    ok(fred.cmd("CREATE One"))
    assert no(fred.cmd("CREATE Two")[1]).startswith("NO [OVERQUOTA]")
    assert not any("Two" in x for x in ok(fred.cmd('LIST "" *')))
    assert no(fred.cmd("RENAME Free/x Two")[1])
    ok(fred.cmd("CREATE Free/x"))
    assert no(fred.cmd("RENAME Free/x Two")[1]).startswith("NO [OVERQUOTA]")
    # Within a root a move is nothing more; and whoever makes room has it.
    ok(fred.cmd("SELECT INBOX"))
    ok(fred.cmd("MOVE 1 One"))
    ok(fred.cmd("STORE 1 +FLAGS (\\Deleted)"))
    assert "OVERQUOTA" in no(append(fred, "One", 500)[1])
    ok(fred.cmd("EXPUNGE"))
    ok(append(fred, "One", 500))
    assert quota_of(fred) == "INBOX (STORAGE 1 2 MESSAGE 2 3 MAILBOX 2 2)"


def literal(octets):
    return b"{%d+}\r\nSubject: x\r\n\r\n" % octets + b"x" * (octets - 14)


def test_several_together_fit_or_none_and_a_replacement_counts_as_what_it_is_more(at):
    admin, fred = at("admin"), at()
    ok(fred.cmd("CREATE Free"))
    ok(admin.cmd("SETQUOTA user/fred/Free ()"))
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 2 MESSAGE 2)"))
    many = [literal(20)] * 3
    assert no(fred.cmd(b"APPEND INBOX " + b" ".join(many))[1]).startswith("NO [OVERQUOTA]")
    assert no(fred.cmd(b"APPEND INBOX " + literal(1000) + b" " + literal(1049))[1]).startswith("NO [OVERQUOTA]")
    ok(fred.cmd(b"APPEND INBOX " + literal(1000) + b" " + literal(1048)))
    ok(fred.cmd("SELECT INBOX"))
    ok(fred.cmd(b"REPLACE 1 INBOX " + literal(1000)))
    assert no(fred.cmd(b"UID REPLACE 3 INBOX " + literal(1001))[1]).startswith("NO [OVERQUOTA]")
    ok(fred.cmd(b"UID REPLACE 3 Free " + literal(5000)))
    assert quota_of(fred) == "INBOX (STORAGE 1 2 MESSAGE 1 2)"
    ok(fred.cmd("SELECT Free"))
    assert no(fred.cmd(b"REPLACE 1 INBOX " + literal(1001))[1]).startswith("NO [OVERQUOTA]")
    ok(fred.cmd(b"REPLACE 1 INBOX " + literal(1000)))
    assert quota_of(fred) == "INBOX (STORAGE 2 2 MESSAGE 2 2)"


def test_messages_are_limited_for_themselves(at):
    admin, fred = at("admin"), at()
    ok(admin.cmd("SETQUOTA user/fred (MESSAGE 2)"))
    ok(append(fred, "INBOX", 500000))
    ok(append(fred, "INBOX", 20))
    assert "OVERQUOTA" in no(append(fred, "INBOX", 20)[1])
    ok(admin.cmd("SETQUOTA user/fred (MESSAGE 0)"))
    assert quota_of(fred) == "INBOX (MESSAGE 2 0)"


def test_select_warns(at):
    admin, fred, bob = at("admin"), at(), at("bob")
    ok(append(fred, "INBOX", 8192))

    def words(c, command):
        return [x for x in ok(c.cmd(command)) if x.startswith("* NO ")]
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 10)"))
    assert words(fred, "SELECT INBOX") == [], "80 is not beyond 80"
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 9 MESSAGE 10)"))
    assert words(fred, "SELECT INBOX") == ["* NO [ALERT] Mailbox is at 89% of quota"]
    assert words(fred, "EXAMINE INBOX") == []
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 7)"))
    assert words(fred, "SELECT INBOX") == ["* NO [OVERQUOTA] Mailbox is over quota"]
    ok(fred.cmd("SETACL INBOX bob lrs"))
    assert words(bob, 'SELECT "Other Users/fred"') == [], "he could not make room"
    ok(admin.cmd("SETQUOTA user/fred ()"))
    assert words(fred, "SELECT INBOX") == []


def test_status_tells_what_expunge_would_free(at):
    fred = at()
    for size in (1000, 2000, 4000):
        ok(append(fred, "INBOX", size))
    assert ok(fred.cmd("STATUS INBOX (DELETED DELETED-STORAGE)")) == ["* STATUS INBOX (DELETED 0 DELETED-STORAGE 0)"]
    ok(fred.cmd("SELECT INBOX"))
    ok(fred.cmd("STORE 1,3 +FLAGS.SILENT (\\Deleted)"))
    assert ok(fred.cmd("STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)")) == ["* STATUS INBOX (MESSAGES 3 DELETED 2 DELETED-STORAGE 5000)"]
    assert any("DELETED-STORAGE 5000" in x for x in ok(fred.cmd('LIST "" INBOX RETURN (STATUS (DELETED-STORAGE))')))


def test_parallel_appends_never_pass_the_limit(at):
    admin = at("admin")
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 16 MESSAGE 12)"))
    answers = []

    def work(c):
        for _ in range(6):
            answers.append(append(c, "INBOX", 1024)[1])
    threads = [threading.Thread(target=work, args=(at(),)) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(a.startswith("OK") for a in answers) == 12
    assert sum(a.startswith("NO [OVERQUOTA]") for a in answers) == 18
    assert quota_of(at()) == "INBOX (STORAGE 12 16 MESSAGE 12 12)"


def test_two_servers_count_what_they_have(limited):
    """One tree on two servers: the root is with its mailbox, and governs what is there."""
    fe = limited.frontends[0]
    admin, fred = limited.raw(fe.imap).login("admin"), limited.raw(fe.imap).login("fred")
    ok(admin.cmd("CREATE user/fred/far backendb"))
    ok(admin.cmd("SETQUOTA user/fred (MAILBOX 9 MESSAGE 1)"))
    assert quota_of(fred) == "INBOX (MESSAGE 0 1 MAILBOX 1 9)"
    assert ok(fred.cmd("GETQUOTAROOT far")) == ["* QUOTAROOT far"]
    for _ in range(3):
        ok(append(fred, "far", 100))
    ok(fred.cmd("SELECT far"))
    # A copy between servers is refused by the target as any other; what went before it stays.
    lines, done = fred.cmd("COPY 1:2 INBOX")
    assert done.startswith("NO [OVERQUOTA]"), done
    ok(admin.cmd("SETQUOTA user/fred/far (MESSAGE 3)"))
    assert ok(fred.cmd("GETQUOTAROOT far")) == ["* QUOTAROOT far far", "* QUOTA far (MESSAGE 3 3)"]
    assert no(append(fred, "far", 100)[1]).startswith("NO [OVERQUOTA]")
    ok(fred.cmd("UNSELECT"))
    ok(fred.cmd("DELETE far"))
    ok(admin.cmd("DELETE user/fred"))
    ok(admin.cmd("CREATE user/fred backenda"))
    admin.close()
    fred.close()


def test_several_messages_at_once_are_refused_whole(at):
    """MULTIAPPEND (RFC 3502) and REPLACE (RFC 8508)."""
    admin, fred = at("admin"), at()
    ok(admin.cmd("SETQUOTA user/fred (MESSAGE 2)"))
    three = b" ".join(b"() {12+}\r\nSubject: x\r\n" for _ in range(3))
    assert no(fred.cmd(b"APPEND INBOX " + three)[1]).startswith("NO [OVERQUOTA]")
    assert quota_of(fred) == "INBOX (MESSAGE 0 2)"
    ok(fred.cmd(b"APPEND INBOX " + three[:three.rindex(b" () {")]))
    assert quota_of(fred) == "INBOX (MESSAGE 2 2)"
    ok(fred.cmd("SELECT INBOX"))
    ok(fred.cmd(b"REPLACE 1 INBOX {12+}\r\nSubject: y\r\n")), "one for one fits"
    assert quota_of(fred) == "INBOX (MESSAGE 2 2)"
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 1)"))
    body = b"Subject: z\r\n\r\n" + b"z" * 1100
    assert no(fred.cmd(b"REPLACE 1 INBOX {%d+}\r\n%s" % (len(body), body))[1]).startswith("NO [OVERQUOTA]")
    assert quota_of(fred) == "INBOX (STORAGE 0 1)"


MAIL = b"Subject: hello\r\n\r\n" + b"x" * 2000 + b"\r\n"


def lmtp(at):
    l = Raw(at.lmtp)  # noqa: E741
    l.reply()
    say(l, "LHLO x")
    return l


def codes(answers):
    return [(code, text[0].split()[0]) for code, text in answers]


def test_lmtp_answers_each_recipient_for_itself(at):
    admin = at("admin")
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 1)"))
    ok(admin.cmd("SETQUOTA user/ann (MESSAGE 0)"))
    l = lmtp(at)  # noqa: E741
    # By default the message that passes the limit is taken.
    assert codes(deliver(l, ["fred", "bob", "ann"], MAIL)) == [(250, "2.1.5")] * 3
    assert codes(deliver(l, ["fred", "bob", "ann"], MAIL)) == [(452, "4.2.2"), (250, "2.1.5"), (452, "4.2.2")]
    assert codes(deliver(l, ["fred"], MAIL)) == [(452, "4.2.2")]
    assert say(l, "MAIL FROM:<s@example.org>")[0] == 250
    assert say(l, "RCPT TO:<fred> IGNOREQUOTA")[0] == 250
    assert say(l, "DATA")[0] == 354
    l.send(MAIL + b".\r\n")
    assert l.reply()[0] == 250
    l.close()
    assert quota_of(at(), "INBOX").startswith("INBOX (STORAGE 4 1")


def test_what_is_sent_again_is_there_already_whatever_the_quota(limited):
    """A frontend that has lost its answer sends the delivery again under its id, to whom it has put over quota."""
    admin = limited.raw().login("admin")
    ok(admin.cmd("SETQUOTA user/dan (MESSAGE 0)"))
    l = Raw(limited.first.lmtp)  # noqa: E741
    l.reply()
    say(l, "LHLO x")
    again = " XROOST-OP=" + "5a" * 16
    assert codes(deliver(l, ["dan"], MAIL, again)) == [(250, "2.1.5")]
    assert codes(deliver(l, ["dan"], MAIL, again)) == [(250, "2.1.5")]
    assert codes(deliver(l, ["dan"], MAIL, " XROOST-OP=" + "5b" * 16)) == [(452, "4.2.2")]
    l.close()
    assert ok(admin.cmd("GETQUOTA user/dan")) == ["* QUOTA user/dan (MESSAGE 1 0)"]
    ok(admin.cmd("DELETE user/dan"))
    ok(admin.cmd("CREATE user/dan"))
    admin.close()


@pytest.fixture(scope="module")
def strict():
    m = Murder(users=["fred", "bob", "new"], limits={"lmtp_strict_quota": "yes", "lmtp_over_quota_perm_failure": "yes", "autocreate_quota": "3",
                                              "autocreate_quota_messages": "50", "quotawarn": "10", "quotawarnkb": "2",
                                              "quotawarnmsg": "2", "autocreate": "yes"}).start()
    m.add_frontend({"autocreate": "yes"})
    for u in ("fred", "bob"):
        m.create_user(u)
    yield m
    m.stop()


def test_keys(strict):
    fe = strict.frontends[0]
    fred, admin = strict.raw(fe.imap).login("fred"), strict.raw(fe.imap).login("admin")
    assert quota_of(fred) == "INBOX (STORAGE 0 3 MESSAGE 0 50)", "from the beginning"
    new = strict.raw(fe.imap).login("new")
    assert quota_of(new) == "INBOX (STORAGE 0 3 MESSAGE 0 50)", "also one that makes itself"
    new.close()
    ok(fred.cmd("CREATE Box"))
    assert ok(fred.cmd("GETQUOTAROOT Box"))[0] == "* QUOTAROOT Box INBOX", "only the INBOX is a root"
    for port in (strict.first.lmtp, fe.lmtp):
        l = Raw(port)  # noqa: E741
        l.reply()
        say(l, "LHLO x")
        if port == strict.first.lmtp:
            assert codes(deliver(l, ["fred", "bob"], MAIL)) == [(250, "2.1.5")] * 2
        # The size that was announced is enough to say so at RCPT, or the message.
        assert codes(deliver(l, ["fred"], MAIL, " SIZE=2020")) == [(552, "5.2.2")]
        assert codes(deliver(l, ["fred", "bob"], MAIL)) == [(552, "5.2.2")] * 2
        l.close()
    assert [x for x in ok(fred.cmd("SELECT INBOX")) if x.startswith("* NO")] == ["* NO [ALERT] Mailbox is at 67% of quota"]
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 4 MESSAGE 3)"))
    assert [x for x in ok(fred.cmd("SELECT INBOX")) if x.startswith("* NO")] == [], "there is enough left to say nothing"
    ok(admin.cmd("SETQUOTA user/fred (STORAGE 4 MESSAGE 2)"))
    assert [x for x in ok(fred.cmd("SELECT INBOX")) if x.startswith("* NO")] == ["* NO [ALERT] Mailbox is at 50% of quota"]
    assert re.search(r"roost_over_quota_total [1-9]", http(f"127.0.0.1:{strict.first.admin}", "/metrics")[1])
    fred.close()
    admin.close()
