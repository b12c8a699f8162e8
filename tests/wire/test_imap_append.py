"""Several messages in one APPEND (RFC 3502) and REPLACE (RFC 8508), on a backend and through a frontend: all or nothing."""
import re
import time

import pytest

from roost import Murder, wait_for
from test_imap_search import fill
from test_imap_session import no, ok

MESSAGE = "Subject: number {}\r\n\r\nbody {}\r\n"


def literal(text, sync=False):
    text = text.encode() if isinstance(text, str) else text
    return b"{%d%s}\r\n%s" % (len(text), b"" if sync else b"+", text)


def append(c, *parts, mailbox="Box", command="APPEND"):
    """PARTS: text as it stands, or messages as octets."""
    out = f"{command} {mailbox}".encode()
    for p in parts:
        out += b" " + (literal(p) if isinstance(p, bytes) else p.encode())
    return c.cmd(out)


def message(i):
    return MESSAGE.format(i, i).encode()


@pytest.fixture
def c(session):
    c = session()
    fill(c, count=3)
    yield c
    c.cmd("UNSELECT")
    c.cmd("DELETE Box")


def subjects(c):
    ok(c.cmd("NOOP"))
    lines = ok(c.cmd("UID FETCH 1:* (ENVELOPE)"))
    return [re.search(r'ENVELOPE \((?:NIL|"[^"]*") (?:NIL|"([^"]*)")', x).group(1) for x in lines if "ENVELOPE" in x]


def test_the_example_of_rfc_3502(c):
    """Flags for the one, a date for the other; the answer has the UIDs of both."""
    assert any("MULTIAPPEND" in x for x in ok(c.cmd("CAPABILITY")))
    c.send(f"A003 APPEND Box (\\Seen) {{{len(message(4))}}}\r\n")
    assert c.line().startswith("+")
    c.s.sendall(message(4) + b' (\\Seen k) " 7-Feb-1994 22:43:04 -0800" {%d}\r\n' % len(message(5)))
    assert c.line().startswith("+")
    c.s.sendall(message(5) + b"\r\n")
    lines, done = c.until("A003")
    assert re.fullmatch(r"OK \[APPENDUID \d+ 4:5\] kept", done), done
    assert any(x == "* 5 EXISTS" for x in lines), lines
    lines = ok(c.cmd("FETCH 4:5 (FLAGS INTERNALDATE)"))
    assert r"\Seen" in lines[0] and "k" not in lines[0].split("FLAGS")[1].split(")")[0]
    assert "k" in lines[1] and "8-Feb-1994 06:43:04 +0000" in lines[1]


def test_many_at_once(c):
    done = append(c, *[message(i) for i in range(4, 84)])[1]
    assert re.search(r"\[APPENDUID \d+ 4:83\]", done), done
    assert subjects(c) == [f"number {i}" for i in range(1, 84)]
    modseqs = set(re.findall(r"MODSEQ \((\d+)\)", "\n".join(ok(c.cmd("UID FETCH 4:83 MODSEQ")))))
    assert len(modseqs) == 1, "they came together"
    assert len([x for x in ok(c.cmd("FETCH 4:83 PREVIEW")) if "body" in x]) == 80


def test_one_message_still_has_one_uid(c):
    assert re.search(r"\[APPENDUID \d+ 4\]", append(c, message(4))[1])


@pytest.mark.parametrize("parts,code", [
    ((message(4), b"nul \0 octet"), "CANNOT"), ((message(4), b""), "CANNOT"),
    ((message(4), "~{3+}\r\na\0b"), "UNKNOWN-CTE"),
    ((message(4), "(\\Recent)", message(5)), None), ((message(4), "tomorrow", message(5)), None),
    ((message(4), '"32-Feb-1994 22:43:04 -0800"', message(5)), None), ((message(4), "(\\Seen)"), None),
    ((message(4), "{5}5"), None),
])
def test_one_that_is_wrong_leaves_none(c, parts, code):
    done = append(c, *parts)[1]
    assert done.startswith("BAD" if code is None else f"NO [{code}]"), done
    assert subjects(c) == [f"number {i}" for i in range(1, 4)]


