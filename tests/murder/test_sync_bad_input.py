"""What a member says to the other when it is broken, or not a member at all. The rule: broken octets end that connection, never
the process, and change nothing that is committed."""
import json
import os
import socket
import ssl
import struct
import subprocess
import time

import pytest

import sync_peer as sync
from mupdate import Mupdate
from roost import ROOST, Murder, http, wait_for
from sync_peer import SyncPeer


def status(daemon):
    code, body = http(f"127.0.0.1:{daemon.admin}", "/status.json")
    return json.loads(body) if code == 200 else {}


def dump(daemon):
    r = subprocess.run([ROOST, "dump", "-C", daemon.config], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return r.stdout


def port(daemon):
    return int(daemon.values["sync_listen"].rsplit(":", 1)[1])


@pytest.fixture(scope="module")
def master():
    """backenda1 alone: a master whose partner, backenda2, is the test."""
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"], "backendb": ["backendb1"]},
               limits={"sync_login_timeout_s": 1})
    m.members["backendb1"].values["member"] = "backendb1"
    m.mupdate.start()
    m.first.start()
    wait_for(lambda: m.imap("admin"), "the master serves").logout()
    m.create_user("fred")
    c = m.imap("fred")
    for i in range(3):
        assert c.append("INBOX", None, None, b"Subject: %d\r\n\r\nbody\r\n" % i)[0] == "OK"
    c.logout()
    yield m
    m.stop()


@pytest.fixture
def unharmed(master):
    """What a bad peer must not change: the process, the mail, and that new mail is taken."""
    pid, before = master.first.process.pid, dump(master.first)
    yield master
    assert master.first.process.poll() is None and master.first.process.pid == pid, master.first.tail()
    assert dump(master.first) == before
    assert status(master.first)["in_sync"] == "backenda1"
    c = master.imap("fred", mailbox="INBOX")
    assert c.noop()[0] == "OK"
    c.logout()


