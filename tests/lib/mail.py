"""Messages to deliver: the e-mail samples of Python's own tests, and generated ones of realistic sizes and shapes."""
import email.message
import email.policy
import glob
import os
import random
import re

SAMPLES = "/usr/lib/python3.11/test/test_email/data/msg_*.txt"


def crlf(data):
    return re.sub(rb"\r\n|\r|\n", b"\r\n", data)


def samples():
    """The samples, with CRLF line ends; at least some must be there."""
    found = []
    for path in sorted(glob.glob(SAMPLES)):
        with open(path, "rb") as f:
            found.append(crlf(f.read()))
    assert len(found) > 20, f"no {SAMPLES}: is libpython3.11-testsuite installed?"
    return found


def generated(rng):
    """One message: text, HTML, attachments, forwarded mail; mostly a few kilobytes, seldom a megabyte."""
    m = email.message.EmailMessage(policy=email.policy.SMTP)
    m["From"] = f"Søren {rng.randrange(100)} <s{rng.randrange(1000)}@example.org>"
    m["To"] = "list@example.com, Fred <fred@example.com>"
    m["Subject"] = rng.choice(["Hello", "Re: budget", "Grüße aus Köln", "会議の件", "a" * 200])
    m["Date"] = "Mon, 23 Nov 2026 12:%02d:00 +0100" % rng.randrange(60)
    size = int(min(rng.lognormvariate(8, 1.5), 1_000_000))
    words = "lorem ipsum dolor sit amet .leading dot größe 日本 ".split(" ")
    text = " ".join(rng.choice(words) for _ in range(size // 6 + 3))
    m.set_content("\n".join(re.findall(".{1,70}", text)) + "\n.\n..\nFrom here\n")
    shape = rng.randrange(4)
    if shape >= 1:
        m.add_alternative("<p>" + text[:500] + "</p>", subtype="html")
    if shape >= 2:
        m.add_attachment(rng.randbytes(rng.randrange(1, 20000)), "application", "octet-stream", filename="blob.bin")
    if shape == 3:
        inner = email.message.EmailMessage(policy=email.policy.SMTP)
        inner["Subject"] = "inner"
        inner.set_content("inside\n")
        m.add_attachment(inner)
    return crlf(m.as_bytes())


class Source:
    """Messages by a seed, each marked by a header of its own: take() gives (id, octets)."""

    def __init__(self, seed, run):
        self.rng, self.run, self.n = random.Random(seed), run, 0
        self.samples = samples()

    def take(self):
        self.n += 1
        mark = f"{self.run}-{self.n}"
        body = self.rng.choice(self.samples) if self.rng.random() < 0.4 else generated(self.rng)
        return mark, b"X-Roost-Test: %s\r\nMessage-ID: <%s@test.example>\r\n" % (mark.encode(), mark.encode()) + body
