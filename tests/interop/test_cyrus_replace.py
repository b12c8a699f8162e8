"""Cyrus's own mupdate server replaced in a running murder, by the very words of docs/operations.md."""
import os
import re
import subprocess
import textwrap

import pytest

from cyrus_murder import CyrusMurder, available, deliver, ok, records
from mupdate import Mupdate
from roost import ROOST, Daemon, free_port, http, wait_for

USERS = [f"u{n}" for n in range(1, 9)]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.skipif(not available(), reason="no Cyrus murder is installed, or not root")


class Page:
    """The section's indented blocks, with the places and addresses of this machine."""

    def __init__(self, **places):
        with open(TOP + "/docs/operations.md") as f:
            section = f.read().split("\n## Replacing a Cyrus mupdate server\n")[1].split("\n## ")[0]
        self.blocks = [textwrap.dedent(b) for b in re.findall(r"(?m)(?:^ {8}.*\n)+", section)]
        for a, b in places.items():
            assert any(a in block for block in self.blocks), a
        self.blocks = [self.local(block, places) for block in self.blocks]

    @staticmethod
    def local(block, places):
        for a, b in places.items():
            block = block.replace(a, b)
        return block

    def block(self, *words):
        return next(b for b in self.blocks if all(w in b for w in words))

    def run(self, *words):
        """A block of commands; the output. CalledProcessError."""
        env = {**os.environ, "PATH": os.path.dirname(ROOST) + ":" + os.environ["PATH"]}
        out = ""
        for line in self.block(*words).splitlines():
            out += subprocess.run(["sh", "-c", line], input="secret\n", stdout=subprocess.PIPE, text=True, env=env, timeout=60,
                                  check=True).stdout
        return out


@pytest.fixture
def murder(request):
    before = request.session.testsfailed
    m = CyrusMurder(None, users=USERS).start()
    yield m
    if request.session.testsfailed > before:
        print(m.tails())
    m.stop()


def test_it_goes_word_for_word(murder, tmp_path):
    m = murder
    admin = m.imap("cyrus")
    for n, user in enumerate(USERS[:6]):
        ok(admin.create(f"user/{user} backend{'ab'[n % 2]}!default"))
        ok(m.imap(user).create("INBOX/Sent"))
        assert deliver(m, user, "before") == 250
    before = records(m, "cyrus")
    pids = {i.name: i.process.pid for i in m.all}
    page = Page(**{"192.0.2.10:3905": f"127.0.0.1:{m.mupdate_port}", "192.0.2.10:8080": f"127.0.0.1:{free_port()}",
                   "127.0.0.1:3906": f"127.0.0.1:{free_port()}", "127.0.0.1:8081": f"127.0.0.1:{free_port()}",
                   "mupdate_port: 3905": f"mupdate_port: {m.mupdate_port}", "192.0.2.10": "127.0.0.1",
                   "/etc/roost": f"{tmp_path}/etc", "/var/lib/roost": f"{tmp_path}/lib", "/var/tmp": str(tmp_path),
                   "the password of frontend": "secret"})
    for path in ("etc", "lib"):
        (tmp_path / path).mkdir()
    configs = {name: page.block("configdirectory", word) for name, word in (
        ("mupdate", "members-backenda"), ("follow", "mupdate_server"))}
    for name, text in configs.items():
        path = tmp_path / "etc" / f"{name}.conf"
        path.write_text(text)
        path.chmod(0o600)
    page.run("roost user add")
    daemons = {}
    for name, text in configs.items():
        values = dict(line.split(": ", 1) for line in text.splitlines())
        daemons[name] = Daemon(str(tmp_path / "etc"), "mupdate", name, values)
    daemons["follow"].start()

    def is_whole():
        try:
            return page.run("curl")
        except subprocess.CalledProcessError:
            return False
    wait_for(is_whole, "the copy is whole")

    ok(m.imap("u1").create("INBOX/late"))
    m.d.kill()
    assert m.imap("u1").create("INBOX/refused")[0] == "NO"
    assert deliver(m, "u1", "between") == 250
    assert daemons["follow"].stop() == 0, daemons["follow"].tail()
    out = page.run("roost mupdate export")
    assert int(out.split()[0]) >= len(before), out
    daemons["mupdate"].start()
    wait_for(lambda: Mupdate(m, "admin").close() or True, "the new mupdate server serves")
    # What was made just before the stop Cyrus may not have told.
    assert {**records(m), "user.u1.late": None} == {**before, "user.u1.late": None}
    for backend in (m.a1, m.b):
        assert backend.run("ctl_mboxlist", "-m").returncode == 0
    assert records(m) == {**before, "user.u1.late": ("MAILBOX", "backenda!default")}

    def follows():
        text = http(daemons["mupdate"].values["admin_listen"], "/metrics")[1]
        return "\nroost_directory_followers 1\n" in text and b"INBOX/late" in b" ".join(ok(m.imap("u1").list('""', "*")))
    wait_for(follows, "the frontend follows the new server", 30)
    c = m.imap("u2")
    ok(c.select("INBOX/Sent"))
    ok(c.create("INBOX/new"))
    ok(c.rename("INBOX/new", "INBOX/newer"))
    ok(c.delete("INBOX/newer"))
    ok(admin.create("user/u7 backendb!default"))
    assert deliver(m, "u7", "after") == 250
    for user in USERS[:6]:
        assert deliver(m, user, "after") == 250
        assert ok(m.imap(user).select("INBOX")) == [b"3" if user == "u1" else b"2"]

    # Nothing else was touched.
    assert m.config_hashes() == m.hashes
    for i in (m.a1, m.b, m.f):
        assert i.process.pid == pids[i.name] and i.process.poll() is None and "signaled to death" not in i.text()
    # And back: Cyrus's server with the list that it had, mended by the backends.
    assert daemons["mupdate"].stop() == 0, daemons["mupdate"].tail()
    m.d.start()
    wait_for(lambda: Mupdate(m, "cyrus").close() or True, "Cyrus's server serves again")
    for backend in (m.a1, m.b):
        assert backend.run("ctl_mboxlist", "-m").returncode == 0
    assert {"user.u7", "user.u1.late"} <= set(records(m, "cyrus"))
