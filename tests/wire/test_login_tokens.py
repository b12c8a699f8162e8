"""Bearer tokens (OAUTHBEARER, RFC 7628; XOAUTH2), checked by the issuer's keys and by asking the issuer, on backends and frontends; and an
issuer that is silent, broken, or somebody else."""
import base64
import json
import os
import re
import subprocess
import time

import pytest

import scratch
from issuer import AUDIENCE, ISSUER, Authority, Key, Server, claims, hmac_with, jwks, token
from login import Client, port_of
from roost import PASSWORD, Daemon, Murder, http, wait_for

WHERE = ["backend-imap", "backend-pop3", "frontend-imap", "frontend-pop3"]
FAST = {"login_delay_ms": "5", "login_delay_max_ms": "20", "login_max_failures": "1000"}


class Place:
    """A backend that has the issuer's keys in a file, a frontend that asks for them and asks the issuer about other tokens."""

    def __init__(self):
        self.dir = scratch.directory("roost-issuer.")
        self.keys = [Key("RS256", "r1"), Key("ES256", "e1"), Key("EdDSA", "d1")]
        self.issuer = Server(self.dir)
        self.issuer.answers["/jwks"] = (200, jwks(*self.keys))
        self.issuer.answers["/introspect"] = self.introspect
        self.known = {}  # opaque tokens
        self.file = os.path.join(self.dir, "jwks.json")
        self.write_keys(*self.keys)
        common = {"oauth_issuer": ISSUER, "oauth_audience": "web " + AUDIENCE, "oauth_scope": "email", "login_check_timeout_ms": "1500",
                  "oauth_discovery_url": ISSUER + "/.well-known/openid-configuration", **FAST}
        self.on_frontend = {**common, "oauth_jwks_url": self.issuer.url + "/jwks", "oauth_jwks_refresh_s": "1", "oauth_ca_file": self.issuer.ca,
                            "oauth_introspection_url": self.issuer.url + "/introspect", "oauth_client_id": "mail server",
                            "oauth_client_secret": "s3:cret", "oauth_cache_s": "2", "oauth_username_domain": "example.org"}
        self.m = Murder(users=["fred", "bob"], limits={**common, "oauth_jwks_file": self.file})
        self.m.start()
        self.m.add_frontend(self.on_frontend)
        for u in ("fred", "bob", "tess"):  # tess has no account in users_file
            self.m.create_user(u)

    def write_keys(self, *keys):
        with open(self.file + ".new", "w") as f:
            f.write(jwks(*keys))
        os.rename(self.file + ".new", self.file)

    def introspect(self, fields):
        return 200, json.dumps(self.known.get(fields.get("token"), {"active": False}))

    def front(self, **more):
        """Another frontend, with other keys (None: without that)."""
        log = f"{self.m.dir}/frontend{len(self.m.frontends) + 1}.log"
        if os.path.exists(log):
            os.unlink(log)  # of the last of that name
        return self.m.add_frontend({k: v for k, v in {**self.on_frontend, **more}.items() if v is not None})

    def drop(self, front):
        self.m.frontends.remove(front)
        assert front.stop() == 0

    def stop(self):
        self.m.stop()
        self.issuer.stop()


@pytest.fixture(scope="module")
def place():
    p = Place()
    yield p
    p.stop()


def bearer(t, user=""):
    return f"n,{'a=' + user if user else ''},\1host=localhost\1port=143\1auth=Bearer {t}\1\1".encode()


def xoauth2(t, user):
    return f"user={user}\1auth=Bearer {t}\1\1".encode()


def try_token(place, where, t, user="", mechanism="OAUTHBEARER", initial=True, port=None, source=None):
    c = Client(place.m, where, port=port, source=source)
    message = bearer(t, user) if mechanism == "OAUTHBEARER" else xoauth2(t, user)
    result, heard = c.auth(mechanism, message, b"\1" if mechanism == "OAUTHBEARER" else b"", initial=initial)
    c.close()
    return result, [json.loads(h) for h in heard if h]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_right_token_logs_in(place, where, kind):
    t = token(place.keys[kind], claims())
    for mechanism in ("OAUTHBEARER", "XOAUTH2"):
        for initial in (True, False):
            assert try_token(place, where, t, "fred", mechanism, initial) == ("ok", []), (mechanism, initial)
    assert try_token(place, where, t)[0] == "ok", "the token names him"
    assert try_token(place, where, token(place.keys[kind], claims("tess")), "tess")[0] == "ok", "an account in users_file is not needed"


