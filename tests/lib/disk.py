"""A disk of a daemon that loses power: what was not synced is lost, torn, or there, by a seed; and a disk that fails.

The daemon runs with disk_shim.c preloaded, which keeps the log that is read here. The rules are told there.
"""
import collections
import contextlib
import errno
import functools
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import uuid

import scratch

SHIM_C = os.path.join(os.path.dirname(os.path.abspath(__file__)), "disk_shim.c")
SECTOR = 512
RECORD = struct.Struct("<IIQQQQ")
OLD, SIZE, SYNCED, POISONED, RANGE_SYNCED, CREATE, RENAME, UNLINK, MKDIR, DIR_SYNCED, RMDIR = range(1, 12)
MATCH, RULE, OPS = 64, struct.Struct("<IIiII"), ("write", "sync", "truncate", "allocate", "open")
BUS = MATCH + len(OPS) * RULE.size
HITS = (BUS + 8 + 7) // 8 * 8
CONTROL_SIZE = HITS + 8 * len(OPS)


@functools.lru_cache(None)
def shim():
    """The library, built once for the process."""
    path = os.path.join(scratch.for_process("roost-shim."), "disk.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O", "-Wall", "-Werror", "-o", path, SHIM_C, "-ldl"], check=True)
    return path


def state_of(root):
    return os.path.realpath(root) + ".disk"


class Disk:
    """All that a daemon keeps below ROOT; what is known of it beside, in ROOT.disk."""

    def __init__(self, root):
        self.root, self.state = os.path.realpath(root), state_of(root)
        os.makedirs(self.root, exist_ok=True)
        os.makedirs(self.state, exist_ok=True)
        self.power_losses = 0
        self.new_boot()
        with open(self.state + "/faults", "wb") as f:
            f.write(bytes(CONTROL_SIZE))
        with open(self.state + "/faults", "r+b") as f:
            self.control = mmap.mmap(f.fileno(), CONTROL_SIZE)

    def environment(self):
        return {"LD_PRELOAD": shim(), "ROOST_DISK_ROOT": self.root, "ROOST_DISK_STATE": self.state}

    def new_boot(self):
        with open(self.state + "/boot_id", "w") as f:
            f.write(f"{uuid.uuid4()}\n")

    # What fails.

    def rule(self, op, error=0, per_million=0, countdown=0, delay_us=0, is_short=False, match=""):
        """From now on OP of files whose path has MATCH in it (one match for all rules) fails so."""
        self.control[0:MATCH] = match.encode().ljust(MATCH, b"\0")
        RULE.pack_into(self.control, MATCH + OPS.index(op) * RULE.size, error, per_million, countdown, delay_us, is_short)

    def heal(self):
        for op in OPS:
            RULE.pack_into(self.control, MATCH + OPS.index(op) * RULE.size, 0, 0, 0, 0, 0)

    @contextlib.contextmanager
    def full(self, match=""):
        """Nothing that takes room can be had: what is allocated already can be written."""
        self.rule("allocate", errno.ENOSPC, 1000000, match=match)
        yield
        self.heal()

    def lose_page(self, match=".seg", span=0):
        """A page of a mapped file cannot be read any more: SIGBUS for who looks at it. It happens at the next write or sync."""
        self.control[0:MATCH] = match.encode().ljust(MATCH, b"\0")
        (count,) = struct.unpack_from("<I", self.control, BUS)
        struct.pack_into("<II", self.control, BUS, count + 1, span)

    def hits(self):
        return dict(zip(OPS, struct.unpack_from(f"<{len(OPS)}Q", self.control, HITS)))

    # Power.

    def lose_power(self, rng=None):
        """After the daemon was killed: take back a choice of what was not synced, without RNG all. Returns what was done, in words.

        With RNG in a process of its own: where the threads of a load compute, millions of sectors would take a minute here."""
        if os.path.exists(self.state + "/undo") and rng:
            told = subprocess.run([sys.executable, os.path.abspath(__file__), self.root, str(rng.randrange(1 << 30))], check=True,
                                  capture_output=True, text=True).stdout.strip()
        elif os.path.exists(self.state + "/undo"):
            told = PowerLoss(self.root, None).run()
        else:
            told = "nothing was written"
        for name in os.listdir(self.state):
            if name == "undo" or name.startswith("saved."):
                os.unlink(f"{self.state}/{name}")
        self.new_boot()
        self.power_losses += 1
        return told


