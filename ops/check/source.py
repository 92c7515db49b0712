"""What the checks share: finding C files, and reading them without comments and literals."""
import argparse
import re
import sys
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//(?:[^\n\\]|\\.)*)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<char>'(?:[^'\\\n]|\\.)+')""", re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)


def blank(text):
    """Spaces in place of text, lines kept, so that positions still name lines."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    return TOKEN.sub(lambda m: blank(m.group()) if m.group("comment") else m.group(), text)


def code_only(text):
    """Neither comments nor the contents of string and character literals."""
    def replace(match):
        if match.group("comment"):
            return blank(match.group())
        return match.group()[0] + blank(match.group()[1:-1]) + match.group()[-1]
    return TOKEN.sub(replace, text)


def strings(text):
    """(position, contents) of string literals; neighbours that C joins are joined, macros between them too."""
    joined = None
    for match in TOKEN.finditer(text):
        if match.group("char"):
            continue
        if match.group("comment"):
            continue
        piece = match.group()[1:-1].replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\n", "")
        if joined and re.fullmatch(r"\s*(PRI\w+\s*)?", without_comments(text[joined[2]:match.start()])):
            joined = (joined[0], joined[1] + piece, match.end())
            continue
        if joined:
            yield joined[:2]
        joined = (match.start(), piece, match.end())
    if joined:
        yield joined[:2]


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def includes(text):
    """(line, quoted, path) of each #include."""
    clean = without_comments(text)
    for match in INCLUDE.finditer(clean):
        yield line_of(clean, match.start()), match.group(1) == '"', match.group(2)


def files(root, folders, suffixes):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def room_of(path):
    """The room of a path relative to core/: main.c and cli/ are the top."""
    return path.parts[0] if len(path.parts) > 1 else "cli"


def main(description, check):
    """Runs check(root, build) -> (offences, number of things looked at). Exit status 1 on an offence, and when
    there was nothing to look at: a check that looks at nothing proves nothing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=Path, help="build directory, for checks of what was linked")
    arguments = parser.parse_args()
    offences, looked_at = check(arguments.root.resolve(), arguments.build and arguments.build.resolve())
    for offence in offences:
        print(offence)
    if not looked_at:
        print(f"nothing to look at in {arguments.root}: is --root the checkout?")
    else:
        print(f"{len(offences)} offences, {looked_at} looked at")
    sys.exit(1 if offences or not looked_at else 0)
