"""kill -9 of each part, and promotions, at seeded moments under load: every message answered 250 is there exactly once.

ROOST_SEED replays a seed; ROOST_ROUNDS repeats each case with further seeds.
"""
import os
import random

import pytest

from load import USERS, Load, check
from local import LocalMurder
from roost import wait_for

SEED = int(os.environ.get("ROOST_SEED", random.SystemRandom().randrange(1 << 30)))
ROUNDS = int(os.environ.get("ROOST_ROUNDS", "1"))


def settle(murder, servers=("backenda", "backendb")):
    for s in servers:
        murder.dumps_equal(s)


@pytest.mark.parametrize("round", range(ROUNDS))
@pytest.mark.parametrize("victim", ["master", "replica", "frontend", "mupdate"])
def test_kill_with_restart(victim, round):
    """The supervisor starts what dies: nothing else is done, and all is well again."""
    seed = SEED + round
    print("ROOST_SEED", seed)
    rng = random.Random(seed)
    with LocalMurder(USERS) as m:
        load = Load(m, seed)
        for _ in range(3):
            load.wait_for_more(rng.randrange(20, 200), f"deliveries go on (seed {seed})")
            server = rng.choice(["backenda", "backendb"])
            name = {"master": m.master, "replica": m.replica}.get(victim, lambda s: {"frontend": "frontend1"}.get(victim, victim))(server)
            before = m.daemon(name)["pid"]
            m.kill(name)
            wait_for(lambda: m.daemon(name)["pid"] not in (0, before), f"{name} is started again", 20)
            load.wait_for_more(20, f"deliveries after the kill of {name} (seed {seed})")
        load.stop()
        settle(m)
        check(m, [load], seed)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_master_dies_and_its_partner_takes_over(round):
    """Nobody starts the dead master: the replica serves, alone; then the old master comes back and follows."""
    seed = SEED + 1000 + round
    print("ROOST_SEED", seed - 1000)
    rng = random.Random(seed)
    with LocalMurder(USERS, restart=False) as m:
        load = Load(m, seed)
        load.wait_for_more(rng.randrange(50, 400), f"deliveries (seed {seed})")
        old = m.wait_in_sync("backenda") if rng.random() < 0.5 else m.master("backenda")
        m.kill(old)
        new = wait_for(lambda: m.master("backenda"), "the partner takes over", 20)
        assert new != old
        load.wait_for_more(100, f"deliveries after it (seed {seed})")
        load.stop()
        check(m, [load], seed)
        m.revive(old)
        assert m.wait_in_sync("backenda") == new, "the old master follows"
        settle(m)
        check(m, [load], seed)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_promote_under_load(round):
    """Orderly hand-overs refuse nothing and lose nothing."""
    seed = SEED + 2000 + round
    print("ROOST_SEED", seed - 2000)
    rng = random.Random(seed)
    with LocalMurder(USERS) as m:
        load = Load(m, seed)
        for _ in range(6):
            load.wait_for_more(rng.randrange(10, 150), f"deliveries (seed {seed})")
            server = rng.choice(["backenda", "backendb"])
            to = m.replica(server)
            wait_for(lambda: m.roost("promote", server, to, "--murder", m.dir, check=False).returncode == 0, "promoted", 30)
            assert m.master(server) == to
        load.wait_for_more(50, "deliveries after the last")
        load.stop()
        refused = [a for s in load.senders for a in s.answers if a[2] != 250]
        assert not refused, refused[:5]
        settle(m)
        check(m, [load], seed)
