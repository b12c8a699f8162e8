"""COMPRESS "DEFLATE" on the mupdate server's port, by Python's zlib: offered, begun, refused; lists and changes through it,
beneath TLS, octet by octet; bombs, garbage, ends in the middle; followers that never read; thousands at once."""
import os
import random
import re
import resource
import selectors
import socket
import ssl
import subprocess
import threading
import time
import zlib

import pytest

from mupdate import Directory, Mupdate, is_plain, state
from roost import wait_for

LOCATION = "backenda!default"
RECORDS = 5000
CONNECTIONS = 2000
LOST = "directory.session.lost"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    where = tmp_path_factory.mktemp("tls")
    cert, key = where / "cert.pem", where / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    m = Directory(log_level="info", mupdate_max_pending="1M", index_map_size="256M", tls_server_cert=cert, tls_server_key=key)
    m.start()
    m.client_tls = ssl.create_default_context(cafile=str(cert))
    fill(m)
    yield m
    m.stop()


def fill(m):
    c = Mupdate(m, "admin").compress()
    acl = "fred\tlrswipkxtecdan\t"
    text = "".join(f'r{i} ACTIVATE "user.u{i:05}" "{LOCATION}" "{acl}"\r\n' for i in range(RECORDS))
    sender = threading.Thread(target=c.send, args=(text,))
    sender.start()
    assert [c.line()[:len(f"r{i} OK")] for i in range(RECORDS)] == [f"r{i} OK" for i in range(RECORDS)]
    sender.join()
    c.close()


def begin(server):
    """A session that has asked for compression and been told OK, its compressor, but nothing of it in use."""
    c = Mupdate(server, "admin")
    assert c.cmd('COMPRESS "DEFLATE"')[1] == 'OK "DEFLATE active"'
    return c, zlib.compressobj(wbits=-15)


def sync(z, data):
    return z.compress(data if isinstance(data, bytes) else data.encode()) + z.flush(zlib.Z_SYNC_FLUSH)


def inflate(data):
    return zlib.decompressobj(-15).decompress(data)


def rest(c):
    """All octets until the server closes, in whatever way."""
    data = b""
    try:
        while more := c.s.recv(1 << 16):
            data += more
    except ConnectionResetError:
        pass
    return data


def lost(server):
    return len(re.findall(LOST + r" .*DEFLATE stream", server.mupdate.text()))


def test_offered_in_its_place(server):
    c = Mupdate(server)
    words = [line.split()[1] for line in c.banner]
    assert words == ["AUTH", "STARTTLS", "COMPRESS", "PARTIAL-UPDATE", "X-ROOST", "OK"]
    assert c.banner[2] == '* COMPRESS "DEFLATE"'
    c.close()
    c = Mupdate(server, tls=server.client_tls)
    assert [line.split()[1] for line in c.banner] == ["AUTH", "COMPRESS", "PARTIAL-UPDATE", "X-ROOST", "OK"]
    assert c.cmd("STARTTLS")[1].startswith("NO"), "RFC 3656 section 4.10"
    c.close()


@pytest.mark.parametrize("text, want", [
    ("COMPRESS", "BAD"), ('COMPRESS "DEFLATE" "DEFLATE"', "BAD"), ("COMPRESS DEFLATE", "BAD"), ('COMPRESS ""', "NO"),
    ('COMPRESS "LZ4"', "NO"), ('COMPRESS "DEFLATE2"', "NO"), ("COMPRESS {3+}\r\nzip", "NO"), ('COMPRESS "DEFL', "BAD")])
def test_refused(server, text, want):
    """... and the session goes on in clear."""
    c = Mupdate(server, "admin")
    lines, done = c.cmd(text)
    assert lines == [] and re.match(want + r' "[^"]+"$', done), done
    assert c.cmd("NOOP") == ([], 'OK "Noop done"')
    c.compress()
    assert c.cmd(text)[1].startswith(want) and c.cmd("NOOP") == ([], 'OK "Noop done"')
    c.close()


def test_not_before_authentication(server):
    c = Mupdate(server)
    assert c.cmd('COMPRESS "DEFLATE"')[1] == 'NO "Please login first"'
    assert c.auth("admin")[1].startswith("OK")
    c.compress()
    assert c.cmd("NOOP")[1].startswith("OK")
    assert c.auth("admin")[1] == 'BAD "already authenticated"' and c.cmd("STARTTLS")[1].startswith("BAD")
    c.close()


