"""The case library: list, one case, images, import; never the truth before the submission."""
import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support.cases import generate, take_in
from support.reads import assert_problem, open_read, read_case, truth_as_answer, unknown_id

SECRETS = ("truth\":", "isup", "expert_report", "histology\":", "semi_axes", "cspca")


@pytest.fixture
def me(tenant, client):
    return client(tenant("trainee")["trainee"])


def folder_copy(case, tmp_path, name="copy", **changes):
    """A copy of a case folder under another slug, its manifest changed."""
    folder = tmp_path / name
    shutil.copytree(case.folder, folder)
    manifest = json.loads((folder / "case.json").read_text())
    manifest.update({"slug": f"{case.slug}-{tmp_path.name.replace('_', '-').lower()}"[:80].strip("-"), **changes})
    (folder / "case.json").write_text(json.dumps(manifest))
    return folder


def refused(server, folder, code, words=""):
    result = server.cli("library", "import", folder, check=False)
    assert result.returncode == 1 and code in result.stderr and words in result.stderr, result.stderr


def test_the_library_lists_published_cases_with_their_clinical_facts(me, demo_cases):
    items = me.get("/v1/cases", params={"limit": 100}).json()["items"]
    listed = {c["id"]: c for c in items}
    for case in demo_cases:
        shown = listed[case.id]
        assert shown["synthetic"] and shown["truth_kind"] == "synthetic" and shown["modality"] == "prostate_mri"
        assert shown["clinical"]["age_years"] > 0 and shown["clinical"]["psa_ng_ml"] > 0


def test_the_list_is_paged_by_cursor_without_gaps_or_repeats(me, demo_cases):
    whole = [c["id"] for c in me.get("/v1/cases", params={"limit": 100}).json()["items"]]
    paged, after = [], None
    while True:
        page = me.get("/v1/cases", params={"limit": 2, **({"after": after} if after else {})}).json()
        paged += [c["id"] for c in page["items"]]
        if (after := page["next"]) is None:
            break
    assert paged == whole


def test_filters_narrow_the_list(me, demo_cases):
    for params in ({"difficulty": 2}, {"truth_kind": "synthetic"}, {"synthetic": "true"}, {"modality": "prostate_mri"}):
        (name, value), = params.items()
        items = me.get("/v1/cases", params={**params, "limit": 100}).json()["items"]
        assert all(str(c[name]).lower() == str(value) for c in items)
    assert me.get("/v1/cases", params={"synthetic": "false", "truth_kind": "synthetic"}).json()["items"] == []


def test_unread_leaves_out_what_one_has_read(me, demo_cases):
    read_case(me, demo_cases[0])
    unread = {c["id"] for c in me.get("/v1/cases", params={"unread": "true", "limit": 100}).json()["items"]}
    assert demo_cases[0].id not in unread and demo_cases[1].id in unread


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("after=x", "after"), ("difficulty=9", "difficulty"),
    ("difficulty=2&difficulty=3", "difficulty"), ("modality=x-ray", "modality"), ("truth_kind=guess", "truth_kind"),
    ("synthetic=maybe", "synthetic"), ("unread=1", "unread"), ("colour=red", "colour")])
def test_a_wrong_filter_is_named(me, query, field):
    reply = me.get(f"/v1/cases?{query}")
    assert reply.status_code in (400, 422)
    assert_problem(reply, reply.status_code, field=field)


def test_one_case_shows_images_and_psa_density_but_no_truth(me, demo_cases):
    for case in demo_cases:
        reply = me.get(f"/v1/cases/{case.id}")
        shown = reply.json()
        assert {s["role"] for s in shown["images"]["series"]} >= {"t2w", "adc"}
        facts = shown["clinical"]
        assert facts["psa_density_ng_ml2"] == pytest.approx(facts["psa_ng_ml"] / facts["prostate_volume_ml"], abs=0.006)
        assert not [word for word in SECRETS if word in reply.text]


def test_a_case_that_is_not_there_is_not_found(me):
    assert_problem(me.get(f"/v1/cases/{unknown_id()}"), 404, "case_not_found")
    assert_problem(me.get("/v1/cases/1%27%20OR%201=1"), 404, "case_not_found")


def test_an_unchanged_case_is_not_sent_twice(me, demo_cases):
    first = me.get(f"/v1/cases/{demo_cases[0].id}")
    again = me.get(f"/v1/cases/{demo_cases[0].id}", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_every_image_is_what_its_name_says(me, demo_cases):
    images = me.get(f"/v1/cases/{demo_cases[0].id}").json()["images"]
    for series in images["series"]:
        assert series["instances"]
        for instance in series["instances"][:2]:
            dicom = me.get(images["base"] + instance["dicom"])
            assert dicom.headers["content-type"] == "application/dicom" and dicom.content[128:132] == b"DICM"
            assert hashlib.sha256(dicom.content).hexdigest() == instance["dicom"].split(".")[0]
            for frame in instance["frames"]:
                png = me.get(images["base"] + frame)
                assert png.headers["content-type"] == "image/png" and png.content.startswith(b"\x89PNG")
                assert hashlib.sha256(png.content).hexdigest() == frame.split(".")[0]
                assert "immutable" in png.headers["cache-control"]


def test_the_demo_dicom_is_valid(me, demo_cases, tmp_path):
    images = me.get(f"/v1/cases/{demo_cases[0].id}").json()["images"]
    for series in images["series"]:
        path = tmp_path / "x.dcm"
        path.write_bytes(me.get(images["base"] + series["instances"][0]["dicom"]).content)
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True).stderr
        assert "Error" not in said, said


