"""A pair of real Cyrus backends with one configuration, both in the murder at all times; the same with Cyrus's own
mupdate server, to know how it differs."""
import re

import pytest

from cyrus_murder import (MEMBER_ADDRESSES, CyrusMurder, Directory, Follower, available, deliver, message, ok, records)
from mupdate import Mupdate, state
from roost import http, wait_for

USERS = ["u1", "u2", "u3", "u4", "u5"]
ROW = " ".join(f"{member}={address}" for member, address in MEMBER_ADDRESSES.items())
pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")


def replicated(member, *names):
    wait_for(lambda: set(names) <= member.mailboxes(), f"{member.name} holds {names}", 40)


def gone(member, *names):
    wait_for(lambda: not set(names) & member.mailboxes(), f"{member.name} no longer holds {names}", 40)


def fail_over(m, promote):
    """The master's power goes, and what an operator does: nothing on any backend or frontend."""
    m.a1.kill()
    promote()
    m.sync["backenda2"].move(None)
    for service, relay in m.service.items():
        relay.move(m.a2.ports[service])


def come_back(m):
    """The old master, as it was, with the other one replicating to it now."""
    m.a1.start()
    m.sync["backenda1"].move(m.a1.ports["csync"])
    wait_for(lambda: m.a1.imap().logout(), "the old master serves again", 30)


def told(m, name):
    """What a member asked to be changed, and the answers."""
    return [t for t in m.said(name) if t[0] in ("RESERVE", "ACTIVATE", "DEACTIVATE", "DELETE")]


def without_own(path, m, name):
    """A member's configuration, but for its host's name and the place of its files."""
    return open(f"{m.base}/{name}/{path}").read().replace(f"{m.base}/{name}/", "").replace(name, "HOST")


@pytest.fixture(scope="module")
def directory():
    d = Directory(**{"servers": "backenda", "members-backenda": ROW}).start()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def murder(directory, request):
    before = request.session.testsfailed
    m = CyrusMurder(directory.mupdate_port, pair=True, users=USERS).start()
    m.follower = Follower(directory, "frontend")
    m.started = {i.name: i.process.pid for i in m.all}
    yield m
    if request.session.testsfailed > before:
        print(m.tails(), directory.daemon.tail(), sep="\n")
    m.stop()


def role(directory, member):
    return http(f"127.0.0.1:{directory.admin_port}", f"/role/backenda/{member}")


def test_the_members_configurations_are_the_same(murder):
    for path in ("imapd.conf", "cyrus.conf"):
        assert without_own(path, murder, "backenda1") == without_own(path, murder, "backenda2")


def test_both_members_take_part(directory, murder):
    admin = murder.imap("cyrus")
    for user in ("u1", "u2"):
        ok(admin.create(f"user/{user} backenda!default"))
    ok(admin.create("user/u3 backendb!default"))
    c = murder.imap("u1")
    for name in ("old", "shared", "brief"):
        ok(c.create(f"INBOX/{name}"))
    ok(c.setacl("INBOX/shared", "u3", "lrs"))
    replicated(murder.a2, "user.u1", "user.u2", "user.u1.old", "user.u1.shared", "user.u1.brief")
    ok(c.rename("INBOX/old", "INBOX/new"))
    ok(c.delete("INBOX/brief"))
    replicated(murder.a2, "user.u1.new")
    gone(murder.a2, "user.u1.old", "user.u1.brief")
    assert b"user/u1/shared" in b" ".join(ok(murder.imap("u3").list('""', "*")))
    found = records(directory)
    assert {n for n, r in found.items() if r[1].startswith("backenda!") and not n.startswith("DELETED.")} == {
        "user.u1", "user.u2", "user.u1.new", "user.u1.shared"}
    for member in ("backenda1", "backenda2"):
        said = told(murder, member)
        assert {verb for verb, _, _ in said} >= {"RESERVE", "ACTIVATE", "DELETE"}, said
        assert {status for _, _, status in said} == {"OK"}, said


def test_a_follower_sees_each_mailbox_once(directory, murder):
    """Never inactive after it was active, never missing: the replica's words do not show."""
    c = Mupdate(directory, "backenda", source=MEMBER_ADDRESSES["backenda2"])
    c.ok("RESERVE", "user.u2", "backenda!default")
    assert state(c, "user.u2") == ("MAILBOX", "backenda!default")
    for name in ("user.u1", "user.u2", "user.u1.shared", "user.u1.new"):
        kinds = murder.follower.of(name)
        assert kinds[0] in ("RESERVE", "MAILBOX") and set(kinds[1:]) == {"MAILBOX"}, (name, kinds)
    for name in ("user.u1.old", "user.u1.brief"):
        assert murder.follower.of(name).count("DELETE") == 1 and murder.follower.of(name)[-1] == "DELETE"


def test_roles(directory):
    assert role(directory, "backenda1")[0] == 200 and role(directory, "backenda2") == (503, "replica\n")
    shown = directory.roost("status").stdout
    assert re.search(r"backenda1\s+master", shown) and re.search(r"backenda2\s+replica", shown), shown