def test_once(server):
    c = Mupdate(server, "admin").compress()
    assert c.cmd('COMPRESS "DEFLATE"')[1].startswith("NO")
    assert c.cmd('compress "deflate"')[1].startswith("NO")
    assert state(c, "user.u00001") == ("MAILBOX", LOCATION)
    c.close()


def test_not_while_updates_stream(server):
    for c in (Mupdate(server, "admin"), Mupdate(server, "admin").compress()):
        assert len(c.follow()) >= RECORDS
        c.send('z COMPRESS "DEFLATE"\r\n')
        assert c.record() == 'z BAD "not legal when streaming"'
        c.send("n NOOP\r\n")
        assert c.record() == 'n OK "Noop done"'
        c.close()


@pytest.mark.parametrize("tls", [False, True])
def test_lists_and_changes(server, tls):
    plain = Mupdate(server, "frontend")
    want = plain.follow()
    f = Mupdate(server, "frontend", tls=tls and server.client_tls).compress()
    assert f.follow() == want and len(want) == RECORDS
    size = sum(len(x) + 2 for x in want)
    assert f.inflated.octets < size / 6, "it was worth it"
    # Each change comes at once and alone: nothing is kept back for more to come.
    w = Mupdate(server, "admin", tls=tls and server.client_tls).compress()
    took = []
    for i in range(200):
        name = f"user.change{i % 5}"
        began = time.monotonic()
        w.ok("ACTIVATE", name, LOCATION, f"acl {i}")
        assert f.record() == f'u MAILBOX "{name}" "{LOCATION}" "acl {i}"' == plain.record()
        took.append(time.monotonic() - began)
    assert sorted(took)[100] < (0.3 if is_plain() else 3), "the disk may have its moments, what is kept back always comes late"
    for i in range(5):
        w.ok("DELETE", f"user.change{i}")
        assert f.record() == f'u DELETE "user.change{i}"' == plain.record()
    f.send("n NOOP\r\n")
    assert f.record() == 'n OK "Noop done"'
    lines, done = w.cmd("LIST")
    assert done.startswith("OK") and len(lines) >= RECORDS
    assert w.cmd("LOGOUT")[1].startswith("BYE") and w.ends() == ""
    for x in (plain, f, w):
        x.close()


def test_lists_as_thousands_change(server):
    """A list that is read slowly while the records behind and before it change: its reader has the same in the end."""
    f, w = Mupdate(server, "frontend").compress(), Mupdate(server, "admin").compress()
    f.send("u UPDATE\r\n")
    for i in range(0, RECORDS, 5):
        w.send(f'x ACTIVATE "user.u{i:05}" "{LOCATION}" "new"\r\n')
    seen = {}
    lines, _ = f.until("u")
    for i in range(0, RECORDS, 5):
        assert w.line().startswith("x OK")
    f.send("n NOOP\r\n")
    for line in lines + f.until("n")[0]:
        words = line.split('"')
        seen[words[1]] = words[5]
    assert len(seen) == RECORDS and all((acl == "new") == (int(name[6:]) % 5 == 0) for name, acl in seen.items())
    f.close()
    w.close()


@pytest.mark.parametrize("tls", [False, True])
def test_octet_by_octet(server, tls):
    c = Mupdate(server, "admin", tls=tls and server.client_tls).compress()
    c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = "".join(f'f{i} FIND {{11+}}\r\nuser.u{i:05}\r\n' for i in range(20))
    for octet in c.packed(text):
        c.s.sendall(bytes([octet]))
    for i in range(20):
        assert c.record().startswith(f'f{i} MAILBOX "user.u{i:05}"') and c.record().startswith(f"f{i} OK")
    # Not compressed at all but for the frame, and every flush that there is.
    z = zlib.compressobj(0, wbits=-15)
    c.deflate = z
    assert state(c, "user.u00007")[0] == "MAILBOX"
    for flush in (zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH):
        c.s.sendall(z.compress(b"n NOOP\r\n") + z.flush(flush) + z.flush(zlib.Z_SYNC_FLUSH))
        assert c.record().startswith("n OK")
    c.close()


