"""The replica's disk is full, the master's is not: mail goes on without it, and it comes back when there is room."""
import json
import urllib.request

from local import Lmtp
from roost import Murder, wait_for


def status(member):
    with urllib.request.urlopen(f"http://127.0.0.1:{member.admin}/status.json", timeout=5) as r:
        return json.load(r)


def test_full_replica(small_disk):
    small = small_disk("10m")
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]}, limits={"journal_segment_size": "1M", "log_level": "info"})
    try:
        one, two = m.members.values()
        two.values["partition-default"] = f"{small}/mail"
        m.start_pair()
        m.expect_event("driver.follow.refused")
        m.expect_event("driver.sync.dropped")
        c = Lmtp(f"127.0.0.1:{one.lmtp}")
        message = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 1500
        for _ in range(200):
            assert c.deliver("s@example.org", ["fred"], message)[0][0] == 250
        c.close()
        wait_for(lambda: status(one)["in_sync"] == "backenda1", "it goes on alone")
        assert status(one)["role"] == "master"
        lines = [x for x in two.text().splitlines() if "driver.follow.refused" in x]
        assert lines and str(small) in lines[0] and len(lines) < 600, len(lines)
        small.resize("200m")
        wait_for(lambda: len(status(one)["in_sync"].split()) == 2 and status(one)["applied"] == status(two)["applied"], "it has caught up", 60)
        m.stop()
        m = None
    finally:
        if m:
            for d in [*m.members.values(), m.mupdate]:
                if d.process:
                    d.kill()
