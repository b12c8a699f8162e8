"""POP3 through the frontend of a local murder: stock clients, and kill -9 of the master under a session. What QUIT was answered +OK is gone
for good; else all that was marked is there, or none of it; the ids are the same at the next master.

ROOST_SEED replays a seed.
"""
import os
import poplib
import random
import re
import subprocess
import time

import pytest

from local import LocalMurder, password_of
from pop3 import Pop3
from roost import wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))
BIG = b"Subject: big\r\n\r\n" + b"".join(b".line %07d %s\r\n" % (i, b"x" * 60) for i in range(30000))


def body(i):
    return b"Subject: number %d\r\n\r\n.\r\n..body of %d\r\n" % (i, i)


@pytest.fixture(scope="module")
def murder():
    with LocalMurder(["fred", "mary"], pairs=1) as m:
        yield m


def deliver(m, user, bodies):
    l = m.lmtp()  # noqa: E741
    for b in bodies:
        assert l.deliver("s@example.org", [user], b)[0][0] == 250
    l.close()


def empty(m, user):
    c = m.imap(user, mailbox="INBOX")
    c.uid("STORE", "1:*", "+FLAGS.SILENT", "\\Deleted")
    c.expunge()
    c.logout()


def port(m):
    return int(m.info["frontends"][0]["pop3"].rsplit(":", 1)[1])


def log_in(m, user="fred"):
    """As a client does that comes again until it is let in."""
    return wait_for(lambda: Pop3(port(m), user, password_of(user), timeout=60), "a session", 60)


def without_trace(message):
    """Less what the delivery put in front: Return-Path, Received."""
    return message[message.index(b"Subject: "):]


def test_poplib(murder):
    empty(murder, "fred")
    bodies = [body(i) for i in range(20)] + [BIG]
    deliver(murder, "fred", bodies)
    p = poplib.POP3("127.0.0.1", port(murder), timeout=60)
    assert p.capa()["PIPELINING"] == []
    p.user("fred")
    p.pass_(password_of("fred"))
    count, octets = p.stat()
    assert count == 21
    sizes = [int(row.split()[1]) for row in p.list()[1]]
    assert sum(sizes) == octets
    ids = [row.split()[1] for row in p.uidl()[1]]
    assert len(set(ids)) == 21
    for i, want in enumerate(bodies):
        _, lines, n = p.retr(i + 1)
        got = b"".join(line + b"\r\n" for line in lines)
        assert without_trace(got) == want and len(got) == sizes[i]
    assert b"Subject: number 4" in p.top(5, 0)[1] and p.top(5, 1)[1][-1] == b"."
    for i in range(1, 22, 2):
        p.dele(i)
    p.quit()
    p = poplib.POP3("127.0.0.1", port(murder), timeout=60)
    p.user("fred")
    p.pass_(password_of("fred"))
    assert [row.split()[1] for row in p.uidl()[1]] == ids[1::2]
    p.close()


def test_curl(murder):
    empty(murder, "fred")
    deliver(murder, "fred", [body(1), BIG])
    at = f"pop3://{murder.info['frontends'][0]['pop3']}"

    def curl(path, *args):
        return subprocess.run(["curl", "-sS", at + path, "-u", "fred:" + password_of("fred"), *args], capture_output=True, check=True).stdout
    assert re.fullmatch(rb"1 \d+\r\n2 \d+\r\n", curl("/"))
    assert without_trace(curl("/1")) == body(1) and without_trace(curl("/2")) == BIG
    assert re.fullmatch(rb"1 \d+\.\d+\r\n2 \d+\.\d+\r\n", curl("/", "-X", "UIDL"))
    for options in ("PLAIN", "LOGIN", "*"):
        assert curl("/1", "--login-options", "AUTH=" + options).endswith(body(1)), options
    curl("/1", "-X", "DELE", "-I")
    assert re.fullmatch(rb"1 \d+\r\n", curl("/")), "curl says QUIT"


