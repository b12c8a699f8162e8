"""Directories of a test's own: gone when it has passed, kept (and named) when it has failed.

Under pytest the hooks of tests/conftest.py say which test or fixture is at work; elsewhere a directory is its maker's to remove. One that a
fixture of more than one test has made is judged by all tests that used it.
"""
import atexit
import shutil
import tempfile

owner = None  # the test, or the fixture of several tests, that is at work
made = {}  # owner -> directories
failed = set()  # owners


def directory(prefix):
    path = tempfile.mkdtemp(prefix=prefix)
    if owner is not None:
        made.setdefault(owner, []).append(path)
    return path


def remove(path):
    """Its maker needs it no more. Under pytest a failure that comes later may still want it."""
    if owner is None:
        shutil.rmtree(path, ignore_errors=True)


def end(who):
    """WHO is over. The directories that are kept."""
    paths = made.pop(who, [])
    if who in failed:
        return paths
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    return []


def for_process(prefix):
    """What is built once, and removed when this process ends."""
    path = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