def test_nonsense_before_the_login_ends_the_connection(unharmed):
    for first in (b"ROOSTSY2", b"ROOSTSY\0", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"):
        assert SyncPeer.dial(port(unharmed.first), magic=first).ends(), first
    for octets in (struct.pack("<I", 4097) + b"x" * 4097, b"\xff" * 4, struct.pack("<I", 0), struct.pack("<I", 1) + b"C",
                   struct.pack("<I", 3) + b"APL", struct.pack("<I", 6) + b"APLAIN", struct.pack("<I", 15) + b"ASCRAM-SHA-256\0",
                   struct.pack("<I", 33) + sync.message(sync.ACK, 1, 1 << 60), struct.pack("<I", 11) + b"Obackenda1\0"):
        assert SyncPeer.dial(port(unharmed.first), magic=sync.MAGIC + octets).ends(), octets
    # Two in one packet: what stands behind the one that ended it is not looked at.
    peer = SyncPeer.dial(port(unharmed.first))
    peer.send((struct.pack("<I", 1) + b"C") * 200)
    assert peer.ends()


def test_half_a_frame_and_silence_are_ended_in_time(unharmed):
    peers = [SyncPeer.dial(port(unharmed.first), magic=m) for m in (b"", b"ROOST", sync.MAGIC, sync.MAGIC + b"\x20\0", sync.MAGIC + struct.pack("<I", 4000) + b"A")]
    slow = SyncPeer.dial(port(unharmed.first), magic=b"")
    began = time.monotonic()
    try:
        for octet in sync.MAGIC + struct.pack("<I", 4000) + b"A" * 200:  # an octet now and then is no sign of life
            slow.s.sendall(bytes([octet]))
            time.sleep(0.05)
            assert time.monotonic() - began < 8
        raise AssertionError("it was let dribble")
    except (ConnectionResetError, BrokenPipeError):
        pass
    for peer in peers:
        assert peer.ends()


def test_who_is_not_the_other_member_is_refused(unharmed):
    for account, authzid, password in (("backenda", "backenda2", "wrong"), ("backenda", "backendb1", sync.PASSWORD), ("backenda", "", sync.PASSWORD),
                                       ("backenda", "backenda1", sync.PASSWORD), ("backendb", "backendb1", sync.PASSWORD),
                                       ("backendb", "backenda2", sync.PASSWORD), ("fred", "backenda2", sync.PASSWORD),
                                       ("admin", "backenda2", sync.PASSWORD), ("nobody", "backenda2", sync.PASSWORD)):
        peer = SyncPeer.dial(port(unharmed.first))
        answer = peer.login(account, authzid, password)
        assert answer is not None and answer[:1] == b"F", (account, authzid, answer)
        peer.frame(sync.message(sync.HELLO, 1, 0, 0, 0, sync.history()))
        assert peer.ends()


def test_nobody_tries_the_passwords_of_users(unharmed):
    """Who is no member is refused before his password is looked at."""
    for account, authzid in (("fred", "fred"), ("fred", "backenda2"), ("nobody", "backenda2"), ("admin", ""), ("backenda", "fred")):
        peer = SyncPeer.dial(port(unharmed.first))
        peer.frame(f"ASCRAM-SHA-256\0n,a={authzid or account},n={account},r=abcdefgh".encode())
        assert peer.read_frame()[:1] == b"F", (account, authzid)
        assert peer.ends()


def follower(m):
    peer = SyncPeer.dial(port(m.first))
    assert peer.login("backenda", "backenda2") == b"Obackenda1"
    return peer


def test_broken_messages_of_the_other_member_end_the_connection(unharmed):
    long = sync.history(*[(i, i) for i in range(1, 514)])
    for frame in (b"", b"\x05", b"\0" * 33, b"\xff" * 33, sync.message(8)[:33], sync.message(sync.ACK) + b"x", sync.message(sync.HELLO),
                  sync.message(sync.HELLO, rest=struct.pack("<I", 0xffffffff)), sync.message(sync.HELLO, rest=long),
                  sync.message(sync.HELLO, rest=sync.history((2, 1), (1, 5))), sync.message(sync.HELLO, rest=sync.history((1, 5), (2, 5))),
                  sync.message(sync.HELLO, rest=sync.history((1, 0))), sync.message(sync.HELLO, rest=sync.history((1, 1)) + b"\0"),
                  os.urandom(5000)):
        peer = follower(unharmed)
        peer.frame(frame)
        peer.say(sync.BEACON_ACK, 1, 1 << 40)
        assert peer.ends(), frame[:50]
    peer = follower(unharmed)
    peer.send(struct.pack("<I", 0x7fffffff) + b"x" * 100)
    assert peer.ends()


def test_a_follower_can_neither_claim_what_is_not_there_nor_lend_more_time_than_it_was_asked(unharmed):
    epoch, last = status(unharmed.first)["epoch"], status(unharmed.first)["lsn"]
    for lsn in (last + 1, 1 << 63, (1 << 64) - 1):
        peer = follower(unharmed)
        peer.say(sync.HELLO, epoch, 0, 0, 0, sync.history())
        assert peer.hear(sync.WELCOME)[2] == 0
        peer.say(sync.ACK, epoch, lsn)
        assert peer.ends()
    # A HELLO of a reign to come, or of another past, is answered, and nothing is believed beyond what both have.
    peer = follower(unharmed)
    peer.say(sync.HELLO, epoch + 7, 1 << 60, 1 << 60, 0, sync.history((epoch + 7, 1)))
    assert peer.hear(sync.WELCOME, sync.REFUSE)[0] == sync.REFUSE
    peer.close()
    peer = follower(unharmed)
    peer.say(sync.HELLO, epoch, 1 << 60, 1 << 60, 0, sync.history((epoch + 7, 1 << 50)))
    assert peer.hear(sync.WELCOME)[2] == 0
    peer.close()
    # Times that no beacon has named give no lease: it is never taken into the set.
    peer = follower(unharmed)
    peer.say(sync.HELLO, epoch, 0, 0, 0, sync.history())
    _, _, _, committed, now, _ = peer.hear(sync.BEACON)
    for time_ms in (now + 1, now + 1000, now + (1 << 40), (1 << 64) - 1):
        peer.say(sync.BEACON_ACK, epoch, committed, 0, time_ms)
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        assert peer.hear(sync.BEACON)  # the beacons go on
        assert status(unharmed.first)["in_sync"] == "backenda1"
    peer.close()


class FakeMaster:
    """backenda2, which reigns, is the test; backenda1, the daemon with LIMITS, follows it."""

    def __init__(self, **limits):
        self.m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]}, limits={"sync_login_timeout_s": 2, **limits})
        self.m.mupdate.start()
        self.fake, self.real = self.m.members["backenda2"], self.m.first
        self.listener = socket.create_server(("127.0.0.1", port(self.fake)))
        self.listener.settimeout(20)
        self.directory = wait_for(lambda: Mupdate(self.m, "backenda", "backenda2"), "the directory is up")
        self.directory.ok("XJOIN", "backenda", "backenda2", *[f"127.0.0.1:{p}" for p in (1, 2, port(self.fake), 3)], "0", "", "")
        self.epoch = 1
        self.real.start()

    def accept(self, **kw):
        s, _ = self.listener.accept()
        peer = SyncPeer(s)
        assert peer.accept_login(**kw) == "backenda1"
        return peer

    def follow(self):
        """Up to the HELLO: the connection, and how far it is."""
        peer = self.accept()
        peer.frame(b"Obackenda2")
        hello = peer.hear(sync.HELLO)
        return peer, hello[2]

    def give(self, *entries, committed=0, epoch=None):
        """Welcome the daemon with all it has, and send ENTRIES. The connection."""
        peer, last = self.follow()
        peer.say(sync.WELCOME, self.epoch, last, committed)
        peer.say(sync.ENTRIES, self.epoch if epoch is None else epoch, 0, committed, 0, b"".join(entries))
        return peer

    def lsn(self):
        return status(self.real)["lsn"]

    def stop(self):
        self.listener.close()
        self.m.stop()


