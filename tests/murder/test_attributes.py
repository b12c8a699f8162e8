r"""Metadata and special uses across failovers: what was acknowledged is there at the next master, at a member that had been away, and at one that takes a
copy; both members' dumps are equal. And LIST while the server that knows what mailboxes are for is away."""
import re
import shutil
import time

from local import ADMIN, LocalMurder
from roost import Raw, wait_for


def ok(answer):
    lines, done = answer
    assert done.startswith("OK"), answer
    return lines


def connect(m, user="fred"):
    host, port = m.info["frontends"][0]["imap"].rsplit(":", 1)
    return Raw(int(port), timeout=60).login(user, ADMIN if user == "admin" else "pw-" + user)


def value(c, mailbox, name):
    text = "\n".join(ok(c.cmd(f"GETMETADATA {mailbox} {name}")))
    return re.search(r'\(%s (?:"(.*)"|NIL)\)$' % re.escape(name), text).group(1)


def uses(c):
    found = {}
    for line in ok(c.cmd('LIST "" *')):
        m = re.match(r'\* LIST \((.*?)\) "/" (\S+)', line)
        mine = set(m.group(1).split()) & {r"\Sent", r"\Junk", r"\Archive"}
        if mine:
            found[m.group(2)] = mine
    return found


def take_over(m):
    old = m.wait_in_sync("backenda")
    m.kill(old)
    wait_for(lambda: m.master("backenda") not in (None, old), "the partner takes over", 30)
    return old


def partition_of(m, name):
    with open(m.daemon(name)["config"]) as f:
        return re.search(r"(?m)^partition-\S+: (\S+)", f.read()).group(1)


def test_what_is_set_survives():
    with LocalMurder(["fred"], pairs=1, restart=False) as m:
        c, admin = connect(m), connect(m, "admin")
        for command in (r"CREATE Gesendet (USE (\Sent))", "CREATE Sent", "CREATE Gone", 'SETMETADATA Gone (/shared/comment "x")',
                        'SETMETADATA INBOX (/private/comment "mine" /shared/comment "ours" /private/vendor/a/b "to be removed")',
                        'SETMETADATA "" (/private/vendor/a/b "server")'):
            ok(c.cmd(command))
        ok(admin.cmd('SETMETADATA "" (/shared/comment "everybody")'))
        text = "Subject: x\r\n\r\nx\r\n"
        ok(c.cmd(f'APPEND INBOX ANNOTATION (/comment (value.priv "annotated")) {{{len(text)}+}}\r\n{text}'))
        ok(c.cmd("SELECT INBOX"))
        ok(c.cmd("COPY * INBOX"))
        ok(c.cmd('STORE * ANNOTATION (/comment (value.shared "copied"))'))
        old = take_over(m)
        c = connect(m)
        assert [value(c, *x) for x in (("INBOX", "/private/comment"), ("INBOX", "/shared/comment"), ('""', "/private/vendor/a/b"),
                                       ('""', "/shared/comment"))] == ["mine", "ours", "server", "everybody"]
        assert uses(c) == {"Gesendet": {r"\Sent"}}
        ok(c.cmd("SELECT INBOX"))
        assert '(/comment (value.priv "annotated" value.shared "copied"))' in ok(c.cmd("FETCH * (ANNOTATION (/comment value))"))[0]
        # Meanwhile the other is away.
        for command in ("DELETE Gone", "RENAME Gesendet Raus", "SETMETADATA INBOX (/private/vendor/a/b NIL)",
                        r'SETMETADATA Sent (/private/specialuse "\\Archive")'):
            ok(c.cmd(command))
        m.revive(old)
        dump = m.dumps_equal("backenda")
        assert "name=/private/specialuse value=\\Sent\n" in dump and "value=everybody\n" in dump and "removed" not in dump
        assert dump.count("\nattribute ") == 9, dump
        # One that has nothing takes a copy.
        lost = m.replica("backenda")
        m.kill(lost)
        ok(c.cmd('SETMETADATA INBOX (/private/comment "while it had nothing")'))
        shutil.rmtree(partition_of(m, lost))
        m.revive(lost)
        assert "value=while%20it%20had%20nothing\n" in m.dumps_equal("backenda")
        take_over(m)
        c = connect(m)
        assert value(c, "INBOX", "/private/comment") == "while it had nothing"
        assert uses(c) == {"Raus": {r"\Sent"}, "Sent": {r"\Archive"}}
        for name in m.member_names("backenda"):
            m.roost("verify", "-C", m.daemon(name)["config"])
        # With nobody to ask LIST says what the names do, and does not wait for long.
        m.kill(m.master("backenda"))
        c, began = connect(m), time.monotonic()
        assert uses(c) == {"Sent": {r"\Sent"}}
        assert time.monotonic() - began < 8