class FileLog:
    """Of one file: the content of sectors, and its size, before each generation that is not known to be durable."""

    def __init__(self):
        self.sectors = collections.defaultdict(list)  # number -> [(gen, old)], oldest first
        self.sizes, self.poisoned = [], set()

    def synced(self, gen):
        def drop(rows):
            last = max((i for i, (g, _) in enumerate(rows) if g <= gen and g not in self.poisoned), default=-1)
            return rows[last + 1:]
        self.sectors = collections.defaultdict(list, {s: left for s, rows in self.sectors.items() if (left := drop(rows))})
        self.sizes = drop(self.sizes)

    def range_synced(self, off, n):
        for s in range(off // SECTOR, (off + n - 1) // SECTOR + 1):
            self.sectors.pop(s, None)


class PowerLoss:
    def __init__(self, root, rng):
        self.root, self.state, self.rng = root, state_of(root), rng
        self.files, self.dirs = collections.defaultdict(FileLog), collections.defaultdict(list)
        self.names = 0
        for kind, ino, gen, off, n, data in self.records():
            self.take(kind, ino, gen, off, n, data)

    def records(self):
        with open(self.state + "/undo", "rb") as f:
            data = f.read()
        at = 0
        while len(data) - at >= RECORD.size:
            kind, n, ino, gen, off, length = RECORD.unpack_from(data, at)
            at += RECORD.size
            if len(data) - at < n:
                break
            yield kind, ino, gen, off, length, data[at:at + n]
            at += n

    def take(self, kind, ino, gen, off, n, data):
        log = self.files[ino]
        if kind == OLD:
            for at in range(0, n, SECTOR):
                log.sectors[(off + at) // SECTOR].append((gen, data[at:at + SECTOR] if data else bytes(SECTOR)))
        elif kind == SIZE:
            log.sizes.append((gen, off))
        elif kind == SYNCED:
            log.synced(gen)
        elif kind == POISONED:
            log.poisoned.add(gen)
        elif kind == RANGE_SYNCED:
            log.range_synced(off, n)
        elif kind == DIR_SYNCED:
            self.dirs[ino] = [d for d in self.dirs[ino] if d[0] > gen]
        else:
            if kind == CREATE:
                self.files[off] = FileLog()
            self.names += 1
            self.dirs[ino].append((gen, self.names, kind, [os.fsdecode(p) for p in data.split(b"\0")[:3]]))

    def run(self):
        """Files first: names still lead to them as the daemon left them."""
        lost = sectors = 0
        for path, ino in sorted(self.paths()):
            log = self.files.get(ino)
            if log and (log.sectors or log.sizes):
                n = self.tear(path, log)
                sectors += n
                lost += n > 0
        return f"{sectors} sectors of {lost} files, {self.undo_names()} names"

    def paths(self):
        """Of what was removed only that which may come back."""
        seen = set()
        saved = {path for ops in self.dirs.values() for _, _, _, paths in ops for path in paths}
        for top in (self.root, self.state):
            for where, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(where, name)
                    if top == self.state and path not in saved:
                        continue
                    ino = os.stat(path).st_ino
                    if ino not in seen:
                        seen.add(ino)
                        yield path, ino

    def tear(self, path, log):
        """How many sectors were lost. Those before the first lost one may be there while all behind it are not, or any."""
        rng, sectors = self.rng, sorted(log.sectors)
        how = rng.choice(["all", "all", "none", "prefix", "any", "any", "few"]) if rng else "all"
        if how == "prefix":
            lost = sectors[rng.randrange(len(sectors) + 1):]
        elif how == "few":
            lost = rng.sample(sectors, min(len(sectors), rng.randrange(1, 4)))
        else:
            lost = [s for s in sectors if how == "all" or how == "any" and rng.random() < 0.5]
        size = os.stat(path).st_size
        with open(path, "r+b") as f:
            # A call for each sector would wait each time for those of the test's threads that compute: minutes in all.
            with mmap.mmap(f.fileno(), size) if size > 0 else contextlib.nullcontext() as m:
                for s in lost:
                    at, old = s * SECTOR, log.sectors[s][0][1][:max(0, size - s * SECTOR)]
                    if old:
                        m[at:at + len(old)] = old
            if log.sizes and (how == "all" or how != "none" and rng.random() < 0.5):
                f.truncate(log.sizes[0][1])
        return len(lost)

    def undo_names(self):
        """A directory's changes become durable in their order: some of the last are lost. The newest are undone first."""
        lost, kept = [], []
        for ops in self.dirs.values():
            keep = self.rng.choice([0, len(ops), self.rng.randrange(len(ops) + 1)]) if self.rng else 0
            kept += ops[:keep]
            lost += ops[keep:]
        moved = sorted((n, paths[0], paths[1]) for _, n, kind, paths in kept if kind == RENAME)

        def now(n, path):
            """PATH of operation N, after the renames since then that stay."""
            for _, a, b in (m for m in moved if m[0] > n):
                if path == a or path.startswith(a + "/"):
                    path = b + path[len(a):]
            return path
        for _, n, kind, (a, b, saved) in sorted(lost, key=lambda op: -op[1]):
            if kind == CREATE:
                os.unlink(now(n, a))
            elif kind == MKDIR:
                shutil.rmtree(now(n, a))
            elif kind == RMDIR:
                os.mkdir(now(n, a))
            elif kind == UNLINK:
                os.link(b, now(n, a))
            elif kind == RENAME:
                os.rename(now(n, b), now(n, a))
                if saved:
                    os.link(saved, now(n, b))
        return len(lost)


if __name__ == "__main__":
    print(PowerLoss(sys.argv[1], random.Random(int(sys.argv[2]))).run())