def test_who_it_is(place):
    for where in ("backend-imap", "frontend-imap"):
        c = Client(place.m, where)
        assert c.auth("OAUTHBEARER", bearer(token(place.keys[1], claims())))[0] == "ok"
        assert c.raw.cmd("SELECT INBOX")[1].startswith("OK")
        assert c.raw.cmd("GETACL INBOX")[0][0].startswith("* ACL INBOX fred l")
        c.close()


@pytest.mark.parametrize("where", WHERE)
def test_curl_logs_in_with_a_token(place, where):
    """A client that is not ours."""
    protocol = where.split("-")[1]
    url = f"{protocol}://127.0.0.1:{port_of(place.m, where)}/"
    for mechanism in ("OAUTHBEARER", "XOAUTH2"):
        for key, code in ((place.keys[0], 0), (Key("RS256", "r1"), 67)):
            r = subprocess.run(["curl", "-sS", "-m", "10", url, "-u", "fred:", "--oauth2-bearer", token(key, claims()), "--login-options", "AUTH=" + mechanism],
                               capture_output=True, text=True)
            assert r.returncode == code, (mechanism, r)
            assert code or "INBOX" in r.stdout or protocol == "pop3", r


@pytest.mark.parametrize("where", WHERE)
def test_offered_only_where_tokens_can_be_checked(place, where):
    c = Client(place.m, where)
    assert {"OAUTHBEARER", "XOAUTH2"} <= set(c.mechanisms())
    c.close()


def test_not_offered_without_an_issuer(place):
    front = place.front(oauth_jwks_url=None, oauth_introspection_url=None)
    c = Client(place.m, "frontend-imap", port=front.imap)
    assert not {"OAUTHBEARER", "XOAUTH2"} & set(c.mechanisms())
    assert c.auth("OAUTHBEARER", bearer("x"))[0] == "bad"
    c.close()
    place.drop(front)
    for where in ("mupdate", "backend-lmtp", "frontend-lmtp"):
        c = Client(place.m, where)
        assert not {"OAUTHBEARER", "XOAUTH2"} & set(c.mechanisms()), "who comes there is a daemon"
        c.close()


@pytest.mark.parametrize("where", WHERE)
def test_a_wrong_token_is_refused_and_says_why(place, where):
    now, r, e = time.time(), place.keys[0], place.keys[1]
    other = Key("ES256", "e1")
    rows = [
        (token(other, claims()), "invalid_token", "token"),
        (token(r, claims(), {"alg": "none"}, lambda s: b""), "invalid_token", "token"),
        (token(r, claims(), {"alg": "HS256"}, hmac_with(r.pem())), "invalid_token", "token"),
        (token(e, claims(iss="https://evil.example")), "invalid_token", "token"),
        (token(e, claims(aud="elsewhere")), "invalid_token", "token"),
        (token(e, claims(exp=int(now) - 100)), "invalid_token", "expired"),
        (token(e, claims(nbf=int(now) + 100)), "invalid_token", "expired"),
        (token(e, claims(scope="openid")), "insufficient_scope", "scope"),
        (token(e, claims())[:-6], "invalid_token", "token"),
        (token(e, b'{"a":' * 1000 + b"1" + b"}" * 1000), "invalid_token", "token"),
        (token(e, b"[" * 5000), "invalid_token", "token"),
    ]
    log = place.m.first if where.startswith("backend") else place.m.frontends[0]
    for t, status, reason in rows:
        begin = len(log.text())
        result, heard = try_token(place, where, t, "fred")
        assert result == "no" and len(heard) == 1, (t, heard)
        assert heard[0] == {"status": status, "scope": "email", "openid-configuration": ISSUER + "/.well-known/openid-configuration"}
        line = next(x for x in log.text()[begin:].splitlines() if "login.attempt.refused" in x)
        assert "mechanism=OAUTHBEARER" in line and "reason=" + reason in line, line
        assert try_token(place, where, t, "fred", "XOAUTH2") == ("no", [{"status": "400", "schemes": "bearer", "scope": "email", "openid-configuration": ISSUER + "/.well-known/openid-configuration"}])
    assert not any(t in log.text() or t.split(".")[2][:20] in log.text() for t, _, _ in rows if t.split(".")[2])