def test_the_master_dies_and_the_service_address_moves(directory, murder):
    for n in range(5):
        assert deliver(murder, "u1", f"before{n}") == 250
    ok(murder.imap("u1").create("INBOX/last"))
    replicated(murder.a2, "user.u1.last")
    wait_for(lambda: ok(murder.a2.imap("u1").select("INBOX")) == [b"5"], "the mail is on both", 40)

    def promote():
        done = directory.roost("promote", "backenda", "backenda2")
        assert done.returncode == 0, done.stderr

    fail_over(murder, promote)
    assert role(directory, "backenda2")[0] == 200 and role(directory, "backenda1") == (503, "replica\n")
    wait_for(lambda: ok(murder.imap("u1").select("INBOX")) == [b"5"], "all mail is there")
    wait_for(lambda: deliver(murder, "u1", "after") == 250, "mail flows")
    c = murder.imap("u1")
    assert ok(c.select("INBOX")) == [b"6"]
    ok(c.append("INBOX", None, None, message("appended")))
    for name in ("made-since", "gone-since"):
        ok(c.create(f"INBOX/{name}"))
    ok(c.delete("INBOX/gone-since"))
    ok(c.delete("INBOX/last"))
    ok(c.rename("INBOX/new", "INBOX/newer"))
    ok(murder.imap("cyrus").create("user/u4 backenda!default"))
    ok(murder.imap("u4").select("INBOX"))
    assert deliver(murder, "u4", "hello") == 250


def test_the_old_master_comes_back_and_changes_nothing(directory, murder):
    before = records(directory)
    asked = len(told(murder, "backenda1"))
    assert {"user.u1.made-since", "user.u1.newer", "user.u4"} <= set(before)
    assert not {"user.u1.last", "user.u1.new", "user.u1.gone-since"} & set(before)
    come_back(murder)
    # Its ctl_mboxlist -m at the start, and once more by hand: it deletes what it does not know, and makes known what it has.
    assert murder.a1.run("ctl_mboxlist", "-m").returncode == 0
    said = told(murder, "backenda1")[asked:]
    assert ("DELETE", "user.u1.made-since", "OK") in said and ("ACTIVATE", "user.u1.last", "OK") in said, said
    assert {status for _, _, status in said} == {"OK"}
    murder.follower.flush()
    assert records(directory) == before
    # Its successor's changes come to it, and it may repeat them all.
    ok(murder.imap("u1").create("INBOX/both"))
    replicated(murder.a1, "user.u1.both", "user.u1.made-since", "user.u1.newer", "user.u4")
    wait_for(lambda: ok(murder.a1.imap("u4").select("INBOX")) == [b"1"], "the mail is on both again", 40)
    assert {**before, "user.u1.both": ("MAILBOX", "backenda!default")} == records(directory)
    assert "DELETE" not in murder.follower.of("user.u1.made-since") + murder.follower.of("user.u4")


def test_nothing_was_rewritten_or_restarted(murder):
    assert murder.config_hashes() == murder.hashes
    for i in murder.all:
        assert i.process.poll() is None
        if i is not murder.a1:
            assert i.process.pid == murder.started[i.name]
        assert "signaled to death" not in i.text(), i.tail()


class Unlike:
    """What a run with Cyrus's own mupdate server found."""


@pytest.fixture(scope="module")
def unlike(request):
    """The same doings, those that it survives first."""
    before = request.session.testsfailed
    found = Unlike()
    m = CyrusMurder(None, pair=True, users=USERS).start()
    try:
        play(m, found)
        yield found
        if request.session.testsfailed > before:
            print(vars(found))
    except BaseException:
        print(m.tails())
        raise
    finally:
        m.stop()


def crashes(m):
    return len(re.findall(r"name:mupdate .*signaled to death", m.d.text()))


def play(m, found):
    admin = m.imap("cyrus")
    for user in ("u1", "u2"):
        ok(admin.create(f"user/{user} backenda!default"))
    c = m.imap("u1")
    for name in ("old", "brief"):
        ok(c.create(f"INBOX/{name}"))
    replicated(m.a2, "user.u1", "user.u2", "user.u1.old", "user.u1.brief")
    wait_for(lambda: sum(1 for verb, *_ in told(m, "backenda2") if verb == "ACTIVATE") >= 4, "the replica has told it", 40)
    # A replica's RESERVE that comes after its master's ACTIVATE, slowly.
    s = Mupdate(m, "cyrus")
    s.ok("RESERVE", "user.u2", "backenda!default")
    found.after_second_reserve = state(s, "user.u2")
    s.ok("ACTIVATE", "user.u2", "backenda!default", "u2\tlrswipkxtecda\t")
    found.crashes_before = crashes(m)
    fail_over(m, lambda: None)
    wait_for(lambda: ok(m.imap("u1").create("INBOX/made-since")), "the successor serves")
    found.before = records(m, "cyrus")
    come_back(m)
    wait_for(lambda: "user.u1.made-since" not in records(m, "cyrus"), "the old master has removed what it does not know", 20)
    found.after = records(m, "cyrus")
    wait_for(lambda: "user.u1.made-since" in m.a1.mailboxes(), "the successor replicates to it", 40)
    # The mailbox deleted by its master, then by its replica.
    c = m.imap("u1")
    found.deleted = c.delete("INBOX/brief")[0]
    wait_for(lambda: crashes(m) > found.crashes_before, "it has crashed", 40)
    found.crashes = crashes(m)


def test_cyrus_itself_takes_a_mailbox_off_the_list_when_the_replica_reserves_it(unlike):
    assert unlike.after_second_reserve == ("RESERVE", "backenda!default")


def test_cyrus_itself_lets_the_old_master_delete_what_its_successor_made(unlike):
    assert "user.u1.made-since" in unlike.before and "user.u1.made-since" not in unlike.after


def test_cyrus_itself_dies_by_the_replicas_deletion(unlike):
    assert unlike.crashes_before == 0 and unlike.crashes > 0
