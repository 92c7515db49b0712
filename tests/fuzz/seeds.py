#!/usr/bin/env python3
"""Writes inputs to begin with, from the golden cases and the manifests: seeds.py FOLDER [PREFIX-OF-CASES].
One folder a harness, named as tests/fuzz/corpus is."""
import json
import struct
import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
HELLO, READY, FAILED, REQUEST, REPLY, LOG = range(1, 7)


def frame(kind, number, body):
    return struct.pack("=IIQII", 0x4652564F, kind, number, len(body), 0) + body


def request(number, op, *parts):
    return frame(REQUEST, number, struct.pack("=4I", op, *map(len, parts)) + b"".join(parts))


def reply(number, status, pointer, text):
    head = struct.pack("=qq4I", 1500, 2000, status, 1, len(pointer), len(text))
    return frame(REPLY, number, head + pointer + text)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def main(target):
    def write(harness, name, content):
        folder = target / harness
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    for manifest_path in sorted(PLUGINS.glob("*/manifest.json")):
        name, manifest = manifest_path.parent.name, json.loads(manifest_path.read_text(encoding="utf-8"))
        write("manifest", name, compact(manifest))
        for case in sorted((manifest_path.parent / "golden").iterdir()):
            parts = {part: json.loads((case / f"{part}.json").read_text(encoding="utf-8"))
                     for part in ("config", "truth", "answer")}
            write(name, case.name, compact(parts))
        for part, value in parts.items():
            write("schema", f"{name}_{part}", compact({"schema": manifest["schemas"][part], "instance": value}))
    small = b'{"a":1}'
    write("frame", "to_server", frame(READY, 0, b"") + frame(LOG, 1, b"a line") + reply(1, 0, b"", small) +
          reply(2, 1, b"/a", b"It is wrong."))
    write("frame", "to_worker", frame(HELLO, 0, small) + request(1, 1, small, small, small) +
          request(2, 2, small, small, b"") + request(3, 3, small, b"", small))
    write("worker", "graded", frame(READY, 0, b"") + frame(LOG, 1, b"a line") + reply(1, 0, b"", small) +
          reply(2, 1, b"/a", b"It is wrong.") + frame(LOG, 3, b"another") + reply(3, 3, b"", b"a bug"))
    write("worker", "talks_too_much", frame(READY, 0, b"") + 9 * frame(LOG, 1, b"a line"))
    write("worker", "failed", frame(FAILED, 0, b"It did not load."))
    write("worker", "late_failure", frame(READY, 0, b"") + frame(FAILED, 0, b"It changed its mind."))
    write("frame", "failed", frame(FAILED, 0, b"It did not load."))


main(Path(sys.argv[1]))
