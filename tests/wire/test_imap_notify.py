"""NOTIFY (RFC 5465), on a backend and through a frontend."""
import re
import signal

import pytest

from roost import Murder, wait_for
from test_imap_search import fill
from test_imap_session import SHARED, ok


def clean(c):
    c.cmd("UNSELECT")
    for m in ("Lists/New", "Lists/Lemonade", "Lists/Im2000", "Lists", "misc", "Other", "Box", "Lists2/Lemonade", "Lists2/Im2000", "Lists2"):
        c.cmd("DELETE " + m)
        c.cmd("UNSUBSCRIBE " + m)


def send(c, mailbox, subject="x", flags=""):
    text = f"Subject: {subject}\r\nFrom: alice@example.org\r\n\r\nx\r\n"
    return ok(c.cmd(f"APPEND {mailbox} ({flags}) {{{len(text)}+}}\r\n{text}"))


@pytest.fixture
def other(session):
    """Another client, which does things."""
    other = session()
    clean(other)
    for m in ("Lists", "Lists/Lemonade", "Lists/Im2000", "misc"):
        ok(other.cmd("CREATE " + m))
    send(other, "Lists/Lemonade")
    send(other, "misc")
    yield other
    clean(other)


@pytest.fixture
def c(session, other):
    return session()


def hears(c, *patterns):
    """The next lines that come by themselves, a pattern for each."""
    lines = []
    for p in patterns:
        lines.append(c.line())
        assert re.match(p + "$", lines[-1]), (p, lines)
    return lines


def hears_nothing(c):
    """All that there was to be heard has been: what an untagged answer of the client's own follows at once."""
    lines = ok(c.cmd("CAPABILITY"))
    assert len(lines) == 1 and lines[0].startswith("* CAPABILITY"), lines


def test_is_offered(session):
    assert "NOTIFY" in ok(session().cmd("CAPABILITY"))[0].split()


def test_status_first(c):
    """Section 3.1: STATUS of each before the OK, where it is asked for."""
    lines = ok(c.cmd("NOTIFY SET STATUS (subtree Lists (MessageNew MessageExpunge)) (mailboxes misc (MessageNew MessageExpunge FlagChange))"))
    rows = {m.group(1): m.group(2) for x in lines for m in [re.match(r"\* STATUS (\S+) \((.*)\)$", x)] if m}
    assert set(rows) == {"Lists", "Lists/Lemonade", "Lists/Im2000", "misc"} and len(lines) == 4, lines
    assert re.match(r"MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+$", rows["Lists/Lemonade"]), rows
    assert re.match(r"MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+ HIGHESTMODSEQ \d+$", rows["misc"]), rows
    assert ok(c.cmd("NOTIFY SET (subtree Lists (MessageNew MessageExpunge))")) == []
    assert c.cmd("NOTIFY SET STATUS (mailboxes (nosuch Nosuch/x) (MessageNew MessageExpunge))") == ([], "OK done")


