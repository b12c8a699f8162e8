"""The sync stream by hand (docs/formats.md, "Sync stream"): a member that says what a test wants it to say."""
import base64
import ctypes
import hashlib
import hmac
import os
import socket
import struct

from roost import PASSWORD

MAGIC = b"ROOSTSY1"
HELLO, WELCOME, REFUSE, ENTRIES, ACK, BEACON, BEACON_ACK = range(1, 8)
OFFER, TAKE, PIECE, BODIES, TAKEN = range(8, 13)
WANTED, ENTRY, NONE = range(13, 16)
EPOCH, CREATE, DELETE, RENAME, ACL, KEYWORDS, APPEND, FLAGS, EXPUNGE, COPY, SUBSCRIBE = range(1, 12)

_xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
_xxh3.restype, _xxh3.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]


def xxh3(data):
    return _xxh3(bytes(data), len(data))


def bytes32(data):
    data = data if isinstance(data, bytes) else data.encode()
    return struct.pack("<I", len(data)) + data


def message(kind, epoch=0, lsn=0, committed=0, time_ms=0, rest=b""):
    return struct.pack("<BQQQQ", kind, epoch, lsn, committed, time_ms) + rest


def copy(lsn, offset=0, following=0, left=0, total=0):
    """What OFFER to TAKEN have in front of their octets."""
    return struct.pack("<5Q", lsn, offset, following, left, total)


def history(*rows):
    return struct.pack("<I", len(rows)) + b"".join(struct.pack("<QQ", *r) for r in rows)


def entry(kind, lsn, epoch, data=b"", body=b"", committed=0, checksum=None):
    """An entry's octets; DATA is what its type adds. CHECKSUM: instead of the right one."""
    first = struct.pack("<4sIIBBHQQQ", b"RNT1", 48 + len(data), len(body), kind, 0, 0, lsn, epoch, committed)
    right = xxh3(first) ^ xxh3(data)
    return first + struct.pack("<Q", right if checksum is None else checksum) + data + body


def epoch_entry(lsn, epoch, master, in_sync):
    return entry(EPOCH, lsn, epoch, bytes32(master) + bytes32(in_sync))


def create_entry(lsn, epoch, mailbox, name, **other):
    return entry(CREATE, lsn, epoch, struct.pack("<QI", mailbox, 1000 + mailbox) + bytes32(name) + bytes32("admin\tlrswipkxtecda\t") +
                 bytes32("default"), **other)


def append_entry(lsn, epoch, mailbox, uid, modseq, body, hash_of=None, **other):
    """A message with a structure that says nothing."""
    text = bytes32("NIL")
    structure = struct.pack("<I", 1) + text * 3 + struct.pack("<I", 0)
    data = struct.pack("<Q", xxh3(body) if hash_of is None else hash_of) + bytes32("") + bytes32(structure)
    return entry(APPEND, lsn, epoch, data + struct.pack("<IQIQqBQ", 1, mailbox, uid, modseq, 1000, 0, 0), body, **other)


class SyncPeer:
    """One connection, either end. Reading past the end gives None."""

    def __init__(self, s, tls=None, server_name=None):
        s.settimeout(20)
        self.s = tls.wrap_socket(s, server_side=server_name is None, server_hostname=server_name) if tls else s
        self.rest = b""

    @classmethod
    def dial(cls, port, magic=MAGIC, host="127.0.0.1", **tls):
        peer = cls(socket.create_connection((host, port), 20), **tls)
        peer.send(magic)
        return peer

    def send(self, data):
        try:
            self.s.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            pass  # it ended meanwhile: whoever reads finds out

    def frame(self, data):
        self.send(struct.pack("<I", len(data)) + data)

    def say(self, *args, **kw):
        self.frame(message(*args, **kw))

    def read(self, n):
        while len(self.rest) < n:
            try:
                more = self.s.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.rest += more
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def read_frame(self):
        length = self.read(4)
        return None if length is None else self.read(struct.unpack("<I", length)[0])

    def hear(self, *kinds):
        """The next message of KINDS (any): (kind, epoch, lsn, committed, time, rest); None at the end."""
        while (frame := self.read_frame()) is not None:
            m = (*struct.unpack("<BQQQQ", frame[:33]), frame[33:])
            if not kinds or m[0] in kinds:
                return m
        return None

    def ends(self):
        """Whether the other side closes; what it still says is passed over."""
        try:
            while self.read_frame() is not None:
                pass
        except socket.timeout:
            return False
        return True

    def login(self, account, authzid, password=PASSWORD):
        """SCRAM as the dialler. The acceptor's last frame."""
        nonce = base64.b64encode(os.urandom(12)).decode()
        header = f"n,a={authzid},"
        first = f"n={account},r={nonce}"
        self.frame(b"ASCRAM-SHA-256\0" + (header + first).encode())
        challenge = self.read_frame()
        if challenge is None or challenge[:1] != b"C":
            return challenge
        said = challenge[1:].decode()
        words = dict(w.split("=", 1) for w in said.split(","))
        final = f"c={base64.b64encode(header.encode()).decode()},r={words['r']}"
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(words["s"]), int(words["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{said},{final}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.frame(f"C{final},p={proof}".encode())
        answer = self.read_frame()
        return self.read_frame() if answer and answer[:1] == b"C" else answer

    def accept_login(self, password=PASSWORD):
        """The magic and SCRAM as the acceptor; who it says it is. A wrong PASSWORD is for it to notice."""
        assert self.read(len(MAGIC)) == MAGIC
        frame = self.read_frame()
        assert frame.startswith(b"ASCRAM-SHA-256\0"), frame
        header, first = frame[15:].decode().rsplit(",n=", 1)
        first = "n=" + first
        words = dict(w.split("=", 1) for w in first.split(","))
        salt, rounds = os.urandom(12), 4096
        said = f"r={words['r']}{base64.b64encode(os.urandom(9)).decode()},s={base64.b64encode(salt).decode()},i={rounds}"
        self.frame(b"C" + said.encode())
        final = self.read_frame()
        if final is None:
            return None
        without = final[1:].decode().rsplit(",p=", 1)[0]
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), f"{first},{said},{without}".encode(), "sha256")
        self.frame(b"Cv=" + base64.b64encode(server))
        return header.rsplit("a=", 1)[-1]

    def close(self):
        self.s.close()
