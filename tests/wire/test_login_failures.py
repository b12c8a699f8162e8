"""Failed logins: each costs more than the one before, by connection and by address; they are counted, logged, and end the connection;
who has the right password from elsewhere is not kept waiting. On everything that one can log in to."""
import re
import select
import socket
import time

import pytest

from login import WHERE, Client, b64, plain
from roost import PASSWORD, Murder, http, scram_line, wait_for

LIMITS = {"login_delay_ms": "100", "login_delay_max_ms": "400", "login_max_failures": "3", "login_trusted_networks": "127.0.0.1",
          "login_forget_s": "900", "max_connections": "200"}
addresses = (f"127.0.{a}.{b}" for a in range(1, 200) for b in range(1, 250))


@pytest.fixture(scope="module")
def murder():
    m = Murder(users=["fred", "bob"])
    for d in (m.mupdate, *m.members.values()):
        d.values.update(LIMITS)
    m.start()
    m.add_frontend(LIMITS)
    m.create_user("fred")
    yield m
    m.stop()


def log_of(murder, where):
    d = murder.mupdate if where == "mupdate" else murder.first if where.startswith("backend") else murder.frontends[0]
    return d.text()


@pytest.fixture
def source():
    return next(addresses)


@pytest.mark.parametrize("where", WHERE)
def test_a_connection_pays_more_for_each_failure_and_is_ended(murder, where):
    c = Client(murder, where)  # from a trusted network: only the connection pays
    times = []
    for i in range(3):
        result, took = c.timed("admin", f"wrong{i}")
        assert result == "no"
        times.append(took)
    assert times[0] >= 0.095 and times[1] >= 0.195 and times[2] >= 0.395, times
    last = c.line()
    assert "too many failed logins" in last, last
    assert c.line() == "", "the connection has ended"
    c.close()
    c = Client(murder, where)
    assert c.timed("admin")[1] < 0.5, "another connection pays nothing"
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_a_right_password_after_failures_is_right(murder, where):
    c = Client(murder, where)
    assert c.bare("admin", "wrong") == "no"
    assert c.login("admin", "wronger") == "no"
    assert c.login("admin") == "ok" or c.protocol == "pop3", "the administrator has no INBOX"
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_an_address_pays_over_all_its_connections_and_others_do_not(murder, where, source):
    """What it pays begins with its last failure: a machine so busy that the time is over before the right password is said shows nothing."""
    waited = []
    while not waited or waited[-1] < 0.2 and len(waited) < 4:
        for i in range(4):
            c = Client(murder, where, source)
            assert c.timed("admin", f"wrong{i}")[0] == "no"
            c.close()
        c, other = Client(murder, where, source), Client(murder, where, next(addresses))
        begin = time.monotonic()
        c.begin("PLAIN", plain("frontend"))
        took = other.timed("frontend")[1]
        line = c.line()
        waited.append(time.monotonic() - begin)
        assert took < 0.5, took
        assert c.result(line) in ("ok", "bad"), line
        c.close()
        other.close()
    assert waited[-1] >= 0.2, ("the right password waits where so many wrong ones came from", waited)


@pytest.mark.parametrize("where", ["backend-imap", "frontend-imap", "mupdate"])
def test_a_crowd_from_one_address_is_turned_away(murder, where, source):
    for i in range(5):
        c = Client(murder, where, source)
        c.login("admin", f"wrong{i}")
        c.close()
    crowd = [Client(murder, where, source) for _ in range(12)]
    for i, c in enumerate(crowd):
        c.begin("PLAIN", plain("admin", f"more{i}"))
    lines = [c.line() for c in crowd]
    results = [c.result(x) for c, x in zip(crowd, lines)]
    assert results.count("busy") >= 8 and results.count("no") <= 4, lines
    for c, r in zip(crowd, results):
        assert r != "busy" or ("BYE" in c.line() and c.line() == ""), "it is not asked again"
        c.close()
    assert "login.attempt.turned_away" in log_of(murder, where) and f"address={source}" in log_of(murder, where)