@pytest.mark.parametrize("where", WHERE)
def test_a_token_is_for_whom_it_names(place, where):
    t = token(place.keys[1], claims())
    assert try_token(place, where, t, "bob")[0] == "no"
    assert try_token(place, where, t, "bob", "XOAUTH2")[0] == "no"
    for name in ("admin", "frontend"):
        assert try_token(place, where, token(place.keys[1], claims(name)))[0] == "no", "no issuer makes administrators or daemons"


def test_a_domain_is_cut_off(place):
    t = token(place.keys[1], claims("fred@example.org"))
    assert try_token(place, "frontend-imap", t, "fred")[0] == "ok"
    assert try_token(place, "frontend-imap", t, "fred@example.org", "XOAUTH2")[0] == "ok"
    assert try_token(place, "frontend-imap", token(place.keys[1], claims("fred@evil.example")), "fred")[0] == "no"
    assert try_token(place, "backend-imap", t, "fred")[0] == "no", "there nothing is cut off"


@pytest.mark.parametrize("where", ["backend-imap", "frontend-imap"])
def test_malformed_messages(place, where):
    for message in (b"", b"\1", b"n,,\1\1", b"n,,\1auth=Bearer \1\1", b"auth=Bearer x", b"\0" * 100, b"n,,\1auth=Bearer x\1", b"p=tls-exporter,,\1auth=Bearer x\1\1"):
        c = Client(place.m, where)
        result, heard = c.auth("OAUTHBEARER", message, b"\1")
        assert result == "no" and json.loads(heard[-1])["status"] == "invalid_request", (message, heard)
        assert c.raw.cmd("NOOP")[1].startswith("OK")
        c.close()


@pytest.mark.parametrize("where", WHERE)
def test_long_tokens(place, where):
    long = token(place.keys[1], claims(padding="x" * 6000))
    assert try_token(place, where, long, "fred")[0] == "ok", "Microsoft's are so long"
    assert try_token(place, where, long, "fred", initial=False)[0] == "ok"
    for initial in (True, False):
        c = Client(place.m, where)
        try:
            result, heard = c.auth("OAUTHBEARER", bearer("x" * 13000), b"\1", initial=initial)
        except (EOFError, ConnectionError):
            result = "end"
        assert result in ("bad", "no", "end", None) and (result is not None or "too long" in c.said[-1] or "LIMIT" in c.said[-1]), (result, c.said)
        c.close()
    assert try_token(place, where, token(place.keys[1], claims()))[0] == "ok"


@pytest.mark.parametrize("where", ["backend-imap", "frontend-imap"])
def test_a_refused_token_counts_though_its_refusal_is_not_heard_out(place, where):
    log = place.m.first if where.startswith("backend") else place.m.frontends[0]
    before = log.text().count("login.attempt.refused")
    for how in ("gone", "cancelled"):
        c = Client(place.m, where)
        c.begin("OAUTHBEARER", base64.b64encode(bearer(token(Key("ES256", "e1"), claims()))).decode())
        assert c.challenge(c.line())
        if how == "cancelled":
            c.raw.send("*\r\n")
            assert c.result(c.line()) == "no"
        c.close()
    wait_for(lambda: log.text().count("login.attempt.refused") == before + 2, "both count")


