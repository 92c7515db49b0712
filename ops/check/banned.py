#!/usr/bin/env python3
"""Functions that nobody may call, memory that only core/base may allocate, notes that must not stay."""
import re

import direction
import source

UNSAFE = re.compile(r"\b(?:ato(?:i|l|ll|f)|v?sprintf|v?sscanf|strcpy|stpcpy|strcat|strtok|strtok_r|alloca|strdupa"
                    r"|localtime|localtime_r|gets|system|popen)\s*\(")
MEMORY = re.compile(r"(?<![\w.>])(?:malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf)\b(?!\s*:)")
FORMATTED = re.compile(r"(?<!%)%[-+ #0-9.*]*(?:hh|h|ll|l|z|j|t)?[diouxXsc]")
NOTE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")
TEXTS = {".c", ".h", ".py", ".sh", ".sql", ".json", ".yaml", ".build", ".txt", ".cfg", ".js", ".ts", ""}


def check_file(root, path):
    where, text = path.relative_to(root), path.read_text(encoding="utf-8", errors="replace")
    code = source.code_only(text)
    for match in UNSAFE.finditer(code):
        yield f"{where}:{source.line_of(code, match.start())}: {match.group().rstrip(' (')} is banned (the style page says what instead)"
    if where.parts[:2] != ("core", "base") and where.parts[0] != "tests":
        for match in MEMORY.finditer(code):
            line = source.line_of(code, match.start())
            yield f"{where}:{line}: {match.group()}: memory comes from an arena or base/mem.h"
    for position, literal in source.strings(text):
        if direction.SQL.match(literal) and FORMATTED.search(literal):
            yield f"{where}:{source.line_of(text, position)}: SQL is never formatted: pass parameters"


def check_notes(root, path):
    text = path.read_text(encoding="utf-8", errors="replace")
    for match in NOTE.finditer(text):
        yield f"{path.relative_to(root)}:{source.line_of(text, match.start())}: {match.group()}: do it, or open an issue"


def check(root, _build):
    offences, looked_at = [], 0
    for path in source.files(root, ["core", "include", "plugins", "tests/unit", "tests/fuzz"], {".c", ".h"}):
        looked_at += 1
        offences += check_file(root, path)
    for path in source.files(root, ["core", "include", "plugins", "migrations", "ops", "tests"], TEXTS):
        if "node_modules" not in path.parts:
            offences += check_notes(root, path)
    return offences, looked_at


if __name__ == "__main__":
    source.main(__doc__, check)
