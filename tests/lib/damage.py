"""What a disk does to a member's journal: octets that change behind the daemon's back."""
import glob
import os


def segments(member):
    return sorted(glob.glob(member.values["partition-default"] + "/journal/*.seg"))


def find(member, text):
    """Where TEXT is in the journal: segment and offset of each place."""
    found = []
    for path in segments(member):
        with open(path, "rb") as f:
            data = f.read()
        at = data.find(text)
        while at >= 0:
            found.append((path, at))
            at = data.find(text, at + 1)
    return found


def spoil(member, text, skip=0, n=1):
    """Change N octets of the one body that has TEXT, SKIP behind its beginning. Segment and offset."""
    places = find(member, text)
    # The preview, which stands before the body, may have it, too.
    assert 1 <= len(places) <= 2 and len({path for path, _ in places}) == 1, (text, places)
    path, at = places[-1]
    with open(path, "r+b") as f:
        f.seek(at + skip)
        old = f.read(n)
        f.seek(at + skip)
        f.write(bytes(b ^ 0x20 for b in old))
        f.flush()
        os.fsync(f.fileno())
    return path, at + skip
