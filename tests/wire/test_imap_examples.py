"""Examples of the RFCs that are told elsewhere in other words, as their authors have them, and the error cases beside them; on a backend and through a
frontend. The section is in each test's name or text."""
import re

import pytest

from imap_answer import fetch
from mail import crlf
from test_imap_condstore import code, modseqs
from test_imap_search import esearch
from test_imap_session import no, ok

# RFC 3501 section 8, with a body of 3028 octets in 92 lines.
GRAY = crlf(b"""Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

""") + b"x" * 30 + b"\r\n" + (b"y" * 31 + b"\r\n") * 90 + b"z" * (3028 - 32 - 33 * 90 - 2) + b"\r\n"

# RFC 3501 section 6.4.5: the message whose parts are named there.
PARTS = crlf(b"""Subject: complex
Content-Type: multipart/mixed; boundary=A

--A
Content-Type: text/plain

part 1
--A
Content-Type: application/octet-stream

part 2
--A
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain

part 3.1
--B
Content-Type: application/octet-stream

part 3.2
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

part 4.1
--C
Content-Type: message/rfc822

Subject: four two
Content-Type: multipart/mixed; boundary=D

--D
Content-Type: text/plain

part 4.2.1
--D
Content-Type: multipart/alternative; boundary=E

--E
Content-Type: text/plain

part 4.2.2.1
--E
Content-Type: text/richtext

part 4.2.2.2
--E--
--D--
--C--
--A--
""")


def append(c, mailbox, message, before=""):
    return ok(c.cmd(b"APPEND %s %s{%d+}\r\n%s" % (mailbox.encode(), before.encode(), len(message), message)))


@pytest.fixture
def c(session):
    c = session()
    c.cmd("DELETE Box")
    ok(c.cmd("CREATE Box"))
    yield c
    c.cmd("UNSELECT")
    for name in ("Box", "Other"):
        c.cmd("DELETE " + name)


def fill(c, count, subjects=None):
    for i in range(1, count + 1):
        append(c, "Box", f"Subject: {subjects[i - 1] if subjects else i}\r\nFrom: {'Smith' if i % 2 else 'Jones'} <x@example.org>\r\n\r\nbody {i}\r\n".encode())
    ok(c.cmd("SELECT Box"))


def test_rfc3501_8_the_sample_connection(c):
    append(c, "Box", GRAY, r'(\Seen) "17-Jul-1996 02:44:25 -0700" ')
    ok(c.cmd("SELECT Box"))
    (line,) = ok(c.cmd("FETCH 1 FULL"))
    gray = '(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert line == (
        r'* 1 FETCH (FLAGS (\Seen \Recent) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 3344 '
        'ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" ' + f"{gray} {gray} {gray} "
        '((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
        '"<B27397-0100000@cac.washington.edu>") BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92))').replace("3344", str(len(GRAY))), line
    found, _ = fetch(c, 1, "BODY[HEADER]")
    assert found[1]["BODY[HEADER]"] == GRAY[:-3028]
    assert r"\Deleted" in ok(c.cmd(r"STORE 1 +FLAGS \Deleted"))[0]


def test_rfc3501_6_3_4_deleting_what_has_children(c):
    ok(c.cmd("CREATE foo"))
    ok(c.cmd("CREATE foo/bar"))
    ok(c.cmd("DELETE foo"))
    assert [x for x in ok(c.cmd('LIST "" foo*')) if x.endswith("foo/bar")]
    (parent,) = ok(c.cmd('LIST "" foo'))
    assert r"\Noselect" in parent or r"\NonExistent" in parent
    no(c.cmd("SELECT foo")[1])
    no(c.cmd("DELETE foo")[1])
    ok(c.cmd("DELETE foo/bar"))
    assert ok(c.cmd('LIST "" foo*')) == []


def test_rfc3501_6_4_3_expunging_3_4_7_and_11(c):
    fill(c, 11)
    ok(c.cmd(r"STORE 3,4,7,11 +FLAGS.SILENT (\Deleted)"))
    assert [x for x in ok(c.cmd("EXPUNGE")) if "EXPUNGE" in x] in (
        [f"* {n} EXPUNGE" for n in (3, 3, 5, 8)], [f"* {n} EXPUNGE" for n in (11, 7, 4, 3)]), "either order of the RFC's note"
    assert "* SEARCH 1 2 5 6 8 9 10" in ok(c.cmd("UID SEARCH ALL"))
    assert ok(c.cmd("EXPUNGE")) == []


