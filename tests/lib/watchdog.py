"""Looks whether a murder under load goes on; where it does not, writes down what all are doing: the threads of the test, the
daemons' states, and, where there is gdb, the stacks of their threads.
"""
import faulthandler
import os
import shutil
import subprocess
import threading
import time


class Watchdog(threading.Thread):
    """Calls PROGRESS, a number that grows, until stopping is set. Where it has not grown for DUMP_AFTER seconds, what all do is
    written to cluster.dir/stall.N; STUCK_AFTER seconds are a problem, told in problems."""

    def __init__(self, cluster, progress, dump_after=30, stuck_after=90):
        super().__init__(daemon=True, name="watchdog")
        self.cluster, self.progress = cluster, progress
        self.dump_after, self.stuck_after = dump_after, stuck_after
        self.stopping, self.problems, self.dumps = threading.Event(), [], 0

    def run(self):
        last, since, told = self.progress(), time.monotonic(), 0
        while not self.stopping.wait(0.5):
            now, still = self.progress(), time.monotonic() - since
            if now != last:
                if told > 1:
                    self.problems[-1] += f", {still:.0f} s in the end"
                last, since, told = now, time.monotonic(), 0
            elif told == 0 and still > self.dump_after:
                told = 1
                self.dump(f"nothing was acknowledged for {still:.0f} s")
            elif told == 1 and still > self.stuck_after:
                told = 2
                path = self.dump(f"nothing was acknowledged for {still:.0f} s")
                self.problems.append(f"nothing was acknowledged for {still:.0f} s: {path}")

    def dump(self, why):
        """The file where it is."""
        self.dumps += 1
        path = f"{self.cluster.dir}/stall.{self.dumps}"
        with open(path, "w") as f:
            f.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}Z {why}\n\nThe test's threads: "
                    + ", ".join(f"{t.ident:#x} {t.name}" for t in threading.enumerate()) + "\n")
            f.flush()
            faulthandler.dump_traceback(f, all_threads=True)
            for m in list(self.cluster.machines.values()):
                f.write(f"\n--- {m.name}\n{self.state(m)}\n")
                f.flush()
            for m in list(self.cluster.machines.values()):
                f.write(f"\n--- {m.name}, stacks\n{self.stacks(m)}\n")
        return path

    def state(self, m):
        process = m.process
        if process is None:
            return "is not started"
        try:
            with open(f"/proc/{process.pid}/status") as f:
                lines = [line.strip() for line in f if line.startswith(("State:", "Threads:"))]
            said = m.http("/status.json", 5) if not m.is_stopped else "is frozen"
            r = m.run("status", timeout=20) if m.role == "backend" and not m.is_stopped else None
        except (OSError, ValueError, subprocess.TimeoutExpired) as e:
            return f"pid {process.pid}: {e!r}"
        return f"pid {process.pid} {' '.join(lines)}\n{said}\n{r.stdout + r.stderr if r else ''}"

    def stacks(self, m):
        process = m.process
        if process is None or not shutil.which("gdb"):
            return "no stacks"
        try:
            env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
            return subprocess.run(["gdb", "-p", str(process.pid), "-batch", "-nx", "-ex", "thread apply all bt"], env=env, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=60).stdout
        except (OSError, subprocess.TimeoutExpired) as e:
            return repr(e)
