"""LIST with RFC 5258's options, STATUS and MYRIGHTS in it (RFC 5819, 8440), on a backend and through a frontend; the names are those
of RFC 5258 section 5."""
import re

import pytest

from test_imap_session import ok

TREE = ["Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn", "Sent"]
SUBSCRIBED = ["Fruit/Banana", "Fruit/Peach", "INBOX", "Vegetable", "Vegetable/Broccoli", "Sent"]


@pytest.fixture(scope="module")
def tree(fronted):
    """Ann's mailboxes; a shared one on the other server; Fruit/Peach is subscribed and gone."""
    c = fronted.raw(fronted.first.imap).login("ann")
    for name in TREE:
        ok(c.cmd("CREATE " + name))
    ok(c.cmd("CREATE Fruit/Peach"))
    for name in SUBSCRIBED:
        ok(c.cmd("SUBSCRIBE " + name))
    ok(c.cmd("DELETE Fruit/Peach"))
    text = "Subject: x\r\n\r\nx\r\n"
    for _ in range(3):
        ok(c.cmd(f"APPEND Tofu {{{len(text)}+}}\r\n{text}"))
    c.close()
    admin = fronted.raw(fronted.members["backendb1"].imap).login("admin")
    ok(admin.cmd("CREATE away"))
    ok(admin.cmd("SETACL away ann lrs"))
    admin.close()
    yield
    c = fronted.raw(fronted.first.imap).login("ann")
    for name in reversed(TREE):
        ok(c.cmd("DELETE " + name))
    for name in SUBSCRIBED:
        ok(c.cmd("UNSUBSCRIBE " + name))
    c.close()


@pytest.fixture
def c(session, tree):
    return session("ann")


def rows(answer):
    """Name to (attributes, what stands behind the name)."""
    found = {}
    for line in ok(answer):
        m = re.match(r'\* LIST \(([^)]*)\) "/" ("[^"]*"|\S+)(.*)', line)
        if m:
            assert m.group(2) not in found, f"{m.group(2)} is told twice"
            found[m.group(2).strip('"')] = (set(m.group(1).split()), m.group(3).strip())
    return found


def names(answer):
    return sorted(rows(answer))


def test_plain(c):
    everything = rows(c.cmd('LIST "" *'))
    assert set(TREE) | {"INBOX"} <= set(everything)
    assert everything["Fruit"][0] == {r"\HasChildren"} and everything["Fruit/Apple"][0] == {r"\HasNoChildren"}
    assert everything["Sent"][0] == {r"\HasNoChildren", r"\Sent"}
    assert names(c.cmd('LIST "" Fruit/%')) == ["Fruit/Apple", "Fruit/Banana"]
    assert names(c.cmd('LIST Veg etable/%')) == ["Vegetable/Broccoli", "Vegetable/Corn"]


def test_several_patterns(c):
    assert names(c.cmd('LIST "" ("INBOX" "Vegetable" "Fruit/%" Fruit/A*)')) == ["Fruit/Apple", "Fruit/Banana", "INBOX", "Vegetable"]


def test_subscribed(c):
    found = rows(c.cmd('LIST (SUBSCRIBED) "" "*"'))
    assert sorted(found) == sorted(SUBSCRIBED)
    assert all(r"\Subscribed" in a for a, _ in found.values())
    assert r"\NonExistent" in found["Fruit/Peach"][0] and r"\NonExistent" not in found["Fruit/Banana"][0]
    assert names(c.cmd('LIST (SUBSCRIBED) "" "%"')) == ["INBOX", "Sent", "Vegetable"], "no level that is not subscribed itself"
    found = rows(c.cmd('LIST (SUBSCRIBED REMOTE) "" "*" RETURN (CHILDREN)'))
    assert r"\HasChildren" in found["Vegetable"][0] and r"\HasNoChildren" in found["INBOX"][0]
    assert names(c.cmd('LIST (SUBSCRIBED SPECIAL-USE) "" "*"')) == ["Sent"]


