"""The mupdate server's grammar, attacked: every command with every argument missing, doubled, too long, of the wrong type,
before authentication and after UPDATE; names of every octet. Answers are RFC 3656's, nothing changes, the session goes on
(or is told BYE), and the server's memory stays where it was.
"""
import re

import pytest

from mupdate import Directory, Mupdate, is_plain, state

MAX_STRING = 4096
LOCATION = "backenda!default"
BAD = r't BAD "([^"\\]|\\.)+"$'

# Command: its arguments, right ones; how many of them must be there; whether it is legal in an update session.
COMMANDS = {
    "ACTIVATE": (["user.bad", LOCATION, "fred lr"], 3, False),
    "DEACTIVATE": (["user.bad", LOCATION], 2, False),
    "DELETE": (["user.bad"], 1, False),
    "FIND": (["user.bad"], 1, False),
    "LIST": (["backenda"], 0, False),
    "NOOP": ([], 0, True),
    "RESERVE": (["user.bad", LOCATION], 2, False),
    "XFRONTEND": (["front1", "a:1", "a:2", "a:3"], 4, True),
    "XJOIN": (["backenda", "backenda1", "a:1", "a:2", "a:3", "a:4", "0", "", ""], 9, False),
    "XPROMOTE": (["backenda", ""], 2, True),
    "XREIGN": (["backenda", "1", "backenda1", "backenda1"], 4, True),
    "XWATCH": ([], 0, True),
}
# Where POP3 is served comes one more.
AND_ONE = {"XFRONTEND": ["a:4"], "XJOIN": ["a:5"]}
WITH_ARGUMENTS = [(verb, i) for verb, (args, _, _) in COMMANDS.items() for i in range(len(args))]


@pytest.fixture(scope="module")
def server():
    m = Directory(mupdate_max_string=str(MAX_STRING), log_level="info").start()
    c = Mupdate(m, "admin")
    c.ok("ACTIVATE", "user.kept", LOCATION, "fred lrs")
    c.close()
    before = m.rss()
    yield m
    c = Mupdate(m, "admin")
    assert len(c.ok("LIST")) == 1 and state(c, "user.kept") == ("MAILBOX", LOCATION), "nothing has changed"
    c.close()
    if is_plain():
        assert m.rss() - before < 8 << 20
    m.stop()


@pytest.fixture
def c(server):
    c = Mupdate(server, "admin")
    yield c
    c.close()


def literal(text):
    octets = text if isinstance(text, bytes) else text.encode()
    return b"{%d+}\r\n%s" % (len(octets), octets)


def line(tag, verb, args):
    return b" ".join([tag, verb.encode(), *args]) + b"\r\n"


def goes_on(c):
    assert c.cmd("NOOP")[1].startswith("OK"), "the session goes on"


def is_bad(c, verb, args):
    c.send(line(b"t", verb, args))
    assert re.match(BAD, c.record()), (verb, args)
    goes_on(c)


@pytest.mark.parametrize("verb", COMMANDS)
def test_arguments_missing(c, verb):
    args, least, _ = COMMANDS[verb]
    for n in range(least):
        is_bad(c, verb, [literal(a) for a in args[:n]])
        for blanks in (b" ", b"    "):
            c.send(b"t " + b" ".join([verb.encode(), *map(literal, args[:n])]) + blanks + b"\r\n")
            assert c.record().startswith("t BAD")
            goes_on(c)


@pytest.mark.parametrize("verb", COMMANDS)
def test_one_argument_more(c, verb):
    args = COMMANDS[verb][0] + AND_ONE.get(verb, [])
    for i in range(len(args)):
        is_bad(c, verb, [literal(a) for a in [*args[:i + 1], *args[i:]]])
    for extra in ("x", "", LOCATION):
        is_bad(c, verb, [literal(a) for a in [*args, extra]])
    is_bad(c, verb, [literal("x")] * 32)
    is_bad(c, verb, [literal("x")] * 33)
    is_bad(c, verb, [b'""'] * 1000)


@pytest.mark.parametrize("verb,i", WITH_ARGUMENTS)
def test_an_argument_of_the_wrong_type(c, verb, i):
    args = [literal(a) for a in COMMANDS[verb][0]]
    for wrong in (b"atom", b"1", b"NIL", b"(list)", b"()", b"\\Seen", b"*", b"%", b"]", b"{", b"}", b"{}", b"{+}", b"{1", b"{-1}", b"{1-}",
                  b"{1x}", b"{x}", b"{1}x", b"{1 }", b"{ 1}", b"{1++}", b"{99999999999999999999}", b"{18446744073709551616+}", b"~{1}",
                  b'"', b'"open', b'"a"b"', b'"a""b"', b'"a\\n"', b'"a\\', b'"a\\\r"', b'"a\rb"', b'"a\0b"', b"'a'",
                  b'"a"\x00', b"\x01", b"\x7f", b"\x00", b"\xff\xfe", b"a\tb", b'"a"\t"b"', literal(b"a\0b"), literal(b"\0")):
        is_bad(c, verb, [*args[:i], wrong, *args[i + 1:]])


