#!/usr/bin/env python3
"""Includes and calls go one way only (the table below), libh2o stays in core/http, SQL stays in .sql files."""
import re
import subprocess

import source

FOUNDATION = {
    "base": [],
    "db": ["base"],
    "http": ["base"],
    "grading": ["base"],
    "jobs": ["base", "db"],
    "outbound": ["base", "db", "jobs"],
}
CHAIN = ["identity", "tenancy", "audit", "billing", "library", "reading"]  # each may use those before it
ENDS = ["scoreboard", "discussion", "teaching"]  # these use the whole chain, and do not know each other
ALLOWED = dict(FOUNDATION)
for place, room in enumerate(CHAIN):
    ALLOWED[room] = [*FOUNDATION, *CHAIN[:place]]
for room in ENDS:
    ALLOWED[room] = [*FOUNDATION, *CHAIN]
ALLOWED["portal"] = ["base", "http"]
ALLOWED["cli"] = list(ALLOWED)

# A statement, not an English sentence that begins with "select": a literal that begins like SQL and goes on like it.
SQL = re.compile(
    r"""^\s*\(?\s*(?:
        with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?as\s*(?:(?:not\s+)?materialized\s*)?\(
      | select\b.*\bfrom\s+[\w%"(](?!.*[.!]\s*$) | select\s+[\w.*:"]+\s*(?:\(|$) | select\s+\$\d
      | insert\s+into\s | update\s+(?:only\s+)?[\w."]+\s+(?:as\s+\w+\s+)?set\s | delete\s+from\s
      | (?:create|alter|drop)\s+(?:or\s+replace\s+)?(?:unique\s+|temporary\s+|temp\s+)?
        (?:table|index|role|function|schema|database|policy|type|view|sequence|trigger|extension)\s
      | truncate\s+(?:table\s+)?\w+ | (?:grant|revoke)\s+[\w,\s]+\s+on\s | copy\s+\w+.*\b(?:from|to)\s+std
    )""", re.I | re.S | re.X)


def names_h2o(text):
    code = source.code_only(text)
    match = re.search(r"\bh2o_\w+", code)
    return (source.line_of(code, match.start()), match.group()) if match else None


def check_file(root, path):
    text = path.read_text(encoding="utf-8", errors="replace")
    where = path.relative_to(root)
    inner = path.relative_to(root / "core")
    room = source.room_of(inner)
    if room not in ALLOWED:
        yield f"{where}:1: '{room}' is not a room of this house: add it to the direction, or move the file"
        return
    for line, quoted, target in source.includes(text):
        other = target.split("/")[0]
        if target.startswith(("h2o", "picotls", "picohttpparser")) and room != "http":
            yield f"{where}:{line}: <{target}> is core/http's alone"
        if not quoted:
            continue
        if "/" not in target and target.endswith("_sql.h"):
            if not path.with_name(target.replace("_sql.h", ".sql")).exists():
                yield f"{where}:{line}: \"{target}\" is made from another room's statements"
        elif "/" not in target:
            yield f"{where}:{line}: \"{target}\" must be included as \"room/{target}\""
        elif other not in ALLOWED:
            yield f"{where}:{line}: \"{target}\" is in no room"
        elif other != room and other not in ALLOWED[room]:
            yield f"{where}:{line}: {room} must not include \"{target}\""
    found = names_h2o(text)
    if found and room != "http":
        yield f"{where}:{found[0]}: {found[1]} is core/http's alone"
    if room != "db":
        for position, literal in source.strings(text):
            if SQL.match(literal):
                yield f"{where}:{source.line_of(text, position)}: SQL belongs into {room}'s .sql file, not into C"


def check_rules(root, path):
    """X.c, the rules, answers its callers in values; what answers a client is X_http.c beside it."""
    if path.with_name(f"{path.stem}_http.c").exists():
        code = source.code_only(path.read_text(encoding="utf-8", errors="replace"))
        for match in re.finditer(r"\bhttp_(?:reply|body|header_add)\w*\s*\(", code):
            yield (f"{path.relative_to(root)}:{source.line_of(code, match.start())}: rules are free of HTTP: "
                   f"{match.group().rstrip(' (')} belongs into {path.stem}_http.c")


def check_plugin(root, path):
    text = path.read_text(encoding="utf-8", errors="replace")
    for line, quoted, target in source.includes(text):
        if quoted and target.split("/")[0] in ALLOWED:
            yield f"{path.relative_to(root)}:{line}: a plugin knows <overread/plugin.h> only, not \"{target}\""


def symbols(archive, defined):
    """Names that an archive's members define, or ask for."""
    output = subprocess.run(["nm", "--format=posix", "--extern-only", archive], check=True, capture_output=True,
                            text=True).stdout
    names = set()
    for fields in map(str.split, output.splitlines()):
        if len(fields) >= 2 and (fields[1] not in "UwvN") == defined:
            names.add(fields[0])
    return names


def check_links(build):
    """What includes cannot show: a call to a function that was declared by hand."""
    archives = {}
    for archive in sorted((build / "core").rglob("*.a")):
        archives.setdefault(source.room_of(archive.relative_to(build / "core")), []).append(archive)
    owner = {}
    for room, paths in archives.items():
        for path in paths:
            owner.update(dict.fromkeys(symbols(path, True), room))
    for room, paths in archives.items():
        for name in sorted(set().union(*(symbols(path, False) for path in paths))):
            other = owner.get(name, room)
            if other != room and other not in ALLOWED.get(room, []):
                yield f"core/{room}: calls {name}, which is {other}'s"
    if not archives:
        yield f"{build}: no room's library to look into: build first"


def check(root, build):
    offences, looked_at = [], 0
    for path in source.files(root, ["core"], {".c", ".h"}):
        looked_at += 1
        offences += check_file(root, path)
        offences += check_rules(root, path) if path.suffix == ".c" else []
    for path in source.files(root, ["plugins"], {".c", ".h"}):
        looked_at += 1
        offences += check_plugin(root, path)
    if build:
        offences += check_links(build)
    return offences, looked_at


if __name__ == "__main__":
    source.main(__doc__, check)