def test_others_are_served_while_one_waits(murder, source):
    """On one loop or on two: a delay is a timer."""
    waiting = [Client(murder, "frontend-imap", source) for _ in range(6)]
    for c in waiting:
        c.begin("PLAIN", plain("fred", "wrong"))
    c = Client(murder, "frontend-imap")
    assert c.login("fred") == "ok"
    for _ in range(20):
        begin = time.monotonic()
        assert c.raw.cmd("NOOP")[1].startswith("OK")
        assert time.monotonic() - begin < 0.5
    for w in waiting:
        w.close()
    c.close()


def test_others_are_served_while_a_costly_password_is_compared():
    """An account's line says how many hashes its password costs: they are not made on a loop."""
    m = Murder(users=["fred"], loops=1)
    with open(m.users, "a") as f:
        f.write(scram_line("heavy", PASSWORD, 4000000))
    m.start()
    m.create_user("fred")
    c, heavy = m.raw().login("fred"), Client(m, "backend-imap")
    begin, slowest = time.monotonic(), 0
    heavy.begin("PLAIN", plain("heavy"))
    served = 0
    while not select.select([heavy.raw.s], [], [], 0)[0]:
        before = time.monotonic()
        assert c.cmd("NOOP")[1].startswith("OK")
        slowest = max(slowest, time.monotonic() - before)
        served += 1
    took = time.monotonic() - begin
    assert heavy.result(heavy.line()) == "ok"
    assert slowest < max(0.3, took / 2), (slowest, took)
    assert served > 5 or took < 0.2, served
    heavy.close()
    again = Client(m, "backend-imap")
    assert again.timed("heavy")[1] < max(0.2, took / 2), "what was right before is known"
    again.close()
    c.close()
    m.stop()


@pytest.mark.parametrize("where", WHERE)
def test_what_a_client_sends_while_it_waits_is_taken_after(murder, where):
    c = Client(murder, where)
    c.begin("PLAIN", plain("admin", "wrong"))
    c.begin("PLAIN", plain("admin", "wronger"))
    c.begin("PLAIN", plain("nobody", "wrong"))
    for _ in range(3):
        assert c.result(c.line()) == "no"
    assert "too many failed logins" in c.line()
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_a_client_that_goes_while_it_waits_is_forgotten(murder, where, source):
    for i in range(8):
        c = Client(murder, where, source)
        c.begin("PLAIN", plain("admin", f"wrong{i}"))
        if i % 2:
            c.raw.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    c = Client(murder, where)
    assert c.login("frontend") in ("ok", "bad")
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_the_log_has_a_line_for_programs_and_no_secrets(murder, where, source):
    c = Client(murder, where, source)
    assert c.login("fr\"ed address=1.2.3.4", "TopSecret") == "no"
    c.close()
    protocol = {"pop3": "pop"}.get(where.split("-")[-1], where.split("-")[-1])
    # The expression of docs/operations.md.
    lines = re.findall(r'^\S+ info login\.attempt\.refused (?:name=\S+ )?protocol=(\S+) conn=\d+ address=(\S+) user=(.*)$',
                       log_of(murder, where), re.M)
    mine = [x for x in lines if x[1] == source]
    assert len(mine) == 1 and mine[0][0] == protocol, lines
    assert 'mechanism=PLAIN reason=credentials failures=1 of_address=1 why=' in mine[0][2], mine
    assert "TopSecret" not in log_of(murder, where) and b64(b"TopSecret")[:10] not in log_of(murder, where)


def test_reasons(murder):
    c = Client(murder, "backend-imap", next(addresses))
    assert c.auth("PLAIN", b"bob\0fred\0" + PASSWORD.encode())[0] == "no"
    assert c.auth("PLAIN", b"fred")[0] == "no"
    c.close()
    c = Client(murder, "frontend-lmtp", next(addresses))
    assert c.login("fred") == "no", "fred delivers no mail"
    c.close()
    assert "reason=authorization" in log_of(murder, "backend-imap") and "reason=malformed" in log_of(murder, "backend-imap")
    assert "neither one of admins nor of proxyservers" in log_of(murder, "frontend-lmtp")


