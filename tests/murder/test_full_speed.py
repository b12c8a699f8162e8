"""The load generator of bench/ at full speed through a kill of the master and through promotions: what was answered 250 is
there exactly once. ROOST_SEED chooses the moments."""
import json
import os
import random
import re
import subprocess
import time

from local import LocalMurder
from roost import ROOST, wait_for

LOAD = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(ROOST))), "bench", "load")
USERS = [f"user{i}" for i in range(8)]
SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))


class Load:
    def __init__(self, murder, directory, seconds, name):
        words, self.journal = directory / "words", directory / f"journal-{name}"
        words.write_text("".join(u + "\n" for u in USERS))
        self.p = subprocess.Popen([LOAD, "lmtp", "--to", murder.info["frontends"][0]["lmtp"], "--connections", "24", "--seconds", str(seconds),
                                   "--size", "6000", "--words", str(words), "--id", name, "--journal", str(self.journal)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self):
        out, err = self.p.communicate(timeout=150)
        assert self.p.returncode == 0, err
        return json.loads(out)

    def answers(self):
        """Mark, code (--- where the connection went), user."""
        return [line.split() for line in self.journal.read_text().splitlines()]


def found(murder, user):
    c = murder.imap(user, mailbox="INBOX")
    typ, data = c.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-Bench)])")
    assert typ == "OK"
    c.logout()
    counts = {}
    for item in data:
        if isinstance(item, tuple):
            mark = re.search(rb"X-Bench: (\S+)", item[1]).group(1).decode()
            counts[mark] = counts.get(mark, 0) + 1
    return counts


def check(murder, loads, seed):
    boxes = {u: found(murder, u) for u in USERS}
    good = 0
    for load in loads:
        for mark, code, user in load.answers():
            n = boxes[user].get(mark, 0)
            assert n == 1 if code == "250" else n <= 1, f"seed {seed}: {mark} to {user}, answered {code}, is there {n} times"
            good += code == "250"
    return good


def test_kill_the_master_at_full_speed(tmp_path):
    rng = random.Random(SEED)
    print("ROOST_SEED", SEED)
    with LocalMurder(USERS, restart=False) as m:
        load = Load(m, tmp_path, 6, "k")
        time.sleep(0.5 + rng.random() * 2)  # the moment of the kill
        old = m.master("backenda")
        m.kill(old)
        result = load.wait()
        new = wait_for(lambda: m.master("backenda"), "a master", 20)
        assert new != old
        good = check(m, [load], SEED)
        assert good > 500, result
        m.revive(old)
        m.dumps_equal("backenda")
        m.dumps_equal("backendb")
        assert check(m, [load], SEED) == good
        print(result)


def test_promote_at_full_speed(tmp_path):
    rng = random.Random(SEED + 1)
    print("ROOST_SEED", SEED)
    with LocalMurder(USERS) as m:
        for s in ("backenda", "backendb"):
            m.wait_in_sync(s)
        load = Load(m, tmp_path, 5, "p")
        end = time.monotonic() + 4
        while time.monotonic() < end:
            time.sleep(rng.random() * 0.7)  # between two hand-overs
            m.roost("failover", rng.choice(["backenda", "backendb"]), "--murder", m.dir, check=False)
        result = load.wait()
        assert result["refused"] == 0 and result["lost"] == 0, result
        check(m, [load], SEED)
        m.dumps_equal("backenda")
        m.dumps_equal("backendb")
        print(result)
