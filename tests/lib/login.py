"""One way to log in for every protocol that has one, on the backend, the frontend and the mupdate server."""
import base64
import hashlib
import hmac
import os
import time

from roost import PASSWORD, Raw

WHERE = ["backend-imap", "backend-pop3", "backend-lmtp", "frontend-imap", "frontend-pop3", "frontend-lmtp", "mupdate"]


def b64(b):
    return base64.b64encode(b).decode()


def plain(user, password=PASSWORD, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}".encode())


def port_of(murder, where):
    if where == "mupdate":
        return murder.mupdate_port
    role, protocol = where.split("-")
    return getattr(murder.first if role == "backend" else murder.frontends[0], protocol)


class Client:
    """A connection to WHERE, past its greeting. AUTH in the words of its protocol; results are "ok", "no", "busy", "bad", "end"."""

    def __init__(self, murder, where, source=None, context=None, host="127.0.0.1", port=None, implicit=False):
        """CONTEXT: STARTTLS, or TLS at once if IMPLICIT; an ssl.SSLContext, or a function that makes something of a socket that has
        sendall() and makefile()."""
        self.where, self.protocol = where, where.split("-")[-1]
        self.raw = Raw(port or port_of(murder, where), source=source, host=host)
        self.said = []
        if implicit:
            self.wrap(context, host)
        self.greet()
        if context and not implicit:
            self.starttls(context, host)

    def wrap(self, context, host):
        self.raw.f.close()
        self.raw.s = context(self.raw.s) if callable(context) else context.wrap_socket(self.raw.s, server_hostname=host)
        self.raw.f = self.raw.s.makefile("rb")

    def greet(self):
        if self.protocol == "mupdate":
            line = ""
            while not line.startswith("* OK"):
                line = self.line()
        else:
            self.line()
        if self.protocol == "lmtp":
            self.lhlo()

    def lhlo(self):
        self.raw.send("LHLO test\r\n")
        return self.raw.reply()[1]

    def starttls(self, context, host):
        self.raw.send({"imap": "t STARTTLS\r\n", "pop3": "STLS\r\n", "lmtp": "STARTTLS\r\n", "mupdate": "t STARTTLS\r\n"}[self.protocol])
        line = self.line()
        assert line.startswith(("t OK", "+OK", "220")), line
        self.wrap(context, host)
        if self.protocol == "mupdate":
            self.greet()
        if self.protocol == "lmtp":
            self.lhlo()

    def line(self):
        line = self.raw.line()
        self.said.append(line)
        return line

    def mechanisms(self):
        if self.protocol == "imap":
            lines, _ = self.raw.cmd("CAPABILITY")
            return [w[5:] for w in lines[0].split() if w.startswith("AUTH=")]
        if self.protocol == "pop3":
            self.raw.send("CAPA\r\n")
            words = []
            while (line := self.line()) != ".":
                words += line.split()[1:] if line.startswith("SASL ") else []
            return words
        if self.protocol == "lmtp":
            return next((x.split()[1:] for x in self.lhlo() if x.startswith("AUTH ")), [])
        return [w.strip('"') for w in next(x for x in reversed(self.said) if x.startswith("* AUTH")).split()[2:]]

    def result(self, line):
        if line == "":
            return "end"
        words = {"imap": [("a OK", "ok"), ("a NO [AUTHENTICATIONFAILED]", "no"), ("a NO [UNAVAILABLE]", "busy"), ("a ", "bad")],
                 "mupdate": [("a OK", "ok"), ('a NO "authentication failed"', "no"), ('a NO "too many', "busy"), ("a ", "bad")],
                 "pop3": [("+OK", "ok"), ("-ERR [AUTH]", "no"), ("-ERR [SYS/TEMP] logins", "busy"), ("-ERR", "bad")],
                 "lmtp": [("235", "ok"), ("535", "no"), ("454", "busy"), ("5", "bad")]}[self.protocol]
        return next((r for begin, r in words if line.startswith(begin)), None)

    def challenge(self, line):
        """The octets that the server sent, or None if that was its answer."""
        begin = {"imap": "+ ", "pop3": "+ ", "lmtp": "334 ", "mupdate": ""}[self.protocol]
        if self.result(line) or not line.startswith(begin):
            return None
        return base64.b64decode(line[len(begin):], validate=True)

    def begin(self, mechanism, initial=None):
        words = {"imap": "a AUTHENTICATE", "pop3": "AUTH", "lmtp": "AUTH", "mupdate": "a AUTHENTICATE"}[self.protocol]
        quote = '"' if self.protocol == "mupdate" else ""
        self.raw.send(f"{words} {quote}{mechanism}{quote}" + ("" if initial is None else f" {quote}{initial or '='}{quote}") + "\r\n")

    def send(self, octets):
        text = b64(octets)
        self.raw.send((f'"{text}"' if self.protocol == "mupdate" else text) + "\r\n")

    def auth(self, mechanism, *answers, initial=True):
        """The first of ANSWERS goes with the command if INITIAL. The result, and the challenges."""
        answers, heard = list(answers), []
        self.begin(mechanism, b64(answers.pop(0)) if initial and answers else None)
        while True:
            line = self.line()
            if (c := self.challenge(line)) is None:
                return self.result(line), heard
            heard.append(c)
            self.send(answers.pop(0)(c) if answers and callable(answers[0]) else answers.pop(0) if answers else b"")

    def login(self, user, password=PASSWORD):
        return self.auth("PLAIN", f"\0{user}\0{password}".encode())[0]

    def bare(self, user, password=PASSWORD):
        """As LOGIN or USER and PASS do; elsewhere PLAIN."""
        if self.protocol == "imap":
            self.raw.send(f"a LOGIN {user} {password}\r\n")
        elif self.protocol == "pop3":
            self.raw.send(f"USER {user}\r\nPASS {password}\r\n")
            self.line()
        else:
            return self.login(user, password)
        return self.result(self.line())

    def timed(self, user, password=PASSWORD):
        begin = time.monotonic()
        return self.login(user, password), time.monotonic() - begin

    def scram(self, user, password=PASSWORD, binding=None, header=None, plus=None):
        """BINDING: type and octets of a channel binding."""
        header = header or (f"p={binding[0]},," if binding else "n,,")
        bare = f"n={user},r={b64(os.urandom(12))}"
        kept = {}

        def final(first):
            first = first.decode()
            fields = dict(x.split("=", 1) for x in first.split(","))
            kept.update(fields)
            salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
            client = hmac.digest(salted, b"Client Key", "sha256")
            stored = hashlib.sha256(client).digest()
            head = f"c={b64(header.encode() + (binding[1] if binding else b''))},r={fields['r']}"
            message = f"{bare},{first},{head}".encode()
            proof = bytes(a ^ b for a, b in zip(client, hmac.digest(stored, message, "sha256")))
            kept["signature"] = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
            return f"{head},p={b64(proof)}".encode()

        def proven(last):
            assert last == b"v=" + b64(kept["signature"]).encode(), "the server knows the password, too"
            return b""
        result, _ = self.auth("SCRAM-SHA-256" + ("-PLUS" if (plus if plus is not None else binding) else ""), (header + bare).encode(), final, proven)
        return result, kept

    def close(self):
        self.raw.close()
