"""What an operator gets wrong, and what the machine does to him: one clear line each, and nothing lost."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from roost import PASSWORD, ROOST, Murder, Raw, free_port, scram_line, wait_for
from test_imap_session import ok
from test_lmtp import MESSAGE, deliver, say


def run(role, config, timeout=20):
    """Start a daemon that should refuse to; its one line."""
    r = subprocess.run([ROOST, role, "-C", str(config)], capture_output=True, text=True, timeout=timeout)
    assert r.returncode == 1, (r.returncode, r.stderr)
    lines = [x for x in r.stderr.splitlines() if x.startswith("roost ")]
    assert len(lines) == 1, r.stderr
    return lines[0]


@pytest.fixture
def conf(tmp_path):
    users = tmp_path / "users"
    users.write_text(scram_line("admin", PASSWORD))
    users.chmod(0o600)
    values = {"servername": "backenda", "member": "backenda1", "configdirectory": tmp_path / "conf", "partition-default": tmp_path / "mail",
              "users_file": users, "mupdate_server": "127.0.0.1", "mupdate_port": 1, "mupdate_authname": "backenda", "mupdate_password": "x",
              "imap_listen": f"127.0.0.1:{free_port()}", "lmtp_listen": f"127.0.0.1:{free_port()}"}

    def write(text="", **changes):
        now = dict(values, **{k.replace("_DASH_", "-"): v for k, v in changes.items()})
        path = tmp_path / "x.conf"
        path.write_text("".join(f"{k}: {v}\n" for k, v in now.items() if v is not None) + text)
        return path
    write.dir = tmp_path
    return write


def test_unknown_key_names_the_nearest(conf):
    line = run("backend", conf("imap_listn: 1\n"))
    assert "x.conf" in line and "imap_listen" in line and re.search(r"line \d+|:\d+", line), line


@pytest.mark.parametrize("text,words", [
    ("lease_ms: soon\n", ["lease_ms"]), ("lease_ms: 5\n", ["lease_ms", "100"]), ("allowplaintext: perhaps\n", ["allowplaintext"]),
    ("no colon here\n", ["line"]), ("log_level: loud\n", ["log_level"]), ("imap_listen: 127.0.0.1:1\n", ["imap_listen"]), ("\0\n", ["line"]),
    ("sync_mode: maybe\n", ["sync_mode", "sync"]),
])
def test_wrong_values_name_file_and_line(conf, text, words):
    line = run("backend", conf(text))
    for w in ["x.conf", *words]:
        assert w in line, line


@pytest.mark.parametrize("key", ["servername", "member", "mupdate_server", "users_file", "imap_listen", "partition-default"])
def test_missing_keys_are_named(conf, key):
    line = run("backend", conf(**{key.replace("-", "_DASH_"): None}))
    assert key.split("-")[0] in line, line


def test_missing_file(tmp_path):
    assert "nothing.conf" in run("backend", tmp_path / "nothing.conf")
    assert "nothing.conf" in run("mupdate", tmp_path / "nothing.conf")
    assert "nothing.conf" in run("frontend", tmp_path / "nothing.conf")


def test_missing_certificate(conf):
    line = run("backend", conf(tls_server_cert="/nowhere/cert.pem", tls_server_key="/nowhere/key.pem"))
    assert "/nowhere/cert.pem" in line, line
    line = run("backend", conf(tls_server_cert="/nowhere/cert.pem"))
    assert "tls_server_key" in line, line
    junk = conf.dir / "junk.pem"
    junk.write_text("not a certificate\n")
    assert "junk.pem" in run("backend", conf(tls_server_cert=junk, tls_server_key=junk))


def test_missing_or_bad_users_file(conf):
    assert "/nowhere/users" in run("backend", conf(users_file="/nowhere/users"))
    bad = conf.dir / "bad"
    bad.write_text("fred:plaintext\n")
    line = run("backend", conf(users_file=bad))
    assert "bad" in line and "1" in line, line


def test_port_in_use(conf, backend):
    line = run("backend", conf(imap_listen=f"127.0.0.1:{backend.first.imap}"))
    assert f"127.0.0.1:{backend.first.imap}" in line and "in use" in line.lower(), line


def test_a_directory_that_cannot_be_made(conf):
    (conf.dir / "file").write_text("")
    line = run("backend", conf(partition_DASH_default=conf.dir / "file" / "mail"))
    assert "file" in line, line


def test_a_partition_has_one_owner(conf, backend):
    line = run("backend", conf(partition_DASH_default=backend.first.values["partition-default"]))
    assert "use" in line, line


def test_usage():
    for args in ([], ["nosuch"], ["backend"], ["backend", "-C"], ["murder"], ["promote", "x"], ["user", "add"], ["status", "--nosuch"]):
        r = subprocess.run([ROOST, *args], capture_output=True, text=True)
        assert r.returncode == 2 and "usage" in r.stderr, (args, r)
    assert subprocess.run([ROOST, "--help"], capture_output=True, text=True).stdout.count("\n") > 10


def test_user_verb(conf):
    path = conf(users_file=conf.dir / "new-users")

    def user(*args, text=""):
        return subprocess.run([ROOST, "user", *args, "-C", str(path)], input=text, capture_output=True, text=True)
    assert user("add", "fred", text="secret\n").returncode == 0
    assert user("add", "fred", text="secret\n").returncode == 1
    assert user("passwd", "fred", text="other\n").returncode == 0
    assert user("passwd", "nobody", text="other\n").returncode == 1
    assert user("add", "a:b", text="x\n").returncode == 1
    assert user("add", "ann", text="").returncode == 1
    assert user("del", "fred").returncode == 0
    assert user("del", "fred").returncode == 1
    assert oct((conf.dir / "new-users").stat().st_mode & 0o777) == "0o600"
    assert "secret" not in (conf.dir / "new-users").read_text()


@pytest.fixture
def own():
    """A backend for this test alone."""
    made = []

    def make(**limits):
        m = Murder(users=["fred"], limits={"journal_segment_size": "256K", **limits})
        made.append(m)
        m.start()
        m.create_user("fred")
        return m
    yield make
    for m in made:
        m.stop()
        shutil.rmtree(m.dir, ignore_errors=True)


def lmtp(m):
    l = Raw(m.first.lmtp)  # noqa: E741
    l.reply()
    say(l, "LHLO x")
    return l


def fill(m, n, size=20000):
    l = lmtp(m)  # noqa: E741
    for i in range(n):
        assert deliver(l, ["fred"], b"X-N: %d\r\n\r\n" % i + (b"x" * 76 + b"\r\n") * (size // 78))[0][0] == 250
    l.close()


def exists(m):
    c = m.imap("fred")
    n = int(c.select("INBOX")[1][0])
    c.logout()
    return n


def serves(m):
    wait_for(lambda: m.imap("fred"), "it serves", 20).logout()


def segments(m):
    return sorted(glob.glob(m.first.values["partition-default"] + "/journal/*"))


def roost(m, verb):
    return subprocess.run([ROOST, verb, "-C", m.first.config], capture_output=True, text=True)


def test_restart_after_kill_keeps_everything(own):
    m = own()
    fill(m, 40)
    m.first.kill()
    m.first.start()
    serves(m)
    assert exists(m) == 40
    r = roost(m, "verify")
    assert r.returncode == 0 and r.stdout.startswith("ok"), r


def test_a_torn_tail_is_cut_and_nothing_acknowledged_is_lost(own):
    m = own()
    fill(m, 5)
    m.first.kill()
    last = segments(m)[-1]
    with open(last, "rb") as f:
        data = f.read()
    end = len(data.rstrip(b"\0"))
    with open(last, "r+b") as f:
        f.seek(end + (-end % 8))
        f.write(b"half an entry that never was finished" * 3)
    m.first.start()
    serves(m)
    assert exists(m) == 5


def test_a_corrupt_segment_is_refused_with_file_and_offset(own):
    m = own()
    fill(m, 40)
    m.first.stop()
    assert len(segments(m)) > 2
    victim = segments(m)[0]
    with open(victim, "r+b") as f:
        f.seek(100000)
        old = f.read(1)
        f.seek(100000)
        f.write(bytes([old[0] ^ 0x40]))
    r = roost(m, "verify")
    assert r.returncode == 1 and os.path.basename(victim) in r.stdout + r.stderr, r
    r = roost(m, "rebuild")
    # In a body it is found by looking through the journal behind that; in a head the index cannot be made.
    assert r.returncode == 1 and os.path.basename(victim) in r.stdout + r.stderr and "roost rebuild: " in r.stderr, r
    with open(victim, "r+b") as f:
        f.seek(100000)
        f.write(old)
    assert roost(m, "verify").returncode == 0
    m.first.start()
    serves(m)
    assert exists(m) == 40


def test_a_corrupt_index_is_told_and_rebuilt(own):
    m = own()
    fill(m, 20)
    before = roost(m, "dump").stdout
    assert before
    m.first.stop()
    index = [p for p in glob.glob(m.first.values["partition-default"] + "/index/*") if p.endswith("data.mdb")]
    assert index
    with open(index[0], "r+b") as f:
        f.write(b"\xff" * 8192)
    r = subprocess.run([ROOST, "backend", "-C", m.first.config], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "rebuild" in r.stderr, r.stderr
    r = roost(m, "rebuild")
    assert r.returncode == 0, r
    m.first.start()
    serves(m)
    assert exists(m) == 20
    assert re.sub("lsn .*", "", roost(m, "dump").stdout) == re.sub("lsn .*", "", before)


def test_a_missing_index_is_made_anew(own):
    m = own()
    fill(m, 20)
    m.first.stop()
    shutil.rmtree(m.first.values["partition-default"] + "/index")
    m.first.start()
    serves(m)
    assert exists(m) == 20


def test_a_corrupt_directory_is_told(own):
    m = own()
    m.mupdate.stop()
    data = glob.glob(m.mupdate.values["configdirectory"] + "/directory/data.mdb")[0]
    with open(data, "rb") as f:
        saved = f.read(8192)
    with open(data, "r+b") as f:
        f.write(b"\xff" * 8192)
    line = run("mupdate", m.mupdate.config)
    assert "directory" in line, line
    with open(data, "r+b") as f:
        f.write(saved)
    m.mupdate.start()
    wait_for(lambda: Raw(m.mupdate_port).line().startswith("*"), "it listens again")


def test_a_full_disk(small_disk):
    small = small_disk("12m")
    m = None
    try:
        m = Murder(users=["fred"], limits={"journal_segment_size": "1M", "partition-default": f"{small}/mail"}).start()
        m.create_user("fred")
        l = lmtp(m)  # noqa: E741
        accepted, refused = 0, []
        for i in range(400):
            code, text = deliver(l, ["fred"], b"X-N: %d\r\n\r\n" % i + (b"x" * 76 + b"\r\n") * 800)[0]
            if code == 250:
                accepted += 1
            else:
                refused.append((code, text))
                if len(refused) > 5:
                    break
        assert refused and all(code in (452, 451) for code, _ in refused), refused
        assert exists(m) == accepted
        c = m.imap("fred", mailbox="INBOX")
        typ, data = c.append("INBOX", None, None, MESSAGE * 3000)
        assert typ == "NO", data
        assert c.fetch("1", "(BODY.PEEK[HEADER])")[0] == "OK"
        c.logout()
        l.close()
        # Room again: it goes on by itself.
        small.resize("40m")
        l = lmtp(m)  # noqa: E741
        wait_for(lambda: deliver(l, ["fred"], MESSAGE)[0][0] == 250, "it accepts again")
        assert exists(m) == accepted + 1
        m.expect_event("driver.turn.refused")
        m.first.kill()
        m.first.start()
        serves(m)
        assert exists(m) == accepted + 1
        l.close()
    finally:
        if m:
            m.stop()


def test_tls(tmp_path):
    import imaplib
    import ssl
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    imaps = free_port()
    m = Murder(users=["fred"], limits={"tls_server_cert": cert, "tls_server_key": key, "tls_client_ca_file": cert,
                                       "imaps_listen": f"127.0.0.1:{imaps}"}).start()
    try:
        m.create_user("fred")
        context = ssl.create_default_context(cafile=str(cert))
        c = imaplib.IMAP4("localhost", m.first.imap)
        assert "STARTTLS" in c.capabilities
        c.starttls(context)
        assert "STARTTLS" not in c.capabilities
        c.login("fred", PASSWORD)
        big = b"Subject: x\r\n\r\n" + b"y" * 78 * 20000
        assert c.append("INBOX", None, None, big)[0] == "OK"
        c.select("INBOX")
        assert c.fetch("1", "(BODY.PEEK[])")[1][0][1] == big
        c.logout()
        c = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=context)
        c.login("fred", PASSWORD)
        c.logout()
        # Words sent before the handshake are not taken for protected ones.
        r = m.raw()
        r.line()
        r.send("a STARTTLS\r\nb LOGIN fred " + PASSWORD + "\r\n")
        assert r.until("a")[1].startswith("OK")
        s = context.wrap_socket(r.s, server_hostname="localhost")
        s.sendall(b"c SELECT INBOX\r\n")
        assert b"c BAD" in s.recv(4096)
        s.close()
    finally:
        m.stop()


def test_scram(backend):
    import base64
    import hashlib
    import hmac
    c = backend.raw()
    c.line()
    nonce, bare = "abcdefgh", "n=fred,r=abcdefgh"
    c.send("a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(("n,," + bare).encode()).decode() + "\r\n")
    server_first = base64.b64decode(c.line()[2:]).decode()
    parts = dict(p.split("=", 1) for p in server_first.split(","))
    assert parts["r"].startswith(nonce)
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={parts['r']}"
    text = f"{bare},{server_first},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), text, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
    c.send(base64.b64encode(f"{final},p={proof}".encode()).decode() + "\r\n")
    line = c.line()
    if line.startswith("+"):
        verifier = base64.b64decode(line[2:]).decode()
        want = base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), text, "sha256")).decode()
        assert verifier == "v=" + want
        c.send("\r\n")
        assert c.until("a")[1].startswith("OK")
    else:
        assert line.startswith("a OK")
    ok(c.cmd("SELECT INBOX"))
    c.close()
