"""POP3, raw (RFC 1939, 2449, 2595, 3206, 5034): every command, errors, limits, pipelining, slow and silent clients. What holds for
the backend holds through the frontend."""
import base64
import hashlib
import hmac
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import pytest

import damage
from pop3 import Pop3
from roost import PASSWORD, Murder, free_port, http, wait_for

LIMITS = {"pop3_max_line": "300", "pop3_max_messages": "50", "pop3_login_timeout_s": "2", "pop3_timeout_s": "3"}
MESSAGES = [b"Subject: one\r\n\r\nfirst\r\n", b"Subject: two\r\n\r\n.\r\n..\r\n.dot\r\nlast line\r\n",
            b"Subject: three\r\nX: y\r\n\r\na\r\nb\r\nc\r\nd\r\n"]
BIG = b"Subject: big\r\n\r\n" + b"".join(b".line %07d %s\r\n" % (i, b"x" * 60) for i in range(12000))


def certificate(where):
    cert, key = where + "/cert.pem", where + "/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=roost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def murder():
    m = Murder(users=["fred", "bob", "nobox"], limits=LIMITS)
    cert, key = certificate(m.dir)
    tls = {"tls_server_cert": cert, "tls_server_key": key, "tls_client_ca_file": cert}
    m.first.values.update(tls)
    m.start()
    m.add_frontend({**LIMITS, **tls})
    for u in ("fred", "bob"):
        m.create_user(u)
    yield m
    m.stop()


@pytest.fixture(params=["backend", "frontend"])
def port(request, murder):
    return murder.first.pop3 if request.param == "backend" else murder.frontends[0].pop3


@pytest.fixture
def mail(murder):
    """A function that leaves just these messages in fred's INBOX. Their UIDs."""
    def fill(messages=MESSAGES):
        c = murder.imap("fred", mailbox="INBOX")
        c.uid("STORE", "1:*", "+FLAGS.SILENT", "\\Deleted")
        c.expunge()
        for body in messages:
            assert c.append("INBOX", None, None, body)[0] == "OK"
        typ, data = c.uid("SEARCH", "ALL")
        c.logout()
        return [int(u) for u in data[0].split()]
    return fill


def left(murder):
    c = murder.imap("fred")
    c.select("INBOX", readonly=True)
    typ, data = c.uid("SEARCH", "ALL")
    c.logout()
    return [int(u) for u in data[0].split()]


def test_the_transaction_state(port, mail, murder):
    uids = mail()
    p = Pop3(port, "fred")
    assert p.welcome.startswith("3 messages")
    sizes = [len(b) for b in MESSAGES]
    assert p.ok("STAT") == f"3 {sum(sizes)}"
    assert p.rows("LIST") == {i + 1: str(n) for i, n in enumerate(sizes)}
    assert p.ok("LIST 2") == f"2 {sizes[1]}"
    ids = p.rows("UIDL")
    assert all(re.fullmatch(r"\d+\.\d+", i) for i in ids.values()) and [int(i.split(".")[1]) for i in ids.values()] == uids
    assert p.ok("UIDL 3") == f"3 {ids[3]}"
    for i, body in enumerate(MESSAGES):
        assert p.many(f"RETR {i + 1}") == body
    assert p.many("TOP 2 0") == b"Subject: two\r\n\r\n"
    assert p.many("TOP 2 3") == b"Subject: two\r\n\r\n.\r\n..\r\n.dot\r\n"
    assert p.many("TOP 3 99999999999") == MESSAGES[2]
    p.ok("NOOP")
    p.ok("DELE 2")
    for text in ("DELE 2", "RETR 2", "LIST 2", "UIDL 2", "TOP 2 0", "RETR 0", "RETR 4", "DELE 4294967295", "LIST 99999999999999999999"):
        p.err(text)
    assert p.ok("STAT") == f"2 {sizes[0] + sizes[2]}"
    assert list(p.rows("LIST")) == [1, 3] and p.rows("UIDL") == {1: ids[1], 3: ids[3]}
    p.ok("RSET")
    assert p.rows("UIDL") == ids
    p.ok("DELE 1")
    p.ok("DELE 3")
    assert left(murder) == uids, "nothing goes before QUIT"
    p.ok("QUIT")
    assert p.line() == ""
    assert left(murder) == [uids[1]]
    p = Pop3(port, "fred")
    assert p.rows("UIDL") == {1: ids[2]}, "the ids are the messages', not the session's"
    p.close()