def test_messages_elsewhere(c, other):
    ok(c.cmd("NOTIFY SET (subtree Lists (MessageNew MessageExpunge))"))
    send(other, "misc")
    send(other, "Lists/Lemonade")
    hears(c, r"\* STATUS Lists/Lemonade \(MESSAGES 2 UIDNEXT 3\)")
    ok(other.cmd("SELECT Lists/Lemonade"))
    ok(other.cmd(r"STORE 1 +FLAGS (\Seen)"))
    hears_nothing(c)
    ok(other.cmd(r"STORE 1 +FLAGS (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    hears(c, r"\* STATUS Lists/Lemonade \(MESSAGES 1 UIDNEXT 3\)")
    ok(c.cmd("ENABLE CONDSTORE"))
    send(other, "Lists/Im2000")
    hears(c, r"\* STATUS Lists/Im2000 \(MESSAGES 1 UIDNEXT 2 HIGHESTMODSEQ \d+\)")
    hears_nothing(c)


def test_flags_elsewhere(c, other):
    ok(c.cmd("NOTIFY SET (mailboxes misc (MessageNew MessageExpunge FlagChange))"))
    ok(other.cmd("SELECT misc"))
    ok(other.cmd(r"STORE 1 +FLAGS (\Seen)"))
    hears(c, r"\* STATUS misc \(UNSEEN 0\)")
    ok(other.cmd(r"STORE 1 +FLAGS (\Flagged)"))
    hears_nothing(c)
    ok(c.cmd("ENABLE CONDSTORE"))
    ok(c.cmd("STATUS misc (MESSAGES)"))  # a frontend has told the backend too, then
    ok(other.cmd(r"STORE 1 -FLAGS (\Flagged)"))
    hears(c, r"\* STATUS misc \(UIDVALIDITY \d+ HIGHESTMODSEQ \d+\)")


def test_selected(c, other):
    """Section 5.2: EXISTS, then what is wanted of the message; without any command."""
    ok(c.cmd("NOTIFY SET (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge FlagChange)) "
             "(subtree Lists (MessageNew MessageExpunge))"))
    ok(c.cmd("SELECT misc"))
    send(other, "misc", "good morning")
    hears(c, r"\* 2 EXISTS", r"\* \d+ RECENT", r"\* 2 FETCH \(UID 2 BODY\[header.fields \(from to subject\)\] \{\d+\}", "Subject: good morning",
          "From: alice@example.org", "", r"\)")
    ok(other.cmd("SELECT misc"))
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Answered)"))
    hears(c, r"\* 1 FETCH \(UID 1 FLAGS \(.*\\Answered.*\)\)")
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    hears(c, r"\* 1 FETCH .*")
    ok(other.cmd("EXPUNGE"))
    hears(c, r"\* 1 EXPUNGE")
    assert "Seen" not in "".join(ok(c.cmd("FETCH 1 FLAGS")))
    send(other, "Lists/Lemonade")
    hears(c, r"\* STATUS Lists/Lemonade \(MESSAGES 2 UIDNEXT 3\)")
    ok(c.cmd("SELECT Lists/Lemonade"))
    send(other, "Lists/Lemonade")
    hears(c, r"\* 3 EXISTS", r"\* \d+ RECENT", r"\* 3 FETCH \(UID 3 .*", *["Subject: x", "From: alice@example.org", "", r"\)"])
    send(other, "misc")
    hears_nothing(c)


def test_no_flags_where_they_are_not_wanted(c, other):
    ok(c.cmd("SELECT misc"))
    ok(c.cmd("NOTIFY SET (selected (MessageNew MessageExpunge))"))
    ok(other.cmd("SELECT misc"))
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Answered)"))
    send(other, "misc")
    hears(c, r"\* 2 EXISTS", r"\* \d+ RECENT")
    assert any("Flagged" in x for x in ok(c.cmd(r"STORE 1 +FLAGS (\Flagged)"))), "its own commands are answered"


