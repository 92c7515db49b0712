"""The demo cases that plugins bring: made, taken in, read and graded through the whole server, and no core knows of them."""
import json
import subprocess

import pytest
from support.reads import open_read, submit
from support.server import ROOT


def breast_answer(truth):
    marks = [{"laterality": f["laterality"], "type": f["type"], "birads": f["birads"],
              "positions": {view: place["position"] for view, place in f["views"].items()}}
             for f in truth["findings"]]
    return {"recall": truth["recall"], "breasts": truth["breasts"], "findings": marks}


def lung_answer(truth):
    not_said = {"id", "centre", "semi_axes", "long_mm", "short_mm", "malignant", "histology", "follow_up"}
    marks = [{"position": n["centre"], **{name: value for name, value in n.items() if name not in not_said}}
             for n in truth["nodules"]]
    return {"category": truth["category"], "management": truth["management"], "nodules": marks}


# Plugin: what somebody says who knows the truth, what makes a case one where something is to be found, how many of 6 are.
DEMOS = {"breast_mammo": (breast_answer, lambda truth: truth["malignant"], 4),
         "lung_ct": (lung_answer, lambda truth: truth["category"] in ("3", "4A", "4B", "4X"), 4)}


def generate(plugin, directory, *options):
    subprocess.run(["/usr/bin/python3", ROOT / f"plugins/{plugin}/demo/generate.py", directory, *options], check=True)
    return sorted(directory.iterdir())


class DemoCase:
    def __init__(self, folder, line):
        self.id, self.slug = line["case"], line["slug"]
        self.truth = json.loads((folder / "truth.json").read_text())["truth"]


@pytest.fixture(scope="module", params=DEMOS)
def demo(request, tmp_path_factory):
    """The plugin, and six case folders."""
    return request.param, generate(request.param, tmp_path_factory.mktemp(request.param) / "cases", "--seed", "7", "--count", "6")


def test_the_same_seed_writes_the_same_bytes(demo, tmp_path):
    plugin, folders = demo
    for one, other in zip(folders, generate(plugin, tmp_path / "again", "--seed", "7", "--count", "6"), strict=True):
        files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert len(files) > 2 and files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
        for path in files:
            assert (one / path).read_bytes() == (other / path).read_bytes(), path


def test_some_hold_something_to_find_some_do_not_and_every_image_is_valid_dicom(demo):
    plugin, folders = demo
    _, positive, count = DEMOS[plugin]
    truths = [json.loads((folder / "truth.json").read_text())["truth"] for folder in folders]
    assert sum(positive(truth) for truth in truths) == count
    for path in list(folders[0].rglob("*.dcm"))[:5]:
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
        assert "Error" not in said, said


def test_the_truth_as_answer_earns_all_points(demo, _server, tenant, client):
    plugin, folders = demo
    lines = _server.cli("library", "import", "--publish", *folders).stdout.splitlines()
    me = client(tenant("trainee")["trainee"])
    for case in [DemoCase(folder, json.loads(line)) for folder, line in zip(folders, lines, strict=True)]:
        feedback = submit(me, open_read(me, case), DEMOS[plugin][0](case.truth)).json()
        grade = feedback["grade"]
        assert feedback["correct"] and grade["points"] == grade["max_points"], (case.slug, grade)
