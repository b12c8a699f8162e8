"""What keeps a running member's journal in shape: checkpoints beside the writing."""
import json
import os
import re
import subprocess
import urllib.request

from local import Lmtp
from roost import ROOST, Murder, wait_for


def roost(*args):
    r = subprocess.run([ROOST, *args], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, f"roost {args}: {r.stdout}{r.stderr}"
    return r.stdout


def status(member):
    with urllib.request.urlopen(f"http://127.0.0.1:{member.admin}/status.json", timeout=5) as r:
        return json.load(r)


def deliver(member, count, size=20000, user="fred"):
    c = Lmtp(f"127.0.0.1:{member.lmtp}")
    for i in range(count):
        message = b"Subject: %d\r\n\r\n" % i + (b"x" * 76 + b"\r\n") * (size // 78)
        assert c.deliver("s@example.org", [user], message)[0][0] == 250
    c.close()


def pair(limits):
    """A pair in sync, with a user fred; the first member is master."""
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]},
               limits={"journal_segment_size": "256K", "log_level": "info", **limits})
    one, two = m.members.values()
    m.mupdate.start()
    one.start()
    wait_for(lambda: m.imap("admin"), "the first serves").logout()
    two.start()
    wait_for(lambda: len(status(one)["in_sync"].split()) == 2, "in sync")
    m.create_user("fred")
    return m, one, two


def wait_same(one, two):
    wait_for(lambda: len(status(one)["in_sync"].split()) == 2 and status(one)["applied"] == status(two)["applied"],
             "both have applied the same", 60)


def end(m):
    for d in [*m.members.values(), m.mupdate]:
        if d.process:
            d.kill()


def forget_index(member):
    """As if the machine had gone down."""
    os.unlink(os.path.join(member.values["partition-default"], "index.boot"))


def test_members_make_checkpoints_and_start_from_them():
    m, one, two = pair({"journal_checkpoint": "1M"})
    try:
        deliver(one, 100)
        for member in (one, two):
            wait_for(lambda: status(member)["checkpoint"] > 0, "a checkpoint was made")
        deliver(one, 30)
        wait_same(one, two)
        two.kill()
        forget_index(two)
        two.start()
        wait_same(one, two)
        assert re.search(r"store\.checkpoint\.loaded .* lsn=[1-9]", two.text()), two.text()
        dumps = [roost("dump", "-C", d.config) for d in (one, two)]
        assert dumps[0] == dumps[1] and dumps[0].count("message uid=") == 130
        for d in (one, two):
            roost("verify", "-C", d.config)
        m.stop()
        m = None
    finally:
        if m:
            end(m)
