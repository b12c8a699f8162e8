"""IMAP answers read strictly: values by RFC 3501 section 9, what is in them by envelope and body. Anything that the grammar does not have is a
ValueError that says where."""
import re


class Reader:
    """Values of one response, literals included."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def fail(self, what):
        raise ValueError(f"{what} at octet {self.at}: {self.data[max(0, self.at - 60):self.at]!r} >>> {self.data[self.at:self.at + 60]!r}")

    def peek(self, text):
        return self.data.startswith(text, self.at)

    def take(self, text):
        if not self.peek(text):
            self.fail(f"no {text!r}")
        self.at += len(text)

    def match(self, pattern, what):
        m = re.compile(pattern, re.S).match(self.data, self.at)
        if not m:
            self.fail(f"no {what}")
        self.at = m.end()
        return m

    def string(self):
        if self.peek(b'"'):
            return re.sub(rb"\\(.)", rb"\1", self.match(rb'"((?:[^"\\\r\n\0\x80-\xff]|\\["\\])*)"', "quoted string")[1])
        n = int(self.match(rb"\{(\d+)\}\r\n", "literal")[1])
        octets = self.data[self.at:self.at + n]
        if len(octets) != n or b"\0" in octets:
            self.fail("a literal that is cut or holds NUL")
        self.at += n
        return octets

    def nstring(self):
        if self.peek(b"NIL"):
            self.take(b"NIL")
            return None
        return self.string()

    def number(self):
        return int(self.match(rb"(\d+)", "number")[1])

    def strings(self):
        """A list of one string or more, or NIL."""
        if self.peek(b"NIL"):
            return self.nstring()
        self.take(b"(")
        found = [self.string()]
        while not self.peek(b")"):
            self.take(b" ")
            found.append(self.string())
        self.take(b")")
        return found

    def params(self):
        found = self.strings()
        if found is not None and len(found) % 2:
            self.fail("parameters that are no pairs")
        return found

    def addresses(self):
        if self.peek(b"NIL"):
            return self.nstring()
        self.take(b"(")
        found = []
        while not self.peek(b")"):
            self.take(b"(")
            parts = [self.nstring()]
            for _ in range(3):
                self.take(b" ")
                parts.append(self.nstring())
            self.take(b")")
            found.append(parts)
        if not found:
            self.fail("an empty list of addresses")
        self.take(b")")
        return found

    def envelope(self):
        self.take(b"(")
        fields = [self.nstring()]
        self.take(b" ")
        fields.append(self.nstring())
        for _ in range(6):
            self.take(b" ")
            fields.append(self.addresses())
        for _ in range(2):
            self.take(b" ")
            fields.append(self.nstring())
        self.take(b")")
        return fields

    def disposition(self):
        if self.peek(b"NIL"):
            return self.nstring()
        self.take(b"(")
        kind = self.string()
        self.take(b" ")
        params = self.params()
        self.take(b")")
        return kind, params

    def extension(self, is_part):
        """Behind a blank: MD5 or parameters, then disposition, language and location as far as they are told."""
        found = [self.nstring() if is_part else self.params()]
        for take in (self.disposition, lambda: self.strings() if self.peek(b"(") else self.nstring(), self.nstring):
            if not self.peek(b" "):
                break
            self.take(b" ")
            found.append(take())
        return found

    def body(self, is_extended):
        """{"type", "parts"} of a multipart, else {"type", "params", "id", "description", "encoding", "octets", "lines", "envelope", "body"}."""
        self.take(b"(")
        if self.peek(b"("):
            parts = [self.body(is_extended)]
            while self.peek(b"("):
                parts.append(self.body(is_extended))
            self.take(b" ")
            found = {"type": (b"multipart", self.string().lower()), "parts": parts}
        else:
            main = self.string().lower()
            self.take(b" ")
            found = {"type": (main, self.string().lower()), "parts": None}
            for name, take in (("params", self.params), ("id", self.nstring), ("description", self.nstring), ("encoding", self.string), ("octets", self.number)):
                self.take(b" ")
                found[name] = take()
            if found["type"] in ((b"message", b"rfc822"), (b"message", b"global")):
                self.take(b" ")
                found["envelope"] = self.envelope()
                self.take(b" ")
                found["body"] = self.body(is_extended)
            if main == b"text" or "envelope" in found:
                self.take(b" ")
                found["lines"] = self.number()
        if is_extended and self.peek(b" "):
            self.take(b" ")
            found["extension"] = self.extension(found["parts"] is None)
        self.take(b")")
        return found

    def end(self):
        if self.at != len(self.data):
            self.fail("more than there should be")


def whole_line(f):
    """One response from the file F, with its literals, without the last line end."""
    text = b""
    while True:
        line = f.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(text + line)
        text += line
        m = re.search(rb"\{(\d+)\}\r\n$", line)
        if not m:
            return text[:-2]
        text += f.read(int(m[1]))


def fetch(c, numbers, items):
    """FETCH by a Raw: message number to {item: value}, for the items UID, RFC822.SIZE, ENVELOPE, BODY, BODYSTRUCTURE, BODY[...], BINARY...;
    behind that the tagged answer."""
    c.tags += 1
    tag = f"g{c.tags}".encode()
    c.send(tag + f" FETCH {numbers} ({items})\r\n".encode())
    found = {}
    while True:
        line = whole_line(c.f)
        if line.startswith(tag + b" "):
            return found, line[len(tag) + 1:].decode()
        m = re.match(rb"\* (\d+) FETCH \(", line)
        if not m:
            continue
        r = Reader(line)
        r.at = m.end()
        values = found.setdefault(int(m[1]), {})
        while True:
            name = r.match(rb"([A-Z0-9.]+(?:\[[^\]]*\](?:<\d+>)?)?) ", "item")[1].decode()
            if name == "ENVELOPE":
                values[name] = r.envelope()
            elif name in ("BODY", "BODYSTRUCTURE"):
                values[name] = r.body(name == "BODYSTRUCTURE")
            elif name in ("UID", "RFC822.SIZE") or name.startswith("BINARY.SIZE"):
                values[name] = r.number()
            elif name == "FLAGS":
                values[name] = r.match(rb"\(([^)]*)\)", "flags")[1]
            elif r.peek(b"~"):
                n = int(r.match(rb"~\{(\d+)\}\r\n", "literal8")[1])
                values[name] = line[r.at:r.at + n]
                r.at += n
            else:
                values[name] = r.nstring()
            if not r.peek(b" "):
                break
            r.take(b" ")
        r.take(b")")
        r.end()