def test_rfc3501_6_4_4_searching(c):
    fill(c, 6)
    ok(c.cmd(r"STORE 2,5,6 +FLAGS.SILENT (\Flagged)"))
    assert "* SEARCH 2 6" in ok(c.cmd('SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"'))
    assert "* SEARCH" in ok(c.cmd('SEARCH TEXT "string not in mailbox"'))
    text = "Привет".encode()
    append(c, "Box", b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text + b"\r\n")
    ok(c.cmd("NOOP"))
    c.send(b"s SEARCH CHARSET UTF-8 TEXT {%d}\r\n" % len(text))
    assert c.line().startswith("+ ")
    c.send(text + b"\r\n")
    assert "* SEARCH 7" in ok(c.until("s"))
    assert "* SEARCH 7" in ok(c.cmd("SEARCH CHARSET UTF-8 TEXT {%d+}\r\nпРИВЕТ".encode() % len(text))), "whatever the case"
    assert re.match(r"NO \[BADCHARSET( \([^)]*\))?\]", c.cmd("SEARCH CHARSET X-KLINGON TEXT x")[1])


def test_rfc3501_6_4_5_part_specifiers(c):
    append(c, "Box", PARTS)
    ok(c.cmd("SELECT Box"))
    names = {"1": b"part 1", "2": b"part 2", "3.1": b"part 3.1", "3.2": b"part 3.2", "4.1": b"part 4.1", "4.2.1": b"part 4.2.1", "4.2.2.1": b"part 4.2.2.1", "4.2.2.2": b"part 4.2.2.2",
             "3.HEADER": b"Subject: three\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n", "4.2.HEADER": b"Subject: four two\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n",
             "4.1.MIME": b"Content-Type: image/gif\r\n\r\n", "4.2.2.2.MIME": b"Content-Type: text/richtext\r\n\r\n", "4.2.HEADER.FIELDS (SUBJECT)": b"Subject: four two\r\n\r\n",
             "3.HEADER.FIELDS.NOT (SUBJECT)": b"Content-Type: multipart/mixed; boundary=B\r\n\r\n", "4.2.MIME": b"Content-Type: message/rfc822\r\n\r\n"}
    for name, wanted in names.items():
        found, done = fetch(c, 1, f"BODY.PEEK[{name}]")
        assert found[1][f"BODY[{name}]"] == wanted, name
    for whole, inner in (("3", "three"), ("4.2", "four two")):
        found, _ = fetch(c, 1, f"BODY.PEEK[{whole}] BODY.PEEK[{whole}.HEADER] BODY.PEEK[{whole}.TEXT]")
        f = found[1]
        assert f[f"BODY[{whole}]"] == f[f"BODY[{whole}.HEADER]"] + f[f"BODY[{whole}.TEXT]"] and inner.encode() in f[f"BODY[{whole}]"]
    found, _ = fetch(c, 1, "BODY.PEEK[4] BODY.PEEK[5] BODY.PEEK[1.HEADER] BODY.PEEK[4.2.2.3]")
    assert found[1]["BODY[4]"].startswith(b"--C\r\n") and all(found[1][f"BODY[{x}]"] in (None, b"") for x in ("5", "1.HEADER", "4.2.2.3"))
    structure = fetch(c, 1, "BODYSTRUCTURE")[0][1]["BODYSTRUCTURE"]
    assert [p["type"][1] for p in structure["parts"]] == [b"plain", b"octet-stream", b"rfc822", b"mixed"]
    assert [p["type"][1] for p in structure["parts"][3]["parts"][1]["body"]["parts"]] == [b"plain", b"alternative"]


def test_rfc3501_6_4_8_uids_that_are_not_there(c):
    fill(c, 2)
    assert ok(c.cmd("UID FETCH 4827313:4828442 FLAGS")) == []
    assert ok(c.cmd(r"UID STORE 4827313 +FLAGS (\Seen)")) == []
    ok(c.cmd("UID COPY 4827313 Box"))
    lines = ok(c.cmd("UID FETCH 559:* UID"))
    assert lines == ["* 2 FETCH (UID 2)"], "* is the last, also where the range begins behind it"
    assert no(c.cmd("FETCH 3 FLAGS")[1]) and no(c.cmd(r"STORE 1:3 FLAGS (\Seen)")[1])


