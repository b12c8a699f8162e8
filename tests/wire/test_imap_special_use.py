r"""Special uses that are set (RFC 6154): by CREATE, by /private/specialuse, in LIST; by name where none is set; one mailbox a use. On a backend and
through a frontend."""
import threading

import pytest

from test_imap_list import rows
from test_imap_metadata import get
from test_imap_session import no, ok


@pytest.fixture
def c(session):
    c = session("fred")
    yield c
    for name in sorted(rows(c.cmd('LIST "" *')), reverse=True):
        if name != "INBOX":
            c.cmd(f'DELETE "{name}"')


def uses(c, command='LIST "" *'):
    """Mailbox to its special uses, if it has any."""
    known = {"\\Archive", "\\Drafts", "\\Important", "\\Junk", "\\Sent", "\\Trash", "\\All", "\\Flagged"}
    return {name: set(a) & known for name, (a, _) in rows(c.cmd(command)).items() if set(a) & known}


def test_the_rfcs_examples(c):
    ok(c.cmd(r"CREATE MySpecial (USE (\Drafts \Sent))"))
    no(c.cmd(r"CREATE Everything (USE (\All))")[1], "NO [USEATTR]")
    assert "Everything" not in rows(c.cmd('LIST "" *'))
    both = {"MySpecial": {"\\Drafts", "\\Sent"}}
    assert uses(c) == uses(c, 'LIST (SPECIAL-USE) "" "*"') == uses(c, 'LIST "" "%" RETURN (SPECIAL-USE)') == both
    assert set(rows(c.cmd('LIST (SPECIAL-USE) "" "*"'))) == {"MySpecial"}
    assert get(c, "MySpecial", "/private/specialuse") == {"/private/specialuse": r"\Drafts \Sent"}


def test_by_metadata(c):
    ok(c.cmd("CREATE SavedDrafts"))
    ok(c.cmd(r'SETMETADATA SavedDrafts (/private/specialuse "\\drafts")'))
    assert uses(c) == {"SavedDrafts": {"\\Drafts"}}
    assert get(c, "SavedDrafts", "/private/specialuse") == {"/private/specialuse": r"\Drafts"}
    no(c.cmd(r'SETMETADATA SavedDrafts (/private/specialuse "\\Nothing" /private/comment "x")')[1], "NO [USEATTR]")
    assert get(c, "SavedDrafts", "/private/comment") == {"/private/comment": None}
    ok(c.cmd("SETMETADATA SavedDrafts (/private/specialuse NIL)"))
    assert uses(c) == {}
    no(c.cmd(r'SETMETADATA INBOX (/private/specialuse "\\Sent")')[1], "NO [USEATTR]")


def test_names_are_for_what_is_set_nowhere(c):
    ok(c.cmd("CREATE Sent"))
    ok(c.cmd("CREATE Trash"))
    assert uses(c) == {"Sent": {"\\Sent"}, "Trash": {"\\Trash"}}
    ok(c.cmd(r"CREATE Gesendet (USE (\Sent))"))
    assert uses(c) == {"Gesendet": {"\\Sent"}, "Trash": {"\\Trash"}}
    ok(c.cmd('SETMETADATA Trash (/private/specialuse "")'))
    assert uses(c) == {"Gesendet": {"\\Sent"}}
    assert set(rows(c.cmd('LIST (SPECIAL-USE) "" "*"'))) == {"Gesendet"}
    ok(c.cmd("DELETE Gesendet"))
    ok(c.cmd("SETMETADATA Trash (/private/specialuse NIL)"))
    assert uses(c) == {"Sent": {"\\Sent"}, "Trash": {"\\Trash"}}


