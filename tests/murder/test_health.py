"""/role, as a load balancer or keepalived sees it: both members polled a hundred times a second through a kill and through
orderly hand-overs. Each change is seen once, in order; never two masters, never a flap."""
import http.client
import json
import threading
import time

from local import LocalMurder
from roost import wait_for

INTERVAL = 0.01


class Poller(threading.Thread):
    """Samples (asked at, answered at, code); code 0: nobody answers."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.host, port = address.rsplit(":", 1)
        self.port, self.samples, self.stopping = int(port), [], threading.Event()

    def run(self):
        c = None
        while not self.stopping.is_set():
            asked = time.monotonic()
            try:
                c = c or http.client.HTTPConnection(self.host, self.port, timeout=10)
                c.request("GET", "/role")
                r = c.getresponse()
                text = r.read().decode().strip()
                code = r.status
                assert (code, text) in [(200, "master"), (503, "replica")], (code, text)
            except (OSError, http.client.HTTPException):
                code, c = 0, None
            self.samples.append((asked, time.monotonic(), code))
            time.sleep(max(0, asked + INTERVAL - time.monotonic()))  # the rate of polling

    def changes(self):
        """The codes in order, repetitions left out."""
        out = []
        for _, _, code in self.samples:
            if not out or out[-1] != code:
                out.append(code)
        return out

    def times(self, code):
        return [(asked, answered) for asked, answered, c in self.samples if c == code]


def poll(murder, server):
    pollers = {n: Poller(murder.daemon(n)["admin"]) for n in murder.member_names(server)}
    for p in pollers.values():
        p.start()
    for p in pollers.values():
        wait_for(lambda: len(p.samples) > 20, "the pollers run")
    return pollers


def stop(pollers):
    for p in pollers.values():
        p.stopping.set()
    for p in pollers.values():
        p.join(10)
        span = p.samples[-1][1] - p.samples[0][0]
        assert len(p.samples) > span * 10, f"polled only {len(p.samples)} times in {span:.1f} s"


def test_orderly_hand_over():
    with LocalMurder() as m:
        old = m.wait_in_sync("backenda")
        new = m.replica("backenda")
        pollers = poll(m, "backenda")
        m.roost("promote", "backenda", new, "--murder", m.dir)
        wait_for(lambda: pollers[new].changes()[-1] == 200, "the new master says so")
        m.wait_in_sync("backenda")
        stop(pollers)
        assert pollers[old].changes() == [200, 503]
        assert pollers[new].changes() == [503, 200]
        last, first = pollers[old].times(200)[-1], pollers[new].times(200)[0]
        assert last[0] <= first[1], "two masters at once"
        gap = first[1] - last[0]
        print(f"nobody was master for at most {gap * 1000:.0f} ms")


def test_kill_and_return():
    with LocalMurder(restart=False) as m:
        old = m.wait_in_sync("backenda")
        new = m.replica("backenda")
        pollers = poll(m, "backenda")
        m.kill(old)
        wait_for(lambda: pollers[new].changes()[-1] == 200, "the partner takes over")
        m.revive(old)
        wait_for(lambda: pollers[old].changes()[-1] == 503, "the old master is a replica")
        assert m.wait_in_sync("backenda") == new
        stop(pollers)
        assert pollers[old].changes() == [200, 0, 503]
        assert pollers[new].changes() == [503, 200]
        last, first = pollers[old].times(200)[-1], pollers[new].times(200)[0]
        assert last[0] <= first[1], "two masters at once"
        assert first[1] - last[0] < 10, "the partner took over at last"


def test_the_other_pages():
    with LocalMurder() as m:
        m.wait_in_sync("backenda")
        info = m.info
        for d in [info["mupdate"], *info["frontends"], *info["servers"]["backenda"]["members"].values()]:
            assert m.http(d["admin"], "/healthz")[0] == 200
            assert m.http(d["admin"], "/readyz")[0] == 200
            code, text = m.http(d["admin"], "/metrics")
            assert code == 200 and "# TYPE roost_" in text
            code, text = m.http(d["admin"], "/status.json")
            assert code == 200 and json.loads(text)["ready"] is True
            code, text = m.http(d["admin"], "/")
            assert code == 200 and "<html" in text.lower()
            assert m.http(d["admin"], "/nothing")[0] == 404
        out = m.roost("status", "--murder", m.dir).stdout
        assert max(len(line) for line in out.splitlines()) <= 100, out
        assert "backenda1" in out and "backendb2" in out and "frontend1" in out
        status = json.loads(m.roost("status", "--murder", m.dir, "--json").stdout)
        assert {s["name"] for s in status["servers"]} == {"backenda", "backendb"}
