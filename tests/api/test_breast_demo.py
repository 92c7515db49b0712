"""Mammography through the whole server: its demo cases are made, taken in, read and graded, and no core knows of it."""
import json
import subprocess

import pytest
from support.reads import open_read, submit
from support.server import ROOT

GENERATE = ROOT / "plugins/breast_mammo/demo/generate.py"


def generate(directory, *options):
    subprocess.run(["/usr/bin/python3", GENERATE, directory, *options], check=True)
    return sorted(directory.iterdir())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("mammo") / "cases", "--seed", "7", "--count", "6")


class DemoCase:
    def __init__(self, folder, line):
        self.id, self.slug = line["case"], line["slug"]
        self.truth = json.loads((folder / "truth.json").read_text())["truth"]


@pytest.fixture(scope="module")
def cases(_server, folders):
    lines = _server.cli("library", "import", "--publish", *folders).stdout.splitlines()
    return [DemoCase(folder, json.loads(line)) for folder, line in zip(folders, lines, strict=True)]


def answer_of(truth):
    marks = [{"laterality": f["laterality"], "type": f["type"], "birads": f["birads"],
              "positions": {view: place["position"] for view, place in f["views"].items()}}
             for f in truth["findings"]]
    return {"recall": truth["recall"], "breasts": truth["breasts"], "findings": marks}


def test_the_same_seed_writes_the_same_bytes(folders, tmp_path):
    for one, other in zip(folders, generate(tmp_path / "again", "--seed", "7", "--count", "6"), strict=True):
        files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert len(files) == 6
        for path in files:
            assert (one / path).read_bytes() == (other / path).read_bytes(), path


def test_a_third_is_without_cancer_and_every_image_is_valid_dicom(folders):
    truths = [json.loads((folder / "truth.json").read_text())["truth"] for folder in folders]
    assert sum(not truth["malignant"] for truth in truths) == 2
    for path in folders[0].rglob("*.dcm"):
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
        assert "Error" not in said, said


def test_the_truth_as_answer_earns_all_points(cases, tenant, client):
    me = client(tenant("trainee")["trainee"])
    for case in cases:
        feedback = submit(me, open_read(me, case), answer_of(case.truth)).json()
        grade = feedback["grade"]
        assert feedback["correct"] and grade["points"] == grade["max_points"], (case.slug, grade)