def test_return_subscribed(c):
    found = rows(c.cmd('LIST "" ("Vegetable*" "Fruit/*" "Tofu") RETURN (SUBSCRIBED CHILDREN)'))
    assert {n for n, (a, _) in found.items() if r"\Subscribed" in a} == {"Vegetable", "Vegetable/Broccoli", "Fruit/Banana"}
    assert "Tofu" in found and "Fruit/Peach" not in found


def test_recursivematch(c):
    found = rows(c.cmd('LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"'))
    assert set(found) == {"INBOX", "Fruit", "Vegetable", "Sent"}
    assert found["Fruit"][1] == '("CHILDINFO" ("SUBSCRIBED"))' and r"\Subscribed" not in found["Fruit"][0]
    assert found["Vegetable"][1] == '("CHILDINFO" ("SUBSCRIBED"))' and r"\Subscribed" in found["Vegetable"][0]
    assert found["INBOX"][1] == ""
    found = rows(c.cmd('LIST (SUBSCRIBED RECURSIVEMATCH) "" "*"'))
    assert set(found) == set(SUBSCRIBED) | {"Fruit"}
    assert set(rows(c.cmd('LIST (RECURSIVEMATCH SUBSCRIBED) "" "Fru*"'))) == {"Fruit", "Fruit/Banana", "Fruit/Peach"}


def test_special_use(c):
    assert names(c.cmd('LIST (SPECIAL-USE) "" "*"')) == ["Sent"]
    assert names(c.cmd('LIST (SPECIAL-USE RECURSIVEMATCH) "" "%"')) == ["Sent"]
    assert r"\Sent" in rows(c.cmd('LIST "" % RETURN (SPECIAL-USE)'))["Sent"][0]


def test_status_in_list(c):
    lines = ok(c.cmd('LIST "" (Tofu INBOX) RETURN (STATUS (MESSAGES UNSEEN SIZE))'))
    assert f"* STATUS Tofu (MESSAGES 3 UNSEEN 3 SIZE {3 * 17})" in lines
    assert any(x.startswith("* STATUS INBOX (MESSAGES ") for x in lines)
    lines = ok(c.cmd('LIST (SUBSCRIBED) "" "Fruit/*" RETURN (STATUS (MESSAGES) CHILDREN)'))
    assert [x for x in lines if x.startswith("* STATUS")] == ["* STATUS Fruit/Banana (MESSAGES 0)"], "none of what is not there"
    ok(c.cmd("SELECT Tofu"))
    assert "* STATUS Tofu (MESSAGES 3)" in ok(c.cmd('LIST "" Tofu RETURN (STATUS (MESSAGES))'))
    ok(c.cmd("FETCH 1 FLAGS"))


def test_rights_in_list(c):
    lines = ok(c.cmd('LIST "" ("Tofu" "INBOX") RETURN (MYRIGHTS)'))
    assert any(re.match(r"\* MYRIGHTS Tofu l\w*a", x) for x in lines) and any(x.startswith("* MYRIGHTS INBOX ") for x in lines)


def test_several_servers(fronted, tree):
    """Only a frontend knows all; each mailbox's own server is asked for its STATUS."""
    c = fronted.raw(fronted.frontends[0].imap).login("ann")
    lines = ok(c.cmd('LIST "" ("Tofu" "Shared Folders/away") RETURN (STATUS (MESSAGES) MYRIGHTS)'))
    assert "* STATUS Tofu (MESSAGES 3)" in lines and '* STATUS "Shared Folders/away" (MESSAGES 0)' in lines
    assert '* MYRIGHTS "Shared Folders/away" lrs' in lines
    c.close()