def test_what_follows_compress_is_compressed(server):
    """... also where it comes in the same octets, before the answer. In clear it is no DEFLATE."""
    z = zlib.compressobj(wbits=-15)
    c = Mupdate(server, "admin")
    c.send(b'z COMPRESS "DEFLATE"\r\n' + sync(z, "n1 NOOP\r\nn2 NOOP\r\nq LOGOUT\r\n"))
    assert c.line().startswith("z OK")
    text = inflate(c.f.read())
    assert re.fullmatch(rb'n1 OK "[^"]+"\r\nn2 OK "[^"]+"\r\nq BYE "[^"]+"\r\n', text), text
    c.close()
    before = lost(server)
    c = Mupdate(server, "admin")
    c.send(b'z COMPRESS "DEFLATE"\r\nn NOOP\r\n')
    assert c.line().startswith("z OK") and c.ends().replace("(reset)", "") == ""
    c.close()
    wait_for(lambda: lost(server) == before + 1, "it is told")


def test_garbage(server):
    """Ends the session, with an event; what came whole before it is answered or not, and done; others go on."""
    other = Mupdate(server, "admin").compress()
    r = random.Random(7)
    before = lost(server)
    pieces = [b"\xff" * 10, b"\x07" + r.randbytes(2000), b"n NOOP\r\n" * 100, zlib.compress(b"n NOOP\r\n"), b"\x00\x01\x00\x01\x00!"]
    for piece in pieces:
        c, z = begin(server)
        c.send(piece)
        assert b"OK" not in rest(c)
        c.close()
    wait_for(lambda: lost(server) == before + len(pieces), "all are told")
    for i in range(100):
        c, z = begin(server)
        good = sync(z, 'r RESERVE "user.good" "backenda!default"\r\n')
        at = r.randrange(len(good))
        c.send(good[:at] + bytes([good[at] ^ 1 << r.randrange(8)]) + good[at + 1:] + r.randbytes(r.randrange(100)))
        c.s.shutdown(socket.SHUT_WR)
        rest(c)
        c.close()
    c, z = begin(server)
    c.send(sync(z, 'r RESERVE "user.before" "backenda!default"\r\n') + b"\xff" * 10)
    rest(c)
    c.close()
    wait_for(lambda: state(other, "user.before") is not None, "it was a whole command")
    for name in ("user.before", "user.good"):
        other.do("DELETE", name)
    assert other.cmd("NOOP")[1].startswith("OK")
    other.close()


def test_the_streams_own_end(server):
    """RFC 4978 knows nothing of it: whoever says it is heard, and may say nothing more."""
    c, z = begin(server)
    c.send(z.compress(b"n NOOP\r\n") + z.flush(zlib.Z_FINISH))
    c.s.shutdown(socket.SHUT_WR)
    assert inflate(rest(c)) == b'n OK "Noop done"\r\n'
    c.close()
    c, z = begin(server)
    before = lost(server)
    c.send(z.compress(b"n NOOP\r\n") + z.flush(zlib.Z_FINISH))
    assert inflate(c.s.recv(1000)) == b'n OK "Noop done"\r\n'
    c.send(sync(zlib.compressobj(wbits=-15), b"n NOOP\r\n"))
    assert rest(c) == b""
    c.close()
    wait_for(lambda: lost(server) == before + 1, "it is told")


def test_ends_in_the_middle(server):
    """What is whole is answered; the rest is not done, wherever the stream is cut."""
    c, z = begin(server)
    text = b"".join(b"n%d NOOP\r\n" % i for i in range(50)) + b'r RESERVE "user.cut" "backenda!default"\r\n'
    packed = sync(z, text)
    c.close()
    for at in range(0, len(packed), 7):
        c, _ = begin(server)
        c.send(packed[:at])
        c.s.shutdown(socket.SHUT_WR)
        whole = inflate(packed[:at]).count(b"\r\n")
        answers = inflate(rest(c)).decode().split("\r\n")[:-1]
        assert [a.split()[0] for a in answers] == [f"n{i}" for i in range(50)][:whole] + ["r"] * (whole > 50)
        c.close()
    c = Mupdate(server, "admin")
    c.do("DELETE", "user.cut")
    c.close()


def peak_of(server, f):
    """F's result, and how much more memory the server held at most while it ran."""
    before, peak, is_over = server.rss(), 0, threading.Event()

    def look():
        nonlocal peak
        while not is_over.wait(0.005):
            peak = max(peak, server.rss() - before)

    t = threading.Thread(target=look)
    t.start()
    try:
        return f(), peak
    finally:
        is_over.set()
        t.join()