def test_rfc3501_5_5_ambiguities_are_resolved(c):
    """What is pipelined behind a command that may change message numbers."""
    fill(c, 5)
    ok(c.cmd(r"STORE 2 +FLAGS.SILENT (\Deleted)"))
    c.send("a EXPUNGE\r\nb FETCH 2 UID\r\nc STORE 2 +FLAGS.SILENT (kw)\r\nd UID SEARCH KEYWORD kw\r\n")
    assert "* 2 EXPUNGE" in ok(c.until("a"))
    assert "* 2 FETCH (UID 3)" in ok(c.until("b"))
    ok(c.until("c"))
    assert "* SEARCH 3" in ok(c.until("d"))


def test_rfc2971_id(c):
    (line,) = ok(c.cmd('ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited")'))
    assert re.match(r'\* ID \("name" "Roost"', line)
    assert ok(c.cmd("ID NIL"))[0].startswith("* ID (")
    assert ok(c.cmd('ID ("name" NIL)'))[0].startswith("* ID (")


def test_rfc5161_enable(c):
    assert ok(c.cmd("ENABLE CONDSTORE X-GOOD-IDEA")) == ["* ENABLED CONDSTORE"]
    assert ok(c.cmd("ENABLE X-GOOD-IDEA")) == ["* ENABLED"]
    ok(c.cmd("ENABLE condstore"))


def test_rfc2342_namespace(c):
    (line,) = ok(c.cmd("NAMESPACE"))
    assert re.fullmatch(r'\* NAMESPACE \(\("" "/"\)\) \(\("Other Users/" "/"\)\) \(\("Shared Folders/" "/"\)\)', line)


def test_rfc2177_idle_that_is_not_ended(session):
    c = session()
    ok(c.cmd("SELECT INBOX"))
    c.send("i IDLE\r\n")
    assert c.line().startswith("+ ")
    c.send("x NOOP\r\n")
    line = c.line()
    assert line.startswith(("i BAD", "* BYE")), line
    c.close()


def test_rfc4315_uidplus(c):
    lines, done = c.cmd(b"APPEND Box {10+}\r\nSubject: a")
    m = re.match(r"OK \[APPENDUID (\d+) 1\]", done)
    assert m, done
    ok(c.cmd("CREATE Other"))
    fill(c, 4)
    validity = re.search(r"UIDVALIDITY (\d+)", ok(c.cmd("STATUS Other (UIDVALIDITY)"))[0])[1]
    assert c.cmd("COPY 2:4 Other")[1].startswith(f"OK [COPYUID {validity} 2:4 1:3]")
    assert "COPYUID" not in c.cmd("UID COPY 494 Other")[1], "nothing was copied"
    assert "TRYCREATE" in no(c.cmd("COPY 1 Nowhere")[1])
    ok(c.cmd(r"STORE 1:3 +FLAGS.SILENT (\Deleted)"))
    assert [x for x in ok(c.cmd("UID EXPUNGE 2:3,5")) if "EXPUNGE" in x] in (["* 2 EXPUNGE", "* 2 EXPUNGE"], ["* 3 EXPUNGE", "* 2 EXPUNGE"])
    assert "* SEARCH 1 4 5" in ok(c.cmd("UID SEARCH ALL"))
    no(c.cmd("EXPUNGE 1")[1])


def test_rfc6851_move(c):
    ok(c.cmd("CREATE Other"))
    fill(c, 5)
    lines, done = c.cmd("UID MOVE 2:4 Other")
    assert done.startswith("OK")
    copyuid = next(i for i, x in enumerate(lines) if re.match(r"\* OK \[COPYUID \d+ 2:4 1:3\]", x))
    assert all(i > copyuid for i, x in enumerate(lines) if "EXPUNGE" in x) and len([x for x in lines if "EXPUNGE" in x]) == 3
    assert "TRYCREATE" in no(c.cmd("MOVE 1 Nowhere")[1])
    no(c.cmd("MOVE 9 Other")[1])
    assert "* SEARCH 1 5" in ok(c.cmd("UID SEARCH ALL")), "what was refused has moved nothing"
    ok(c.cmd("EXAMINE Box"))
    no(c.cmd("MOVE 1 Other")[1])
    ok(c.cmd("SELECT Box"))
    ok(c.cmd("MOVE 1 Box"))
    assert "* SEARCH 5 6" in ok(c.cmd("UID SEARCH ALL")), "into the same mailbox it is another message"