@pytest.mark.parametrize("verb,i", WITH_ARGUMENTS)
def test_an_argument_too_long(server, c, verb, i):
    args = [literal(a) for a in COMMANDS[verb][0]]
    # Announced by a literal that waits: it need not be sent, and the session goes on.
    for n in (MAX_STRING + 1, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64 - 1):
        c.send(line(b"t", verb, [*args[:i], b"{%d}" % n]))
        assert re.match(BAD, c.record())
        goes_on(c)
    # On its way: the connection ends, with a word.
    for wrong in (literal("x" * (MAX_STRING + 1)), b"{%d+}\r\n" % (2 ** 64 - 1), b'"%s"' % (b"x" * (MAX_STRING + 1)), b'"%s' % (b"x" * 100000),
                  b"x" * 300000):
        d = Mupdate(server, "admin")
        try:
            d.send(line(b"t", verb, [*args[:i], wrong, *args[i + 1:]]))
        except OSError:
            pass  # it has closed already
        end = d.ends()
        assert re.search(r'(?m)^(\* BYE "[^"]+"|t BAD "[^"]+"\r\n\* BYE "[^"]+")\r$', end) or end.endswith("(reset)"), end
        d.close()


def test_as_long_as_may_be(c):
    long = "x" * MAX_STRING
    for verb in ("ACTIVATE", "DEACTIVATE", "DELETE", "RESERVE"):
        args = COMMANDS[verb][0]
        c.no(verb, long, *args[1:])  # no mailbox's name is so long
        c.no(verb, "n" * 512, *args[1:])
        c.no(verb, "", *args[1:])
    for name in (long, "n" * 511, "n" * 512, ""):
        assert c.ok("FIND", name) == []
    assert c.ok("LIST", long) == [] and len(c.ok("LIST", "")) == 1
    name = "n" * 511
    c.ok("ACTIVATE", name, long, long)
    assert state(c, name) == ("MAILBOX", long)
    c.ok("RESERVE", name, long)
    c.ok("DEACTIVATE", name, long)
    c.ok("DELETE", name)
    assert state(c, name) is None


def test_update_with_wrong_filters(server):
    for args in ([b"atom"], [b'"open'], [b'"x"'] * 33, [b'"x"'] * 1000, [b"{%d}" % (MAX_STRING + 1)], [b'"a" atom'], [b"{4+}\r\na\0bc"]):
        c = Mupdate(server, "admin")
        is_bad(c, "UPDATE", args)
        assert len(c.follow()) == 1, "it may yet follow"
        c.close()
    # As many as may be, doubled, of any octet: they match nothing, or what they match once.
    for args, count in (([b'"x"'] * 32, 0), ([b'"backenda"'] * 32, 1), ([literal(bytes([o])) for o in (1, 9, 37, 42, 127, 128, 255)], 0), ([b'""'], 1)):
        c = Mupdate(server, "admin")
        c.send(line(b"u", "UPDATE", args))
        lines, done = c.until("u")
        assert done.startswith("OK") and len(lines) == count, (args, lines)
        c.close()


def test_arguments_where_there_are_none(c):
    for verb in ("LOGOUT", "NOOP", "XWATCH", "STARTTLS"):
        is_bad(c, verb, [b'"x"'])
        is_bad(c, verb, [literal("x" * MAX_STRING)])


def test_a_location_that_is_none(server, c):
    own = Mupdate(server, "backenda")
    for x in (c, own):
        for verb in ("RESERVE", "ACTIVATE", "DEACTIVATE"):
            x.no(verb, "user.nowhere", "", *COMMANDS[verb][0][2:])
    for where in ("!", "!default", "backendb!default", "xbackenda!default", "backend!default", "backenda"):
        done = own.do("RESERVE", "user.nowhere", where)[1]
        assert done.startswith("OK" if where == "backenda" else "NO"), where
    own.ok("DELETE", "user.nowhere")
    own.close()
    assert state(c, "user.nowhere") is None


@pytest.mark.parametrize("verb,i", WITH_ARGUMENTS)
def test_each_way_to_write_a_string(server, verb, i):
    """Quoted, as a literal, as a literal that waits: the answer is the same."""
    args = COMMANDS[verb][0]
    ways = [literal(args[i]), b'"' + args[i].encode() + b'"', b'"' + "".join("\\" + x if x in '\\"' else x for x in args[i]).encode() + b'"', None]
    answers = set()
    for way in ways:
        c = Mupdate(server, "frontend")
        head = line(b"t", verb, [*map(literal, args[:i])])[:-2]
        rest = b"".join(b" " + literal(a) for a in args[i + 1:]) + b"\r\n"
        if way is None:
            c.send(head + b" {%d}\r\n" % len(args[i].encode()))
            assert c.record().startswith("+ ")
            c.send(args[i].encode() + rest)
        else:
            c.send(head + b" " + way + rest)
        answers.add(c.until("t")[1])
        c.close()
    assert len(answers) == 1, answers


