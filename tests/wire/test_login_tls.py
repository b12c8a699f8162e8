"""What TLS gives to logins: EXTERNAL by a client's certificate (RFC 4422 appendix A), and SCRAM-SHA-256-PLUS, which is bound to the
connection (RFC 5802 section 6, RFC 9266, RFC 5929)."""
import hashlib
import io
import os
import re
import signal
import ssl
import subprocess

import pytest
from OpenSSL import SSL

import scratch
from issuer import Authority
from login import WHERE, Client, port_of
from roost import Murder, free_port, wait_for

FAST = {"login_delay_ms": "5", "login_delay_max_ms": "10", "login_max_failures": "1000"}
TLS = WHERE


class Place:
    def __init__(self):
        self.dir = scratch.directory("roost-tls.")
        self.ca, self.other = Authority(), Authority("another CA")
        self.ca_file = self.ca.write(os.path.join(self.dir, "ca.pem"))
        cert, key, self.server_certificate = self.ca.issue(self.dir, "server", ["server"], addresses=["127.0.0.1"], client=False)
        issue = lambda name, *args, ca=self.ca, **kw: ca.issue(self.dir, name, *args, **kw)
        self.certificates = {
            "fred": issue("fred", ["fred"], ["mail-fred"]), "admin": issue("admin", ["admin"], ["admin"]),
            "frontend": issue("frontend", ["frontend"]), "revoked": issue("revoked", ["fred"]), "late": issue("late", ["fred"]),
            "expired": issue("expired", ["fred"], days=-1), "other": issue("other", ["fred"], ca=self.other),
            "server-only": issue("server-only", ["fred"], client=False), "two": issue("two", ["fred", "bob"], ["fred", "bob"]),
            "control": issue("control", ["fr\ned"]), "nameless": issue("nameless", []), "long": issue("long", ["x" * 64]),
        }
        self.logins = os.path.join(self.dir, "login-ca.pem")
        self.ca.write(self.logins, self.ca.revoke(self.certificates["revoked"][2]))
        self.values = {"tls_server_cert": cert, "tls_server_key": key, "tls_login_ca_file": self.logins, **FAST}
        self.m = Murder(users=["fred", "bob", "mail-fred"], limits=self.values)
        self.m.mupdate.values.update(self.values)
        self.m.first.values.update({"imaps_listen": f"127.0.0.1:{free_port()}", "pop3s_listen": f"127.0.0.1:{free_port()}"})
        self.m.start()
        self.m.add_frontend({**self.values, "imaps_listen": f"127.0.0.1:{free_port()}", "pop3s_listen": f"127.0.0.1:{free_port()}"})
        for u in ("fred", "bob", "mail-fred"):
            self.m.create_user(u)

    def context(self, certificate=None, version=None):
        c = ssl.create_default_context(cafile=self.ca_file)
        if version:
            c.minimum_version = c.maximum_version = version
        if certificate:
            c.load_cert_chain(*self.certificates[certificate][:2])
        return c

    def client(self, where, certificate=None, version=None, **more):
        return Client(self.m, where, context=self.context(certificate, version), **more)

    def log(self, where):
        return (self.m.mupdate if where == "mupdate" else self.m.first if where.startswith("backend") else self.m.frontends[0]).text()

    def stop(self):
        self.m.stop()


@pytest.fixture(scope="module")
def place():
    p = Place()
    yield p
    p.stop()


# ---- EXTERNAL ----

def external(place, where, certificate, authzid=b"", initial=True, **more):
    c = place.client(where, certificate, **more)
    offered = "EXTERNAL" in c.mechanisms()
    result = c.auth("EXTERNAL", authzid, initial=initial)[0]
    c.close()
    return offered, result


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("where", [w for w in TLS if w.endswith(("imap", "pop3"))])
def test_a_certificate_logs_in(place, where, version):
    for initial in (True, False):
        assert external(place, where, "fred", initial=initial, version=version) == (True, "ok")
    assert external(place, where, "fred", b"fred") == (True, "ok")


@pytest.mark.parametrize("where", ["backend-imap", "backend-pop3", "frontend-imap", "frontend-pop3"])
def test_curl_logs_in_by_certificate(place, where):
    cert, key, _ = place.certificates["fred"]
    r = subprocess.run(["curl", "-sS", "-m", "10", f"{where.split('-')[1]}://127.0.0.1:{port_of(place.m, where)}/", "--ssl-reqd", "--cacert", place.ca_file,
                        "--cert", cert, "--key", key, "-u", "fred:", "--login-options", "AUTH=EXTERNAL"], capture_output=True, text=True)
    assert r.returncode == 0, r


