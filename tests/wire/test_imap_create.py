"""CREATE by many at once."""
import threading

from test_imap_list import rows
from test_imap_session import ok


def test_of_many_who_create_one_name_the_directory_keeps_it(fronted):
    """Those who came too late used to take the name away again, also from who had made it."""
    sessions = [fronted.raw(fronted.first.imap).login("fred") for _ in range(8)]
    for turn in range(10):
        answers = []
        threads = [threading.Thread(target=lambda c=c, n=f"CREATE Race-{turn}": answers.append(c.cmd(n)[1])) for c in sessions]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sum(a.startswith("OK") for a in answers) == 1, answers
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    ok(c.cmd("STATUS Race-0 (MESSAGES)"))
    assert set(rows(c.cmd('LIST "" Race-*'))) == {f"Race-{turn}" for turn in range(10)}
    for turn in range(10):
        ok(c.cmd(f"DELETE Race-{turn}"))
    for x in (*sessions, c):
        x.close()