def test_many_mailboxes_with_status(session, tree):
    """More than are asked for at once."""
    c = session("ann")
    for i in range(120):
        ok(c.cmd(f"CREATE Many/{i}"))
    lines = ok(c.cmd('LIST "" "Many/%" RETURN (STATUS (UIDNEXT))'))
    assert len([x for x in lines if x.startswith("* STATUS")]) == 120 and len([x for x in lines if x.startswith("* LIST")]) == 120
    assert rows(c.cmd('LIST "" "Many"'))["Many"][0] == {r"\NonExistent", r"\Noselect", r"\HasChildren"}
    for i in range(120):
        ok(c.cmd(f"DELETE Many/{i}"))


def test_a_long_list_is_told_as_the_client_takes_it(fronted, tree):
    """More than may wait for the client: backend and frontend go on where they were, in the order of names, with what was made meanwhile
    behind."""
    c, other = (fronted.raw().login("ann") for _ in range(2))
    through = fronted.raw(fronted.frontends[0].imap).login("ann")
    want = [f"Long/{i:04}{'x' * 240}" for i in range(1200)]
    ok(c.cmd("CREATE Long"))
    for i in range(0, len(want), 100):
        c.send("".join(f"p CREATE {n}\r\n" for n in want[i:i + 100]))
        for _ in want[i:i + 100]:
            assert c.line().startswith("p OK")
    ok(through.cmd("CREATE Long/zz"))  # it has heard of all before
    want.append("Long/zz")
    for each in (c, through):
        each.send('q LIST "" Long/*\r\n')
    ok(other.cmd("CREATE Long/zzz"))  # the clients have not read yet
    ok(other.cmd("NOOP"))
    for each in (c, through):
        lines, done = each.until("q")
        got = [line.split(" ")[-1] for line in lines]
        assert done.startswith("OK") and got in (want, want + ["Long/zzz"])
    for n in ("Long/zzz", *want, "Long"):
        other.send(f"p DELETE {n}\r\n")
    for _ in range(len(want) + 2):
        assert other.line().startswith("p OK")
    for each in (c, other, through):
        each.close()


def test_a_name_between_a_mailbox_and_what_is_below_it(c):
    for name in ("Fruit-cake", "Fruit Salad"):
        ok(c.cmd(f'CREATE "{name}"'))
    found = rows(c.cmd('LIST "" "F%"'))
    assert found["Fruit"][0] == {r"\HasChildren"} and found["Fruit-cake"][0] == {r"\HasNoChildren"}
    for name in ("Fruit-cake", "Fruit Salad"):
        ok(c.cmd(f'DELETE "{name}"'))


def test_status_items(c):
    assert "* STATUS Tofu (DELETED 0 SIZE 51)" in ok(c.cmd("STATUS Tofu (SIZE DELETED)"))
    ok(c.cmd("SELECT Tofu"))
    ok(c.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)"))
    assert "* STATUS Tofu (DELETED 1)" in ok(c.cmd("STATUS Tofu (DELETED)"))
    ok(c.cmd(r"STORE 1 -FLAGS.SILENT (\Deleted)"))


@pytest.mark.parametrize("command", [
    'LIST (RECURSIVEMATCH) "" "*"', 'LIST (RECURSIVEMATCH REMOTE) "" "*"', 'LIST (NOSUCH) "" "*"', 'LIST (SUBSCRIBED "" "*"',
    'LIST "" "*" RETURN', 'LIST "" "*" RETURN (', 'LIST "" "*" RETURN (NOSUCH)', 'LIST "" "*" RETURN (STATUS)',
    'LIST "" "*" RETURN (STATUS ())', 'LIST "" "*" RETURN (STATUS (NOSUCH))', 'LIST "" "*" RETURN (STATUS (MESSAGES)',
    'LIST "" ("a" "b"', 'LIST "" ()', 'LIST "" "*" RETURN (RECURSIVEMATCH)', 'LIST (CHILDREN) "" "*"', 'LIST "" "*" NOSUCH (CHILDREN)',
])
def test_malformed(c, command):
    assert c.cmd(command)[1].startswith("BAD"), command
    ok(c.cmd("NOOP"))