@pytest.mark.parametrize("where", ["backend-imap", "backend-pop3", "frontend-imap", "frontend-pop3"])
def test_with_tls_from_the_first_octet(place, where):
    d = place.m.first if where.startswith("backend") else place.m.frontends[0]
    port = int(d.values[("imaps" if where.endswith("imap") else "pop3s") + "_listen"].split(":")[1])
    assert external(place, where, "fred", port=port, implicit=True) == (True, "ok")
    assert external(place, where, None, port=port, implicit=True) == (False, "bad")


@pytest.mark.parametrize("where", ["backend-lmtp", "frontend-lmtp", "mupdate"])
def test_daemons_and_administrators_by_certificate(place, where):
    assert external(place, where, "admin") == (True, "ok")
    assert external(place, where, "frontend") == (True, "ok")
    assert external(place, where, "fred")[1] == ("ok" if where == "backend-lmtp" else "no"), "he has no business here"


@pytest.mark.parametrize("where", ["backend-imap", "backend-pop3", "frontend-imap", "frontend-pop3"])
def test_who_may_act_for_others(place, where):
    assert external(place, where, "fred", b"bob") == (True, "no")
    assert external(place, where, "admin", b"fred") == (True, "ok")
    assert external(place, where, "admin", b"a\0b")[1] == "no" and external(place, where, "admin", b"x" * 300)[1] == "no"
    if where.startswith("backend"):
        assert external(place, where, "frontend", b"fred") == (True, "ok")


@pytest.mark.parametrize("where", TLS)
@pytest.mark.parametrize("certificate", [None, "other", "expired", "revoked", "server-only", "two", "control", "nameless"])
def test_what_proves_nothing_is_not_offered(place, where, certificate):
    offered, result = external(place, where, certificate)
    assert not offered and result == "bad"


@pytest.mark.parametrize("where", TLS)
def test_whoever_shows_what_proves_nothing_may_log_in_otherwise(place, where):
    c = place.client(where, "other")
    assert c.login("admin") in ("ok", "bad")
    c.close()


@pytest.mark.parametrize("where", TLS)
def test_not_without_tls(place, where):
    c = Client(place.m, where)
    assert "EXTERNAL" not in c.mechanisms() and "SCRAM-SHA-256-PLUS" not in c.mechanisms()
    assert c.auth("EXTERNAL", b"")[0] == "bad"
    c.close()


def test_nobody_by_that_name(place):
    """The certificate is enough: its name needs no account in users_file, as little as a mailbox."""
    assert external(place, "backend-imap", "long") == (True, "ok")


def test_the_mail_address_names_the_user(place):
    front = place.m.add_frontend({**place.values, "tls_login_name": "email"})
    c = place.client("frontend-imap", "fred", port=front.imap)
    assert c.auth("EXTERNAL", b"mail-fred")[0] == "ok"
    c.close()
    for certificate in ("frontend", "two", "revoked"):
        c = place.client("frontend-imap", certificate, port=front.imap)
        assert "EXTERNAL" not in c.mechanisms()
        c.close()
    place.m.frontends.remove(front)
    assert front.stop() == 0


def test_resumed_sessions_prove_the_same(place):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context, session = place.context("fred", version), None
        for _ in range(2):
            def wrap(s):
                return context.wrap_socket(s, server_hostname="127.0.0.1", session=session)
            c = Client(place.m, "frontend-imap", context=wrap)
            assert "EXTERNAL" in c.mechanisms() and c.auth("EXTERNAL", b"")[0] == "ok"
            session, was_reused = c.raw.s.session, c.raw.s.session_reused
            c.close()
        assert was_reused


def test_a_certificate_is_revoked_while_the_daemon_runs(place):
    assert external(place, "backend-imap", "late") == (True, "ok")
    place.ca.write(place.logins, place.ca.revoke(place.certificates["revoked"][2], place.certificates["late"][2]))
    place.m.first.process.send_signal(signal.SIGHUP)
    wait_for(lambda: external(place, "backend-imap", "late") == (False, "bad"), "it is revoked")
    assert external(place, "backend-imap", "fred") == (True, "ok")


def test_the_log_names_the_mechanism(place):
    assert external(place, "backend-imap", "fred", b"bob")[1] == "no"
    assert re.search(r'login\.attempt\.refused .*user=fred mechanism=EXTERNAL reason=authorization .*why="may not act as bob"', place.log("backend-imap"))


# ---- channel bindings ----