def test_quoted_escapes(c):
    name = 'user.quo"te\\d'
    c.send(b't RESERVE "user.quo\\"te\\\\d" "backenda!default"\r\n')
    assert c.record().startswith("t OK")
    assert len(c.ok("FIND", name)) == 1
    c.send(b't DELETE "user.quo\\"te\\\\d"\r\n')
    assert c.record().startswith("t OK")


@pytest.mark.parametrize("verb", [*COMMANDS, "UPDATE", "LOGOUTX", "RENAME", "XNOSUCH"])
def test_before_authentication(server, verb):
    args, _, _ = COMMANDS.get(verb, ([], 0, False))
    c = Mupdate(server)
    for way in ([literal(a) for a in args], [], [b"atom"], [b'"']):
        c.send(line(b"t", verb, way))
        assert c.record().startswith("t BAD " if way == [b'"'] else "t NO "), "RFC 3656 section 4"
    assert c.auth("admin")[1].startswith("OK"), "it may yet authenticate"
    c.close()


def test_who_has_not_authenticated_gets_little(server):
    c = Mupdate(server)
    c.send(b"t LIST" + b' "%s"' % (b"x" * 4000) * 15)
    assert re.search(r'\* BYE "[^"]+"\r\n', c.ends())
    c.close()
    c = Mupdate(server)
    for i in range(10):
        c.send(b"t NOOP\r\n")
    end = c.ends()
    assert end.count("t NO") == 10 and re.search(r'\* BYE "[^"]+"\r\n$', end)
    c.close()


@pytest.mark.parametrize("args,answer", [
    (b"", "BAD"), (b'PLAIN', "BAD"), (b'PLAIN "AGEAYg=="', "BAD"), (b'"PLAIN" AGEAYg==', "BAD"), (b'"PLAIN" "AGEAYg==" "x"', "BAD"),
    (b'"NOSUCH"', "NO"), (b'""', "NO"), (b'"PLAIN\\n"', "BAD"), (b'"PLAIN" "*"', "NO"), (b'"PLAIN" "!!!"', "NO"), (b'"PLAIN" "A"', "NO"),
    (b'"PLAIN" ""', "NO"), (b'"PLAIN" "AAAA"', "NO"), (b'"PLAIN" "AGFkbWluAA=="', "NO"), (b'"SCRAM-SHA-256" "AAAA"', "NO"),
    (b'"PLAIN" "%s"' % (b"QUFB" * 900), "NO"), (b'"PLAIN" {3}\r\n', "+"), (b'"%s"' % (b"x" * 4000), "NO"),
])
def test_authenticate_with_wrong_arguments(server, args, answer):
    c = Mupdate(server)
    c.send(b"t AUTHENTICATE" + (b" " if args else b"") + args + (b"" if args.endswith(b"\n") else b"\r\n"))
    got = c.record()
    if answer == "+":
        assert got.startswith("+ ")
        c.send(b"AA=\r\n")
        got, answer = c.record(), "NO"
    assert got.startswith(f"t {answer} "), got
    assert c.auth("admin")[1].startswith("OK")
    c.close()


@pytest.mark.parametrize("answer", [b"*", b'"*"', b"!", b"A", b"", b'"', b"{1}", b"{4+}\r\nAAA=", b"x y", b"\xff", b"{", b'"AAAA"', b"x" * 20000])
def test_wrong_words_within_authenticate(server, answer):
    c = Mupdate(server)
    c.send(b't AUTHENTICATE "PLAIN"\r\n')
    c.record()
    c.send(answer + b"\r\n")
    got = c.record()
    if got.startswith("+ "):
        c.send(b"*\r\n")
        got = c.record()
    assert got.startswith("t NO ")
    assert c.auth("admin")[1].startswith("OK")
    c.close()


def test_a_login_in_every_form(server):
    words = "AGFkbWluAHNlY3JldA=="
    for answer in (words, f'"{words}"', f"{{{len(words)}+}}\r\n{words}"):
        c = Mupdate(server)
        c.send('t AUTHENTICATE "PLAIN"\r\n')
        assert c.line() == ""
        c.send(answer + "\r\n")
        assert c.record().startswith("t OK")
        c.close()
    c = Mupdate(server)
    c.send('t AUTHENTICATE "PLAIN"\r\n')
    c.line()
    c.send(f"{{{len(words)}}}\r\n")
    assert c.line().startswith("+ ")
    c.send(words + "\r\n")
    assert c.record().startswith("t OK")
    c.close()


