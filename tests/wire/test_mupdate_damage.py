"""LMDB files that are cut, overwritten, swapped or full of rubbish: one line that names the file and what to do, no
reservation granted because a record could not be read, nothing lost that a copy would bring back."""
import glob
import os
import random
import re
import shutil
import subprocess

import pytest

from mupdate import Directory, Mupdate, state
from roost import PASSWORD, ROOST, Murder, Raw, wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))
PAGE = 4096
ROUNDS = int(os.environ.get("ROOST_ROUNDS", 8))
A, B = "backenda!default", "backendb!default"
LONG = {f"user.long{i}": "fred lrswipkxtea\t" * (120 * i) for i in range(1, 20)}
NAMES = [f"user.n{i:04}" for i in range(1500)]
REMEDY = "put a copy in its place"
EVENTS = ("kv.store.damaged", "kv.access.failed", "directory.record.damaged", "directory.server.damaged", "directory.read.failed",
          "directory.write.failed", "directory.list.failed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory's file, closed in order."""
    d = Directory(log_level="info").start()
    c = Mupdate(d, "admin")
    for name, acl in LONG.items():
        c.ok("ACTIVATE", name, A, acl)
    c.send(b"".join(b'r%d RESERVE "%s" "%s"\r\n' % (i, n.encode(), A.encode()) for i, n in enumerate(NAMES)))
    for i in range(len(NAMES)):
        assert c.line().startswith(f"r{i} OK")
    for i in range(50):
        c.ok("ACTIVATE", f"user.gone{i}", A, "x" * 3000)
    for i in range(50):
        c.ok("DELETE", f"user.gone{i}")
    c.close()
    d.stop()
    kept = tmp_path_factory.mktemp("made") / "directory"
    shutil.copytree(d.dir + "/mupdate/directory", kept)
    return kept


class Victim:
    """A directory with a copy of what was made, not started."""

    def __init__(self, made):
        self.d = Directory(log_level="info")
        self.dir = self.d.dir + "/mupdate/directory"
        self.data = self.dir + "/data.mdb"
        shutil.copytree(made, self.dir)

    def content(self):
        with open(self.data, "rb") as f:
            return f.read()

    def write(self, content, at=None):
        with open(self.data, "wb" if at is None else "r+b") as f:
            f.seek(at or 0)
            f.write(content)

    def refuses(self, *words, **popen):
        """It does not start; its one line says why and what to do; the file is as it was."""
        before = self.content() if os.path.isfile(self.data) else None
        self.d.mupdate.write()
        r = subprocess.run([ROOST, "mupdate", "-C", self.d.mupdate.config], capture_output=True, text=True, timeout=20, **popen)
        assert r.returncode == 1, (r.returncode, r.stderr)
        lines = r.stderr.splitlines()
        said = [x for x in lines if x.startswith("roost mupdate: ")] or [x for x in lines if "kv.store.damaged" in x]
        assert len(said) == 1 and self.data in said[0] and all(re.search(w, said[0]) for w in words), r.stderr
        assert before is None or self.content() == before
        return said[0]

    def end(self, *events):
        for e in events:
            self.d.expect_event(e)
        self.d.stop()
        shutil.rmtree(self.d.dir)


@pytest.fixture
def victim(made):
    v = Victim(made)
    yield v
    if v.d.mupdate.process is not None:
        v.d.mupdate.kill()
    shutil.rmtree(v.d.dir, ignore_errors=True)


def is_up(d):
    """Wait until the server listens, or has ended."""
    def either():
        if d.mupdate.process.poll() is not None:
            return "ended"
        Raw(d.mupdate_port).close()
        return "up"
    return wait_for(either, "it listens or ends") == "up"


def is_all_there(d):
    c = Mupdate(d, "admin")
    lines = c.ok("LIST")
    assert len(lines) == len(NAMES) + len(LONG)
    for name, acl in LONG.items():
        assert any(f'MAILBOX "{name}" "{A}" "{acl}"' in x for x in lines), name
    c.ok("RESERVE", "user.new", B)
    c.ok("DELETE", "user.new")
    c.close()


def test_cut_short(victim):
    whole = victim.content()
    size = len(whole)
    refused = 0
    d = victim.d
    for n in sorted({1, 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE, 5 * PAGE + 17, size // 4, size // 2, size // 4 * 3,
                     size - 9 * PAGE, size - PAGE, size - 1}):
        victim.write(whole[:n])
        d.mupdate.start()
        if is_up(d):
            # It may have lacked nothing but pages that are free.
            assert n > size // 2
            is_all_there(d)
            d.mupdate.stop()
            continue
        d.mupdate.process = None
        line = victim.refuses(REMEDY)  # again, as nothing was changed
        refused += 1
        assert f"cut short: it has {n} octets of" in line or n < 2 * PAGE, line
    assert refused >= 10
    victim.write(whole)
    victim.d.start()
    is_all_there(victim.d)
    victim.end()


def test_empty(victim):
    whole = victim.content()
    victim.write(b"")
    victim.refuses("is empty", REMEDY)
    victim.write(whole)
    victim.d.start()
    is_all_there(victim.d)
    victim.end()


def test_another_file_in_its_place(victim, made):
    victim.write(b"#!/bin/sh\necho not a directory\n" * 1000)
    victim.refuses("not an LMDB file", REMEDY)
    victim.write(b"\0" * 65536)
    victim.refuses(REMEDY)
    os.unlink(victim.data)
    os.mkdir(victim.data)
    victim.refuses("Is a directory")
    os.rmdir(victim.data)
    os.symlink("/nowhere/data.mdb", victim.data)
    victim.refuses("No such file")
    os.unlink(victim.data)
    shutil.copy(made / "data.mdb", victim.data)
    victim.d.start()
    is_all_there(victim.d)
    victim.end()


def test_another_store_in_its_place(victim):
    """A member's index is LMDB, too, and has a table of the same name."""
    m = Murder(users=["fred"]).start()
    m.stop()
    shutil.copy(glob.glob(m.dir + "/*/mail/index/data.mdb")[0], victim.data)
    before = victim.content()
    victim.refuses("no file of this store", REMEDY)
    assert victim.content() == before
    shutil.rmtree(m.dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_unreadable(victim):
    nobody = 65534
    for path, _, files in os.walk(victim.d.dir):
        os.chown(path, nobody, nobody)
        for f in files:
            os.chown(os.path.join(path, f), nobody, nobody)
    os.chown(victim.data, 0, 0)
    os.chmod(victim.data, 0o600)
    if subprocess.run([ROOST, "--version"], user=nobody, capture_output=True).returncode not in (0, 2):
        pytest.skip("the executable is not for others")
    victim.refuses("Permission denied", user=nobody, group=nobody, extra_groups=[])
    os.chown(victim.data, nobody, nobody)
    os.chown(victim.dir + "/lock.mdb", 0, 0)
    os.chmod(victim.dir + "/lock.mdb", 0o600)
    self_line = subprocess.run([ROOST, "mupdate", "-C", victim.d.mupdate.config], user=nobody, group=nobody, extra_groups=[],
                               capture_output=True, text=True, timeout=20)
    assert self_line.returncode == 1 and "lock.mdb" in self_line.stderr and "Permission denied" in self_line.stderr, self_line.stderr


def test_lock_file_missing_or_rubbish(victim):
    lock = victim.dir + "/lock.mdb"
    os.unlink(lock)
    for content in (None, b"", b"x", b"\xff" * 100, os.urandom(8192), b"\xff" * (1 << 20)):
        if content is not None:
            with open(lock, "wb") as f:
                f.write(content)
        victim.d.start()
        is_all_there(victim.d)
        victim.d.mupdate.stop()
    victim.end()


def test_two_on_one_directory(victim):
    victim.d.start()
    r = subprocess.run([ROOST, "mupdate", "-C", victim.d.mupdate.config], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "in use by another process" in r.stderr and victim.data in r.stderr, r.stderr
    r = subprocess.run([ROOST, "mupdate", "import", "-C", victim.d.mupdate.config], input="", capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "in use by another process" in r.stderr, r.stderr
    r = subprocess.run([ROOST, "mupdate", "export", "-C", victim.d.mupdate.config], capture_output=True, text=True, timeout=20)
    assert r.returncode == 0 and f"end\t{len(NAMES) + len(LONG)}\n" in r.stdout, "reading goes on beside it"
    is_all_there(victim.d)
    victim.end()


def rubbish(kind, rng, page, pages):
    if kind == "zeros":
        return b"\0" * PAGE
    if kind == "ones":
        return b"\xff" * PAGE
    if kind == "another page":
        return rng.choice(pages)
    if kind == "rubbish behind its head":
        return page[:16] + rng.randbytes(PAGE - 16)
    return rng.randbytes(PAGE)


def granted_wrongly(d, names):
    """Ask for every name that is taken, in another's name: which reservations are granted. None: it has ended."""
    got = []
    try:
        c = Mupdate(d, "admin", timeout=20)
        for n in names:
            done = c.do("RESERVE", n, B)[1]
            assert done.startswith(("OK", "NO")), done
            if done.startswith("OK"):
                got.append(n)
        c.close()
    except (EOFError, OSError):
        wait_for(lambda: d.mupdate.process.poll() is not None, "it has ended")
        return None
    return got


@pytest.mark.parametrize("kind", ["zeros", "ones", "noise", "another page", "rubbish behind its head"])
def test_wrong_pages(made, kind):
    """Some pages behind the heads are something else. Whatever happens, it is said in a line that names the store, and no
    name is granted twice."""
    rng = random.Random(SEED)
    print("ROOST_SEED", SEED)
    told = 0
    for _ in range(ROUNDS):
        v = Victim(made)
        whole = v.content()
        pages = [whole[i:i + PAGE] for i in range(0, len(whole), PAGE)]
        for at in rng.sample(range(2, len(pages)), rng.choice([1, 3, len(pages) // 3])):
            v.write(rubbish(kind, rng, pages[at], pages[2:]), at * PAGE)
        d = v.d
        d.mupdate.start()
        wrongly = granted_wrongly(d, [*NAMES[::5], *LONG]) if is_up(d) else None
        if wrongly is None:
            assert d.mupdate.process.wait(10) == 1, d.mupdate.tail()
            d.mupdate.process = None
        else:
            assert wrongly == [], f"seed {SEED}"
        text = d.mupdate.text()
        if wrongly is None:
            assert re.search(r"kv\.store\.damaged|roost mupdate: ", text) and v.dir in text, text
            told += 1
        else:
            c = Mupdate(d, "admin")
            try:
                c.ok("LIST")
            except (EOFError, OSError):
                pass  # broken off, not cut
            c.close()
            told += any(e in d.mupdate.text() for e in EVENTS)
            if d.mupdate.process.poll() is not None:
                d.mupdate.process = None
        r = subprocess.run([ROOST, "mupdate", "export", "-C", d.mupdate.config], capture_output=True, text=True, errors="replace", timeout=60)
        if "\nend\t" in r.stdout and wrongly is not None and not any(e in text for e in EVENTS):
            assert r.returncode == 0
        assert r.returncode == 0 or (r.returncode == 1 and "\nend\t" not in r.stdout and r.stderr), r
        for e in EVENTS:
            d.expect_event(e)
        d.stop()
        shutil.rmtree(d.dir)
    assert told > 0


def test_damage_while_it_runs(victim):
    """The file is cut under the running server: it ends with a line, and grants nothing."""
    victim.d.start()
    whole = victim.content()
    os.truncate(victim.data, 3 * PAGE)
    assert granted_wrongly(victim.d, NAMES[::7]) in (None, [])
    if victim.d.mupdate.process.poll() is None:
        try:
            c = Mupdate(victim.d, "admin")
            c.do("LIST")
        except (EOFError, OSError):
            pass
    assert victim.d.mupdate.process.wait(10) == 1
    victim.d.mupdate.process = None
    said = [x for x in victim.d.mupdate.text().splitlines() if "kv.store.damaged" in x]
    assert len(said) == 1 and f"file={victim.data}" in said[0] and "do=" in said[0], victim.d.mupdate.tail()
    victim.refuses("cut short", REMEDY)
    victim.write(whole)
    victim.d.start()
    is_all_there(victim.d)
    victim.end("kv.store.damaged")


def test_a_followers_copy_that_is_damaged_is_made_anew(made):
    """Of a copy nothing is lost: it is thrown away, or set aside, and fetched again."""
    v = Victim(made)
    v.d.start()
    f = Directory(log_level="info", mupdate_server="127.0.0.1", mupdate_port=str(v.d.mupdate_port), mupdate_authname="frontend", mupdate_password=PASSWORD)
    data = f.dir + "/mupdate/directory-followed/data.mdb"

    def has_all():
        c = Mupdate(f, "frontend")
        lines, done = c.do("LIST")
        c.close()
        return len(lines) == len(NAMES) + len(LONG)

    try:
        f.start()
        wait_for(has_all, "it has copied all")
        f.mupdate.stop()
        for damage in ("cut", "empty", "rubbish", "missing"):
            if damage == "missing":
                os.unlink(data)
            else:
                with open(data, "r+b") as file:
                    file.truncate({"cut": 20 * PAGE, "empty": 0}.get(damage, 4096 * 40))
                    if damage == "rubbish":
                        file.write(b"\xff" * 8192)
            f.start()
            wait_for(has_all, damage)
            f.mupdate.stop()
        assert f.mupdate.text().count("kv.copy.discarded") >= 2
        # While it runs: it ends, and the next start has all.
        f.start()
        wait_for(has_all, "again")
        os.truncate(data, 3 * PAGE)
        with pytest.raises((EOFError, OSError)):
            for _ in range(10):
                has_all()
        assert f.mupdate.process.wait(10) == 1
        f.mupdate.process = None
        assert os.path.exists(data + ".damaged") and "set aside" in f.mupdate.tail()
        f.start()
        wait_for(has_all, "after that")
        f.expect_event("kv.store.damaged")
        f.stop()
    finally:
        for x in (f, v.d):
            if x.mupdate.process:
                x.mupdate.kill()
        shutil.rmtree(f.dir)
        shutil.rmtree(v.d.dir)
