"""Large literals on their way through a frontend: to the last octet, in their order, at the client's pace."""
import random
import re
import socket
import zlib

import pytest

from roost import PASSWORD, Murder, wait_for

LIMITS = {"maxmessagesize": "8M"}


@pytest.fixture(scope="module")
def murder():
    m = Murder(users=["fred"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}, limits=LIMITS).start()
    m.add_frontend(LIMITS)
    m.create_user("fred")
    yield m
    m.stop()


def body(size):
    """A message of SIZE octets that are no two alike."""
    text = b"Subject: %d\r\n\r\n" % size
    return (text + random.Random(size).randbytes((size - len(text)) // 2 + 1).hex().encode())[:size]


def fill(m, name, sizes):
    """A mailbox of fred's on the server that fred is at, with one message of each size."""
    c = m.raw(m.frontends[0].imap).login("fred")
    assert c.cmd(f"CREATE {name}")[1].startswith("OK")
    for size in sizes:
        c.send(f"a APPEND {name} {{{size}+}}\r\n".encode() + body(size) + b"\r\n")
        assert c.until("a")[1].startswith("OK")
    c.close()


def answer(read_line, read, tag):
    """The literals of the answer to TAG, and how it ended."""
    literals = []
    while True:
        line = read_line()
        assert line, "the connection ended"
        if line.startswith(tag + b" "):
            return literals, line
        announced = re.search(rb"\{(\d+)\}\r\n$", line)
        if announced:
            literals.append(read(int(announced.group(1))))


SIZES = [100, 65535, 65536, 65537, 131072, 200001, 524288, 590000, 3 << 20, 1000, 7_000_001]


@pytest.fixture(scope="module")
def filled(murder):
    fill(murder, "bodies", SIZES)
    return murder


def selected(m, port=None):
    c = m.raw(port or m.frontends[0].imap).login("fred")
    assert c.cmd("SELECT bodies")[1].startswith("OK")
    return c


def test_bodies_of_all_sizes_come_whole(filled):
    c = selected(filled)
    c.send("a FETCH 1:* BODY.PEEK[]\r\nb NOOP\r\nc FETCH 9 (BODY.PEEK[]<100000.2000000> FLAGS)\r\nd NOOP\r\n")
    got, ended = answer(c.f.readline, c.f.read, b"a")
    assert got == [body(n) for n in SIZES] and ended.startswith(b"a OK")
    assert answer(c.f.readline, c.f.read, b"b")[1].startswith(b"b OK")
    got, ended = answer(c.f.readline, c.f.read, b"c")
    assert got == [body(3 << 20)[100000:2100000]] and ended.startswith(b"c OK")
    assert answer(c.f.readline, c.f.read, b"d")[1].startswith(b"d OK")
    c.close()


def test_client_that_reads_slowly_gets_the_same_and_others_are_served(filled):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    s.settimeout(30)
    s.connect(("127.0.0.1", filled.frontends[0].imap))
    f = s.makefile("rb", buffering=4096)
    f.readline()
    s.sendall(f"l LOGIN fred {PASSWORD}\r\ns SELECT bodies\r\na FETCH 1:* BODY.PEEK[]\r\nb NOOP\r\n".encode())
    for tag in (b"l", b"s"):
        answer(f.readline, f.read, tag)
    other = selected(filled)
    wait_for(lambda: other.cmd("NOOP")[1].startswith("OK"), "another is served")

    def pieces(n):
        out = b""
        while len(out) < n:
            piece = f.read(min(3000, n - len(out)))
            assert piece
            out += piece
            if len(out) % 120000 < 3000:
                assert other.cmd("NOOP")[1].startswith("OK")
        return out
    got, ended = answer(f.readline, pieces, b"a")
    assert got == [body(n) for n in SIZES] and ended.startswith(b"a OK")
    assert answer(f.readline, f.read, b"b")[1].startswith(b"b OK")
    other.close()
    f.close()
    s.close()


def test_client_that_goes_in_the_middle_harms_nobody(filled):
    for taken in (0, 1, 100000, 3_000_000):
        c = selected(filled)
        c.send("a FETCH 1:* BODY.PEEK[]\r\n")
        c.f.read(taken)
        c.close()
    c = selected(filled)
    c.send("a FETCH 11 BODY.PEEK[]\r\n")
    assert answer(c.f.readline, c.f.read, b"a")[0] == [body(SIZES[10])]
    c.close()


def test_compressed_client_gets_the_same(filled):
    c = selected(filled)
    assert c.cmd("COMPRESS DEFLATE")[1].startswith("OK")
    packer, opener = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    c.send(packer.compress(b"a FETCH 1:* BODY.PEEK[]\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    clear = b""
    while not re.search(rb"\r\na OK[^\r]*\r\n$", clear[-200:]):
        octets = c.s.recv(1 << 20)
        assert octets
        clear += opener.decompress(octets)
    for size in SIZES:
        assert b"{%d}\r\n" % size + body(size) in clear
    c.close()
