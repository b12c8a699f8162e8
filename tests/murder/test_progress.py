"""A command that waits for a member that does not answer: the client hears that it does, and later what came of it."""
import os
import signal

from roost import Murder


def ok(answer):
    lines, done = answer
    assert done.startswith("OK"), answer
    return lines


def test_waiting_is_told():
    m = Murder(users=["fred"], backends={"backenda": ["backenda1", "backenda2"]}, limits={"imap_progress_ms": 50, "lease_ms": 1000})
    _, two = m.members.values()
    m.expect_event("driver.sync.dropped")
    try:
        m.start_pair()
        m.add_frontend()
        c = m.raw(m.frontends[0].imap).login("fred")
        ok(c.cmd("SELECT INBOX"))
        ok(c.cmd("APPEND INBOX {4+}\r\na: b"))
        ok(c.cmd("NOOP"))
        os.kill(two.process.pid, signal.SIGSTOP)
        try:
            lines, done = c.cmd("COPY 1 INBOX")
        finally:
            os.kill(two.process.pid, signal.SIGCONT)
        told = [x for x in lines if "INPROGRESS" in x]
        assert done.startswith("OK [COPYUID") and told and all(x == f'* OK [INPROGRESS ("x{c.tags}" NIL NIL)] please wait' for x in told), lines
        # 50 ms, then every 250 ms: within some leases that is not many.
        assert len(told) < 100
        c.close()
        m.stop()
        m = None
    finally:
        for d in [*m.frontends, *m.members.values(), m.mupdate] if m else []:
            if d.process:
                d.kill()
