"""MUPDATE by hand: a session that speaks RFC 3656, and a mupdate server alone, with what a test asks of its memory."""
import base64
import io
import os
import re
import zlib

from roost import PASSWORD, Murder, Raw, wait_for


class Inflated(io.RawIOBase):
    """The reading end of a compressed session. Counts the octets that came."""

    def __init__(self, source):
        self.source, self.inflate, self.rest, self.octets = source, zlib.decompressobj(-15), b"", 0

    def readable(self):
        return True

    def readinto(self, to):
        while not self.rest:
            packed = self.source.read1(1 << 16)
            if not packed:
                return 0
            self.octets += len(packed)
            self.rest = self.inflate.decompress(packed)
        n = min(len(to), len(self.rest))
        to[:n], self.rest = self.rest[:n], self.rest[n:]
        return n


class Mupdate(Raw):
    """A session, from the loopback address SOURCE; with USER, authenticated by PLAIN; with TLS, a context, after STARTTLS."""

    deflate = None

    def __init__(self, m, user=None, authzid="", timeout=20, source=None, tls=None):
        super().__init__(m.mupdate_port, timeout, source)
        self.read_banner()
        if tls:
            assert self.cmd("STARTTLS")[1].startswith("OK")
            self.f.close()
            self.s = tls.wrap_socket(self.s, server_hostname="127.0.0.1")
            self.f = self.s.makefile("rb")
            self.read_banner()
        if user:
            assert self.auth(user, authzid)[1].startswith("OK")

    def read_banner(self):
        self.banner = []
        while True:
            line = self.line()
            self.banner.append(line)
            if line.startswith("* OK") or line == "":
                break

    def compress(self):
        """COMPRESS: from here on what is sent is compressed and what comes is inflated."""
        assert self.cmd('COMPRESS "DEFLATE"') == ([], 'OK "DEFLATE active"')
        self.deflate = zlib.compressobj(wbits=-15)
        self.inflated = Inflated(self.f)
        self.f = io.BufferedReader(self.inflated, 1 << 16)
        return self

    def packed(self, data):
        """What stands for DATA on the wire, all of it readable."""
        return self.deflate.compress(data if isinstance(data, bytes) else data.encode()) + self.deflate.flush(zlib.Z_SYNC_FLUSH)

    def send(self, data):
        super().send(self.packed(data) if self.deflate else data)

    def auth(self, user, authzid="", password=PASSWORD):
        words = base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()
        return self.cmd(f'AUTHENTICATE "PLAIN" {{{len(words)}+}}\r\n{words}')

    def do(self, verb, *args):
        """Arguments as literals, as Cyrus sends them. The untagged lines, and the tagged one."""
        octets = [a if isinstance(a, bytes) else a.encode() for a in args]
        return self.cmd(verb.encode() + b"".join(b" {%d+}\r\n%s" % (len(a), a) for a in octets))

    def ok(self, verb, *args):
        lines, done = self.do(verb, *args)
        assert done.startswith("OK"), (verb, args, done)
        return lines

    def no(self, verb, *args):
        done = self.do(verb, *args)[1]
        assert done.startswith("NO"), (verb, args, done)

    def record(self):
        """The next line of records, with its literals in it, in quotes. An octet that is not UTF-8 becomes a surrogate."""
        text = self.f.readline()
        while True:
            m = re.search(rb"\{(\d+)\+?\}\r\n$", text)
            if not m:
                return text.decode("utf-8", "surrogateescape").rstrip("\r\n")
            text = text[:m.start()] + b'"' + self.read(int(m.group(1))) + b'"' + self.f.readline()

    def until(self, tag):
        lines = []
        while True:
            line = self.record()
            if line == "":
                raise EOFError(lines)
            if line.startswith(tag + " ") and not re.match(rf"{tag} (MAILBOX|RESERVE|DELETE) ", line):
                return lines, line[len(tag) + 1:]
            lines.append(line)

    def follow(self):
        """UPDATE; what the list says."""
        self.send("u UPDATE\r\n")
        lines, done = self.until("u")
        assert done.startswith("OK"), done
        return lines

    def ends(self):
        """What comes until the server closes; "(reset)" behind it where it does so without ceremony."""
        text = b""
        try:
            while more := self.f.read1(1 << 20):
                text += more
        except ConnectionResetError:
            text += b"(reset)"
        return text.decode("utf-8", "replace")


def state(c, name):
    """RESERVE or MAILBOX and the location; None where there is no record."""
    lines, done = c.do("FIND", name)
    assert done.startswith("OK")
    if not lines:
        return None
    word, where = re.match(r'\S+ (MAILBOX|RESERVE) "[^"]*" "([^"]*)"', lines[0]).groups()
    return word, where


class Directory(Murder):
    """A mupdate server alone, with accounts for USERS. VALUES go into its configuration."""

    def __init__(self, users=("fred",), **values):
        super().__init__(users=users, backends={"backenda": ["backenda1"], "backendb": ["backendb1"]})
        self.mupdate.values.update(values)

    def start(self):
        self.mupdate.start()
        wait_for(lambda: Raw(self.mupdate_port).close() or True, "it listens")
        return self

    def rss(self):
        """Octets that the server holds in memory, its own and not the files'."""
        with open(f"/proc/{self.mupdate.process.pid}/status") as f:
            fields = dict(line.split(":", 1) for line in f)
        return (int(fields["RssAnon"].split()[0])) * 1024


def is_plain():
    """Whether the executable has no sanitizer in it, so that what it takes of memory and time is what it takes."""
    return not re.search("asan|tsan", os.environ.get("ROOST", ""))
