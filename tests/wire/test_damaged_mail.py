"""A member alone whose disk spoils messages while it runs: what is damaged is never told for mail, all else is served."""
import subprocess

import pytest

import damage
from roost import ROOST, Murder

BLOCK = 65536


@pytest.fixture
def member():
    m = Murder(users=["fred"], limits={"journal_segment_size": "64K"}).start()
    m.create_user("fred")
    for event in ("imap.command.failed", "driver.entry.damaged", "driver.entry.not_mended"):
        m.expect_event(event)
    yield m
    m.stop()


def message(i, size=2000):
    head = b"Subject: number %d\r\n\r\n" % i
    line = b"mail%d " % i + b"x" * 60 + b"\r\n"
    return (head + b"begin%d\r\n" % i + line * (size // len(line) + 1))[:size - 2] + b"\r\n"


def big():
    """Of more than one block, each line its own."""
    return b"Subject: big\r\n\r\n" + b"".join(b"line %06d of the big one\r\n" % i for i in range(9000))


def fill(m, bodies):
    c = m.imap("fred")
    for b in bodies:
        assert c.append("INBOX", None, None, b)[0] == "OK"
    c.select("INBOX")
    return c


def test_a_damaged_message_is_left_out_and_the_others_are_answered(member):
    bodies = [message(i) for i in range(1, 6)]
    c = fill(member, bodies)
    damage.spoil(member.first, b"begin3", 2)
    typ, data = c.fetch("1:*", "(BODY.PEEK[])")
    assert typ == "NO" and b"SERVERBUG" in data[0], data
    got = c.untagged_responses.pop("FETCH")
    assert [g[1] for g in got if isinstance(g, tuple)] == [b for i, b in enumerate(bodies) if i != 2]
    for item in ("BODY.PEEK[TEXT]", "BODY.PEEK[]<0.10>", "BODY.PEEK[HEADER.FIELDS (X-OTHER)]", "RFC822"):
        assert c.fetch("3", f"({item})")[0] == "NO", item
        assert not c.untagged_responses.pop("FETCH", None), item
        assert c.fetch("2", f"({item})")[0] == "OK", item
    # What is kept beside the message needs none of its octets.
    typ, data = c.fetch("3", "(ENVELOPE RFC822.SIZE)")
    assert typ == "OK" and b"number 3" in data[0]
    typ, data = c.fetch("3", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert typ == "OK" and b"number 3" in data[0][1]
    # A search that would have to look there does not know; one that need not does.
    assert c.search(None, "TEXT", "begin4")[0] == "NO"
    assert c.search(None, "HEADER", "X-Other", '"number"')[0] == "NO"
    assert c.search(None, "SUBJECT", '"number 3"') == ("OK", [b"3"])
    assert c.search(None, "1:2", "TEXT", "begin2") == ("OK", [b"2"])
    c.logout()
    r = subprocess.run([ROOST, "verify", "-C", member.first.config], capture_output=True, text=True)
    assert r.returncode == 1 and "the body of entry" in r.stdout, r


def test_each_block_of_a_long_message_stands_for_itself(member):
    body = big()
    c = fill(member, [body])
    _, at = damage.spoil(member.first, b"line 005000 of", 3)
    place = body.index(b"line 005000 of") + 3
    bad = place // BLOCK
    for block in range(len(body) // BLOCK + 1):
        for off, n in ((block * BLOCK, BLOCK), (block * BLOCK + 1, 10), (block * BLOCK + BLOCK - 3, 3)):
            typ, data = c.fetch("1", f"(BODY.PEEK[]<{off}.{n}>)")
            assert (typ == "OK") == (block != bad), (block, off)
            if typ == "OK":
                assert data[0][1] == body[off:off + n] if off < len(body) else data, (block, off)
            c.untagged_responses.pop("FETCH", None)
    # One that reaches over two blocks needs both.
    assert c.fetch("1", f"(BODY.PEEK[]<{bad * BLOCK - 5}.10>)")[0] == "NO"
    assert c.fetch("1", f"(BODY.PEEK[]<{bad * BLOCK - 15}.10>)")[0] == "OK"
    assert c.fetch("1", "(BODY.PEEK[HEADER])")[0] == "OK"
    assert c.fetch("1", "(BODY.PEEK[HEADER] BODY.PEEK[])")[0] == "NO"
    assert not c.untagged_responses.pop("FETCH", None)
    c.logout()
