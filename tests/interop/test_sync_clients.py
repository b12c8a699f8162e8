"""Clients that keep copies, through the frontend: interimap (QRESYNC, LIST-STATUS, COMPRESS) between two accounts, offlineimap between a Maildir and an
account. A first time, after changes on both sides, and after each server has changed its master: nothing is lost, nothing is there twice."""
import mailbox
import os
import random
import re
import subprocess

from local import password_of
from mail import Source
from roost import wait_for


def address(murder):
    return murder.info["frontends"][0]["imap"].rsplit(":", 1)


def change_masters(murder):
    for server in murder.info["servers"]:
        old = murder.wait_in_sync(server)
        murder.roost("failover", server, "--murder", murder.dir)
        wait_for(lambda: murder.master(server) not in (None, old), f"{server} has another master", 20)


def box_names(c):
    return sorted(x.decode().rsplit(' "/" ', 1)[1].strip('"') for x in c.list()[1] if x and rb"\NonExistent" not in x)


def content(murder, user):
    """Mailbox to the sorted (mark, flags) of its messages."""
    c, found = murder.imap(user), {}
    for name in box_names(c):
        assert c.select(f'"{name}"', readonly=True)[0] == "OK", name
        rows = []
        for part in c.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (X-Roost-Test)])")[1]:
            if isinstance(part, tuple):
                flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])[1].decode().split()
                mark = re.search(rb"X-Roost-Test: (\S+)", part[1])
                assert mark, part
                rows.append((mark[1].decode(), tuple(sorted(set(flags) - {r"\Recent"}))))
        found[name] = sorted(rows)
    c.logout()
    return found


def add(c, name, source, flags):
    mark, data = source.take()
    typ, why = c.append(f'"{name}"', f"({' '.join(flags)})", None, data)
    assert typ == "OK", why
    return mark


