"""Case folders as `overread demo generate` writes them, and what they hold."""
import json


class Case:
    def __init__(self, folder):
        self.folder = folder
        self.manifest = self._read("case.json")
        self.truth = self._read("truth.json")
        self.slug = (self.manifest or {}).get("slug", folder.name)
        self.id = None  # set from what the import prints

    def _read(self, name):
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    def __repr__(self):
        return f"Case({self.slug})"


def generate(server, folder, seed, count):
    """Generated, not imported."""
    server.cli("demo", "generate", "--seed", seed, "--count", count, folder)
    cases = [Case(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    assert len(cases) == count, f"demo generate was asked for {count} cases and wrote {len(cases)}"
    return cases


def take_in(server, cases, publish=True):
    """Imports the cases; the command prints a JSON line for each, in their order."""
    options = ["--publish"] if publish else []
    lines = server.cli("library", "import", *options, *(case.folder for case in cases)).stdout.splitlines()
    for case, line in zip(cases, map(json.loads, lines), strict=True):
        case.id, case.slug = line["case"], line["slug"]
    return cases