@pytest.fixture
def fake():
    f = FakeMaster()
    yield f
    f.stop()


def test_a_master_must_prove_itself(fake):
    # It knows no password: it says so without an exchange, or with a proof that is none.
    for step in ("none", "wrong"):
        s, _ = fake.listener.accept()
        peer = SyncPeer(s)
        if step == "none":
            assert peer.read(len(sync.MAGIC)) == sync.MAGIC and peer.read_frame()
            peer.frame(b"Obackenda2")
        else:
            peer.accept_login(password="wrong")
            peer.frame(b"Obackenda2")
        peer.say(sync.WELCOME, 1, 0)
        assert peer.hear(sync.HELLO) is None
    for name in (b"Obackenda1", b"Obackendb1", b"O", b"Fno", b"X", b""):
        peer = fake.accept()
        peer.frame(name)
        assert peer.hear(sync.HELLO) is None, name
    peer, last = fake.follow()
    assert last == 0
    peer.close()


def test_a_broken_master_ends_its_connection_and_changes_nothing(fake):
    e = fake.epoch
    fake.m.expect_event("driver.follow.refused")
    fake.m.expect_event("driver.follow.broken")
    good = [sync.epoch_entry(1, e, "backenda2", "backenda2"), sync.create_entry(2, e, 1, "user.fred"),
            sync.append_entry(3, e, 1, 1, 2, b"Subject: x\r\n\r\nhello\r\n")]
    peer = fake.give(*good, committed=3)
    assert peer.hear(sync.ACK)[2] in range(4)
    wait_for(lambda: status(fake.real).get("applied") == 3, "it follows")
    peer.close()
    before = dump(fake.real)
    create = sync.create_entry(4, e, 2, "user.bob")
    bad_head = bytearray(create)
    bad_head[60] ^= 1
    absurd = sync.entry(sync.FLAGS, 4, e, struct.pack("<QQI", 1, 3, 0xffffffff))
    odd = [
        ("a gap", [sync.create_entry(5, e, 2, "user.bob")], None),
        ("another entry of the past", [sync.create_entry(3, e + 1, 2, "user.bob")], e + 1),
        ("an earlier epoch", [sync.create_entry(4, e - 1, 2, "user.bob")], None),
        ("an epoch that its master has not", [sync.create_entry(4, e + 5, 2, "user.bob")], None),
        ("a head's checksum", [bytes(bad_head)], None),
        ("another checksum", [sync.create_entry(4, e, 2, "user.bob", checksum=1)], None),
        ("a body's hash", [sync.append_entry(4, e, 1, 2, 3, b"hello", hash_of=7)], None),
        ("a count", [absurd], None),
        ("half an entry", [create[:-3]], None),
        ("a header alone", [create[:48]], None),
        ("octets behind", [sync.entry(sync.DELETE, 4, e, struct.pack("<Q", 1) + b"x")], None),
        ("an unknown type", [sync.entry(200, 4, e, b"")], None),
        ("nonsense", [os.urandom(3000)], None),
        ("LSN 0", [sync.create_entry(0, e, 2, "user.bob")], None),
        ("the last LSN there can be", [sync.create_entry((1 << 64) - 1, e, 2, "user.bob")], None),
        ("no mailbox", [sync.create_entry(4, e, 0, "user.bob")], None),
        ("no name", [sync.create_entry(4, e, 2, "")], None),
        ("a NUL in a name", [sync.create_entry(4, e, 2, "user.\0bob")], None),
        ("a body where none belongs", [sync.create_entry(4, e, 2, "user.bob", body=b"x" * 8)], None),
    ]
    for what, entries, epoch in odd:
        peer = fake.give(*entries, epoch=epoch)
        assert peer.ends(), what
        assert fake.real.process.poll() is None and dump(fake.real) == before, what
        assert fake.lsn() == 3, what
    # Its past once more is no news, and no harm.
    peer = fake.give(*good, committed=3)
    peer.say(sync.BEACON, e, 0, 3, 77)
    assert peer.hear(sync.BEACON_ACK)[4] == 77
    peer.close()
    # What it says to keep that is not here; what it takes back that is committed.
    fake.m.expect_event("driver.core.reported")
    for keep in (4, 1 << 63, 2, 0):
        peer, last = fake.follow()
        assert last == 3
        peer.say(sync.WELCOME, e, keep, 3)
        assert peer.ends(), keep
    # A commit beyond what is here makes nothing of nothing.
    peer = fake.give(committed=(1 << 64) - 1)
    peer.say(sync.BEACON, e, 0, (1 << 64) - 1, 78)
    assert peer.hear(sync.BEACON_ACK)[2:5] == (3, 0, 78)
    peer.close()
    # Whose message is of an earlier reign has no say.
    peer, _ = fake.follow()
    peer.say(sync.WELCOME, e - 1, 3, 3)
    assert peer.ends()
    assert fake.real.process.poll() is None and dump(fake.real) == before
    peer = fake.give(create, committed=4)
    wait_for(lambda: status(fake.real).get("applied") == 4, "it still follows")
    peer.close()