def test_bombs(server):
    """Sixty-four MB in 64 kB: a string, a literal, empty lines. Each meets the limit that it meets in clear."""
    other = Mupdate(server, "admin")
    zeros = b"x" * (64 << 20)

    def throw():
        for head, end in ((b'a FIND "', b"BYE"), (b"a FIND {100000000+}\r\n", b"BYE"), (b"a ", b"BYE")):
            c, z = begin(server)
            bomb = sync(z, head + zeros)
            try:
                c.send(bomb)
            except OSError:
                pass
            assert end in inflate(rest(c)), head
            c.close()
        c, z = begin(server)
        c.send(sync(z, b"\r\n" * (16 << 20)))
        assert b"BYE" in inflate(rest(c))
        c.close()

    began = time.monotonic()
    _, peak = peak_of(server, throw)
    assert not is_plain() or peak < 8 << 20, peak
    assert other.cmd("NOOP")[1].startswith("OK") and time.monotonic() - began < 60
    other.close()


def test_a_bomb_of_commands(server):
    """A million commands in a few kB, whose sender reads nothing for a while: they wait packed, the others are served; then
    all are answered."""
    other, (c, z) = Mupdate(server, "admin"), begin(server)
    count = 1000000 if is_plain() else 100000

    def throw():
        c.send(sync(z, b"n NOOP\r\n" * count))
        slowest = 0
        for _ in range(200):
            began = time.monotonic()
            assert other.cmd("NOOP")[1].startswith("OK")
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    slowest, peak = peak_of(server, throw)
    assert not is_plain() or (slowest < 0.5 and peak < 8 << 20), (slowest, peak)
    c.s.shutdown(socket.SHUT_WR)
    text = inflate(rest(c))
    assert text == b'n OK "Noop done"\r\n' * count
    for x in (c, other):
        x.close()


def test_a_follower_that_never_reads(server):
    """It is dropped when mupdate_max_pending octets wait for it, as they are in memory; others see each change in time."""
    deaf = [Mupdate(server, "frontend").compress() for _ in range(3)]
    reader, w = Mupdate(server, "frontend").compress(), Mupdate(server, "admin").compress()
    for d in deaf:
        d.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        d.send('u UPDATE "nobody"\r\n')
    reader.send('u UPDATE "nobody"\r\n')
    assert reader.until("u")[1].startswith("OK")
    r = random.Random(3)
    before = server.mupdate.text().count("directory.follower.dropped")

    def shout():
        slowest = 0
        for i in range(400):
            acl = r.randbytes(22000).hex()
            began = time.monotonic()
            w.ok("ACTIVATE", "user.loud", "nobody!default", acl)
            assert acl in reader.record()
            slowest = max(slowest, time.monotonic() - began)
            if server.mupdate.text().count("directory.follower.dropped") >= before + len(deaf):
                return slowest
        raise AssertionError("they were not dropped")

    slowest, peak = peak_of(server, shout)
    assert not is_plain() or (slowest < 5 and peak < (len(deaf) + 2) * (3 << 20)), (slowest, peak)
    pending = [int(n) for n in re.findall(r"directory\.follower\.dropped .*pending=(\d+)", server.mupdate.text())]
    assert pending and all(n < 3 << 20 for n in pending), pending
    w.ok("DELETE", "user.loud")
    for x in (*deaf, reader, w):
        x.close()


def test_thousands(server):
    """Sessions that are compressed and quiet hold some kB each; each is answered."""
    packed = sync(zlib.compressobj(wbits=-15), b"n NOOP\r\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, socks = server.rss(), []
    words = b'a AUTHENTICATE "PLAIN" "AGFkbWluAHNlY3JldA=="\r\nz COMPRESS "DEFLATE"\r\n'
    texts = {}
    with selectors.DefaultSelector() as sel:
        for _ in range(CONNECTIONS):
            s = socket.create_connection(("127.0.0.1", server.mupdate_port), timeout=20)
            s.sendall(words + packed)
            socks.append(s)
            texts[s] = b""
            sel.register(s, selectors.EVENT_READ)
        left, deadline = len(socks), time.monotonic() + 60
        mark = b'z OK "DEFLATE active"\r\n'
        while left and time.monotonic() < deadline:
            for key, _ in sel.select(1):
                texts[key.fileobj] += key.fileobj.recv(65536)
                head, found, tail = texts[key.fileobj].partition(mark)
                if found and inflate(tail) == b'n OK "Noop done"\r\n':
                    sel.unregister(key.fileobj)
                    left -= 1
    assert left == 0, f"{left} were not served"
    each = (server.rss() - before) / len(socks)
    assert not is_plain() or each < 24 << 10, each
    for s in socks:
        s.close()
    wait_for(lambda: len(os.listdir(f"/proc/{server.mupdate.process.pid}/fd")) < 100, "all are closed", 30)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
