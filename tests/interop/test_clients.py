"""Stock clients through the frontend: curl, mbsync, mutt."""
import mailbox
import os
import pty
import random
import re
import select
import subprocess
import time

from local import password_of
from mail import Source
from roost import wait_for

FOLDERS = 50
MESSAGES = 5000


def address(murder):
    return murder.info["frontends"][0]["imap"]


def curl(murder, user, path, *args, code=0):
    r = subprocess.run(["curl", "-sS", "--max-time", "30", f"imap://{address(murder)}/{path}", "-u", f"{user}:{password_of(user)}", *args],
                       capture_output=True)
    assert r.returncode == code, (r.returncode, r.stderr)
    return r.stdout


def test_curl(murder, tmp_path):
    message = b"From: a@example.org\r\nSubject: by curl\r\n\r\nIt is here.\r\n"
    (tmp_path / "m.eml").write_bytes(message)
    curl(murder, "cleo", "INBOX", "-T", str(tmp_path / "m.eml"))
    assert b"INBOX" in curl(murder, "cleo", "")
    assert curl(murder, "cleo", "INBOX;MAILINDEX=1") == message
    assert curl(murder, "cleo", "INBOX;MAILINDEX=1;SECTION=HEADER.FIELDS%20(SUBJECT)").strip() == b"Subject: by curl"
    assert curl(murder, "cleo", "INBOX?SUBJECT%20curl").strip() == b"* SEARCH 1"
    assert curl(murder, "cleo", "INBOX?SUBJECT%20nothing").strip() == b"* SEARCH"
    curl(murder, "cleo", "Nowhere;MAILINDEX=1", code=67)
    assert subprocess.run(["curl", "-sS", f"imap://{address(murder)}/", "-u", "cleo:wrong"], capture_output=True).returncode == 67


class Sync:
    """A Maildir++ tree and its mbsync configuration."""

    def __init__(self, murder, user, directory):
        host, port = address(murder).rsplit(":", 1)
        self.root, self.state = directory / "Mail", directory / "state"
        self.root.mkdir()
        self.state.mkdir()
        self.rc = directory / "mbsyncrc"
        self.rc.write_text(f"""IMAPAccount roost
Host {host}
Port {port}
User {user}
Pass {password_of(user)}
SSLType None
AuthMechs PLAIN LOGIN

IMAPStore far
Account roost

MaildirStore near
Path {self.root}/
Inbox {self.root}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
Sync All
SyncState {self.state}/
CopyArrivalDate yes
""")

    def run(self):
        r = subprocess.run(["mbsync", "-c", str(self.rc), "-a"], capture_output=True, text=True, timeout=240)
        assert r.returncode == 0, r.stdout + r.stderr

    def box(self, name):
        for sub in ("cur", "new", "tmp"):
            os.makedirs(self.root / name / sub, exist_ok=True)
        return mailbox.Maildir(str(self.root / name), create=False)

    def content(self):
        """Folder to the sorted (mark, flags) of its messages."""
        out = {}
        for path, dirs, _ in os.walk(self.root):
            if "cur" not in dirs:
                continue
            found = []
            for sub in ("cur", "new"):
                for name in os.listdir(os.path.join(path, sub)):
                    with open(os.path.join(path, sub, name), "rb") as f:
                        mark = re.search(rb"X-Roost-Test: (\S+)", f.read()).group(1).decode()
                    flags = name.rsplit(",", 1)[1] if ":2," in name else ""
                    found.append((mark, "".join(sorted(set(flags) - set("T")))))
            out[os.path.relpath(path, self.root)] = sorted(found)
        return out


def add(sync, folder, source, flags="S"):
    mark, data = source.take()
    m = mailbox.MaildirMessage(data.replace(b"\r\n", b"\n"))
    m.set_subdir("cur")
    m.set_flags(flags)
    sync.box(folder).add(m)
    return mark


def test_mbsync_both_ways(murder, tmp_path):
    rng = random.Random(7)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    near, other = Sync(murder, "dave", tmp_path / "a"), Sync(murder, "dave", tmp_path / "b")
    folders = ["INBOX"] + [f"List{i}" for i in range(30)] + [f"Tree/b{i}/c{k}" for i in range(3) for k in range(5)] + ["Tree", "Tree/b0", "Tree/b1", "Tree/b2"]
    assert len(folders) == FOLDERS
    source = Source(7, "mb")
    for i in range(MESSAGES):
        add(near, folders[i % FOLDERS], source, rng.choice(["", "S", "RS", "FS"]))
    near.run()
    other.run()
    assert near.content() == other.content()
    assert sum(len(v) for v in other.content().values()) == MESSAGES

    # Changes on both sides: new mail and a new folder here, deletions and flags there.
    for i in range(50):
        add(near, rng.choice(folders), source)
    add(near, "New folder", source, "FS")
    c = murder.imap("dave")
    for folder in rng.sample(folders, 10):
        assert c.select(f'"{folder}"')[0] == "OK"
        assert c.store("1:3", "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert c.store("5:9", "+FLAGS", r"(\Flagged)")[0] == "OK"
        assert c.expunge()[0] == "OK"
    mark, data = source.take()
    assert c.append("Tree/b1", r"(\Answered)", None, data)[0] == "OK"
    c.logout()
    box = near.box("List3")
    for key in sorted(box.keys())[:5]:
        box.remove(key)
    near.run()
    other.run()
    near.run()
    a, b = near.content(), other.content()
    assert a == b
    assert "New folder" in b and any(m == mark for m, _ in b["Tree/b1"])
    assert sum(len(v) for v in b.values()) == MESSAGES + 50 + 1 + 1 - 10 * 3 - 5


def play(argv, env, seconds=40):
    """Run a full-screen program on a terminal of its own until it ends; what it showed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, env)
    shown, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if fd in select.select([fd], [], [], 0.2)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            shown += data
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown


def test_mutt_reads_and_files(murder, tmp_path):
    c = murder.imap("eve")
    for i in range(3):
        c.append("INBOX", None, None, b"From: a@example.org\r\nSubject: letter %d\r\n\r\nBody number %d.\r\n" % (i, i))
    rc = tmp_path / "muttrc"
    rc.write_text(f"""set imap_user=eve
set imap_pass={password_of("eve")}
set folder=imap://{address(murder)}/
set spoolfile=imap://{address(murder)}/INBOX
set ssl_starttls=no ssl_force_tls=no
set imap_idle=no confirmcreate=no confirmappend=no delete=yes quit=yes move=no wait_key=no pager_stop
unset header_cache message_cachedir
push "<first-entry><pipe-message>cat >{tmp_path}/read<enter><save-message>=Filed<enter><sync-mailbox><change-folder>=Filed<enter><flag-message><sync-mailbox><quit>"
""")
    env = dict(os.environ, TERM="xterm", HOME=str(tmp_path), LINES="40", COLUMNS="120")
    status, shown = play(["mutt", "-n", "-F", str(rc)], env)
    text = shown.decode("utf-8", "replace")
    assert status == 0, text[-2000:]
    assert "Body number 0" in (tmp_path / "read").read_text(), text[-2000:]

    def filed():
        assert c.select("Filed")[0] == "OK"
        return c.search(None, "FLAGGED", "SUBJECT", '"letter 0"')[1] == [b"1"]
    wait_for(filed, "mutt has filed it", 10)
    c.select("INBOX")
    assert len(c.search(None, "ALL")[1][0].split()) == 2
    c.logout()