def test_an_image_is_refused_without_session_and_under_another_case(me, client, demo_cases):
    images = me.get(f"/v1/cases/{demo_cases[0].id}").json()["images"]
    name = images["series"][0]["instances"][0]["frames"][0]
    assert_problem(client().get(images["base"] + name), 401)
    assert_problem(me.get(f"/v1/cases/{demo_cases[1].id}/images/{name}"), 404, "image_not_found")
    for wrong in ("0" * 64 + ".png", "../../etc/passwd", "%2e%2e%2fx", name.replace(".png", ".gif"), name.upper()):
        assert me.get(images["base"] + wrong).status_code == 404


def test_an_image_is_refused_once_every_loop_has_heard_that_the_session_ended(tenant, client, demo_cases):
    """By notification, long before a grant would run out by itself (5 s)."""
    def seconds_until_refused():
        me = client(tenant("trainee")["trainee"])
        images = me.get(f"/v1/cases/{demo_cases[0].id}").json()["images"]
        path = images["base"] + images["series"][0]["instances"][0]["frames"][0]
        for _ in range(8):  # every loop has a grant by now
            assert me.get(path, headers={"Connection": "close"}).status_code == 200
        assert me.delete("/v1/session").status_code == 204
        ended = time.monotonic()
        while {me.get(path, headers={"Connection": "close"}).status_code for _ in range(8)} != {401}:
            assert time.monotonic() < ended + 30
        return time.monotonic() - ended

    # A machine that stands still for a while is given another chance.
    assert any(seconds_until_refused() < 3 for _ in range(5))


def test_truth_comes_with_the_feedback_only(me, demo_cases):
    case = demo_cases[3]
    read = open_read(me, case)
    for path in (f"/v1/reads/{read['id']}", "/v1/reads", f"/v1/cases/{case.id}"):
        assert not [word for word in SECRETS if word in me.get(path).text]
    assert_problem(me.get(f"/v1/reads/{read['id']}/feedback"), 409, "not_submitted")
    reply = me.post(f"/v1/reads/{read['id']}/submission", json={"answer": truth_as_answer(case.truth["truth"])}).json()
    assert reply["truth"]["cspca"] == case.truth["truth"]["cspca"]
    assert reply["expert_report"] == case.truth["expert_report"]


def test_importing_the_same_folder_again_changes_nothing(server, demo_cases):
    line = json.loads(server.cli("library", "import", demo_cases[0].folder).stdout)
    assert line == {"case": demo_cases[0].id, "slug": demo_cases[0].slug, "version": 1, "changed": False,
                    "state": "published"}


def test_a_changed_case_becomes_a_new_version_and_an_open_read_keeps_its_own(me, server, demo_cases, tmp_path):
    folder = folder_copy(demo_cases[0], tmp_path)
    first = json.loads(server.cli("library", "import", "--publish", folder).stdout)
    read = me.post("/v1/reads", json={"case": first["case"]}).json()
    manifest = json.loads((folder / "case.json").read_text())
    manifest["title"] = "A better title"
    (folder / "case.json").write_text(json.dumps(manifest))
    second = json.loads(server.cli("library", "import", folder).stdout)
    assert (first["version"], second["version"], second["changed"]) == (1, 2, True)
    shown = me.get(f"/v1/cases/{first['case']}").json()
    assert shown["version"] == 1 and shown["open_read"] == read["id"]
    answer = truth_as_answer(demo_cases[0].truth["truth"])
    feedback = me.post(f"/v1/reads/{read['id']}/submission", json={"answer": answer}).json()
    assert feedback["case_version"] == 1
    assert me.get(f"/v1/cases/{first['case']}").json()["title"] == "A better title"


def test_a_case_version_never_changes(pg, demo_cases):
    with pytest.raises(Exception, match="never changed"):
        pg.query("UPDATE case_versions SET title = 'x' WHERE case_id = %s", (demo_cases[0].id,))


def test_a_withdrawn_case_leaves_the_list_but_stays_with_who_has_read_it(tenant, client, server, demo_cases, tmp_path):
    trust = tenant("trainee", "trainee")
    reader, other = map(client, trust.people)
    case = json.loads(server.cli("library", "import", "--publish", folder_copy(demo_cases[1], tmp_path)).stdout)
    read = reader.post("/v1/reads", json={"case": case["case"]}).json()
    reader.post(f"/v1/reads/{read['id']}/submission", json={"answer": truth_as_answer(demo_cases[1].truth["truth"])})
    server.cli("library", "withdraw", "--reason", "truth disputed", case["slug"])
    assert case["case"] not in {c["id"] for c in other.get("/v1/cases", params={"limit": 100}).json()["items"]}
    assert_problem(other.get(f"/v1/cases/{case['case']}"), 404, "case_not_found")
    assert_problem(other.post("/v1/reads", json={"case": case["case"]}), 410, "case_withdrawn")
    assert reader.get(f"/v1/cases/{case['case']}").json()["state_reason"] == "truth disputed"
    assert reader.get(f"/v1/reads/{read['id']}/feedback").status_code == 200


