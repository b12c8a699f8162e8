"""What every test finds: tests/lib on the path, small disks, and directories that go when it has passed."""
import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import scratch  # noqa: E402


class ScratchHooks:
    """Tells tests/lib/scratch.py who is at work, and what came of it. Registered, since a conftest's own hooks are not called for fixtures
    of the session."""

    def __init__(self):
        self.ended, self.kept = [], []

    def pytest_runtest_logstart(self, nodeid):
        scratch.owner = nodeid

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        before = scratch.owner
        if fixturedef.scope != "function":
            scratch.owner = fixturedef
        yield
        scratch.owner = before

    def pytest_fixture_post_finalizer(self, fixturedef):
        if fixturedef in scratch.made and fixturedef not in self.ended:
            self.ended.append(fixturedef)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item):
        outcome = yield
        if outcome.get_result().failed:
            scratch.failed.add(item.nodeid)
            scratch.failed.update(d for defs in item._fixtureinfo.name2fixturedefs.values() for d in defs)

    def pytest_runtest_logfinish(self, nodeid):
        for who in [nodeid, *self.ended]:
            self.kept.extend(scratch.end(who))
        self.ended.clear()
        scratch.owner = None

    def pytest_terminal_summary(self, terminalreporter):
        for path in self.kept:
            terminalreporter.write_line(f"kept: {path}")


def pytest_configure(config):
    if not config.pluginmanager.has_plugin("scratch-hooks"):
        config.pluginmanager.register(ScratchHooks(), "scratch-hooks")


class SmallDisk:
    """A file system of its own, of SIZE as mount understands it."""

    def __init__(self, size):
        self.path = tempfile.mkdtemp(prefix="roost-small.")
        self.is_mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.path], capture_output=True).returncode == 0

    def __str__(self):
        return self.path

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def remove(self):
        """Whoever still uses it. It is not below pytest's own directories, which are cleaned while somebody might."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", self.path], check=True)
        os.rmdir(self.path)


@pytest.fixture
def small_disk():
    """A function that makes a SmallDisk; they are gone when the test is over, however it ends."""
    made = []

    def make(size):
        if os.geteuid() != 0:
            pytest.skip("a small file system needs root")
        made.append(SmallDisk(size))
        if not made[-1].is_mounted:
            pytest.skip("no file system can be mounted here")
        return made[-1]
    yield make
    for disk in made:
        disk.remove()