def test_the_same_wrong_password_again_is_one_failure(murder, source):
    for _ in range(5):
        c = Client(murder, "backend-imap", source)
        assert c.login("fred", "old password") == "no"
        c.close()
    assert re.search(rf"address={source} user=fred .* of_address=1 ", log_of(murder, "backend-imap"))
    assert not re.search(rf"address={source} user=fred .* of_address=2 ", log_of(murder, "backend-imap"))


def test_where_a_proxy_has_logged_in_many_users_may_fail(murder, source):
    c = Client(murder, "backend-imap", source)
    assert c.auth("PLAIN", b"fred\0frontend\0" + PASSWORD.encode())[0] == "ok"
    c.close()
    for i in range(6):
        c = Client(murder, "backend-imap", source)
        assert c.timed("fred", f"wrong{i}")[1] < 0.6
        c.close()
    c = Client(murder, "backend-imap", source)
    result, took = c.timed("fred")
    assert result == "ok" and took < 0.5
    c.close()


@pytest.mark.parametrize("where", WHERE)
def test_who_is_not_there_is_not_told(murder, where):
    """SCRAM's salt is one's own and stays so, also on other machines with the same users_file; the answers are the same."""
    salts = {}
    for name in ("nobody1", "nobody2", "fred", "nobody1"):
        c = Client(murder, where)
        result, kept = c.scram(name, "wrong")
        assert result == "no"
        salts.setdefault(name, set()).add((kept["s"], kept["i"]))
        c.close()
    assert all(len(s) == 1 for s in salts.values()) and len({s for x in salts.values() for s in x}) == 3
    assert len({len(s[0]) for x in salts.values() for s in x}) == 1
    before = test_who_is_not_there_is_not_told.__dict__.setdefault("salts", salts)
    assert before == salts
    c = Client(murder, where)
    assert c.scram("admin")[0] == "ok" or c.protocol == "pop3"
    c.close()


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("what", ["!!!", "A", "=A==", "AA=A", "*", "AAAA" * 5000])
def test_broken_lines_within_an_exchange(murder, where, what):
    c = Client(murder, where)
    c.begin("LOGIN")
    assert c.challenge(c.line()) == b"Username:"
    c.raw.send(what + "\r\n")
    line = c.line()
    if len(what) > 16384:
        assert c.result(line) in ("end", "no", "bad") or "too long" in line or "LIMIT" in line, line
    else:
        assert c.result(line) in ("bad", "no"), line
        assert c.login("frontend") in ("ok", "bad")
    c.close()


@pytest.mark.parametrize("role", ["backend", "frontend"])
def test_metrics(murder, role):
    c = Client(murder, role + "-imap", next(addresses))
    c.login("fred", "wrong")
    c.close()
    d = murder.first if role == "backend" else murder.frontends[0]
    text = http(f"127.0.0.1:{d.admin}", "/metrics")[1]
    value = {m[0]: int(m[1]) for m in re.findall(r"^(roost_login_\S+) (\d+)$", text, re.M)}
    assert value['roost_login_refused_total{reason="credentials"}'] > 0 and value["roost_login_slowed_addresses"] > 0
    assert value["roost_login_accepted_total"] > 0 and value["roost_login_turned_away_total"] >= 0


def test_a_daemon_stops_while_clients_wait():
    """Those who wait for a refusal, at the gate and within an exchange, do not keep it up."""
    m = Murder(users=["fred"], limits={"login_delay_ms": "20000", "login_delay_max_ms": "30000", "login_trusted_networks": "127.0.0.1"}).start()
    front = m.add_frontend({"login_delay_ms": "20000", "login_delay_max_ms": "30000", "login_trusted_networks": "127.0.0.1"})
    m.create_user("fred")
    held = []
    for where in WHERE[:-1]:
        for password in ("wrong", PASSWORD):
            held.append(Client(m, where, "127.0.3.1"))
            held[-1].begin("PLAIN", plain("admin", password))
        held.append(Client(m, where, "127.0.3.2"))
        held[-1].begin("LOGIN")
    wait_for(lambda: m.first.text().count("login.attempt.refused") >= 1 and front.text().count("login.attempt.refused") >= 1, "they wait")
    begin = time.monotonic()
    m.stop()
    assert time.monotonic() - begin < 10
    for c in held:
        c.close()