def test_rfc4731_and_5182_examples(c):
    ok(c.cmd("CREATE Other"))
    fill(c, 8)
    ok(c.cmd(r"STORE 2,4:6 +FLAGS.SILENT (\Flagged)"))
    assert esearch(c.cmd('SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"')) == "MIN 2 COUNT 3"
    assert esearch(c.cmd('SEARCH RETURN () FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"')) == "ALL 2,4,6"
    assert esearch(c.cmd("UID SEARCH RETURN (COUNT) 1:* UID 100:200")) == "UID COUNT 0"
    # RFC 5182 section 2.2, pipelined.
    c.send('a1 SEARCH RETURN (SAVE) FROM "Jones"\r\na2 SEARCH RETURN (SAVE) UID $ SMALLER 4096\r\na3 FETCH $ (UID)\r\na4 COPY $ Other\r\na5 UID FETCH $ (FLAGS)\r\n')
    assert not [x for t in ("a1", "a2") for x in ok(c.until(t)) if "SEARCH" in x]
    assert [x for x in ok(c.until("a3")) if "FETCH" in x] == [f"* {n} FETCH (UID {n})" for n in (2, 4, 6, 8)]
    ok(c.until("a4"))
    assert len([x for x in ok(c.until("a5")) if "FETCH" in x]) == 4
    assert esearch(c.cmd("SEARCH RETURN (SAVE MIN MAX COUNT) FLAGGED")) == "MIN 2 MAX 6 COUNT 4"
    assert esearch(c.cmd("SEARCH RETURN (COUNT) $")) == "COUNT 4", "with COUNT all are saved"
    ok(c.cmd("SEARCH RETURN (SAVE) DELETED"))
    assert ok(c.cmd("FETCH $ UID")) == [] and ok(c.cmd(r"STORE $ +FLAGS (\Seen)")) == []
    ok(c.cmd("COPY $ Other"))


def test_rfc5032_within(c):
    fill(c, 3)
    append(c, "Box", b"Subject: old\r\n\r\nx\r\n", '"17-Jul-1996 02:44:25 -0700" ')
    ok(c.cmd("NOOP"))
    assert "* SEARCH 4" in ok(c.cmd("SEARCH UNSEEN OLDER 259200")) and "* SEARCH 1 2 3" in ok(c.cmd("SEARCH YOUNGER 259200"))
    for bad in ("OLDER 0", "YOUNGER 0", "OLDER 4294967296", "YOUNGER -1", "OLDER 1.5"):
        assert c.cmd("SEARCH " + bad)[1].startswith("BAD")


def test_rfc5256_sort_and_thread(c):
    fill(c, 4, ["Zebra", "apple", "Re: zebra", "Apple (fwd)"])
    assert "* SORT 2 4 1 3" in ok(c.cmd("SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994"))
    assert "* SORT 1 3 2 4" in ok(c.cmd("SORT (REVERSE SUBJECT) UTF-8 ALL"))
    assert "* SORT 4 2 3 1" in ok(c.cmd("SORT (SUBJECT REVERSE SIZE) UTF-8 ALL"))
    assert "* SORT" in ok(c.cmd('SORT (SUBJECT) US-ASCII TEXT "not in mailbox"'))
    assert "* THREAD (1 3)(2 4)" in ok(c.cmd("THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000")), "in the order of their first messages"
    assert "* THREAD" in ok(c.cmd('THREAD REFERENCES US-ASCII TEXT "gewp"'))
    assert "BADCHARSET" in no(c.cmd("SORT (DATE) X-KLINGON ALL")[1]) and "BADCHARSET" in no(c.cmd("THREAD REFS X-KLINGON ALL")[1])


def test_rfc9394_partial(c):
    fill(c, 10)
    assert esearch(c.cmd("UID SEARCH RETURN (PARTIAL -1:-3) UNDELETED UNKEYWORD $Junk")) == "UID PARTIAL (-1:-3 8:10)"
    assert esearch(c.cmd("UID SEARCH RETURN (PARTIAL 23500:24000) UNDELETED")) == "UID PARTIAL (23500:24000 NIL)"
    assert esearch(c.cmd("UID SEARCH RETURN (PARTIAL 1:4 MIN MAX COUNT) ALL")) == "UID MIN 1 MAX 10 COUNT 10 PARTIAL (1:4 1:4)"
    assert [x for x in ok(c.cmd("UID FETCH 5:10 (FLAGS) (PARTIAL -1:-3)")) if "UID 7 " in x] == [] and len(ok(c.cmd("UID FETCH 5:10 (UID) (PARTIAL -1:-3)"))) == 3
    assert len(ok(c.cmd("UID FETCH 1:* (UID) (PARTIAL 8:20)"))) == 3
    for bad in ("UID SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "UID SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "UID SEARCH RETURN (PARTIAL 1:-1) ALL", "FETCH 1:* (UID) (PARTIAL 1:2)"):
        assert c.cmd(bad)[1].startswith("BAD"), bad