def test_an_office_whose_tokens_run_out_is_not_slowed_down(place):
    """They are the issuer's, if late; whoever makes some up is."""
    front = place.front(login_delay_ms="200", login_delay_max_ms="1000", login_trusted_networks="10.0.0.0/8")
    ask = lambda t: try_token(place, "frontend-imap", t, port=front.imap, source="127.0.7.1")[0]
    for i in range(6):
        assert ask(token(place.keys[1], claims(exp=int(time.time()) - 100 - i))) == "no"
    begin = time.monotonic()
    assert ask(token(place.keys[1], claims())) == "ok" and time.monotonic() - begin < 0.4
    for i in range(4):
        assert ask(token(Key("ES256", "e1"), claims())) == "no"
    begin = time.monotonic()
    assert ask(token(place.keys[1], claims())) == "ok" and time.monotonic() - begin > 0.4
    place.drop(front)


def test_a_file_of_keys_that_changes(place):
    new = Key("ES256", "e2")
    assert try_token(place, "backend-imap", token(new, claims()))[0] == "no"
    place.write_keys(*place.keys, new)
    wait_for(lambda: try_token(place, "backend-imap", token(new, claims()))[0] == "ok", "the new key is known")
    with open(place.file, "w") as f:
        f.write("{")
    place.m.expect_event("login.keys.unreadable")
    wait_for(lambda: try_token(place, "backend-imap", token(new, claims()))[0] == "ok" and "login.keys.unreadable" in place.m.first.text(), "it is looked at")
    assert try_token(place, "backend-imap", token(new, claims()))[0] == "ok", "the old keys stay in use"
    place.write_keys(*place.keys)
    wait_for(lambda: try_token(place, "backend-imap", token(new, claims()))[0] == "no", "it is known no more")


def test_keys_are_asked_for_once_and_again_for_a_new_one(place):
    front = place.front(oauth_jwks_refresh_s="2")
    place.issuer.asked["/jwks"] = 0
    ask = lambda key, kid=None: try_token(place, "frontend-imap", token(key, claims(), {"kid": kid or key.kid}), port=front.imap)[0]
    for _ in range(10):
        assert ask(place.keys[0]) == "ok"
    first = place.issuer.count("/jwks")
    assert first <= 3, "ten tokens, one question (and what became due)"
    new = Key("RS256", "r2")
    place.issuer.answers["/jwks"] = (200, jwks(*place.keys, new))
    wait_for(lambda: ask(new) == "ok", "the new key is asked for")
    place.issuer.answers["/jwks"] = (200, jwks(*place.keys))
    before, begin = place.issuer.count("/jwks"), time.monotonic()
    for i in range(30):
        assert ask(place.keys[0], f"made-up-{i}") == "no"
    assert place.issuer.count("/jwks") - before <= (time.monotonic() - begin) / 2 + 2, "names of keys that are made up do not flood the issuer"
    place.drop(front)


def test_old_keys_stay_in_use_when_the_issuer_is_away(place):
    front = place.front()
    ask = lambda: try_token(place, "frontend-imap", token(place.keys[0], claims()), port=front.imap)[0]
    assert ask() == "ok"
    for answer in ((500, ""), (200, '{"keys":[]}'), (200, "[" * 200000), (200, " " * 300000), (302, place.issuer.url + "/elsewhere")):
        place.issuer.answers["/jwks"] = answer
        before = front.text().count("login.keys.unavailable")

        def refused():
            assert ask() == "ok"
            return front.text().count("login.keys.unavailable") > before
        wait_for(refused, "it was asked in vain")
    assert place.issuer.count("/elsewhere") == 0, "nobody is led elsewhere"
    place.issuer.answers["/jwks"] = (200, jwks(*place.keys))
    place.drop(front)


def test_a_key_that_cannot_be_asked_for_is_not_the_client_s_fault(place):
    front = place.front()
    new = Key("EdDSA", "d2")
    ask = lambda t: try_token(place, "frontend-imap", t, port=front.imap)[0]
    try:
        assert ask(token(place.keys[0], claims())) == "ok"
        place.issuer.answers["/jwks"] = (503, "")
        wait_for(lambda: ask(token(place.keys[0], claims())) == "ok" and "login.keys.unavailable" in front.text(), "it was asked in vain")
        begin = len(front.text())
        for _ in range(5):
            assert ask(token(new, claims())) == "busy"
        assert "login.check.unavailable" in front.text()[begin:] and "reason=token" not in front.text()[begin:]
        assert ask(token(Key("RS256", "r1"), claims())) == "no", "of a key that is here"
        assert ask(token(new, claims(), {"alg": "none"})) == "no" and ask(token(place.keys[0], claims())) == "ok"
        place.issuer.answers["/jwks"] = (200, jwks(*place.keys, new))
        wait_for(lambda: ask(token(new, claims())) == "ok", "the key is there")
        assert ask(token(new, claims(), {"kid": "made-up"})) == "no", "the issuer has answered"
    finally:
        place.issuer.answers["/jwks"] = (200, jwks(*place.keys))
    place.drop(front)


