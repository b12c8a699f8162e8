"""One mupdate server and one backend for all tests of this folder that do not break things."""
import pytest

from roost import Murder


@pytest.fixture(scope="session")
def backend():
    m = Murder(users=["fred", "bob", "ann", "cleo"], limits={"duplicatesuppression": "yes", "imap_max_line": "4K", "imap_max_literal": "8K",
                                                              "imap_max_command": "16K", "imap_max_list": "100",
                                                              "imap_max_depth": "10", "maxmessagesize": "1M", "imap_max_append": "3M"}).start()
    for u in ("fred", "bob", "ann", "cleo"):
        m.create_user(u)
    yield m
    m.stop()


@pytest.fixture(scope="session")
def fronted():
    """Two servers of one member each and a frontend before them, with the limits of `backend`."""
    limits = {"imap_max_line": "4K", "imap_max_literal": "8K", "imap_max_command": "16K", "imap_max_list": "100",
              "imap_max_depth": "10", "maxmessagesize": "1M", "imap_max_append": "3M", "metadata_max_value": "2K", "annotation_max_value": "2K", "annotation_max_entries": "12",
              "metadata_max_entries": "12", "metadata_max_name": "64", "metadata_admin": "mailto:postmaster@example.com"}
    m = Murder(users=["fred", "bob", "ann"], backends={"backenda": ["backenda1"], "backendb": ["backendb1"]}, limits=limits).start()
    m.add_frontend(limits)
    for u in ("fred", "bob", "ann"):
        m.create_user(u)
    yield m
    m.stop()


@pytest.fixture
def team(fronted):
    """A shared mailbox on the other server, and an administrator who may fill it."""
    a = fronted.raw(fronted.frontends[0].imap).login("admin")
    a.cmd("DELETE team/sub")
    a.cmd("DELETE team")
    for line in ("CREATE team backendb", "SETACL team fred lrswipkxtea"):
        assert a.cmd(line)[1].startswith("OK")
    yield a
    a.cmd("DELETE team/sub")
    a.cmd("DELETE team")
    a.close()


@pytest.fixture(params=["backend", "frontend"])
def port(request, fronted):
    """Where to speak IMAP: the backend that has the users' mailboxes, and the frontend. What is true of the one must be of the
    other."""
    return fronted.first.imap if request.param == "backend" else fronted.frontends[0].imap


@pytest.fixture
def session(fronted, port):
    """A function that logs in there."""
    made = []

    def log_in(user="fred"):
        made.append(fronted.raw(port).login(user))
        return made[-1]
    yield log_in
    for c in made:
        c.close()