def change(c, rng, source, names, marks):
    """Flags, removals and arrivals in some mailboxes; MARKS is what is there."""
    for name in rng.sample(names, 4):
        assert c.select(f'"{name}"')[0] == "OK"
        uids = c.uid("SEARCH", "ALL")[1][0].split()
        gone, flagged = uids[:2], uids[2:5]
        rows = c.uid("FETCH", b",".join(gone).decode(), "(BODY.PEEK[HEADER.FIELDS (X-Roost-Test)])")[1]
        marks -= {re.search(rb"X-Roost-Test: (\S+)", x[1])[1].decode() for x in rows if isinstance(x, tuple)}
        assert c.uid("STORE", b",".join(gone).decode(), "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert c.uid("STORE", b",".join(flagged).decode(), "+FLAGS", r"(\Flagged)")[0] == "OK"
        assert c.uid("EXPUNGE", b",".join(gone).decode())[0] == "OK"
        c.unselect()
        for _ in range(3):
            marks.add(add(c, name, source, [r"\Answered"]))


def all_marks(boxes):
    return [m for rows in boxes.values() for m, _ in rows]


def test_interimap(murder, tmp_path):
    rng, source, marks = random.Random(11), Source(11, "ii"), set()
    near, far = murder.imap("hal"), murder.imap("ida")
    names = ["INBOX", *(f"Box{i}" for i in range(5)), "Tree", "Tree/a", "Tree/a/b", "Gr&APwA3w-e"]
    for name in names[1:]:
        near.create(name)
    for name in names[1:4]:
        far.create(name)
    for i in range(120):
        marks.add(add(near if i % 3 else far, rng.choice(names if i % 3 else names[:4]), source, rng.choice([[], [r"\Seen"], [r"\Seen", r"\Flagged"], [r"\Draft"]])))
    host, port = address(murder)
    config = tmp_path / "config"
    sides = "".join(f"[{side}]\ntype = imap\nhost = {host}\nport = {port}\nSTARTTLS = NO\nauth = PLAIN\nusername = {user}\npassword = {password_of(user)}\ncompress = {compress}\n"
                    for side, user, compress in (("local", "hal", "NO"), ("remote", "ida", "YES")))
    config.write_text(f"database = {tmp_path}/hal.db\n{sides}")
    config.chmod(0o600)

    def run():
        r = subprocess.run(["interimap", f"--config={config}"], capture_output=True, text=True, timeout=120, env=dict(os.environ, HOME=str(tmp_path)))
        assert r.returncode == 0, r.stdout + r.stderr

    def is_same():
        a, b = content(murder, "hal"), content(murder, "ida")
        assert a == b
        assert sorted(all_marks(a)) == sorted(marks), "none is lost, none is there twice"
    run()
    is_same()
    for is_failover in (False, True):
        change(near, rng, source, names, marks)
        run()
        change(far, rng, source, names, marks)
        if is_failover:
            change(near, rng, source, names, marks)
            near.logout()
            far.logout()
            change_masters(murder)
        run()
        is_same()
    run()  # and nothing more is to be done
    is_same()


class Offline:
    """A Maildir tree and offlineimap's configuration."""

    def __init__(self, murder, user, directory):
        directory.mkdir()
        host, port = address(murder)
        self.root, self.rc = directory / "Mail", directory / "rc"
        self.home = directory
        self.rc.write_text(f"""[general]
accounts = a
metadata = {directory}/meta
fsync = False
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {self.root}
[Repository far]
type = IMAP
remotehost = {host}
remoteport = {port}
remoteuser = {user}
remotepass = {password_of(user)}
auth_mechanisms = PLAIN
ssl = no
starttls = no
sync_deletes = yes
expunge = yes
""")

    def run(self):
        r = subprocess.run(["offlineimap", "-c", str(self.rc), "-o", "-u", "basic"], capture_output=True, text=True, timeout=240, env=dict(os.environ, HOME=str(self.home)))
        assert r.returncode == 0 and "ERROR" not in r.stdout + r.stderr, r.stdout + r.stderr

    def boxes(self):
        return {name: mailbox.Maildir(str(self.root / name), create=False) for name in sorted(os.listdir(self.root))}

    def content(self):
        found = {}
        for name, box in self.boxes().items():
            rows = [(re.search(rb"X-Roost-Test: (\S+)", box.get_bytes(k))[1].decode(), box.get_message(k).get_flags()) for k in box.keys()]
            found[name] = sorted(rows)
        return found


def test_offlineimap(murder, tmp_path):
    rng, source, marks = random.Random(12), Source(12, "oi"), set()
    c = murder.imap("jon")
    names = ["INBOX", *(f"Box{i}" for i in range(5)), "Tree", "Tree/a"]
    for name in names[1:]:
        c.create(name)
    for _ in range(120):
        marks.add(add(c, rng.choice(names), source, rng.choice([[], [r"\Seen"], [r"\Seen", r"\Flagged"]])))
    a, b = Offline(murder, "jon", tmp_path / "a"), Offline(murder, "jon", tmp_path / "b")
    a.run()
    b.run()
    assert a.content() == b.content() and sorted(all_marks(a.content())) == sorted(marks)
    # Changes at the server, at one client, at the other; with other masters in between.
    for is_failover in (False, True):
        change(c, rng, source, names, marks)
        box = a.boxes()["Box1"]
        for _ in range(5):
            mark, data = source.take()
            box.add(mailbox.MaildirMessage(data.replace(b"\r\n", b"\n")))
            marks.add(mark)
        box = b.boxes()["Box2"]
        for k in sorted(box.keys())[:3]:
            marks.discard(re.search(rb"X-Roost-Test: (\S+)", box.get_bytes(k))[1].decode())
            box.remove(k)
        if is_failover:
            c.logout()
            change_masters(murder)
        for client in (a, b, a):
            client.run()
        assert a.content() == b.content()
        assert sorted(all_marks(a.content())) == sorted(marks), "none is lost, none is there twice"
        assert sorted(all_marks(content(murder, "jon"))) == sorted(marks)