def test_more_messages_or_octets_than_may_be(c):
    assert append(c, *[message(i) for i in range(101)])[1].startswith("BAD")
    assert append(c, b"x" * (1 << 20))[1].startswith("OK")
    ok(c.cmd("UID STORE 4 +FLAGS (\\Deleted)"))
    ok(c.cmd("EXPUNGE"))
    # One over maxmessagesize, announced behind one that is not; synchronising and not.
    for end in ("", "+"):
        c.send(f"t1 APPEND Box {{5+}}\r\nx\r\n\r\n {{{(1 << 20) + 1}{end}}}\r\n")
        if end:
            c.s.sendall(b"y" * ((1 << 20) + 1) + b"\r\n")
        assert c.until("t1")[1].startswith("NO [TOOBIG]")
    # All together over the limit, imap_max_append.
    c.s.sendall(b"t2 APPEND Box " + literal(b"x" * (1 << 20)) + b" {%d}\r\n" % (1 << 20))
    got = c.line()
    while got.startswith("+"):
        c.s.sendall(b"x" * (1 << 20) + b" {%d}\r\n" % (1 << 20))
        got = c.line()
    assert got.startswith("t2 NO [TOOBIG]"), got
    assert subjects(c) == [f"number {i}" for i in range(1, 4)]


def test_a_literal_that_never_comes(fronted, port, c):
    other = fronted.raw(port).login("fred")
    other.s.sendall(b"a APPEND Box " + literal(message(4)) + b" {20}\r\n")
    assert other.line().startswith("+")
    other.close()
    other = fronted.raw(port).login("fred")
    other.s.sendall(b"a APPEND Box " + literal(message(4)) + b" {20+}\r\nonly so m")
    other.close()
    time.sleep(0.1)
    assert subjects(c) == [f"number {i}" for i in range(1, 4)]


def test_no_such_mailbox_and_no_right(fronted, session, c):
    assert no(append(c, message(1), message(2), mailbox="Nowhere")[1]).startswith("NO [TRYCREATE]")
    ok(c.cmd("SETACL Box bob lrt"))
    bob = session("bob")
    assert no(append(bob, message(1), message(2), mailbox='"Other Users/fred/Box"')[1]).startswith("NO [NOPERM]")
    ok(c.cmd("SETACL Box bob lri"))
    ok(append(bob, "(\\Seen \\Deleted k)", message(4), "(\\Flagged)", message(5), mailbox='"Other Users/fred/Box"'))
    ok(c.cmd("NOOP"))
    for line in ok(c.cmd("FETCH 4:5 FLAGS")):
        assert not re.search(r"Seen|Deleted|Flagged|k\b", line.split("FLAGS")[1]), line


# REPLACE.

def test_the_example_of_rfc_8508(c):
    assert any(" REPLACE" in x for x in ok(c.cmd("CAPABILITY")))
    lines, done = append(c, "(\\Seen \\Draft)", message("new"), command="REPLACE 2")
    assert done == "OK replaced"
    assert re.fullmatch(r"\* OK \[APPENDUID \d+ 4\] .*", lines[0]), lines
    assert lines[1:3] in (["* 2 EXPUNGE", "* 3 EXISTS"], ["* 4 EXISTS", "* 2 EXPUNGE"]), lines
    assert subjects(c) == ["number 1", "number 3", "number new"]
    assert r"\Draft" in ok(c.cmd("FETCH 3 FLAGS"))[0]
    lines, done = append(c, message("newer"), command="UID REPLACE 4")
    assert "APPENDUID" in lines[0] and "* 3 EXPUNGE" in lines
    assert subjects(c) == ["number 1", "number 3", "number newer"]
    lines, done = append(c, message("newest"), command="REPLACE *")
    assert subjects(c) == ["number 1", "number 3", "number newest"]


def test_replace_with_qresync_and_uidonly(c):
    ok(c.cmd("ENABLE QRESYNC"))
    lines, done = append(c, message("new"), command="UID REPLACE 2")
    assert re.fullmatch(r"OK \[HIGHESTMODSEQ \d+\] replaced", done), done
    assert "APPENDUID" in lines[0] and "* VANISHED 2" in lines and "* 3 EXISTS" in lines
    ok(c.cmd("ENABLE UIDONLY"))
    assert append(c, message("x"), command="REPLACE 1")[1].startswith("BAD [UIDREQUIRED]")
    ok(append(c, message("newer"), command="UID REPLACE 4"))