def test_one_mailbox_has_it(c):
    ok(c.cmd(r"CREATE One (USE (\Junk))"))
    no(c.cmd(r"CREATE Two (USE (\Archive \junk))")[1], "NO [USEATTR]")
    assert "Two" not in rows(c.cmd('LIST "" *'))
    ok(c.cmd("CREATE Two"))
    no(c.cmd(r'SETMETADATA Two (/private/specialuse "\\Junk")')[1], "NO [USEATTR]")
    # It goes along, and goes away.
    ok(c.cmd("RENAME One Three"))
    assert uses(c) == {"Three": {"\\Junk"}}
    no(c.cmd(r'SETMETADATA Two (/private/specialuse "\\Junk")')[1], "NO [USEATTR]")
    ok(c.cmd("DELETE Three"))
    ok(c.cmd(r'SETMETADATA Two (/private/specialuse "\\Junk")'))
    assert uses(c) == {"Two": {"\\Junk"}}


def test_of_two_who_ask_at_once_one_gets_it(c, session):
    asked, answers = [session("fred") for _ in range(6)], []

    def ask(i, s):
        answers.append(s.cmd(rf"CREATE At-{i} (USE (\Archive))")[1])
    threads = [threading.Thread(target=ask, args=(i, s)) for i, s in enumerate(asked)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(a.split()[0] for a in answers) == ["NO"] * 5 + ["OK"], answers
    assert all("[USEATTR]" in a for a in answers if a.startswith("NO"))
    assert len(rows(c.cmd('LIST "" At-*'))) == len(uses(c)) == 1


def test_an_administrator_sets_the_owners(c, session):
    admin = session("admin")
    ok(admin.cmd(r"CREATE user/fred/Mist (USE (\Junk))"))
    assert uses(c) == {"Mist": {"\\Junk"}}
    assert uses(session("bob")) == {}
    ok(admin.cmd(r'SETMETADATA user/fred/Mist (/private/specialuse "\\Trash")'))
    assert uses(c) == {"Mist": {"\\Trash"}}
    assert get(admin, "user/fred/Mist", "/private/specialuse") == {"/private/specialuse": r"\Trash"}
    assert get(admin, "user/fred/Mist", "/private", options="(DEPTH infinity) ") == {"/private/specialuse": r"\Trash"}
    no(admin.cmd(r"CREATE shared-junk (USE (\Junk))")[1], "NO [USEATTR]")


def test_others_mailboxes_are_of_no_use(c, session):
    ok(c.cmd("CREATE Open"))
    ok(c.cmd("SETACL Open bob lrwk"))
    bob = session("bob")
    no(bob.cmd(r'SETMETADATA "Other Users/fred/Open" (/private/specialuse "\\Sent")')[1], "NO [USEATTR]")
    no(bob.cmd(r'CREATE "Other Users/fred/Open/x" (USE (\Sent))')[1], "NO [USEATTR]")
    ok(c.cmd(r"CREATE Open/Mine (USE (\Sent))"))
    assert uses(bob) == {}


def test_parents_of_what_is_used(c):
    ok(c.cmd("CREATE Top"))
    ok(c.cmd(r"CREATE Top/Below (USE (\Archive))"))
    found = rows(c.cmd('LIST (SPECIAL-USE RECURSIVEMATCH) "" "%"'))
    assert set(found) == {"Top"} and "SPECIAL-USE" in found["Top"][1]


@pytest.mark.parametrize("command", [r"CREATE x (USE \Sent)", r"CREATE x (USE (\Sent)", r"CREATE x (FOO (\Sent))", r"CREATE x (USE)", r"CREATE x ()",
                                     r"CREATE x (USE (\Sent)) y"])
def test_bad_input(c, command):
    no(c.cmd(command)[1], "BAD")
    assert "x" not in rows(c.cmd('LIST "" *'))


@pytest.mark.parametrize("use", ["Sent", r"\Sent \Nothing", r"\\Sent", "x" * 2000])
def test_bad_uses(c, use):
    no(c.cmd(f"CREATE x (USE ({use}))")[1], "NO [USEATTR]")
    assert "x" not in rows(c.cmd('LIST "" *'))
