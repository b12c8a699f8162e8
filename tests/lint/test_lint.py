"""What holds for every file: the floors, the register of events, the keys' documentation, words and calls that are not used.

Each check collects all that is wrong, so that one run tells everything.
"""
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SRC = os.path.join(TOP, "src")
MAX_LINES = 680

# Calls that have no place here, and what to use; some only under src/.
BANNED = {
    "strcpy": "arena_str, buffer_add_str", "strcat": "buffer_add_str", "sprintf": "snprintf, buffer_addf",
    "vsprintf": "vsnprintf", "gets": "getline", "strtok": "cursor", "strtok_r": "cursor", "strncpy": "snprintf",
    "strncat": "snprintf", "atoi": "bytes_to_u64", "atol": "bytes_to_u64", "atoll": "bytes_to_u64", "atof": "bytes_to_u64",
    "system": "fork and exec", "popen": "fork and exec", "alloca": "arena_alloc", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "rand": "getrandom", "srand": "getrandom", "usleep": "a timer", "asctime": "strftime",
    "ctime": "strftime", "gmtime": "gmtime_r", "localtime": "localtime_r", "gethostbyname": "getaddrinfo",
    "inet_addr": "inet_pton", "inet_ntoa": "inet_ntop", "setjmp": "a result", "longjmp": "a result",
    "sscanf": "cursor", "scanf": "cursor", "fscanf": "cursor",
}
IN_SRC_ONLY = {"sscanf", "scanf", "fscanf", "usleep", "rand", "srand"}

# Put together, so that this file does not hold them itself.
BANNED_WORDS = ["/" + "work/", "session" + " of", "Co-Authored" + "-By"]

VENDORS = {"lmdb.h": "kv", "uv.h": "net", "zlib.h": "net", "sqlite3.h": "fulltext"}
# By which floors a pure one is known: no socket, no clock, no file.
PURE = ["mime", "imap", "lmtp", "pop3", "mupdate", "replica"]
IMPURE_HEADERS = {"sys/socket.h", "netinet/in.h", "time.h", "sys/time.h", "unistd.h", "fcntl.h", "sys/stat.h", "pthread.h",
                  "clock.h", "file.h", "log.h", "poll.h", "netdb.h"}


