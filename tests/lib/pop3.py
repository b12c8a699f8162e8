"""A POP3 client that speaks lines."""
import base64
import socket

from roost import PASSWORD


class Pop3:
    def __init__(self, port, user=None, password=PASSWORD, timeout=20, host="127.0.0.1", greeted=True):
        """Logged in as USER, if one is named."""
        self.s = socket.create_connection((host, port), timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")
        if greeted:
            self.greeting = self.line()
            assert self.greeting.startswith("+OK"), self.greeting
        if user:
            self.ok(f"USER {user}")
            self.welcome = self.ok(f"PASS {password}")

    def tls(self, context, host):
        self.f.close()
        self.s = context.wrap_socket(self.s, server_hostname=host)
        self.f = self.s.makefile("rb")
        return self

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """"" at the end of the connection."""
        return self.f.readline().decode("utf-8", "replace").rstrip("\r\n")

    def cmd(self, text):
        self.send(text + "\r\n")
        return self.line()

    def ok(self, text):
        line = self.cmd(text)
        assert line.startswith("+OK"), (text, line)
        return line[4:]

    def err(self, text, code=None):
        line = self.cmd(text)
        assert line.startswith("-ERR " + (f"[{code}] " if code else "")), (text, line)
        return line

    def rest(self):
        """The octets of an answer of many lines, as they were before dots were doubled; each line ends as it came."""
        lines = []
        while True:
            line = self.f.readline()
            if not line.endswith(b"\n"):
                raise EOFError(b"".join(lines)[-200:] + line)
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    def many(self, text):
        self.ok(text)
        return self.rest()

    def rows(self, text):
        """LIST, UIDL: {number: value}."""
        return {int(n): v for n, v in (row.split(" ") for row in self.many(text).decode().splitlines())}

    def plain(self, user, password=PASSWORD, authzid=""):
        return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()

    def close(self):
        self.f.close()
        self.s.close()
