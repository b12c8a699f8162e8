"""An issuer of tokens on this machine: keys, tokens in every shape, its JWKS and introspection over HTTPS, well or badly behaved; and
certificates for all that want some."""
import base64
import datetime
import hmac
import http.server
import json
import os
import ssl
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID

ISSUER = "https://issuer.example/realms/mail"
AUDIENCE = "imap"


def b64u(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def b64n(n, size=None):
    return b64u(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


class Key:
    """KIND: RS256, ES256 or EdDSA."""

    def __init__(self, kind, kid, bits=2048):
        self.kind, self.kid = kind, kid
        self.private = {"RS256": lambda: rsa.generate_private_key(65537, bits), "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
                        "EdDSA": ed25519.Ed25519PrivateKey.generate}[kind]()
        self.public = self.private.public_key()

    def jwk(self, **more):
        if self.kind == "RS256":
            n = self.public.public_numbers()
            jwk = {"kty": "RSA", "n": b64n(n.n), "e": b64n(n.e)}
        elif self.kind == "ES256":
            n = self.public.public_numbers()
            jwk = {"kty": "EC", "crv": "P-256", "x": b64n(n.x, 32), "y": b64n(n.y, 32)}
        else:
            raw = self.public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(raw)}
        return {"kid": self.kid, "use": "sig", "alg": self.kind, **jwk, **more}

    def sign(self, octets):
        if self.kind == "RS256":
            return self.private.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        if self.kind == "ES256":
            r, s = utils.decode_dss_signature(self.private.sign(octets, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.private.sign(octets)

    def pem(self):
        return self.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def claims(user="fred", now=None, **more):
    now = int(now or time.time())
    c = {"iss": ISSUER, "aud": AUDIENCE, "sub": "1f0e", "preferred_username": user, "scope": "openid email", "iat": now, "exp": now + 300, **more}
    return {k: v for k, v in c.items() if v is not None}


def token(key, body, head=None, signature=None):
    """HEAD: more or other members of the header (None takes one out)."""
    h = {"alg": key.kind, "typ": "JWT", "kid": key.kid, **(head or {})}
    h = {k: v for k, v in h.items() if v is not None}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = b64u(json.dumps(h).encode()) + "." + b64u(text)
    return signed + "." + b64u(key.sign(signed.encode()) if signature is None else signature(signed.encode()))


def hmac_with(secret):
    return lambda signed: hmac.digest(secret, signed, "sha256")


def jwks(*keys):
    return json.dumps({"keys": [k if isinstance(k, dict) else k.jwk() for k in keys]})


# ---- certificates ----

class Authority:
    def __init__(self, name="Roost test CA"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), [(x509.BasicConstraints(True, None), True)])

    def _sign(self, subject, public, extensions, days=2, before=1):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=before))
             .not_valid_after(now + datetime.timedelta(days=days)))
        for e, critical in extensions:
            b = b.add_extension(e, critical)
        return b.sign(self.key, hashes.SHA256())

    def issue(self, directory, name, common_names, emails=(), addresses=(), days=2, client=True):
        """Files NAME.pem and NAME.key in DIRECTORY."""
        import ipaddress
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, c) for c in common_names])
        names = [x509.RFC822Name(e) for e in emails] + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH if client else x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = self._sign(subject, key.public_key(), [(usage, False)] + ([(x509.SubjectAlternativeName(names), False)] if names else []),
                                 days, before=1 if days > 0 else 3)
        paths = os.path.join(directory, name + ".pem"), os.path.join(directory, name + ".key")
        with open(paths[0], "wb") as f:
            f.write(certificate.public_bytes(serialization.Encoding.PEM))
        with open(paths[1], "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return (*paths, certificate)

    def revoke(self, *certificates):
        """A list of those, PEM."""
        now = datetime.datetime.utcnow()
        b = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - datetime.timedelta(hours=1)).next_update(
            now + datetime.timedelta(days=1))
        for c in certificates:
            b = b.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(c.serial_number).revocation_date(now).build())
        return b.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, path, more=b""):
        with open(path, "wb") as f:
            f.write(self.certificate.public_bytes(serialization.Encoding.PEM) + more)
        return path


# ---- the issuer's web side ----

class Server:
    """HTTPS on loopback. What it says is in `answers`: path to (status, body) or to a function of the form's fields that gives those;
    `asked` counts."""

    def __init__(self, directory):
        self.authority = Authority()
        self.ca = self.authority.write(os.path.join(directory, "issuer-ca.pem"))
        cert, key, _ = self.authority.issue(directory, "issuer", ["issuer"], addresses=["127.0.0.1"], client=False)
        self.answers, self.asked, self.authorizations = {}, {}, []
        self.silent = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer({})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                self.answer({k: v[0] for k, v in urllib.parse.parse_qs(body).items()})

            def answer(self, fields):
                outer.asked[self.path] = outer.asked.get(self.path, 0) + 1
                outer.authorizations.append(self.headers.get("Authorization"))
                what = outer.answers.get(self.path, (404, "{}"))
                status, body = what(fields) if callable(what) else what
                if status is None:  # silent until the end
                    outer.silent.wait(60)
                    self.close_connection = True
                    return
                body = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status in (301, 302):
                    self.send_header("Location", body.decode())
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass
        self.http = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def count(self, path):
        return self.asked.get(path, 0)

    def stop(self):
        self.silent.set()
        self.http.shutdown()
        self.http.server_close()