class Bound:
    """pyOpenSSL's connection with what Raw wants of a socket, and with keying material."""

    def __init__(self, place, sock):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(place.ca_file)
        context.set_verify(SSL.VERIFY_PEER, lambda *a: a[-1])
        sock.settimeout(None)
        self.c = SSL.Connection(context, sock)
        self.c.set_connect_state()
        self.c.do_handshake()
        assert self.c.get_protocol_version_name() == "TLSv1.3"
        self.exporter = self.c.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")

    def sendall(self, octets):
        self.c.sendall(octets)

    def makefile(self, mode):
        outer = self

        class Reader(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, to):
                try:
                    got = outer.c.recv(len(to))
                except SSL.Error:
                    got = b""
                to[:len(got)] = got
                return len(got)
        return io.BufferedReader(Reader())

    def close(self):
        self.c.sock_shutdown(2)
        self.c.close()


def end_point(place):
    from cryptography.hazmat.primitives.serialization import Encoding
    return hashlib.sha256(place.server_certificate.public_bytes(Encoding.DER)).digest()


def names(where):
    return "admin" if where in ("mupdate", "backend-lmtp", "frontend-lmtp") else "fred"


@pytest.mark.parametrize("where", TLS)
def test_tls_exporter(place, where):
    c = Client(place.m, where, context=lambda s: Bound(place, s))
    assert "SCRAM-SHA-256-PLUS" in c.mechanisms()
    assert c.scram(names(where), binding=("tls-exporter", c.raw.s.exporter))[0] == "ok"
    c.close()


def test_tls_exporter_is_of_this_connection(place):
    a = Client(place.m, "frontend-imap", context=lambda s: Bound(place, s))
    b = Client(place.m, "frontend-imap", context=lambda s: Bound(place, s))
    assert a.scram("fred", binding=("tls-exporter", b.raw.s.exporter))[0] == "no", "somebody in between passes on what was said to him"
    assert a.scram("fred", binding=("tls-exporter", a.raw.s.exporter))[0] == "ok"
    a.close()
    b.close()
    assert "channel binding: not that of this connection" in place.log("frontend-imap")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("where", TLS)
def test_tls_server_end_point_and_unique(place, where, version):
    c = place.client(where, version=version)
    assert c.scram(names(where), binding=("tls-server-end-point", b"x" * 32))[0] == "no"
    assert c.scram(names(where), binding=("tls-server-end-point", end_point(place)))[0] == "ok"
    c.close()
    c = place.client(where, version=version)
    assert c.scram(names(where), binding=("tls-unique", c.raw.s.get_channel_binding("tls-unique")))[0] == "ok"
    c.close()


@pytest.mark.parametrize("where", ["backend-imap", "frontend-imap", "mupdate"])
def test_who_was_told_that_there_is_none_is_refused(place, where):
    c = place.client(where)
    name = names(where)
    assert c.scram(name, header="y,,")[0] == "no", "it was offered: somebody took it out"
    assert "channel binding: the client was told that there is none" in place.log(where)
    assert c.scram(name, header="y,,", plus=True)[0] == "no"
    assert c.scram(name, header="n,,", plus=True)[0] == "no"
    assert c.scram(name, binding=("tls-server-end-point", end_point(place)), plus=False)[0] == "no", "another mechanism's"
    assert c.scram(name, binding=("tls-nonsense", b"x"))[0] == "no"
    assert c.scram(name, binding=("tls-server-end-point", b""))[0] == "no"
    assert c.scram(name, "wrong", binding=("tls-server-end-point", end_point(place)))[0] == "no"
    assert c.scram(name, header="n,,")[0] == "ok", "a client that cannot is let in"
    c.close()
    c = Client(place.m, where)
    assert c.scram(name, header="y,,")[0] == "ok", "in the clear there is none"
    c.close()


def test_no_exporter_of_tls_1_2(place):
    c = place.client("frontend-imap", version=ssl.TLSVersion.TLSv1_2)
    assert c.scram("fred", binding=("tls-exporter", b"x" * 32))[0] == "no"
    c.close()


def test_without_plus_in_the_list_it_is_not_offered_and_y_is_true(place):
    front = place.m.add_frontend({**place.values, "sasl_mech_list": "scram-sha-256 LOGIN"})
    c = place.client("frontend-imap", "fred", port=front.imap)
    assert c.mechanisms() == ["SCRAM-SHA-256", "LOGIN"]
    assert c.raw.cmd("LOGIN fred secret")[1].startswith("NO [CANNOT]"), "PLAIN is not in it"
    assert c.auth("PLAIN", b"\0fred\0secret")[0] == "bad"
    assert c.scram("fred", header="y,,")[0] == "ok"
    c.close()
    place.m.frontends.remove(front)
    assert front.stop() == 0