def tracked(*patterns):
    """Files that git knows (also those not committed yet), or all where there is no git."""
    try:
        out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
                             cwd=TOP, capture_output=True, text=True, check=True).stdout.split("\n")
        names = [n for n in out if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not names:
        for where, dirs, files in os.walk(TOP):
            dirs[:] = [d for d in dirs if not d.startswith((".git", "build", "__pycache__", ".pytest"))]
            names += [os.path.relpath(os.path.join(where, f), TOP) for f in files]
        names = [n for n in names if not patterns or n.startswith(tuple(p.rstrip("*") for p in patterns))]
    return sorted(n for n in names if os.path.isfile(os.path.join(TOP, n)))


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def c_files(*where):
    return [n for n in tracked(*[w + "/*" for w in where]) if n.endswith((".c", ".h"))]


def code_of(text, keep_strings=False):
    """TEXT with its comments (and what stands in quotes) blanked; lines stay lines."""
    def blank(m):
        if keep_strings and m.group(0)[0] in "\"'":
            return m.group(0)
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def includes(name):
    text = code_of(read(name), keep_strings=True)
    for m in re.finditer(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"]+)[>\"]", text, re.M):
        yield line_of(text, m.start()), m.group(1) == '"', m.group(2)


def fail_on(found):
    assert not found, "\n" + "\n".join(found)


def floors():
    """The table floor_uses of src/meson.build, and the sub-folders that each floor names."""
    text = read("src/meson.build")
    table = re.search(r"^floor_uses = \{(.*?)^\}", text, re.M | re.S)
    assert table, "src/meson.build has no floor_uses"
    uses = {}
    for m in re.finditer(r"'([\w-]+)': \[([^\]]*)\]", table.group(1)):
        uses[m.group(1)] = re.findall(r"'([\w-]+)'", m.group(2))
    assert "base" in uses
    return uses


def headers_by_floor(uses):
    where = {}
    for name in c_files("src"):
        parts = name.split("/")
        if name.endswith(".h") and len(parts) > 2 and parts[1] in uses:
            where.setdefault(parts[-1], set()).add(parts[1])
    return where


def test_includes_respect_the_floors():
    uses = floors()
    where = headers_by_floor(uses)
    found = []
    for floor, used in uses.items():
        order = list(uses)
        for u in used:
            if u not in order or order.index(u) >= order.index(floor):
                found.append(f"src/meson.build: {floor} uses {u}, which does not stand below it")
    for name in c_files("src"):
        parts = name.split("/")
        if len(parts) < 3:
            continue
        floor = parts[1]
        if floor not in uses:
            found.append(f"{name}: {floor} is no floor of src/meson.build")
            continue
        for line, is_own, header in includes(name):
            if not is_own:
                continue
            owners = where.get(os.path.basename(header), set())
            if not owners:
                found.append(f"{name}:{line}: nobody has {header}")
            elif not owners & set([floor] + uses[floor]):
                found.append(f"{name}:{line}: {header} is of {'/'.join(sorted(owners))}, which {floor} may not use")
            elif header.endswith("_private.h") and floor not in owners:
                found.append(f"{name}:{line}: {header} is private to {'/'.join(sorted(owners))}")
    fail_on(found)


def test_header_names_are_unique():
    fail_on([f"{h}: in {', '.join(sorted(w))}" for h, w in sorted(headers_by_floor(floors()).items()) if len(w) > 1])


def test_vendor_headers_have_one_home():
    found = []
    for name in c_files("src"):
        for line, _, header in includes(name):
            home = VENDORS.get(header)
            if home and name.split("/")[1] != home:
                found.append(f"{name}:{line}: {header} belongs to src/{home}")
    fail_on(found)


def test_pure_floors_include_nothing_that_acts():
    found = []
    for floor in PURE:
        for name in c_files("src/" + floor):
            for line, _, header in includes(name):
                if header in IMPURE_HEADERS:
                    found.append(f"{name}:{line}: {header} in a pure floor")
    fail_on(found)


def logged_events():
    """Event names by where they are logged; and calls whose name is no fixed text."""
    events, odd = {}, []
    for name in c_files("src"):
        if name == "src/base/log.h":
            continue
        text = code_of(read(name), keep_strings=True)
        for m in re.finditer(r"\blog_(?:event|fields)\s*\(", text):
            depth, end, commas = 1, m.end(), []
            while depth > 0 and end < len(text):
                c = text[end]
                if c == '"':
                    end = re.compile(r'"(?:\\.|[^"\\])*"').match(text, end).end()
                    continue
                depth += c == "("
                depth -= c == ")"
                if c == "," and depth == 1:
                    commas.append(end)
                end += 1
            argument = text[commas[0] + 1:commas[1] if len(commas) > 1 else end - 1]
            names = re.findall(r'"((?:\\.|[^"\\])*)"', argument)
            at = f"{name}:{line_of(text, m.start())}"
            if not names and name != "src/base/log.c":
                odd.append(f"{at}: the event's name is not fixed text")
            for n in names:
                events.setdefault(n, at)
    return events, odd


def test_events_are_registered_and_used():
    events, found = logged_events()
    lines = read("docs/events.txt").splitlines()
    names = []
    for number, line in enumerate(lines, 1):
        m = re.fullmatch(r"([a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_]+): (\S.*\.)", line)
        if not m:
            found.append(f"docs/events.txt:{number}: not \"part.object.outcome: One sentence.\"")
        else:
            names.append(m.group(1))
    found += [f"docs/events.txt: {n} stands there twice" for n in sorted(set(n for n in names if names.count(n) > 1))]
    found += ["docs/events.txt: not sorted"] if names != sorted(names) else []
    found += [f"{at}: {n} is not in docs/events.txt" for n, at in sorted(events.items()) if n not in names]
    found += [f"docs/events.txt: nothing logs {n}" for n in names if n not in events]
    fail_on(found)


def config_keys():
    text = code_of(read("src/base/config_keys.c"), keep_strings=True)
    return re.findall(r"\{\s*\"([\w-]+)\",\s*CONFIG_", text)


def test_configuration_keys_are_documented():
    keys = config_keys()
    assert len(keys) > 20
    if not os.path.exists(os.path.join(TOP, "docs/operations.md")):
        pytest.skip("docs/operations.md is not written yet")
    text = read("docs/operations.md")
    lines = text.splitlines()
    found = []
    for key in keys:
        # A family such as "partition-" is documented as partition-NAME.
        want = re.escape(key) + (r"[A-Z]+\b" if key.endswith("-") else r"(?![\w-])")
        if not any(re.search(r"(?<![\w-])" + want, line) for line in lines):
            found.append(f"docs/operations.md: no line about {key}")
    fail_on(found)


def test_configuration_keys_have_help_and_are_unique():
    text = read("src/base/config_keys.c")
    keys = config_keys()
    found = [f"{k}: twice in the table" for k in sorted(set(k for k in keys if keys.count(k) > 1))]
    for m in re.finditer(r"\{ \"([\w-]+)\", CONFIG_.*?\},\n", text, re.S):
        if not re.search(r"\"[A-Z][^\"]+\" \},\n$", m.group(0)):
            found.append(f"{m.group(1)}: no sentence of help")
    fail_on(found)


def test_configuration_keys_are_used():
    """A key that nothing asks for is a promise that nobody keeps."""
    asked = "\n".join(read(n) for n in c_files("src") if n != "src/base/config_keys.c")
    one_choice = {"directory_store"}
    fail_on([f"src/base/config_keys.c: nothing asks for {k}" for k in config_keys()
             if f'"{k}"' not in asked and k not in one_choice])


def test_no_banned_calls():
    found = []
    for name in c_files("src", "tests", "bench"):
        text = code_of(read(name))
        for m in re.finditer(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(", text):
            if name.startswith("src/") or m.group(1) not in IN_SRC_ONLY:
                found.append(f"{name}:{line_of(text, m.start())}: {m.group(1)}(), use {BANNED[m.group(1)]}")
    fail_on(found)


def test_no_banned_words():
    found = []
    for name in tracked():
        text = read(name)
        for word in BANNED_WORDS:
            if word in text:
                found.append(f"{name}:{line_of(text, text.index(word))}: {word!r}")
        if name.startswith("src/"):
            for m in re.finditer(r"\b(FIXME|XXX|TODO|HACK)\b", text):
                found.append(f"{name}:{line_of(text, m.start())}: {m.group(1)}")
    fail_on(found)


def test_files_are_not_too_long():
    counts = {n: read(n).count("\n") for n in c_files("src")}
    fail_on([f"{n}: {c} lines, over {MAX_LINES}" for n, c in counts.items() if c > MAX_LINES])


def test_files_begin_with_what_they_are_for():
    found = []
    for name in c_files("src", "tests", "bench"):
        m = re.match(r"/\*\s*(.*?)\*/", read(name), re.S)
        if not m or len(m.group(1).split()) < 5:
            found.append(f"{name}: does not begin with a comment that says what it is for")
        elif (own := re.match(r"([\w.-]+\.[ch]) - ", m.group(1))) and own.group(1) != os.path.basename(name):
            found.append(f"{name}: its first comment names {own.group(1)}")
    fail_on(found)


def test_headers_are_guarded_by_their_path():
    found = []
    for name in c_files("src"):
        if not name.endswith(".h"):
            continue
        text = read(name)
        m = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text, re.M)
        if not m or m.group(1) != m.group(2) or not m.group(1).startswith("ROOST_"):
            found.append(f"{name}: no guard ROOST_...")
    guards = [re.search(r"^#ifndef (\w+)", read(n), re.M).group(1) for n in c_files("src")
              if n.endswith(".h") and re.search(r"^#ifndef (\w+)", read(n), re.M)]
    found += [f"{g}: guards two headers" for g in sorted(set(g for g in guards if guards.count(g) > 1))]
    fail_on(found)


def test_each_capability_has_its_row():
    """In the table of RFCs of docs/operations.md."""
    words = re.search(r"#define IMAP_CAPABILITIES((?:\s*\\?\n?\s*\"[^\"]*\")+)", read("src/imap/imap_feature.h"))[1]
    rows = [line for line in read("docs/operations.md").split("\n") if line.startswith("| ") and line.count("|") == 5]
    fail_on([f"src/imap/imap_feature.h: {word} has no row in docs/operations.md, \"RFCs\"" for word in re.sub(r'[\\"\n]', " ", words).split()
             if not any(f"`{word}`" in row.split("|")[3] for row in rows)])
