"""One server of any number of members with a frontend, started as a test wants: its status, its dumps, what goes between members."""
import json
import os
import subprocess

from load import USERS
from local import Lmtp
from roost import PASSWORD, ROOST, Daemon, Murder, free_port, http, wait_for


class Server(Murder):
    """Members backenda1 .. backendaN; none is started. A member in RELAYED dials the others through the relay given."""

    def __init__(self, count, limits=None, **more):
        names = [f"backenda{i + 1}" for i in range(count)]
        super().__init__(users=USERS, backends={"backenda": names}, limits={"log_level": "info", **(limits or {})}, **more)
        self.front = Daemon(self.dir, "frontend", "front1", {
            "member": "front1", "configdirectory": self.dir + "/front1", "users_file": self.users, "admins": "admin",
            "proxyservers": "frontend", "proxy_authname": "frontend", "proxy_password": PASSWORD,
            "mupdate_server": "127.0.0.1", "mupdate_port": self.mupdate_port, "mupdate_authname": "frontend",
            "mupdate_password": PASSWORD, "log_level": "info"})
        os.mkdir(self.dir + "/front1")
        for key in ("imap", "lmtp"):
            setattr(self.front, key, free_port())
            self.front.values[key + "_listen"] = f"127.0.0.1:{getattr(self.front, key)}"

    def begin(self, *members):
        """Start the mupdate server, a frontend, these members (default: the first), and make the users' INBOXes."""
        self.mupdate.start()
        for m in members or (self.first,):
            m.start()
        wait_for(self.master, "a member is master", 30)
        self.front.start()
        wait_for(lambda: self.imap("admin"), "the frontend serves", 30).logout()
        for u in USERS:
            wait_for(lambda: self.imap("admin").create("user/" + u)[0] == "OK", f"{u} is created")
        return self

    def imap(self, user, password=PASSWORD, member=None, mailbox=None):
        return super().imap(user, password, member or self.front, mailbox)

    def lmtp(self):
        return Lmtp(f"127.0.0.1:{self.front.lmtp}")

    def status(self, member):
        code, body = http(f"127.0.0.1:{member.admin}", "/status.json")
        return json.loads(body) if code == 200 else {}

    def alive(self):
        return [m for m in self.members.values() if m.process]

    def master(self):
        """The member that serves; None: nobody does."""
        return next((m for m in self.alive() if http(f"127.0.0.1:{m.admin}", "/role")[0] == 200), None)

    def in_sync(self):
        m = self.master()
        return set(self.status(m).get("in_sync", "").split()) if m else set()

    def wait_in_sync(self, count, timeout=60):
        try:
            wait_for(lambda: len(self.in_sync()) == count, f"{count} are in sync", timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(f"{m.name}: {self.status(m)}\n{m.tail()}" for m in self.alive())) from None

    def wait_out(self, member):
        """MEMBER, which was ended, is no longer in sync: what is told of it from now on is of its next life."""
        wait_for(lambda: self.master() and member.name not in self.in_sync(), f"{member.name} is no longer in sync")

    def relay(self, member, to, relay):
        """MEMBER dials TO's sync port through RELAY."""
        port = to.values["sync_listen"].rsplit(":", 1)[1]
        relay.move(int(port))
        member.values["sync_peers"] = member.values["sync_peers"].replace(f"{to.name}=127.0.0.1:{port}",
                                                                          f"{to.name}=127.0.0.1:{relay.port}")

    def roost(self, verb, *args, member=None):
        """Run a verb with MEMBER's (default: the first's) configuration; what it prints."""
        r = subprocess.run([ROOST, verb, *args, "-C", (member or self.first).config], capture_output=True, text=True, timeout=120)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout

    def dump(self, member):
        return self.roost("dump", member=member)

    def dumps_equal(self, *members, timeout=60):
        """All MEMBERS (default: all that run) come to the same LSN with the same content."""
        members = members or self.alive()
        wait_for(lambda: len({(s.get("applied"), s.get("lsn")) for s in map(self.status, members)}) == 1, "all have applied the same",
                 timeout)
        wait_for(lambda: len({self.dump(m) for m in members}) == 1, "the dumps are equal", 20)

    def verify(self, member):
        self.roost("verify", member=member)

    def stop(self):
        others = [self.front]
        problems = []
        for d in others:
            if d.process is not None and d.stop() != 0:
                problems.append(f"{d.name}\n{d.tail()}")
        super().stop()
        assert not problems, "\n".join(problems)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
            return
        for d in [*self.members.values(), self.front, self.mupdate]:
            if d.process:
                d.kill()
            if os.path.exists(d.log):
                print(f"--- {d.name}\n{d.tail(40)}")