def test_nothing_is_deleted_without_quit(port, mail, murder):
    uids = mail()
    for leave in ("close", "timeout"):
        p = Pop3(port, "fred")
        for i in range(1, 4):
            p.ok(f"DELE {i}")
        if leave == "timeout":
            begin = time.monotonic()
            assert p.line() in ("-ERR timeout", "") and 2 < time.monotonic() - begin < 10
        p.close()
    assert left(murder) == uids
    Pop3(port, "fred").close()


def test_commands_that_are_not_legal_or_not_right(port, mail):
    mail()
    p = Pop3(port)
    assert "<" not in p.greeting, "no timestamp: APOP is not offered"
    for text in ("STAT", "LIST", "RETR 1", "DELE 1", "UIDL"):
        assert "log in" in p.err(text)
    p.err("APOP fred c4c9334bac560ecc979e58001b3e22fb")
    p.err("PASS secret")
    p.err("USER")
    p.close()
    p = Pop3(port, "fred")
    for text in ("USER fred", "PASS x", "AUTH PLAIN", "STLS"):
        assert "logged in" in p.err(text)
    p.ok("NOOP")
    for text in ("", "XYZZY", "RETR", "RETR x", "RETR 1 2", "TOP 1", "DELE -1", "STAT 1", "LANG"):
        p.err(text)
    p.ok("STAT")
    for _ in range(9):
        p.err("XYZZY")
    assert p.cmd("XYZZY").startswith("-ERR unknown") and p.line() == "-ERR too many errors" and p.line() == ""


def test_capabilities(port):
    p = Pop3(port)
    before = p.many("CAPA").decode().splitlines()
    for wanted in ("TOP", "UIDL", "USER", "STLS", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER",
                   "SASL PLAIN LOGIN SCRAM-SHA-256", "IMPLEMENTATION Roost"):
        assert any(set(wanted.split()) <= set(line.split()) for line in before), (wanted, before)
    assert not any(line.startswith(("LOGIN-DELAY", "UTF8", "LANG")) for line in before)
    p.close()
    p = Pop3(port, "fred")
    assert set(before) - set(p.many("CAPA").decode().splitlines()) == {"STLS"}
    p.close()


