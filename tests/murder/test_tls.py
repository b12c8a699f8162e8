"""A pair, a directory and a frontend on an address that is not loopback: nothing goes in the clear, and all of it works."""
import base64
import imaplib
import poplib
import socket
import ssl
import subprocess

import pytest

from local import Lmtp
from pop3 import Pop3
from roost import PASSWORD, Daemon, Murder, free_port, wait_for


def own_address():
    """An address of this machine that is not loopback; None if it has none."""
    for word in subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split():
        if "." in word:
            return word
    return None


def certificate(directory, address):
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=roost", "-addext",
                    f"subjectAltName=IP:{address},IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def place(tmp_path):
    address = own_address()
    if address is None:
        pytest.skip("this machine has loopback only")
    cert, key = certificate(tmp_path, address)
    tls = {"tls_server_cert": cert, "tls_server_key": key, "tls_client_ca_file": cert}
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]}, limits={"log_level": "info", **tls})
    for d in [m.mupdate, *m.members.values()]:
        d.values.update({k: str(v).replace("127.0.0.1", address) for k, v in d.values.items() if k.endswith("_listen") or k in ("sync_peers", "mupdate_server")})
        d.values.update(tls)
    front = Daemon(m.dir, "frontend", "front", {
        "member": "front", "configdirectory": m.dir + "/front", "users_file": m.users, "admins": "admin", "proxyservers": "frontend", "proxy_authname": "frontend",
        "proxy_password": PASSWORD, "mupdate_server": address, "mupdate_port": m.mupdate_port, "mupdate_authname": "frontend",
        "mupdate_password": PASSWORD, "imap_listen": f"{address}:{free_port()}", "imaps_listen": f"{address}:{free_port()}",
        "lmtp_listen": f"{address}:{free_port()}", "pop3_listen": f"{address}:{free_port()}", "pop3s_listen": f"{address}:{free_port()}",
        "admin_listen": f"127.0.0.1:{free_port()}", **tls})
    m.mupdate.start()
    for d in m.members.values():
        d.start()
    front.start()
    yield m, front, address, ssl.create_default_context(cafile=str(cert))
    try:
        assert front.stop() == 0
        m.stop()
    except AssertionError:
        print(front.tail(), m.mupdate.tail(), m.first.tail())
        raise


def login(front, address, context, user):
    c = imaplib.IMAP4(address, int(front.values["imap_listen"].rsplit(":", 1)[1]), timeout=20)
    c.starttls(context)
    c.login(user, PASSWORD)
    return c


def test_everything_under_tls(place):
    m, front, address, context = place

    def make():
        c = login(front, address, context, "admin")
        typ, data = c.create("user/fred")
        c.logout()
        return typ == "OK" or b"ALREADYEXISTS" in data[0]
    try:
        wait_for(make, "the murder serves under TLS", 20)
    except AssertionError:
        print(front.tail(), m.mupdate.tail(), *[d.tail() for d in m.members.values()], sep="\n")
        raise
    c = login(front, address, context, "fred")
    big = b"Subject: x\r\n\r\n" + b"y" * 78 * 10000
    assert c.append("INBOX", None, None, big)[0] == "OK"
    c.select("INBOX")
    assert c.fetch("1", "(BODY.PEEK[])")[1][0][1] == big
    c.logout()
    c = imaplib.IMAP4_SSL(address, int(front.values["imaps_listen"].rsplit(":", 1)[1]), ssl_context=context)
    c.login("fred", PASSWORD)
    c.logout()
    # An MTA on another machine proves who it is.
    lmtp = Lmtp(front.values["lmtp_listen"])
    assert lmtp.deliver("s@example.org", ["fred"], b"Subject: y\r\n\r\nz\r\n")[0][0] == 530
    lmtp.say("STARTTLS")
    lmtp.expect(2)
    lmtp.s = context.wrap_socket(lmtp.s, server_hostname=address)
    lmtp.f = lmtp.s.makefile("rb")
    lmtp.say("LHLO test.example")
    lmtp.expect(2)
    lmtp.say("AUTH PLAIN " + base64.b64encode(b"\0frontend\0" + PASSWORD.encode()).decode())
    lmtp.expect(2)
    assert lmtp.deliver("s@example.org", ["fred"], b"Subject: y\r\n\r\nz\r\n")[0][0] == 250
    lmtp.close()
    # POP3: STLS at the frontend, and between it and the backend, whose passwords go by SCRAM or under TLS only.
    port = int(front.values["pop3_listen"].rsplit(":", 1)[1])
    p = Pop3(port, host=address)
    assert set(p.many("CAPA").decode().splitlines()) >= {"STLS", "SASL SCRAM-SHA-256"}
    for text in ("USER fred", "AUTH PLAIN " + p.plain("fred"), "AUTH LOGIN"):
        p.err(text)
    p.ok("STLS")
    p.tls(context, address)
    p.ok("USER fred")
    assert p.ok("PASS " + PASSWORD).startswith("2 messages")
    assert p.many("RETR 1") == big + b"\r\n"
    p.ok("DELE 1")
    p.ok("QUIT")
    p = poplib.POP3_SSL(address, int(front.values["pop3s_listen"].rsplit(":", 1)[1]), context=context, timeout=20)
    p.user("fred")
    p.pass_(PASSWORD)
    assert p.stat()[0] == 1
    p.quit()
    # Both members: the stream between them is TLS, too.
    wait_for(lambda: "driver.sync.connected" in m.members["backenda1"].text(), "the pair is connected")


def test_passwords_in_the_clear_are_refused(place):
    m, front, address, context = place
    for ports in ([front.values["imap_listen"]], [d.values["imap_listen"] for d in m.members.values()]):
        def refused(ports=ports):
            c = None
            for port in ports:  # whichever is master
                try:
                    c = imaplib.IMAP4(address, int(port.rsplit(":", 1)[1]), timeout=20)
                except imaplib.IMAP4.error:
                    pass
            if c is None:
                return False
            assert "LOGINDISABLED" in c.capabilities and "AUTH=PLAIN" not in c.capabilities and "STARTTLS" in c.capabilities, c.capabilities
            try:
                c.login("fred", PASSWORD)
            except imaplib.IMAP4.error as e:
                assert "PRIVACYREQUIRED" in str(e), e
                return True
            raise AssertionError("a password in the clear was taken")
        wait_for(refused, "it answers", 20)
    s = socket.create_connection((address, m.mupdate_port), timeout=10).makefile("rwb")
    banner = b""
    while b"* OK" not in banner:
        banner += s.readline()
    assert b'"PLAIN"' not in banner and b"STARTTLS" in banner, banner
