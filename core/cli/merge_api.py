#!/usr/bin/python3
"""Puts the API document together: core/cli/openapi.json is its frame, each room's *.api.json files hold that room's
paths, schemas, parameters and responses (OpenAPI 3.1 objects with the members "paths", "webhooks" and "components").

    merge_api.py FRAME.json CORE_DIR OUT.json DEPFILE

The depfile names the rooms' directories, so that a new file is taken in without a word to meson.
"""
import json
import pathlib
import sys


def add(target, more, where):
    """Members of `more` into `target`; what two files both define is an error."""
    for name, value in more.items():
        if name in target:
            sys.exit(f"{where}: {name} is defined twice")
        target[name] = value


def main():
    frame, core, out, depfile = map(pathlib.Path, sys.argv[1:])
    document = json.loads(frame.read_text(encoding="utf-8"))
    rooms = sorted(path for path in core.iterdir() if path.is_dir())
    parts = sorted(core.glob("*/*.api.json"))
    for part in parts:
        try:
            more = json.loads(part.read_text(encoding="utf-8"))
        except ValueError as error:
            sys.exit(f"{part}: {error}")
        for path, item in more.pop("paths", {}).items():
            add(document["paths"].setdefault(path, {}), item, f"{part}: {path}")
        for kind, members in more.pop("components", {}).items():
            add(document["components"].setdefault(kind, {}), members, f"{part}: components.{kind}")
        add(document.setdefault("webhooks", {}), more.pop("webhooks", {}), f"{part}: webhooks")
        if more:
            sys.exit(f"{part}: unknown members {', '.join(more)}")
    out.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    escaped = [str(path.resolve()).replace(" ", "\\ ") for path in (*rooms, *parts)]
    depfile.write_text(f"{out}: {' '.join(escaped)}\n", encoding="utf-8")


main()
