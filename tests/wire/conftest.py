"""One mupdate server and one backend for all tests of this folder that do not break things."""
import pytest

from roost import Murder


@pytest.fixture(scope="session")
def backend():
    m = Murder(users=["fred", "bob", "ann", "cleo"], limits={"imap_max_line": "4K", "imap_max_literal": "8K",
                                                              "imap_max_command": "16K", "imap_max_list": "100",
                                                              "imap_max_depth": "10", "maxmessagesize": "1M"}).start()
    for u in ("fred", "bob", "ann", "cleo"):
        m.create_user(u)
    yield m
    m.stop()