def scram(p, user, password, first_line=True):
    nonce = base64.b64encode(os.urandom(12)).decode()
    bare = f"n={user},r={nonce}"
    first = base64.b64encode(("n,," + bare).encode()).decode()
    if first_line:
        line = p.cmd("AUTH SCRAM-SHA-256 " + first)
    else:
        assert p.cmd("AUTH SCRAM-SHA-256") == "+ "
        line = p.cmd(first)
    if not line.startswith("+ "):
        return line
    challenge = base64.b64decode(line[2:]).decode()
    fields = dict(f.split("=", 1) for f in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c=biws,r={fields['r']}"
    signature = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{challenge},{without}".encode(), "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
    line = p.cmd(base64.b64encode(f"{without},p={proof}".encode()).decode())
    return p.cmd("") if line.startswith("+ ") else line


def test_every_way_to_log_in(port):
    b64 = lambda s: base64.b64encode(s.encode()).decode()
    p = Pop3(port)
    p.ok("AUTH PLAIN " + p.plain("fred"))
    p.close()
    p = Pop3(port)
    assert p.cmd("AUTH plain") == "+ " and p.cmd(p.plain("fred")).startswith("+OK")
    p.close()
    p = Pop3(port)
    assert p.cmd("AUTH LOGIN").startswith("+ ") and p.cmd(b64("fred")).startswith("+ ") and p.cmd(b64(PASSWORD)).startswith("+OK")
    p.close()
    for first_line in (True, False):
        p = Pop3(port)
        assert scram(p, "fred", PASSWORD, first_line).startswith("+OK")
        p.ok("STAT")
        p.close()
    p = Pop3(port)
    p.ok("AUTH PLAIN " + p.plain("admin", authzid="fred"))
    assert p.ok("STAT")
    p.close()


def test_every_way_to_be_refused(port):
    p = Pop3(port)
    p.ok("USER fred")
    p.err("PASS wrong", "AUTH")
    p.err("PASS " + PASSWORD)  # USER has to come again
    p.ok("USER who-is-that")
    p.err("PASS " + PASSWORD, "AUTH")
    p.err("AUTH PLAIN " + p.plain("fred", "wrong"), "AUTH")
    assert scram(p, "fred", "wrong").startswith("-ERR [AUTH]")
    p.err("AUTH PLAIN " + p.plain("fred", authzid="bob"), "AUTH")
    p.close()
    p = Pop3(port)
    assert p.cmd("AUTH PLAIN") == "+ " and p.cmd("*").startswith("-ERR")
    assert p.cmd("AUTH PLAIN") == "+ " and p.cmd("!").startswith("-ERR")
    p.err("AUTH CRAM-MD5")
    p.err("AUTH")
    p.ok("USER nobox")
    p.err("PASS " + PASSWORD, "SYS/PERM")
    p.ok("USER fred")
    p.ok("PASS " + PASSWORD)
    p.close()


def test_the_acl_counts(port, mail, murder):
    uids = mail()
    admin = murder.imap("admin")
    try:
        assert admin.setacl("user/fred", "fred", "lp")[0] == "OK"
        p = Pop3(port)
        p.ok("USER fred")
        p.err("PASS " + PASSWORD, "SYS/PERM")
        assert admin.setacl("user/fred", "fred", "lr")[0] == "OK"
        p.ok("USER fred")
        p.ok("PASS " + PASSWORD)
        assert p.many("RETR 1") == MESSAGES[0]
        p.err("DELE 1", "SYS/PERM")
        assert admin.setacl("user/fred", "fred", "lrt")[0] == "OK"
        p.err("DELE 1", "SYS/PERM")
        assert admin.setacl("user/fred", "fred", "lrte")[0] == "OK"
        p.ok("DELE 1")
        assert admin.setacl("user/fred", "fred", "lr")[0] == "OK"
        p.err("QUIT", "SYS/PERM")
        assert left(murder) == uids
    finally:
        admin.setacl("user/fred", "fred", "lrswipkxtea")
        admin.logout()


def test_what_others_do_meanwhile(port, mail, murder):
    uids = mail()
    p = Pop3(port, "fred")
    c = murder.imap("fred", mailbox="INBOX")
    c.store("1", "+FLAGS.SILENT", "\\Deleted")
    c.expunge()
    c.append("INBOX", None, None, MESSAGES[0])
    c.logout()
    assert list(p.rows("LIST")) == [1, 2, 3], "the numbers stay"
    assert "removed" in p.err("RETR 1")
    for i in (1, 2):
        p.ok(f"DELE {i}")
    p.ok("QUIT")
    assert left(murder) == [uids[2], uids[2] + 1]


def test_pipelined(port, mail, murder):
    uids = mail()
    p = Pop3(port, greeted=False)
    p.send(f"CAPA\r\nUSER fred\r\nPASS {PASSWORD}\r\nSTAT\r\nRETR 2\r\nTOP 3 1\r\nXYZZY\r\nUIDL\r\nDELE 1\r\nQUIT\r\nSTAT\r\n")
    assert p.line().startswith("+OK")
    assert p.line().startswith("+OK") and b"PIPELINING\r\n" in p.rest()
    assert [p.line()[:3] for _ in range(3)] == ["+OK"] * 3
    assert p.line().startswith("+OK") and p.rest() == MESSAGES[1]
    assert p.line().startswith("+OK") and p.rest() == b"Subject: three\r\nX: y\r\n\r\na\r\n"
    assert p.line().startswith("-ERR")
    assert p.line().startswith("+OK") and len(p.rest().splitlines()) == 3
    assert p.line() == "+OK marked" and p.line() == "+OK bye" and p.line() == ""
    assert left(murder) == uids[1:]


def test_one_octet_at_a_time(port, mail):
    mail()
    p = Pop3(port)
    for octet in f"USER fred\r\nPASS {PASSWORD}\r\nRETR 2\r\nNOOP\nQUIT\r\n".encode():
        p.send(bytes([octet]))
    assert p.line().startswith("+OK") and p.line().startswith("+OK")
    assert p.line().startswith("+OK") and p.rest() == MESSAGES[1]
    assert p.line() == "+OK" and p.line() == "+OK bye" and p.line() == ""


def test_a_client_that_ends_its_direction_gets_its_answers(port, mail):
    mail([BIG])
    p = Pop3(port)
    p.send(f"USER fred\r\nPASS {PASSWORD}\r\nRETR 1\r\nQUIT\r\n")
    p.s.shutdown(socket.SHUT_WR)
    assert p.line().startswith("+OK") and p.line().startswith("+OK")
    assert p.line().startswith("+OK") and p.rest() == BIG
    assert p.line() == "+OK bye" and p.line() == ""


def test_line_ends_are_made_right(port, mail):
    mail([b"Subject: bare\n\n.\nx\n.y", b"Subject: last line\r\n\r\nwithout end"])
    p = Pop3(port, "fred")
    assert p.many("RETR 1") == b"Subject: bare\r\n\r\n.\r\nx\r\n.y\r\n"
    assert p.many("RETR 2") == b"Subject: last line\r\n\r\nwithout end\r\n"
    p.close()


def test_limits(port, mail, murder):
    mail()
    p = Pop3(port)
    assert p.cmd("USER " + "x" * 400) == "-ERR the line is too long" and p.line() == ""
    p = Pop3(port)
    p.send("USER " + "x" * 400)  # without an end
    assert p.line() == "-ERR the line is too long" and p.line() == ""
    p = Pop3(port, "fred")
    p.ok("NOOP" + " " * 280)
    assert p.cmd("RETR " + "1" * 400) == "-ERR the line is too long" and p.line() == ""
    p = Pop3(port)
    begin = time.monotonic()
    assert p.line() == "-ERR timeout" and 1 < time.monotonic() - begin < 8, "pop3_login_timeout_s"
    assert p.line() == ""
    uids = mail([b"Subject: %d\r\n\r\n" % i for i in range(60)])
    p = Pop3(port, "fred")
    assert [int(i.split(".")[1]) for i in p.rows("UIDL").values()] == uids[10:], "the newest pop3_max_messages"
    for i in range(1, 51):
        p.ok(f"DELE {i}")
    p.ok("QUIT")
    assert left(murder) == uids[:10]


def test_stls(port, mail):
    mail()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    p = Pop3(port)
    p.send("STLS\r\nUSER bob\r\n")  # what came before TLS is not taken for protected
    assert p.line() == "+OK go ahead"
    p.tls(context, "127.0.0.1")
    assert "STLS" not in p.many("CAPA").decode().splitlines()
    p.err("PASS " + PASSWORD)
    p.err("STLS")
    p.ok("USER fred")
    p.ok("PASS " + PASSWORD)
    assert p.many("RETR 2") == MESSAGES[1]
    p.ok("QUIT")


def test_a_client_that_does_not_read(port, mail, murder):
    """Others on the same loops go on, nothing piles up, and the client is dropped after pop3_timeout_s; one that reads slowly is not."""
    mail([BIG] * 5)
    daemon = murder.first if port == murder.first.pop3 else murder.frontends[0]

    def rss():
        with open(f"/proc/{daemon.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    Pop3(port, "fred").close()
    before = rss()
    idle = [Pop3(port, "fred") for _ in range(8)]
    for p in idle:
        p.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        p.send("".join(f"RETR {i}\r\n" for i in (1, 2, 3, 4, 5)) * 40)
    for _ in range(5):
        q = Pop3(port, "fred")
        begin = time.monotonic()
        assert q.ok("STAT").startswith("5 ")
        assert time.monotonic() - begin < 2
        q.close()
    if "asan" not in os.environ.get("ROOST", ""):
        assert rss() - before < 8 * 2048, "a megabyte or two each, of the 5 that a message of them has"
    slow = Pop3(port, "fred")
    slow.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    slow.send("RETR 1\r\nRETR 2\r\n")
    got = b""
    end = time.monotonic() + 4
    while time.monotonic() < end:
        got += slow.s.recv(8192)
        time.sleep(0.03)
    assert len(got) > 400000
    wait_for(lambda: int(re.search(r'"pop3_sessions": ?(\d+)', http(f"127.0.0.1:{daemon.admin}", "/status.json")[1]).group(1)) <= 1,
             "those that do not read are dropped", 20)
    for p in [*idle, slow]:
        p.close()


def test_a_large_message_and_many(port, mail):
    mail([BIG] + [b"Subject: %d\r\n\r\n" % i for i in range(40)])
    p = Pop3(port, "fred")
    p.send("RETR 1\r\n" + "UIDL\r\n" * 20 + "RETR 1\r\n")
    assert p.line().startswith("+OK") and p.rest() == BIG
    for _ in range(20):
        assert p.line().startswith("+OK") and len(p.rest().splitlines()) == 41
    assert p.line().startswith("+OK") and p.rest() == BIG
    assert p.many("TOP 1 2") == b"".join(BIG.splitlines(True)[:4])
    p.close()


def test_the_listener_is_full():
    m = Murder(users=["fred"], limits={"max_connections": "8"}).start()
    m.create_user("fred")
    m.add_frontend({"max_connections": "8"})
    for port in (m.first.pop3, m.frontends[0].pop3):
        kept = [Pop3(port) for _ in range(8)]
        p = Pop3(port, greeted=False)
        assert p.line().startswith("-ERR [SYS/TEMP] too many connections") and p.line() == ""
        for k in [*kept, p]:
            k.close()
    m.stop()


def test_a_login_waits_for_a_master():
    """As long as the frontend's patience lasts; who waits is told when it stops, and the others are not held up."""
    m = Murder(users=["fred"]).start()
    m.create_user("fred")
    front = m.add_frontend({"pop3_timeout_s": "2"})
    p = Pop3(front.pop3, "fred")
    m.first.process.send_signal(signal.SIGSTOP)
    p.send("STAT\r\n")
    assert p.line() == "", "a backend that is silent is not waited for longer than for a client"
    m.first.kill()
    p = Pop3(front.pop3)
    p.ok("USER fred")
    p.send(f"PASS {PASSWORD}\r\nSTAT\r\n")
    p.s.settimeout(0.5)
    with pytest.raises(TimeoutError):
        p.s.recv(1)
    p.s.settimeout(20)
    m.first.start()
    assert p.line().startswith("+OK 0 messages") and p.line() == "+OK 0 0"
    m.first.kill()
    assert p.line() == "", "the backend died"
    waiting = Pop3(front.pop3)
    waiting.ok("USER fred")
    waiting.send(f"PASS {PASSWORD}\r\n")
    Pop3(front.pop3).close()
    gone = Pop3(front.pop3)
    gone.ok("USER fred")
    gone.send(f"PASS {PASSWORD}\r\n")
    gone.close()
    assert front.stop() == 0
    assert waiting.line() == "-ERR [SYS/TEMP] the frontend is stopping" and waiting.line() == ""
    m.stop()


def test_over_tls_from_the_first_octet():
    m = Murder(users=["fred"])
    cert, key = certificate(m.dir)
    tls = {"tls_server_cert": cert, "tls_server_key": key, "tls_client_ca_file": cert}
    ports = [free_port(), free_port()]
    m.first.values.update({**tls, "pop3s_listen": f"127.0.0.1:{ports[0]}"})
    m.start()
    m.create_user("fred")
    m.add_frontend({**tls, "pop3s_listen": f"127.0.0.1:{ports[1]}"})
    context = ssl.create_default_context(cafile=cert)
    for port in ports:
        p = Pop3(port, greeted=False).tls(context, "127.0.0.1")
        assert p.line().startswith("+OK")
        assert "STLS" not in p.many("CAPA").decode().splitlines()
        p.ok("AUTH PLAIN " + p.plain("fred"))
        p.ok("QUIT")
    m.stop()


def test_pop3s_needs_a_certificate():
    for role in ("backend", "frontend"):
        m = Murder(users=["fred"])
        daemon = m.first
        daemon.role = role
        if role == "frontend":
            daemon.values.update({"proxy_authname": "frontend", "proxy_password": PASSWORD})
        daemon.values["pop3s_listen"] = "127.0.0.1:1"
        daemon.start()
        assert daemon.process.wait(20) == 1
        assert "pop3s_listen" in daemon.tail() and "tls_server_cert" in daemon.tail()


def test_a_damaged_message_is_said_to_be_unreadable():
    m = Murder(users=["fred"]).start()
    m.create_user("fred")
    for event in ("pop3.message.unreadable", "driver.entry.damaged", "driver.entry.not_mended"):
        m.expect_event(event)
    c = m.imap("fred")
    for body in (MESSAGES[0], b"Subject: bad\r\n\r\nspoil me\r\n", b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" + BIG + b"spoil this\r\n" + BIG):
        assert c.append("INBOX", None, None, body)[0] == "OK"
    c.logout()
    damage.spoil(m.first, b"spoil me")
    damage.spoil(m.first, b"spoil this")
    p = Pop3(m.first.pop3, "fred")
    p.err("RETR 2", "SYS/TEMP")
    p.err("TOP 2 0", "SYS/TEMP")
    assert p.many("RETR 1") == MESSAGES[0]
    assert p.many("TOP 3 1").endswith(b"x" * 70 + b"\r\n"), "blocks before the damage are right"
    p.ok("RETR 3")
    with pytest.raises(EOFError):
        p.rest()
    m.stop()