def test_replace_from_one_mailbox_to_another(fronted, session, c):
    c.cmd("DELETE Sent")
    ok(c.cmd("CREATE Sent"))
    lines, done = append(c, message("sent"), command="UID REPLACE 2", mailbox="Sent")
    assert "APPENDUID" in lines[0] and lines[1] == "* 2 EXPUNGE" and len(lines) == 2 and done == "OK replaced"
    assert subjects(c) == ["number 1", "number 3"]
    ok(c.cmd("SELECT Sent"))
    assert subjects(c) == ["number sent"]
    ok(c.cmd("SELECT Box"))
    ok(c.cmd("DELETE Sent"))


def test_replace_of_what_is_not_there(c):
    assert append(c, message("x"), command="REPLACE 9")[1].startswith("BAD")
    assert append(c, message("x"), command="UID REPLACE 9")[1].startswith("NO")
    assert append(c, message("x"), command="REPLACE 1:2")[1].startswith("BAD")
    assert append(c, message("x"), message("y"), command="REPLACE 1")[1].startswith("BAD")
    assert append(c, message("x"), command="REPLACE 1", mailbox="Nowhere")[1].startswith("NO [TRYCREATE]")
    assert append(c, b"", command="REPLACE 1")[1].startswith("NO [CANNOT]")
    assert append(c, b"x" * ((1 << 20) + 1), command="REPLACE 1")[1].startswith("NO [TOOBIG]")
    assert subjects(c) == [f"number {i}" for i in range(1, 4)]


def test_replace_of_what_another_has_expunged(session, c):
    other = session()
    ok(other.cmd("SELECT Box"))
    ok(other.cmd("STORE 2 +FLAGS (\\Deleted)"))
    ok(other.cmd("EXPUNGE"))
    lines, done = append(c, message("x"), command="REPLACE 2")
    assert done.startswith("NO"), done
    assert subjects(c) == ["number 1", "number 3"]


def test_replace_needs_rights_in_both(session, c):
    c.cmd("DELETE Other")
    ok(c.cmd("CREATE Other"))
    bob = session("bob")
    for box, other, wanted in (("lrte", "lri", "OK"), ("lrt", "lri", "NO [NOPERM]"), ("lre", "lri", "NO [NOPERM]"),
                               ("lrte", "lr", "NO [NOPERM]"), ("lrte", "", "NO [TRYCREATE]"), ("lr", "lri", "NO [")):
        ok(c.cmd(f"SETACL Box bob {box}"))
        ok(c.cmd(f"SETACL Other bob {other}" if other else "DELETEACL Other bob"))
        ok(bob.cmd('SELECT "Other Users/fred/Box"'))
        before = len(subjects(bob))
        done = append(bob, message("x"), command="REPLACE 1", mailbox='"Other Users/fred/Other"')[1]
        assert done.startswith(wanted), (box, other, done)
        assert len(subjects(bob)) == before - (wanted == "OK")
    ok(bob.cmd("UNSELECT"))
    ok(c.cmd("EXAMINE Box"))
    assert append(c, message("x"), command="REPLACE 1")[1].startswith("NO [READ-ONLY]")
    ok(c.cmd("DELETE Other"))


def test_not_without_a_selected_mailbox(session):
    c = session()
    assert append(c, message("x"), command="REPLACE 1", mailbox="INBOX")[1].startswith("BAD")


@pytest.fixture
def elsewhere(fronted):
    """A mailbox on the other server; a function that sets fred's rights in it, and an administrator."""
    admin = fronted.raw(fronted.frontends[0].imap).login("admin")
    admin.cmd("DELETE elsewhere")
    ok(admin.cmd("CREATE elsewhere backendb"))

    def rights(text):
        ok(admin.cmd(f"SETACL elsewhere fred {text}"))
    rights("lrsi")
    yield admin, rights
    admin.cmd("UNSELECT")
    ok(admin.cmd("DELETE elsewhere"))
    admin.close()


ELSEWHERE = '"Shared Folders/elsewhere"'