def test_endless_words_within_authenticate(server):
    for start in (b"", b'"', b"{9}\r\n", b"{999999999+}\r\n"):
        c = Mupdate(server)
        c.send(b't AUTHENTICATE "PLAIN"\r\n')
        c.line()
        try:
            c.send(start + b"A" * 500000)
        except OSError:
            pass
        end = c.ends()
        assert re.search(r'\* BYE "[^"]+"\r\n$', end) or end.endswith("(reset)"), end
        c.close()


def test_after_update(server, c):
    other = Mupdate(server, "admin")
    assert len(c.follow()) == 1
    for verb, (args, _, is_legal) in [*COMMANDS.items(), ("UPDATE", ([], 0, False)), ("AUTHENTICATE", (["PLAIN", "AGEAYg=="], 1, False)),
                                      ("STARTTLS", ([], 0, False)), ("NOSUCH", ([], 0, False))]:
        if is_legal:
            continue
        is_bad(c, verb, [literal(a) for a in args])
        is_bad(c, verb, [])
    other.ok("RESERVE", "user.seen", LOCATION)
    assert c.record() == f'u RESERVE "user.seen" "{LOCATION}"'
    other.ok("DELETE", "user.seen")
    assert c.record() == 'u DELETE "user.seen"'
    other.close()


def test_an_account_of_nobodys_writes_nothing(server):
    c = Mupdate(server, "frontend")
    for verb in ("ACTIVATE", "DEACTIVATE", "DELETE", "RESERVE"):
        c.no(verb, *["user.kept", *COMMANDS[verb][0][1:]])
    c.no("XREIGN", *COMMANDS["XREIGN"][0])
    c.no("XJOIN", *COMMANDS["XJOIN"][0])
    c.close()


def test_names_of_every_octet(server, c):
    follower = Mupdate(server, "frontend")
    follower.follow()
    for octet in range(1, 256):
        name = b"user.%c.%c" % (octet, octet)
        for form in (name, bytes([octet]), name * 60):
            shown = form.decode("utf-8", "surrogateescape")
            c.ok("RESERVE", form, LOCATION)
            assert c.ok("FIND", form)[0].endswith(f' RESERVE "{shown}" "{LOCATION}"')
            c.ok("ACTIVATE", form, form, form)
            assert c.ok("FIND", form)[0].endswith(f' MAILBOX "{shown}" "{shown}" "{shown}"')
            assert any(f'"{shown}" "{shown}"' in x for x in c.ok("LIST", form))
            c.ok("DELETE", form)
            assert follower.record() == f'u RESERVE "{shown}" "{LOCATION}"'
            assert follower.record() == f'u MAILBOX "{shown}" "{shown}" "{shown}"'
            assert follower.record() == f'u DELETE "{shown}"'
    follower.close()


def test_tags(c):
    for tag in (b"a", b"x" * 64, b"1", b"A.B-C", b"\xc3\xa9"):
        c.send(tag + b" NOOP\r\n")
        assert c.record().startswith(tag.decode() + " OK")
    for head in (b"x" * 65 + b" NOOP", b" NOOP", b"\x7f NOOP", b"\x01 NOOP", b"a\x01b NOOP", b"a", b"a ", b"a\tNOOP", b'a "NOOP"', b"a {4+}", b"",
                 b"a  NOOP", b"a NOOP\0", b"\0"):
        c.send(head + b"\r\n")
        assert re.match("[^ ]+" + BAD[1:], c.record()), head
        if head == b"a {4+}":
            c.send(b"NOOP\r\n")
            assert " BAD " in c.record()
        goes_on(c)


def test_ten_wrong_lines_and_what_is_behind_them(server):
    c = Mupdate(server, "admin")
    c.send(b"t NOSUCH\r\n" * 10 + line(b"r", "RESERVE", [literal("user.behind"), literal(LOCATION)]))
    end = c.ends()
    assert end.count("t BAD") == 10 and re.search(r'\* BYE "[^"]+"\r\n$', end) and "r OK" not in end
    c.close()


def test_answers_keep_the_order_of_commands(c):
    """Also where some are refused at once and others wait for the disk."""
    for i in range(50):
        c.send(line(b"a%d" % i, "RESERVE", [literal(f"user.order{i}"), literal(LOCATION)]) + line(b"b%d" % i, "RESERVE", [b"atom"]) +
               line(b"c%d" % i, "RESERVE", [b'"']) + line(b"d%d" % i, "RESERVE", [literal(""), literal(LOCATION)]) +
               line(b"e%d" % i, "DELETE", [literal(f"user.order{i}")]))
    for i in range(50):
        for letter, word in zip("abcde", ("OK", "BAD", "BAD", "NO", "OK")):
            assert c.record().startswith(f"{letter}{i} {word} ")