def test_a_draft_case_is_nowhere(me, server, demo_cases, tmp_path):
    case = json.loads(server.cli("library", "import", folder_copy(demo_cases[2], tmp_path)).stdout)
    assert case["state"] == "draft"
    assert_problem(me.get(f"/v1/cases/{case['case']}"), 404, "case_not_found")
    assert_problem(me.post("/v1/reads", json={"case": case["case"]}), 404, "case_not_found", "/case")


def test_a_folder_without_truth_is_refused(server, demo_cases, tmp_path):
    folder = folder_copy(demo_cases[0], tmp_path)
    (folder / "truth.json").unlink()
    refused(server, folder, "no_truth")


def test_a_corrupt_dicom_file_is_refused_and_named(server, demo_cases, tmp_path, pg):
    folder = folder_copy(demo_cases[0], tmp_path)
    victim = sorted(folder.rglob("*.dcm"))[1]
    victim.write_bytes(victim.read_bytes()[:700])
    before = pg.query("SELECT count(*) FROM case_versions")
    refused(server, folder, "", victim.name)
    assert pg.query("SELECT count(*) FROM case_versions") == before


def test_a_truth_that_breaks_the_plugins_schema_is_refused_and_the_field_named(server, demo_cases, tmp_path):
    folder = folder_copy(demo_cases[0], tmp_path)
    truth = json.loads((folder / "truth.json").read_text())
    truth["truth"]["cspca"] = "perhaps"
    (folder / "truth.json").write_text(json.dumps(truth))
    refused(server, folder, "schema", "/truth/cspca")


def test_a_truth_that_contradicts_itself_is_refused_by_the_plugin(server, demo_cases, tmp_path):
    case = next(c for c in demo_cases if c.truth["truth"]["cspca"])
    folder = folder_copy(case, tmp_path)
    truth = json.loads((folder / "truth.json").read_text())
    truth["truth"]["cspca"] = False
    (folder / "truth.json").write_text(json.dumps(truth))
    refused(server, folder, "", "/truth")


def test_a_case_of_an_unknown_plugin_is_refused(server, demo_cases, tmp_path):
    refused(server, folder_copy(demo_cases[0], tmp_path, plugin="crystal_ball"), "unknown_plugin", "crystal_ball")


def test_modalities_describe_themselves_well_enough_to_build_a_form(me):
    listed = me.get("/v1/modalities").json()["items"]
    assert "prostate_mri" in [m["modality"] for m in listed]
    manifest = me.get("/v1/modalities/prostate_mri").json()
    assert manifest["schemas"]["answer"]["properties"]["lesions"] and manifest["findings"]
    assert_problem(me.get("/v1/modalities/x-ray"), 404, "modality_not_found")


def test_the_generator_makes_the_same_bytes_from_the_same_seed(server, tmp_path):
    def hashes(folder):
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted(folder.rglob("*")) if p.is_file()}

    generate(server, tmp_path / "a", 5, 1)
    generate(server, tmp_path / "b", 5, 1)
    generate(server, tmp_path / "c", 6, 1)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


def test_a_file_that_names_a_patient_is_refused_and_not_kept(server, demo_cases, tmp_path):
    folder = folder_copy(demo_cases[0], tmp_path)
    victim = sorted(folder.rglob("*.dcm"))[0]
    subprocess.run(["dcmodify", "-nb", "-m", "(0010,0010)=Real^Name", "-m", "(0012,0062)=NO", victim], check=True)
    sha256 = hashlib.sha256(victim.read_bytes()).hexdigest()
    refused(server, folder, "not_deidentified", victim.name)
    store = Path(server.config["state_dir"]) / "images"
    assert not (store / sha256[:2] / f"{sha256}.dcm").exists()
    assert not [p for p in store.rglob(".new-*")]


def test_text_that_may_be_burned_in_needs_a_statement(server, demo_cases, tmp_path):
    folder = folder_copy(demo_cases[1], tmp_path)
    for file in folder.rglob("*.dcm"):
        subprocess.run(["dcmodify", "-nb", "-ea", "(0028,0301)", file], check=True)
    refused(server, folder, "burned_in_annotation")
    manifest = json.loads((folder / "case.json").read_text())
    manifest["deidentified_by"] = "A person who looked at every frame"
    (folder / "case.json").write_text(json.dumps(manifest))
    server.cli("library", "import", folder)


def test_a_modality_is_named_like_its_plugin(server, demo_cases, tmp_path):
    refused(server, folder_copy(demo_cases[0], tmp_path, modality="prostate"), "modality_differs", "/modality")