def test_more_epochs_in_one_message_than_a_journal_has_end_the_connection(fake):
    fake.m.expect_event("driver.follow.broken")
    peer = fake.give(*[sync.epoch_entry(1 + i, 1 + i, "backenda2", "backenda2") for i in range(6000)], epoch=10000)
    assert peer.ends()
    assert fake.real.process.poll() is None, fake.real.tail()
    assert 0 < wait_for(fake.lsn, "what came before is kept") < 6000


def test_an_entry_that_cannot_be_applied_stops_the_follower_and_not_the_process(fake):
    for event in ("driver.apply.failed", "store.apply.failed", "driver.follow.refused", "driver.core.reported"):
        fake.m.expect_event(event)
    e = fake.epoch
    peer = fake.give(sync.epoch_entry(1, e, "backenda2", "backenda2"), sync.create_entry(2, e, 1, "user.fred"),
                     sync.entry(sync.FLAGS, 3, e, struct.pack("<QQIIBQ", 1, 2, 1, 77, 1, 0)), committed=3)
    assert peer.ends()
    wait_for(lambda: "driver.apply.failed" in fake.real.text(), "it says so")
    wait_for(lambda: status(fake.real).get("failed"), "its status has why")
    assert fake.real.process.poll() is None, fake.real.tail()
    assert status(fake.real)["applied"] <= 2 and not status(fake.real)["ready"]
    fake.listener.settimeout(1.5)
    with pytest.raises(socket.timeout):
        fake.listener.accept()  # it does not come back for the same again
    assert fake.real.stop() == 1  # whoever started it is to know


def certificate(directory, name, address):
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-addext",
                    f"subjectAltName=IP:{address}", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def test_a_wrong_certificate_is_not_talked_to(tmp_path):
    own, right, other = (certificate(tmp_path, n, "127.0.0.1") for n in ("own", "right", "other"))
    elsewhere = certificate(tmp_path, "elsewhere", "192.0.2.1")
    both = tmp_path / "ca.pem"
    both.write_bytes(b"".join(c[0].read_bytes() for c in (own, right, elsewhere)))
    fake = FakeMaster(tls_server_cert=own[0], tls_server_key=own[1], tls_client_ca_file=both)
    try:
        for cert, key in (other, elsewhere):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            s, _ = fake.listener.accept()
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                peer = SyncPeer(s, tls=context)
                assert peer.read(1) is None  # not a word, let alone a password's proof
                raise ConnectionResetError
            s.close()
        s, _ = fake.listener.accept()
        s.settimeout(20)
        assert s.recv(1)[0] == 22  # nor in the clear
        s.sendall(b"Obackenda2" * 10)
        s.close()
        # The other way: a dialler that does not trust this member ends it; one without TLS is not heard.
        for context in (ssl.create_default_context(cafile=str(other[0])), None):
            try:
                peer = SyncPeer.dial(port(fake.real), **({"tls": context, "server_name": "127.0.0.1"} if context else {}))
                assert context is None and peer.ends()
            except ssl.SSLError:
                assert context
        peer = SyncPeer.dial(port(fake.real), tls=ssl.create_default_context(cafile=str(own[0])), server_name="127.0.0.1")
        assert peer.login("backenda", "backenda2") == b"Obackenda1"
        peer.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*right)
        s, _ = fake.listener.accept()
        peer = SyncPeer(s, tls=context)
        assert peer.accept_login() == "backenda1"
        peer.frame(b"Obackenda2")
        assert peer.hear(sync.HELLO)
        peer.close()
    finally:
        fake.stop()


def test_a_silent_caller_does_not_hold_up_the_stop():
    m = Murder(users=[], backends={"backenda": ["backenda1", "backenda2"]}, limits={"sync_login_timeout_s": 60})
    m.mupdate.start()
    m.first.start()
    wait_for(lambda: m.imap("admin"), "the master serves").logout()
    caller = SyncPeer.dial(port(m.first))
    m.stop()  # within 15 s, in order
    assert caller.ends()
