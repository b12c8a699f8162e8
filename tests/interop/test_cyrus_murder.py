"""Real Cyrus backends and a real Cyrus frontend with `roost mupdate` as their mupdate server."""
import pytest

from cyrus_murder import CyrusMurder, Directory, Follower, available, deliver, ok, records
from mupdate import Mupdate, state
from roost import wait_for

USERS = ["u1", "u2", "u3", "u4"]
pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")


@pytest.fixture(scope="module")
def directory():
    d = Directory().start()
    yield d
    d.stop()


@pytest.fixture(scope="module")
def murder(directory, request):
    before = request.session.testsfailed
    m = CyrusMurder(directory.mupdate_port, users=USERS).start()
    yield m
    if request.session.testsfailed > before:
        print(m.tails(), directory.daemon.tail(), sep="\n")
    m.stop()


def test_create_and_log_in_through_the_frontend(directory, murder):
    follower = Follower(directory, "frontend")
    admin = murder.imap("cyrus")
    ok(admin.create("user/u1 backenda!default"))
    ok(admin.create("user/u2"))
    ok(admin.create("user/u3 backendb!default"))
    found = records(directory)
    assert found["user.u1"] == ("MAILBOX", "backenda!default")
    assert found["user.u3"] == ("MAILBOX", "backendb!default")
    for user in ("u1", "u2", "u3"):
        ok(murder.imap(user).select("INBOX"))
    assert follower.of("user.u1") == ["RESERVE", "MAILBOX"]
    follower.close()


def test_the_frontend_hears_of_what_is_made_through_it_at_once(murder):
    """It kicks its follower, which asks NOOP: the list is complete up to there when that is answered."""
    c = murder.imap("u1")
    for i in range(20):
        ok(c.create(f"INBOX/kick{i}"))
        ok(c.select(f"INBOX/kick{i}"))
        ok(c.select("INBOX"))
        ok(c.delete(f"INBOX/kick{i}"))
    assert all(status == "OK" for verb, _, status in murder.said("frontend") if verb == "NOOP")


def test_rename_setacl_delete(directory, murder):
    c, other = murder.imap("u1"), murder.imap("u3")
    ok(c.create("INBOX/foo"))
    assert b"user/u1/foo" not in b" ".join(x or b"" for x in ok(other.list('""', "*")))
    ok(c.setacl("INBOX/foo", "u3", "lrs"))
    assert b"user/u1/foo" in b" ".join(ok(other.list('""', "*")))
    ok(other.select("user/u1/foo"))  # a mailbox of the other server
    ok(other.select("INBOX"))
    ok(c.rename("INBOX/foo", "INBOX/bar"))
    found = records(directory)
    assert "user.u1.foo" not in found and found["user.u1.bar"][0] == "MAILBOX"
    ok(other.select("user/u1/bar"))
    ok(other.select("INBOX"))
    ok(c.delete("INBOX/bar"))
    assert "user.u1.bar" not in records(directory)
    assert other.select("user/u1/bar")[0] == "NO"
    admin = murder.imap("cyrus")
    ok(admin.rename("user/u2", "user/u4"))
    ok(murder.imap("u4").select("INBOX"))
    ok(admin.setacl("user/u4", "cyrus", "lrswipkxtecda"))
    ok(admin.delete("user/u4"))
    assert not {"user.u2", "user.u4"} & set(records(directory))


def test_mail_goes_where_the_directory_says(murder):
    assert [deliver(murder, u, f"to-{u}") for u in ("u1", "u3")] == [250, 250]
    assert deliver(murder, "nobody", "x") == 550
    for user in ("u1", "u3"):
        assert ok(murder.imap(user).select("INBOX")) == [b"1"]


def test_xfer_to_the_other_server_and_back(directory, murder):
    follower = Follower(directory, "frontend")
    admin = murder.b.imap()
    ok(admin.xatom("XFER", "user/u3", "backenda"))
    assert records(directory)["user.u3"] == ("MAILBOX", "backenda!default")
    assert deliver(murder, "u3", "after") == 250
    assert ok(murder.imap("u3").select("INBOX")) == [b"2"]
    ok(murder.a1.imap().xatom("XFER", "user/u3", "backendb"))
    assert records(directory)["user.u3"] == ("MAILBOX", "backendb!default")
    assert ok(murder.imap("u3").select("INBOX")) == [b"2"]
    assert "DELETE" not in follower.of("user.u3")
    follower.close()


def test_a_backend_that_starts_mends_its_part_of_the_list(directory, murder):
    c = Mupdate(directory, "admin")
    c.ok("ACTIVATE", "user.ghost", "backendb!default", "ghost\tlrs\t")
    c.ok("ACTIVATE", "user.other", "backenda!default", "other\tlrs\t")
    c.ok("DELETE", "user.u3")
    murder.b.stop()
    murder.b.start()
    wait_for(lambda: state(c, "user.u3") == ("MAILBOX", "backendb!default"), "what it has is in the list again")
    assert state(c, "user.ghost") is None and state(c, "user.other")
    c.ok("DELETE", "user.other")
    # The list is mended before the backend listens.
    wait_for(lambda: ok(murder.imap("u3").select("INBOX")), "and served")


def test_a_mupdate_server_that_comes_back_is_found_again(directory, murder):
    c = murder.imap("u1")
    directory.daemon.kill()
    ok(c.select("INBOX"))
    assert c.create("INBOX/refused")[0] == "NO"
    directory.start()
    ok(murder.imap("u1").create("INBOX/later"))

    def listed():
        return b"later" in b" ".join(ok(murder.imap("u1").list('""', "*")))
    wait_for(listed, "the frontend follows again", 30)


def test_every_answer_was_the_expected_one(murder):
    for name in ("backenda1", "backendb", "frontend"):
        said = murder.said(name)
        assert said, name
        odd = {(verb, status) for verb, _, status in said} - {(v, "OK") for v in (
            "AUTHENTICATE", "LIST", "FIND", "RESERVE", "ACTIVATE", "DEACTIVATE", "DELETE", "UPDATE", "NOOP", "LOGOUT")}
        # Who says LOGOUT may be gone before the answer; a follower may be cut off by the one who kills its server.
        assert odd <= {("LOGOUT", None), ("NOOP", None), ("UPDATE", None)}, (name, odd)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_mechanisms(directory, mechanism):
    m = CyrusMurder(directory.mupdate_port, extra=f"directory_mechs: {mechanism}\n").write()
    m.b.run("ctl_cyrusdb", "-r")
    done = m.b.run("ctl_mboxlist", "-m", "-w")
    said = m.said("backendb")
    m.stop()
    assert done.returncode == 0, (done, m.b.tail())
    assert [(v, s) for v, _, s in said[:2]] == [("AUTHENTICATE", "OK"), ("LIST", "OK")]
    assert said[0][1] == mechanism