def test_rfc7162_what_the_sections_say(c):
    fill(c, 6)
    ms = modseqs(c)
    assert int(code(ok(c.cmd("SELECT Box (CONDSTORE)")), "HIGHESTMODSEQ")) == max(ms.values())
    # 3.1.3: a flag that is set already, and one in a message that changed meanwhile.
    lines, done = c.cmd(rf"UID STORE 6,4,1 (UNCHANGEDSINCE {ms[4]}) +FLAGS.SILENT (\Deleted)")
    assert done.startswith("OK [MODIFIED 6]") and {x.split()[1] for x in lines if "MODSEQ" in x} == {"1", "4"}
    # 3.1.4.1: CHANGEDSINCE implies MODSEQ; one that nothing has.
    assert all("MODSEQ (" in x for x in ok(c.cmd("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)")))
    assert [x for x in ok(c.cmd("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 9000000)")) if "FETCH" in x] == []
    # 3.1.5: with ORs and NOTs about it the highest of what was found is told.
    now = modseqs(c)
    (line,) = [x for x in ok(c.cmd(f"SEARCH OR NOT MODSEQ {ms[6] + 1} LARGER 50000")) if x.startswith("* SEARCH")]
    numbers, _, told = line.partition(" (MODSEQ ")
    assert int(told.rstrip(")")) == max(now[int(n)] for n in numbers.split()[2:])
    # 3.2.5.1: parameters of QRESYNC without ENABLE; in EXAMINE, too.
    assert c.cmd("EXAMINE Box (QRESYNC (1 1))")[1].startswith("BAD")
    ok(c.cmd("ENABLE QRESYNC"))
    ok(c.cmd("SELECT Box"))
    ok(c.cmd("UID EXPUNGE 1,4"))
    validity, highest = code(ok(c.cmd("EXAMINE Box")), "UIDVALIDITY"), max(ms.values())
    lines = ok(c.cmd(f"EXAMINE Box (QRESYNC ({validity} {highest}))"))
    assert "* VANISHED (EARLIER) 1,4" in lines and any("[CLOSED]" in x for x in lines)


def test_rfc8474_object_ids(c):
    (mailbox,) = re.findall(r"\[MAILBOXID \((\S+)\)\]", c.cmd("CREATE Other")[1])
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", mailbox)
    assert f"* STATUS Other (MAILBOXID ({mailbox}))" in ok(c.cmd("STATUS Other (MAILBOXID)"))
    ok(c.cmd("RENAME Other Another"))
    assert any(f"[MAILBOXID ({mailbox})]" in x for x in ok(c.cmd("SELECT Another")))
    fill(c, 2)
    ids = [re.search(r"EMAILID \((\S+)\) THREADID (NIL|\(\S+\))", x) for x in ok(c.cmd("FETCH 1:2 (EMAILID THREADID)"))]
    assert all(ids) and ids[0][1] != ids[1][1] and all(re.fullmatch(r"[A-Za-z0-9_-]{1,255}", m[1]) for m in ids)
    ok(c.cmd("COPY 1 Another"))
    assert "* SEARCH 1" in ok(c.cmd(f"SEARCH EMAILID {ids[0][1]}"))
    ok(c.cmd("SELECT Another"))
    assert ids[0][1] in ok(c.cmd("FETCH 1 EMAILID"))[0], "a copy is the same e-mail"
    ok(c.cmd("UNSELECT"))
    ok(c.cmd("DELETE Another"))


