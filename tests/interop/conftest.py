"""One murder for all stock clients of this folder; each test has users of its own."""
import pytest

from local import LocalMurder

USERS = ["fred", "mary", "ann", "bob", "cleo", "dave", "eve", "gus", "hal", "ida", "jon"]


@pytest.fixture(scope="session")
def murder():
    with LocalMurder(USERS) as m:
        yield m
