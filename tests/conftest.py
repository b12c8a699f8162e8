"""What every test finds: tests/lib on the path, and small disks."""
import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))


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