def test_several_to_another_server(fronted, elsewhere):
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    assert re.search(r"\[APPENDUID \d+ 1:2\]", append(c, message(1), message(2), mailbox=ELSEWHERE)[1])
    c.close()


def test_replace_on_another_server(fronted, elsewhere):
    admin, rights = elsewhere
    c = fronted.raw(fronted.frontends[0].imap).login("fred")
    fill(c, count=3)
    lines, done = append(c, "(\\Seen)", message("moved"), command="REPLACE 2", mailbox=ELSEWHERE)
    assert re.fullmatch(r"\* OK \[APPENDUID \d+ \d+\] .*", lines[0]) and "* 2 EXPUNGE" in lines and done == "OK replaced", (lines, done)
    assert subjects(c) == ["number 1", "number 3"]
    ok(admin.cmd("SELECT elsewhere"))
    assert subjects(admin) == ["number moved"] and "Seen" in ok(admin.cmd("FETCH * (FLAGS)"))[0]
    # Nothing goes without the new one having come.
    rights("lrs")
    for command, wanted in (("REPLACE 1", "NO [NOPERM]"), ("REPLACE 7", "BAD"), ("UID REPLACE 7", "NO"), ("UID REPLACE 2", "NO")):
        assert append(c, message("x"), command=command, mailbox=ELSEWHERE)[1].startswith(wanted), command
    assert subjects(c) == ["number 1", "number 3"] and subjects(admin) == ["number moved"]
    # Nothing comes where the old one may not go.
    rights("lrsi")
    ok(c.cmd("EXAMINE Box"))
    assert append(c, message("x"), command="REPLACE 1", mailbox=ELSEWHERE)[1].startswith("NO [READ-ONLY]")
    ok(c.cmd("SELECT Box"))
    ok(c.cmd("SETACL Box fred lrswikxta"))
    ok(c.cmd("SELECT Box"))
    assert append(c, message("x"), command="REPLACE 1", mailbox=ELSEWHERE)[1].startswith("NO [NOPERM]")
    ok(c.cmd("SETACL Box fred lrswipkxtea"))
    assert subjects(c) == ["number 1", "number 3"] and subjects(admin) == ["number moved"]
    ok(c.cmd("ENABLE QRESYNC UIDONLY"))
    ok(c.cmd("SELECT Box"))
    lines, done = append(c, message("last"), command="UID REPLACE 3", mailbox=ELSEWHERE)
    assert "* VANISHED 3" in lines and re.fullmatch(r"OK \[HIGHESTMODSEQ \d+\] replaced", done), (lines, done)
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Box"))
    c.close()


def test_more_than_may_be_in_memory_at_once():
    """max_inflight: refused, and the room is had again by who comes after."""
    limits = {"max_inflight": "1M", "maxmessagesize": "1M", "imap_max_append": "3M"}
    m = Murder(users=["fred"], limits=limits).start()
    try:
        m.add_frontend(limits)
        m.create_user("fred")
        for port in (m.first.imap, m.frontends[0].imap):
            c = m.raw(port).login("fred")
            fill(c, count=1)
            big = b"Subject: big\r\n\r\n" + b"x" * 400000
            for _ in range(4):
                assert append(c, big, big, big)[1].startswith("NO [LIMIT]")
                assert append(c, big, big, command="UID REPLACE 1")[1].startswith("BAD")
                assert append(c, b"x" * 900000, b"y" * 200000)[1].startswith("NO [LIMIT]")
                ok(c.cmd("NOOP"))  # ten refusals in a row end a session
            assert append(c, big)[1].startswith("OK")
            assert c.cmd("APPEND Box CATENATE (" + " ".join(["URL /Box/;UID=2"] * 3) + ")")[1].startswith(("NO [LIMIT]", "NO [TOOBIG]"))
            # In the midst of a literal the connection goes.
            for _ in range(4):
                other = m.raw(port).login("fred")
                other.s.sendall(b"a APPEND Box " + literal(big) + b" {400000+}\r\n" + b"z" * 300000)
                other.close()
            wait_for(lambda: append(c, big)[1].startswith("OK"), "there is room again")
            ok(c.cmd("NOOP"))
            assert subjects(c)[:2] == ["number 1", "big"] and len(subjects(c)) == 3
            c.close()
    finally:
        m.stop()
