"""Members compare what they have while they run: the master journals digests, whoever has something else says where."""
import struct
import subprocess

import sync_peer as sync
from roost import ROOST, http, wait_for
from test_mending import Pair, bodies, status
from test_sync_bad_input import FakeMaster


def test_a_pair_compares_and_finds_nothing():
    p = Pair(digest_interval_s=1)
    try:
        p.start()
        c = p.fill(bodies(20))
        c.store("1:9", "+FLAGS", r"(\Flagged keyword)")
        c.copy("1:*", "INBOX")
        c.store("3:5", "+FLAGS", r"(\Deleted)")
        c.expunge()
        before = status(p.replica)["digest"]
        wait_for(lambda: status(p.replica)["digest"] > before, "the replica compares")
        # Without changes there is nothing new to compare.
        wait_for(lambda: status(p.master)["lsn"] == status(p.master)["digest"], "the digest is the last entry")
        r = subprocess.run([ROOST, "verify", "-C", p.replica.config], capture_output=True, text=True)
        assert r.returncode == 0, r
        for m in p.members.values():
            s = status(m)
            assert s["differences"] == 0 and "differs_in" not in s
            assert "roost_digest_differences_total 0" in http(f"127.0.0.1:{m.admin}", "/metrics")[1]
        c.logout()
    finally:
        p.stop()


def test_a_difference_is_told_with_its_mailbox_and_stops_nothing():
    f = FakeMaster()
    f.m.expect_event("store.digest.differs")
    try:
        e = f.epoch
        digest = sync.entry(14, 4, e, struct.pack("<QI", 1, 1) + struct.pack("<QQIIQ", 1, 2, 1, 0xffffffff, 3))
        peer = f.give(sync.epoch_entry(1, e, "backenda2", "backenda2"), sync.create_entry(2, e, 1, "user.fred"),
                      sync.append_entry(3, e, 1, 1, 2, b"Subject: x\r\n\r\nhello\r\n"), digest, committed=4)
        wait_for(lambda: status(f.real).get("applied") == 4, "it goes on")
        wait_for(lambda: status(f.real)["differs_in"] == "user.fred" and status(f.real)["differences"] == 3, "it is told")
        text = f.real.text()
        assert 'store.digest.differs' in text and 'mailbox=user.fred' in text and "its messages and the master's" in text
        with open(f.m.dir + "/cli.conf", "w") as cli:
            cli.write(f"mupdate_server: 127.0.0.1\nmupdate_port: {f.m.mupdate_port}\nmupdate_authname: admin\nmupdate_password: {sync.PASSWORD}\n")
        r = subprocess.run([ROOST, "status", "-C", f.m.dir + "/cli.conf"], capture_output=True, text=True)
        assert "backenda1 differs from its master, last in user.fred" in r.stdout, r
        peer.close()
    finally:
        f.stop()
