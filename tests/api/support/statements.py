"""The product's own statements, out of core/*/*.sql."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"^-- name: (\w+)\n", re.M)
PARAMETER = re.compile(r"\$(\d+)")


def load():
    """name -> SQL, without comments and the last semicolon."""
    found = {}
    for path in sorted(ROOT.glob("core/*/*.sql")):
        parts = NAME.split(path.read_text())
        for name, body in zip(parts[1::2], parts[2::2]):
            lines = [line for line in body.splitlines() if not line.startswith("--")]
            found[name] = "\n".join(lines).strip().rstrip(";")
    return found


SQL = load()


def run(cursor, name, *parameters):
    """One of them with psycopg2: its first row, None when it has none."""
    cursor.execute(PARAMETER.sub(r"%(p\1)s", SQL[name].replace("%", "%%")), {f"p{n}": p for n, p in enumerate(parameters, 1)})
    return cursor.fetchone() if cursor.description else None