def test_fetchmail(murder, tmp_path):
    empty(murder, "mary")
    bodies = [body(i) for i in range(30)]
    deliver(murder, "mary", bodies)
    box = tmp_path / "box"
    box.mkdir()
    rc = tmp_path / "rc"
    rc.write_text(f"""poll 127.0.0.1 protocol POP3 port {port(murder)} username mary password {password_of("mary")} sslproto ''
        fetchall no rewrite mda "cat > {box}/$$.mail"\n""")
    rc.chmod(0o600)
    # $$ is the shell's that fetchmail starts for each message.
    run = [["fetchmail", "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "--nosyslog", "-v", *more] for more in (["--keep"], [], [])]
    env = {**os.environ, "FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path)}
    r = subprocess.run(run[0], capture_output=True, text=True, env=env, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr
    assert log_in(murder, "mary").ok("STAT").startswith("30 ")
    r = subprocess.run(run[1], capture_output=True, text=True, env=env, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr
    got = [re.sub(rb"\r?\n", b"\r\n", f.read_bytes()) for f in box.iterdir()]
    assert len(got) == 60
    for want in bodies:
        assert sum(g.endswith(want) for g in got) == 2
    assert log_in(murder, "mary").ok("STAT").startswith("0 ")
    r = subprocess.run(run[2], capture_output=True, text=True, env=env, timeout=60)
    assert r.returncode == 1, "no mail"


def test_a_master_that_dies_during_retr_and_before_quit(murder):
    empty(murder, "fred")
    bodies = [body(i) for i in range(10)] + [BIG] * 3
    deliver(murder, "fred", bodies)
    p = log_in(murder)
    ids = p.rows("UIDL")
    assert len(ids) == 13
    murder.wait_in_sync("backenda")
    p.send("RETR 11\r\nRETR 12\r\nRETR 13\r\n" * 20)  # more than any socket on the way holds
    assert p.line().startswith("+OK")
    p.f.read(100000)
    murder.kill(murder.master("backenda"))
    with pytest.raises((EOFError, ConnectionError)):
        for _ in range(60):
            p.rest()
            p.line()
    p = log_in(murder)
    assert p.rows("UIDL") == ids, "the ids are the same at the next master"
    assert without_trace(p.many("RETR 12")) == BIG
    for i in range(1, 14):
        p.ok(f"DELE {i}")
    murder.wait_in_sync("backenda")
    murder.kill(murder.master("backenda"))
    try:
        assert not p.cmd("QUIT").startswith("+OK")
    except ConnectionError:
        pass
    p = log_in(murder)
    assert p.rows("UIDL") == ids, "nothing is deleted without QUIT"
    for i in range(1, 11):
        p.ok(f"DELE {i}")
    p.ok("QUIT")
    murder.wait_in_sync("backenda")
    murder.kill(murder.master("backenda"))
    assert list(log_in(murder).rows("UIDL").values()) == [ids[11], ids[12], ids[13]], "what was said to be deleted stays so"
    murder.dumps_equal("backenda")


def test_kills_at_any_moment_of_a_session(murder):
    """Sessions that read, delete some and quit, one after the other, with the master killed or asked to hand over meanwhile."""
    rng = random.Random(SEED)
    print("ROOST_SEED", SEED)
    empty(murder, "fred")
    deliver(murder, "fred", [body(i) for i in range(60)])
    p = log_in(murder)
    there = list(p.rows("UIDL").values())
    p.close()
    outcomes = []
    for turn in range(8):
        name = murder.wait_in_sync("backenda")
        before = murder.daemon(name)["pid"]
        p = log_in(murder)
        ids = p.rows("UIDL")
        assert list(ids.values()) == there, f"turn {turn}, seed {SEED}"
        marked = sorted(rng.sample(sorted(ids), min(5, len(ids))))
        end = time.monotonic() + rng.random() * 0.004
        p.send("".join(f"RETR {i}\r\nDELE {i}\r\n" for i in marked) + "QUIT\r\n")
        time.sleep(max(0, end - time.monotonic()))  # not a wait for anything: the moment of the kill
        if turn % 4 == 3:
            murder.roost("promote", "backenda", murder.replica("backenda"), "--murder", murder.dir, check=False)
        else:
            murder.kill(name)
        try:
            for _ in marked:
                assert p.line().startswith("+OK")
                p.rest()
                assert p.line() == "+OK marked"
            answer = p.line()
        except (AssertionError, EOFError, ConnectionError):
            answer = ""
        p.close()
        if turn % 4 != 3:
            wait_for(lambda: murder.daemon(name)["pid"] not in (0, before), "it is started again", 30)
        now = list(log_in(murder).rows("UIDL").values())
        gone = {ids[i] for i in marked}
        rest = [u for u in there if u not in gone]
        outcomes.append((answer, len(there) - len(now)))
        if answer.startswith("+OK"):
            assert now == rest, (outcomes, SEED)
        elif answer.startswith("-ERR") and "see what" not in answer:
            assert now == there, (outcomes, SEED)
        else:
            assert now in (rest, there), (outcomes, SEED)
        there = now
    print(outcomes)
    murder.dumps_equal("backenda")
