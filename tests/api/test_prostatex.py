"""Two real cases, where the shared reference data is at hand: ProstateX-0000 and -0001 with PI-CAI's truth."""
import json
import subprocess

import pytest
from support.reads import open_read, submit
from support.reference import reference
from support.server import ROOT


class RealCase:
    def __init__(self, folder, line):
        self.id, self.slug = line["case"], line["slug"]
        self.truth = json.loads((folder / "truth.json").read_text())


@pytest.fixture(scope="module")
def real_cases(_server, tmp_path_factory):
    data = reference("picai_cases.csv").parent
    out = tmp_path_factory.mktemp("prostatex") / "cases"
    subprocess.run(["/usr/bin/python3", ROOT / "tests/tools/prostatex_case.py", data, out], check=True)
    folders = sorted(out.iterdir())
    lines = _server.cli("library", "import", "--publish", *folders).stdout.splitlines()
    return [RealCase(folder, json.loads(line)) for folder, line in zip(folders, lines, strict=True)]


@pytest.fixture
def me(tenant, client):
    return client(tenant("trainee")["trainee"])


def mark(position, **more):
    return {"position": position, "zone": "PZ", "t2w": 4, "dwi": 4, "dce": "not_done", "pirads": 4, **more}


def test_the_real_case_shows_its_facts_and_57_slices(me, real_cases):
    case = me.get(f"/v1/cases/{real_cases[0].id}").json()
    assert case["clinical"] == {"age_years": 63, "psa_ng_ml": 13, "prostate_volume_ml": 52, "psa_density_ng_ml2": 0.25}
    assert case["truth_kind"] == "histology" and not case["synthetic"]
    series = {s["role"]: s for s in case["images"]["series"]}
    assert {role: len(s["instances"]) for role, s in series.items()} == {"t2w": 19, "adc": 19, "hbv": 19}
    heights = [i["position_lps_mm"][2] for i in series["t2w"]["instances"]]
    assert heights == sorted(heights)
    png = me.get(case["images"]["base"] + series["t2w"]["instances"][9]["frames"][0])
    assert png.status_code == 200 and int.from_bytes(png.content[16:20], "big") == 384


def test_who_marks_the_true_lesion_is_right(me, real_cases):
    feedback = submit(me, open_read(me, real_cases[0]), {"lesions": [mark([28.0, 33.2, -38.4])], "cspca": True}).json()
    assert feedback["correct"]
    assert "lesion_found" in {f["code"] for f in feedback["grade"]["findings"]}
    assert feedback["histology"]["isup"] == 3 and feedback["truth_kind"] == "histology"
    assert "CC BY-NC 4.0" in json.dumps(feedback["case_provenance"])


def test_who_marks_the_other_side_is_wrong_and_told_what_was_missed(me, real_cases):
    feedback = submit(me, open_read(me, real_cases[0]), {"lesions": [mark([60.0, 18.0, -30.0])], "cspca": True}).json()
    assert not feedback["correct"]
    findings = {f["code"]: f for f in feedback["grade"]["findings"]}
    assert findings.keys() & {"lesion_missed", "mislocalised"} and "false_positive" in findings


def test_a_benign_case_is_right_when_nothing_is_called(me, real_cases):
    feedback = submit(me, open_read(me, real_cases[1]), {"lesions": [], "cspca": False}).json()
    assert feedback["correct"] and feedback["truth"]["cspca"] is False


def test_a_benign_case_is_wrong_when_cancer_is_called(me, real_cases):
    assert not submit(me, open_read(me, real_cases[1]), {"lesions": [], "cspca": True}).json()["correct"]