def test_rfc5258_and_5819_list(c):
    ok(c.cmd("CREATE Box/foo/bar"))
    lines = ok(c.cmd('LIST "" (Box Box/%) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))'))
    assert "* STATUS Box (MESSAGES 0 UNSEEN 0)" in lines
    assert any(r"\NonExistent" in x and x.endswith("Box/foo") for x in lines) and not any("STATUS Box/foo " in x for x in lines), "no STATUS of what cannot be selected"
    assert ok(c.cmd('LIST () "" Box')) and ok(c.cmd('LIST "" Box RETURN ()'))
    assert ok(c.cmd('LIST (REMOTE) "" Box'))
    for bad in ('LIST (RECURSIVEMATCH) "" "*"', 'LIST (RECURSIVEMATCH REMOTE) "" "%"', 'LIST (SUBSCRIBED XYZ) "" "*"'):
        assert c.cmd(bad)[1].startswith("BAD")
    ok(c.cmd("DELETE Box/foo/bar"))


def test_rfc7889_appendlimit(c):
    limit = re.search(r"APPENDLIMIT=(\d+)", ok(c.cmd("CAPABILITY"))[0])[1]
    assert f"* STATUS INBOX (APPENDLIMIT {limit})" in ok(c.cmd("STATUS INBOX (APPENDLIMIT)"))
    assert any(f"APPENDLIMIT {limit}" in x for x in ok(c.cmd('LIST "" INBOX RETURN (STATUS (APPENDLIMIT))')))
    c.send(f"a APPEND INBOX {{{int(limit) + 1}}}\r\n")
    assert c.until("a")[1].startswith("NO [TOOBIG]")


def test_rfc5255_i18nlevel_1(c):
    """Level 1: searching and sorting by i;unicode-casemap."""
    for subject in ("Straße", "STRASSE", "Ärger", "ärger", "zulu"):
        append(c, "Box", f"Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{subject}\r\n".encode())
    ok(c.cmd("SELECT Box"))
    assert "* SEARCH 3 4" in ok(c.cmd("SEARCH CHARSET UTF-8 SUBJECT {6+}\r\nÄRGER".encode()))
    assert "* SEARCH 3 4" in ok(c.cmd("SEARCH CHARSET UTF-8 BODY {6+}\r\närgeR".encode()))
    (sorted_,) = [x for x in ok(c.cmd("SORT (SUBJECT) UTF-8 ALL")) if x.startswith("* SORT")]
    assert sorted_.split()[2:4] == ["3", "4"] and sorted_.split()[-1] == "5"


def test_rfc3516_binary(c):
    message = crlf(b"""Content-Type: multipart/mixed; boundary=b

--b
Content-Type: image/png
Content-Transfer-Encoding: base64

AAECAwQF/w==
--b
Content-Type: text/plain
Content-Transfer-Encoding: x-odd

odd
--b--
""")
    append(c, "Box", message)
    ok(c.cmd("SELECT Box"))
    found, _ = fetch(c, 1, "BINARY.PEEK[1] BINARY.SIZE[1] BINARY.PEEK[1]<1.3>")
    assert found[1]["BINARY[1]"] == bytes([0, 1, 2, 3, 4, 5, 255]) and found[1]["BINARY.SIZE[1]"] == 7
    assert found[1]["BINARY[1]<1>"] == bytes([1, 2, 3])
    assert "UNKNOWN-CTE" in no(c.cmd("FETCH 1 BINARY.PEEK[2]")[1]) and "UNKNOWN-CTE" in no(c.cmd("FETCH 1 BINARY.SIZE[2]")[1])


def test_rfc9051_what_is_new(session, c):
    r2 = session()
    ok(r2.cmd("ENABLE IMAP4rev2"))
    lines, done = r2.cmd("SELECT Box")
    assert any(re.match(r'\* LIST \([^)]*\) "/" Box', x) for x in lines) and not any("RECENT" in x for x in lines)
    assert not any("[UNSEEN" in x for x in lines) and any("[UIDNEXT" in x for x in lines)
    assert r2.cmd("SELECT Nowhere")[1].startswith("NO")
    assert r2.cmd("FETCH 1 FLAGS")[1].startswith("BAD"), "the failed SELECT has left no mailbox selected"
    append(r2, "Box", b"Subject: x\r\n\r\nx\r\n")
    ok(r2.cmd("SELECT Box"))
    assert esearch(r2.cmd("SEARCH ALL")) == "ALL 1" and esearch(r2.cmd("UID SEARCH DELETED")) == "UID"
    status = "".join(ok(r2.cmd("STATUS Box (MESSAGES DELETED SIZE)")))
    assert all(x in status for x in ("MESSAGES 1", "DELETED 0", "SIZE 17"))
    assert any(x.startswith("* OK [CLOSED]") for x in ok(r2.cmd("SELECT INBOX"))), "one mailbox was left for another"