def test_without_any_keys_nobody_can_say(place):
    place.issuer.answers["/jwks"] = (503, "")
    front = place.front()
    c = Client(place.m, "frontend-imap", port=front.imap)
    assert c.auth("OAUTHBEARER", bearer(token(place.keys[0], claims())))[0] == "busy"
    place.issuer.answers["/jwks"] = (200, jwks(*place.keys))
    wait_for(lambda: c.auth("OAUTHBEARER", bearer(token(place.keys[0], claims())))[0] == "ok", "the keys are there")
    c.close()
    assert "login.check.unavailable" in front.text()
    assert "reason=token" not in front.text(), "it is no failure of the client's"
    place.drop(front)


def test_asking_the_issuer(place):
    place.known["opaque1"] = {"active": True, "preferred_username": "fred", "aud": AUDIENCE, "scope": "email x", "iss": ISSUER}
    place.known["opaque2"] = {**place.known["opaque1"], "scope": "x"}
    place.known["opaque3"] = {**place.known["opaque1"], "exp": int(time.time()) - 100}
    place.issuer.asked["/introspect"] = 0
    for _ in range(5):
        assert try_token(place, "frontend-imap", "opaque1")[0] == "ok"
        assert try_token(place, "frontend-pop3", "opaque1", "fred", "XOAUTH2")[0] == "ok"
    assert place.issuer.count("/introspect") <= 3, "the answer is remembered"
    said = [a for a in place.issuer.authorizations if a]  # asking for keys needs none
    assert said[-1] == "Basic " + base64.b64encode(b"mail%20server:s3%3Acret").decode(), "as RFC 6749 section 2.3.1 has it"
    assert try_token(place, "frontend-imap", "opaque2")[0] == "no" and try_token(place, "frontend-imap", "opaque3")[0] == "no"
    assert try_token(place, "frontend-imap", "a+b/c==")[0] == "no"
    place.known["a+b/c=="] = place.known["opaque1"]
    assert try_token(place, "frontend-imap", "a+b/c==")[0] == "ok", "a no is not remembered, and the token arrives whole"
    place.known["opaque1"] = {"active": False}
    wait_for(lambda: try_token(place, "frontend-imap", "opaque1")[0] == "no", "a yes is remembered for oauth_cache_s")
    assert try_token(place, "backend-imap", "opaque1")[0] == "no", "nobody to ask there"


def test_a_yes_is_remembered_no_longer_than_the_token_lasts(place):
    front = place.front(oauth_cache_s="3600", oauth_leeway_s="0")
    place.known["short"] = {"active": True, "preferred_username": "fred", "aud": AUDIENCE, "scope": "email", "exp": int(time.time()) + 2}
    assert try_token(place, "frontend-imap", "short", port=front.imap)[0] == "ok"
    wait_for(lambda: try_token(place, "frontend-imap", "short", port=front.imap)[0] == "no", "it has expired")
    place.drop(front)


@pytest.mark.parametrize("answer", [(500, "{}"), (401, "{}"), (None, ""), (200, '{"active":true,"x":"' + "y" * 100000 + '"}'), (302, "http://127.0.0.1:1/")],
                         ids=["500", "401", "silent", "huge", "elsewhere"])