def test_selected_delayed(c, other):
    """Section 6.1.2."""
    ok(c.cmd("SELECT misc"))
    ok(c.cmd("NOTIFY SET (selected-delayed (MessageNew (UID) MessageExpunge))"))
    ok(other.cmd("SELECT misc"))
    ok(other.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    send(other, "misc")
    hears(c, r"\* 2 EXISTS", r"\* \d+ RECENT", r"\* 2 FETCH \(UID 2\)")
    assert "EXPUNGE" not in "".join(ok(c.cmd("FETCH 2 UID"))), "numbers stay what they are"
    assert "* 1 EXPUNGE" in ok(c.cmd("NOOP"))


def test_news_up_to_now_come_with_the_answer(c, other):
    """NOTIFY SET is a NOOP, too; what was there before is not fetched."""
    ok(c.cmd("SELECT misc"))
    send(other, "misc")
    lines = ok(c.cmd("NOTIFY SET (selected (MessageNew (UID) MessageExpunge))"))
    assert "* 2 EXISTS" in lines and "FETCH" not in "".join(lines)
    hears_nothing(c)


@pytest.mark.parametrize("command", ["NOTIFY NONE", "NOTIFY SET (selected NONE)", "NOTIFY SET (personal (MailboxName))"])
def test_a_snapshot(c, other, command):
    """Section 5: nothing of the selected mailbox is told, not even where a command could; what the client does itself is."""
    ok(c.cmd("SELECT misc"))
    ok(c.cmd(command))
    send(other, "misc")
    assert ok(c.cmd("NOOP")) == []
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    send(other, "misc")
    c.send("DONE\r\n")
    assert c.until("i")[0] == []
    ok(c.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    lines = ok(c.cmd("EXPUNGE"))
    assert "* 1 EXPUNGE" in lines, lines
    assert "* 3 EXISTS" in ok(c.cmd("SELECT misc")) or "* 2 EXISTS" in ok(c.cmd("SELECT misc"))


def test_none_ends_it(c, other):
    ok(c.cmd("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName SubscriptionChange))"))
    ok(c.cmd("NOTIFY NONE"))
    send(other, "misc")
    ok(other.cmd("CREATE Other"))
    hears_nothing(c)


def test_in_idle(c, other):
    """Section 4: the same events."""
    ok(c.cmd("NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (mailboxes misc (MessageNew MessageExpunge))"))
    ok(c.cmd("SELECT Lists"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    send(other, "misc")
    hears(c, r"\* STATUS misc \(MESSAGES 2 UIDNEXT 3\)")
    send(other, "Lists")
    hears(c, r"\* 1 EXISTS", r"\* \d+ RECENT", r"\* 1 FETCH \(UID 1\)")
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK")


def test_own_changes_are_no_news(c, other):
    """Section 5."""
    ok(c.cmd("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName SubscriptionChange)) (selected (MessageNew (UID) MessageExpunge))"))
    assert ok(c.cmd("CREATE Other")) == []
    send(c, "misc")
    assert ok(c.cmd("SUBSCRIBE Other")) == []
    assert ok(c.cmd("RENAME Other Box")) == []
    assert ok(c.cmd("DELETE Box")) == []
    ok(c.cmd("UNSUBSCRIBE Other"))
    ok(c.cmd("SELECT misc"))
    assert "FETCH" not in "".join(send(c, "misc")) and "STATUS" not in "".join(ok(c.cmd("COPY 1 Lists")))
    assert "FETCH" not in "".join(ok(c.cmd("COPY 1 misc")))
    hears_nothing(c)
    send(other, "misc")
    hears(c, r"\* \d+ EXISTS", r"\* \d+ RECENT", r"\* \d+ FETCH \(UID \d+\)")


def test_names(c, other):
    """Section 5.4."""
    ok(c.cmd("NOTIFY SET (subtree Lists (MailboxName)) (mailboxes (Lists2) (MailboxName))"))
    ok(other.cmd("CREATE Lists/New"))
    hears(c, r'\* LIST \(\\HasNoChildren\) "/" Lists/New', r'\* LIST \(\\HasChildren\) "/" Lists')
    send(other, "Lists/New")
    ok(other.cmd("DELETE Lists/New"))
    hears(c, r'\* LIST \(\\NonExistent \\HasNoChildren\) "/" Lists/New', r'\* LIST \(\\HasChildren\) "/" Lists')
    ok(other.cmd("CREATE Other"))
    hears_nothing(c)
    ok(other.cmd("RENAME Lists/Lemonade Lists/New"))
    hears(c, r'\* LIST \(\\HasNoChildren\) "/" Lists/New \("OLDNAME" \(Lists/Lemonade\)\)')
    ok(other.cmd("RENAME Lists/New Lists/Lemonade"))
    hears(c, r'\* LIST \(\\HasNoChildren\) "/" Lists/Lemonade \("OLDNAME" \(Lists/New\)\)')


def test_renaming_with_what_is_below(c, other):
    """One response, the children come with it."""
    ok(c.cmd("NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))"))
    ok(other.cmd("RENAME Lists Lists2"))
    hears(c, r'\* LIST \(\\HasChildren\) "/" Lists2 \("OLDNAME" \(Lists\)\)')
    hears_nothing(c)
    send(other, "Lists2/Lemonade")
    hears(c, r"\* STATUS Lists2/Lemonade \(MESSAGES 2 UIDNEXT 3\)")


def test_new_mailboxes_are_watched(c, other):
    ok(c.cmd("NOTIFY SET (personal (MessageNew MessageExpunge))"))
    ok(other.cmd("CREATE Other"))
    hears_nothing(c)
    send(other, "Other")
    hears(c, r"\* STATUS Other \(MESSAGES 1 UIDNEXT 2\)")
    ok(other.cmd("DELETE Other"))
    hears_nothing(c)


def test_subscriptions(c, other):
    """Section 5.5."""
    ok(c.cmd("NOTIFY SET (personal (SubscriptionChange))"))
    ok(other.cmd("SUBSCRIBE misc"))
    hears(c, r'\* LIST \(\\HasNoChildren \\Subscribed\) "/" misc')
    ok(other.cmd("SUBSCRIBE misc"))
    ok(other.cmd("SUBSCRIBE Nosuch"))
    hears(c, r'\* LIST \(\\NonExistent \\HasNoChildren \\Subscribed\) "/" Nosuch')
    ok(other.cmd("UNSUBSCRIBE Nosuch"))
    ok(other.cmd("UNSUBSCRIBE misc"))
    hears(c, r'\* LIST \(\\NonExistent \\HasNoChildren\) "/" Nosuch', r'\* LIST \(\\HasNoChildren\) "/" misc')


def test_subscribed(c, other):
    """Section 6.4: what is subscribed to later is watched later."""
    ok(other.cmd("SUBSCRIBE Lists"))
    ok(c.cmd("NOTIFY SET (subscribed (MessageNew MessageExpunge))"))
    send(other, "Lists")
    hears(c, r"\* STATUS Lists \(MESSAGES 1 UIDNEXT 2\)")
    send(other, "misc")
    hears_nothing(c)
    ok(other.cmd("SUBSCRIBE misc"))
    ok(other.cmd("UNSUBSCRIBE Lists"))
    hears_nothing(c)
    send(other, "Lists")
    send(other, "misc")
    hears(c, r"\* STATUS misc \(MESSAGES 3 UIDNEXT 4\)")


def test_metadata(c, other):
    """Sections 5.6 and 5.7: the names of the entries that changed."""
    ok(other.cmd('SETMETADATA misc (/shared/comment "one" /private/comment "two")'))
    ok(c.cmd("NOTIFY SET (mailboxes misc (MailboxMetadataChange ServerMetadataChange))"))
    ok(other.cmd('SETMETADATA misc (/shared/comment "three")'))
    hears(c, r"\* METADATA misc /shared/comment")
    ok(other.cmd('SETMETADATA misc (/private/comment NIL)'))
    hears(c, r"\* METADATA misc /private/comment")
    ok(other.cmd('SETMETADATA misc (/shared/comment NIL)'))
    hears(c, r"\* METADATA misc /shared/comment")
    ok(other.cmd('SETMETADATA "" (/private/vendor/x/y "y")'))
    hears(c, r'\* METADATA "" /private/vendor/x/y')
    ok(other.cmd('SETMETADATA "" (/private/vendor/x/y NIL)'))
    hears(c, r'\* METADATA "" /private/vendor/x/y')
    send(other, "misc")
    hears_nothing(c)


def test_rights(session, other):
    """Sections 3.1 and 5.9."""
    bob = session("bob")
    ok(other.cmd("SETACL misc bob l"))
    ok(other.cmd("SETACL Lists bob lr"))
    m = '"Other Users/fred/%s"'
    lines = ok(bob.cmd(f"NOTIFY SET STATUS (mailboxes ({m % 'misc'} {m % 'Lists'} {m % 'Lists/Lemonade'}) (MessageNew MessageExpunge MailboxName))"))
    assert any(re.match(r'\* LIST \(\\HasNoChildren \\NoAccess\) "/" "Other Users/fred/misc"', x) for x in lines), lines
    assert [x for x in lines if "STATUS" in x] and all("Lists" in x for x in lines if "STATUS" in x) and "Lemonade" not in "".join(lines)
    send(other, "misc")
    assert len(ok(bob.cmd(f"STATUS {m % 'Lists'} (MESSAGES)"))) == 1  # from the backend, which has passed over the message then
    ok(other.cmd("SETACL misc bob lr"))
    hears(bob, r'\* LIST \(\\HasNoChildren\) "/" "Other Users/fred/misc"')
    send(other, "misc")
    hears(bob, r'\* STATUS "Other Users/fred/misc" \(MESSAGES \d UIDNEXT \d\)')
    ok(other.cmd("SETACL Lists/Lemonade bob lr"))
    hears(bob, r'\* LIST \(\\HasNoChildren\) "/" "Other Users/fred/Lists/Lemonade"', r'\* LIST \(\\HasChildren\) "/" "Other Users/fred/Lists"')
    ok(other.cmd("DELETEACL misc bob"))
    hears(bob, r'\* LIST \(\\NonExistent \\HasNoChildren\) "/" "Other Users/fred/misc"')
    send(other, "misc")
    hears_nothing(bob)


@pytest.mark.parametrize("group", ["(selected (MessageNew MessageExpunge X-Event))", "(personal (X-Event))", "(personal (MailboxName X-Event MessageNew MessageExpunge))"])
def test_unsupported_events(c, group):
    lines, done = c.cmd("NOTIFY SET " + group)
    assert done.startswith("NO [BADEVENT (MessageNew MessageExpunge FlagChange AnnotationChange MailboxName SubscriptionChange "), done


@pytest.mark.parametrize("text", [
    "", "SET", "NONE x", "SET NONE", "SET ()", "SET (selected)", "SET (selected ())", "SET (selected (MessageNew))", "SET (selected (MessageExpunge))",
    "SET (personal (FlagChange))", "SET (personal (MessageNew FlagChange))", "SET (selected (MailboxName))", "SET (selected-delayed (SubscriptionChange))",
    "SET (selected (MessageNew MessageExpunge)) (selected-delayed (MessageNew MessageExpunge))", "SET (personal (MessageNew (UID) MessageExpunge))",
    "SET (selected (MessageNew () MessageExpunge))", "SET (selected (MessageNew (NOSUCH) MessageExpunge))", "SET (nosuch (MailboxName))",
    "SET (subtree (MailboxName))", "SET (subtree-one Lists (MailboxName))", "SET (mailboxes () (MailboxName))", "SET (personal (MailboxName)",
    "SET STATUS", "SET STATUS STATUS (personal (MailboxName))", "SET (personal (MailboxName))(selected NONE)", "SET (personal MessageNew)",
])
def test_malformed(c, text):
    assert c.cmd(("NOTIFY " + text).strip())[1].startswith("BAD"), text


def test_examples_without_inner_parentheses(c):
    """As the RFC writes them itself (section 3.1)."""
    ok(c.cmd("NOTIFY SET STATUS (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge) "
             "(subtree Lists MessageNew MessageExpunge)"))


def test_it_ends_with_the_login(c, other):
    ok(c.cmd("NOTIFY SET (personal (MessageNew MessageExpunge))"))
    ok(c.cmd("UNAUTHENTICATE"))
    send(other, "misc")
    assert ok(c.cmd("NOOP")) == []


def test_contexts_fetch_what_comes(c, other):
    """Section 7."""
    ok(c.cmd("SELECT misc"))
    ok(c.cmd("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))"))
    lines = ok(c.cmd('SEARCH RETURN (COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])) SUBJECT boss'))
    tag = f"x{c.tags}"
    send(other, "misc", "from the boss")
    hears(c, r"\* 2 EXISTS", r"\* \d+ RECENT", r"\* 2 FETCH \(UID 2 BODY\[HEADER.FIELDS \(SUBJECT\)\] \{\d+\}", "Subject: from the boss", "", r"\)",
          rf'\* ESEARCH \(TAG "{tag}"\) ADDTO \(0 2\)')
    send(other, "misc", "nobody")
    hears(c, r"\* 3 EXISTS", r"\* \d+ RECENT")
    ok(other.cmd("SELECT misc"))
    ok(other.cmd(r"STORE 2 +FLAGS.SILENT (\Deleted)"))
    hears(c, r"\* 2 FETCH .*")
    ok(other.cmd("EXPUNGE"))
    hears(c, rf'\* ESEARCH \(TAG "{tag}"\) REMOVEFROM \(0 2\)', r"\* 2 EXPUNGE")


# Over several servers, through a frontend.

@pytest.fixture
def f(fronted, other, team):
    f = fronted.raw(fronted.frontends[0].imap).login("fred")
    yield f
    f.cmd(f"UNSUBSCRIBE {SHARED}")
    f.close()


def test_two_servers(f, other, team):
    lines = ok(f.cmd(f"NOTIFY SET STATUS (mailboxes (misc {SHARED}) (MessageNew MessageExpunge MailboxName))"))
    assert sorted(x.split(" (")[0] for x in lines) == ['* STATUS "Shared Folders/team"', "* STATUS misc"], lines
    send(team, "team")
    hears(f, r'\* STATUS "Shared Folders/team" \(MESSAGES 1 UIDNEXT 2\)')
    send(other, "misc")
    hears(f, r"\* STATUS misc \(MESSAGES 2 UIDNEXT 3\)")
    ok(f.cmd("ENABLE CONDSTORE"))
    send(team, "team")
    hears(f, r'\* STATUS "Shared Folders/team" \(MESSAGES 2 UIDNEXT 3 HIGHESTMODSEQ \d+\)')
    ok(team.cmd("DELETE team"))
    hears(f, r'\* LIST \(\\NonExistent \\HasNoChildren\) "/" "Shared Folders/team"')
    ok(f.cmd("NOTIFY NONE"))
    send(other, "misc")
    hears_nothing(f)


def test_selecting_on_another_server(f, other, team):
    """What is wanted of the selected mailbox holds wherever it is."""
    ok(f.cmd("NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (mailboxes misc (MessageNew MessageExpunge))"))
    ok(f.cmd(f"SELECT {SHARED}"))
    send(team, "team")
    hears(f, r"\* 1 EXISTS", r"\* \d+ RECENT", r"\* 1 FETCH \(UID 1\)")
    send(other, "misc")
    hears(f, r"\* STATUS misc \(MESSAGES 2 UIDNEXT 3\)")
    ok(f.cmd("SELECT misc"))
    send(team, "team")
    send(other, "misc")
    hears(f, r"\* 3 EXISTS", r"\* \d+ RECENT", r"\* 3 FETCH \(UID 3\)")
    ok(f.cmd("NOTIFY NONE"))
    ok(f.cmd(f"SELECT {SHARED}"))
    send(team, "team")
    assert ok(f.cmd("NOOP")) == [], "NONE holds there, too"


def test_subscribed_on_two_servers(f, other, team):
    ok(f.cmd(f"SUBSCRIBE {SHARED}"))
    ok(f.cmd("SUBSCRIBE misc"))
    ok(f.cmd("NOTIFY SET (subscribed (MessageNew MessageExpunge))"))
    send(team, "team")
    hears(f, r'\* STATUS "Shared Folders/team" \(MESSAGES 1 UIDNEXT 2\)')
    send(other, "misc")
    hears(f, r"\* STATUS misc \(MESSAGES 2 UIDNEXT 3\)")


def test_news_while_the_frontend_asks_on_its_own(f, other, team):
    """LIST with STATUS, ESEARCH and COPY between servers: what comes in between is not lost."""
    ok(f.cmd(f"NOTIFY SET (mailboxes (Lists {SHARED}) (MessageNew MessageExpunge))"))
    send(team, "team")
    hears(f, r'\* STATUS "Shared Folders/team" \(MESSAGES 1 UIDNEXT 2\)')
    ok(f.cmd("SELECT misc"))
    for i, command in enumerate((f"COPY 1 {SHARED}", 'LIST "" (misc "Shared Folders/team") RETURN (STATUS (MESSAGES))', f"ESEARCH IN (mailboxes (misc {SHARED})) ALL")):
        send(other, "Lists")
        lines = ok(f.cmd(command))
        wanted = rf"\* STATUS Lists \(MESSAGES {i + 1} UIDNEXT {i + 2}\)"
        if not any(re.match(wanted, x) for x in lines):
            hears(f, wanted)


def test_nothing_comes_between_the_pieces_of_a_response(fronted, f, other, team):
    """A large message is passed on as it comes; what another server says waits."""
    ok(f.cmd(f"NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge)) (mailboxes {SHARED} (MessageNew MessageExpunge))"))
    ok(f.cmd("SELECT misc"))
    body = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 50000
    for i in range(4):
        other.send(b"a APPEND misc {%d+}\r\n" % len(body) + body + b"\r\n")
        assert other.until("a")[1].startswith("OK")
        for _ in range(10):
            send(team, "team")
    f.send("n NOOP\r\n")
    fetched = statuses = 0
    while True:
        line = f.line()
        m = re.match(r"\* \d+ FETCH \(.*BODY\[\] \{(\d+)\}$", line)
        if m:
            assert f.read(int(m.group(1))) == body
            assert f.line() == ")"
            fetched += 1
        elif line.startswith("* STATUS"):
            assert line.startswith('* STATUS "Shared Folders/team" (MESSAGES '), line
            statuses += 1
        elif line.startswith("n "):
            break
        else:
            assert re.match(r"\* \d+ (EXISTS|RECENT)$", line), line
    assert fetched == 4 and statuses > 0


@pytest.fixture
def losing():
    """A murder whose servers may be lost: it, an administrator, and two sessions of fred's, who may use the other server's `team`."""
    m = Murder(users=["fred"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}).start()
    sessions = []
    try:
        m.add_frontend()
        m.create_user("fred")
        sessions = [m.raw(m.frontends[0].imap).login(u) for u in ("admin", "fred", "fred")]
        a, c, d = sessions
        wait_for(lambda: a.cmd("CREATE team backendb")[1].startswith("OK"), "the other server takes mailboxes")
        ok(a.cmd("SETACL team fred lrswipkxtea"))
        ok(d.cmd("CREATE misc"))
        yield m, a, c, d
    finally:
        for x in sessions:
            x.close()
        m.stop()


def test_a_lost_server_is_told(losing):
    """NOTIFICATIONOVERFLOW, and the session goes on (section 5.8)."""
    m, a, c, d = losing
    ok(c.cmd(f"NOTIFY SET (mailboxes (misc {SHARED}) (MessageNew MessageExpunge)) (selected (MessageNew MessageExpunge))"))
    ok(c.cmd("SELECT INBOX"))
    send(d, "misc")
    hears(c, r"\* STATUS misc \(MESSAGES 1 UIDNEXT 2\)")
    ok(d.cmd("DELETE misc"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+")
    m.members["backendb1"].kill()
    hears(c, r"\* OK \[NOTIFICATIONOVERFLOW\] .*")
    c.send("DONE\r\n")
    assert c.until("i")[1].startswith("OK"), "IDLE goes on to its end"
    ok(c.cmd("NOOP"))
    ok(d.cmd("CREATE misc"))
    send(d, "misc")
    send(d, "INBOX")
    assert ok(c.cmd("NOOP")) == [], "it is as NONE now"
    assert ok(c.cmd("NOTIFY SET STATUS (mailboxes misc (MessageNew MessageExpunge))"))[-1].startswith("* STATUS misc (MESSAGES 1 ")
    send(d, "misc")
    hears(c, r"\* STATUS misc \(MESSAGES 2 UIDNEXT 3\)")
    m.first.kill()
    assert c.line().startswith("* BYE"), "as without NOTIFY, where it has the selected mailbox"


def test_a_server_lost_while_another_is_asked(losing):
    """What holds at the end is what the client was told: after an OK it hears of its mailbox."""
    m, a, c, d = losing
    ok(c.cmd(f"NOTIFY SET (mailboxes (misc {SHARED}) (MessageNew MessageExpunge))"))
    m.first.process.send_signal(signal.SIGSTOP)
    try:
        c.send("n NOTIFY SET (mailboxes misc (MessageNew MessageExpunge))\r\n")
        assert a.cmd("STATUS nosuch (MESSAGES)")[1].startswith("NO"), "the list is new by then, for both of them"
        m.members["backendb1"].kill()
        hears(c, r"\* OK \[NOTIFICATIONOVERFLOW\] .*")
        m.members["backendb1"].start()
        wait_for(lambda: a.cmd("STATUS team (MESSAGES)")[1].startswith("OK"), "the other server is back")
    finally:
        m.first.process.send_signal(signal.SIGCONT)
    done = c.until("n")[1]
    if not done.startswith("OK"):
        wait_for(lambda: c.cmd("NOTIFY SET (mailboxes misc (MessageNew MessageExpunge))")[1].startswith("OK"), "it is taken")
    send(d, "misc")
    hears(c, r"\* STATUS misc \(MESSAGES 1 UIDNEXT 2\)")