def test_an_issuer_that_does_not_answer(place, answer):
    place.issuer.answers["/introspect"] = answer
    try:
        waiting = Client(place.m, "frontend-imap")
        begin = time.monotonic()
        waiting.begin("OAUTHBEARER", base64.b64encode(bearer("anything")).decode())
        c = Client(place.m, "frontend-imap")
        assert c.login("fred") == "ok"
        assert c.raw.cmd("NOOP")[1].startswith("OK") and time.monotonic() - begin < 1.4, "others are served"
        assert waiting.result(waiting.line()) == "busy"
        assert time.monotonic() - begin < 6
        waiting.close()
        c.close()
    finally:
        place.issuer.answers["/introspect"] = place.introspect


def test_many_ask_a_silent_issuer(place):
    """The threads are few and the queue bounded: nobody waits longer than it may take twice, and passwords are not held up."""
    front = place.front(login_check_threads="2")
    place.issuer.answers["/introspect"] = (None, "")
    try:
        crowd = [Client(place.m, "frontend-imap", port=front.imap) for _ in range(30)]
        begin = time.monotonic()
        for i, c in enumerate(crowd):
            c.begin("OAUTHBEARER", base64.b64encode(bearer(f"t{i}")).decode())
        c = Client(place.m, "frontend-imap", port=front.imap)
        assert c.login("fred") == "ok" and time.monotonic() - begin < 1.4
        assert [x.result(x.line()) for x in crowd] == ["busy"] * 30
        assert time.monotonic() - begin < 8
        for x in crowd:
            x.close()
        c.close()
        last = Client(place.m, "frontend-imap", port=front.imap)
        last.begin("OAUTHBEARER", base64.b64encode(bearer("last")).decode())
        begin = time.monotonic()
        place.drop(front)  # with one who waits
        assert time.monotonic() - begin < 5
        last.close()
    finally:
        place.issuer.answers["/introspect"] = place.introspect


def test_another_s_certificate(place):
    """Whoever sits on the way to the issuer has no certificate of its authority."""
    other = Authority("another")
    front = place.front(oauth_ca_file=other.write(os.path.join(place.dir, "other.pem")))
    place.known["opaque4"] = {"active": True, "preferred_username": "fred", "aud": AUDIENCE, "scope": "email"}
    assert try_token(place, "frontend-imap", "opaque4", port=front.imap)[0] == "busy"
    assert try_token(place, "frontend-imap", token(place.keys[0], claims()), port=front.imap)[0] == "busy"
    place.drop(front)


@pytest.mark.parametrize("values, what", [
    ({"oauth_jwks_url": "http://issuer.example/jwks"}, "oauth_jwks_url"),
    ({"oauth_introspection_url": "ftp://issuer.example/"}, "oauth_introspection_url"),
    ({"oauth_introspection_url": "https://me:secret@issuer.example"}, "oauth_client_secret"),
    ({"oauth_issuer": None}, "oauth_issuer"), ({"oauth_audience": None}, "oauth_audience"),
    ({"oauth_jwks_file": "/nonexistent", "oauth_jwks_url": None}, "/nonexistent"),
    ({"oauth_jwks_file": "/nonexistent"}, "oauth_jwks_url"),
    ({"tls_login_ca_file": "/nonexistent"}, "tls_login_ca_file"), ({"login_trusted_networks": "10.0.0.0/8 fred"}, "login_trusted_networks"),
    ({"sasl_pwcheck_method": "pam"}, "sasl_pwcheck_method"),
])
def test_a_configuration_that_cannot_work_is_refused(place, values, what):
    base = place.m.frontends[0].values
    d = Daemon(place.dir, "frontend", "wrong", {k: v for k, v in {**base, "member": "wrong", **values}.items() if v is not None})
    if os.path.exists(d.log):
        os.unlink(d.log)
    d.start()
    assert d.process.wait(10) == 1
    assert what in d.text(), d.text()


def test_metrics(place):
    text = http(f"127.0.0.1:{place.m.frontends[0].admin}", "/metrics")[1]
    value = {m[0]: int(m[1]) for m in re.findall(r"^(roost_login_\S+) (\d+)$", text, re.M)}
    assert value["roost_login_token_keys"] == 3 and value["roost_login_unavailable_total"] > 0
    assert value['roost_login_refused_total{reason="scope"}'] > 0 and "roost_login_checks_waiting" in value
