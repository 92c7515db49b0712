"""The author's kit: overread plugin new, check and try. Each check of the conformance run is seen failing, on the
scaffold with one thing broken in it."""
import csv
import json
import re
import subprocess

import pytest
from support.reference import reference
from support.server import BUILD, GRADER, OVERREAD, PLUGINS, ROOT, environment, sanitized

CHECKS = ["manifest", "ui", "exports", "imports", "head", "abi", "cases", "golden", "statistics", "repeats", "processes",
          "time_zone", "locale", "keys", "rounding", "truncations", "mutations", "allocations", "threads", "worker", "limits",
          "truth_as_answer", "empty_answer"]
FLAGS = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden",
         "-ffp-contract=off"]


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path_factory, monkeypatch):
    """Inputs that a failed check saves go where pytest cleans up."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("saved")))


def overread(*arguments, **options):
    return subprocess.run([OVERREAD, *map(str, arguments)], env={**environment(), "OVERREAD_GRADER": str(GRADER)},
                          capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, **options)


def compile_plugin(folder, *flags):
    library = folder / f"{folder.name}.so"
    subprocess.run(["cc", *FLAGS, *flags, f"-I{ROOT}/include", f"{folder.name}.c", "-o", library, "-lm"], check=True,
                   cwd=folder)
    return library


@pytest.fixture
def scaffold(tmp_path):
    result = overread("plugin", "new", "wrist_xr", "--dir", tmp_path)
    assert result.returncode == 0, result.stderr
    return tmp_path / "wrist_xr"


def check(library, *options):
    """Exit status, and the outcome of each check: (word, what stands behind the colon)."""
    result = overread("plugin", "check", library, *options)
    lines = result.stdout.splitlines()
    outcomes = {m[2]: (m[1], m[3] or "") for line in lines
                if (m := re.fullmatch(r"(ok|FAILED|skipped) (\w+)(?:: (.*))?", line))}
    words = [word for word, _ in outcomes.values()]
    assert lines and lines[-1] == f"{words.count('ok')} passed, {words.count('FAILED')} failed", result.stdout + result.stderr
    assert result.returncode == (1 if "FAILED" in words else 0)
    assert list(outcomes) == CHECKS
    return outcomes


def failed(outcomes):
    return {name for name, (word, _) in outcomes.items() if word == "FAILED"}


# --- new ---------------------------------------------------------------------------------------------------------

def test_a_new_plugin_builds_as_strict_c11_and_passes_every_check(scaffold):
    outcomes = check(compile_plugin(scaffold, "-pedantic", "-Wconversion", "-Wshadow"))
    skipped = {name for name, (word, _) in outcomes.items() if word == "skipped"}
    assert not failed(outcomes) and not skipped


def test_a_new_plugin_needs_the_public_header_only(scaffold):
    includes = re.findall(r"#include (.*)", (scaffold / "wrist_xr.c").read_text())
    assert includes == ["<overread/plugin.h>", "<stdbool.h>", "<stdio.h>", "<string.h>"]
    assert "@NAME@" not in "".join(path.read_text() for path in scaffold.rglob("*") if path.is_file())


def test_a_new_plugin_builds_with_meson_and_its_test_is_the_conformance_run(scaffold):
    env = {**environment(), "OVERREAD_GRADER": str(GRADER)}
    for command in (["meson", "setup", "build", f"-Doverread_include={ROOT}/include", f"-Doverread={OVERREAD}"],
                    ["meson", "test", "-C", "build", "-v"]):
        result = subprocess.run(command, cwd=scaffold, env=env, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr
    assert "passed, 0 failed" in result.stdout


def test_an_installed_overread_is_found_by_pkg_config_and_finds_the_plugin_that_is_installed_beside(tmp_path):
    root = tmp_path / "installed"
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root], check=True, capture_output=True)
    program, package = next(root.rglob("bin/overread")), next(root.rglob("overread-plugin.pc"))
    env = {**environment(), "PATH": f"{program.parent}:{environment()['PATH']}", "PKG_CONFIG_PATH": str(package.parent),
           "PKG_CONFIG_SYSROOT_DIR": str(root), "OVERREAD_ALLOW_UNSIGNED_PLUGINS": "on"}
    commands = f"{guide(1)[1]}\nmeson install -C build\noverread plugin list"
    result = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^Ok: +1", result.stdout, re.M) and re.search(r"^wrist_xr  0\.1\.0  rules 1", result.stdout, re.M)
    assert program.read_bytes() == OVERREAD.read_bytes()
    said = (tmp_path / "wrist_xr/README.md").read_text()
    assert all(f"share/doc/overread/{path.name}" in said for path in root.rglob("share/doc/overread/AUTHORS.md")) and \
        {path.name for path in root.rglob("share/doc/overread/*")} == {"AUTHORS.md", "CASE_FOLDER.md"}


def test_without_an_installed_overread_meson_says_what_is_missing_and_what_to_do(scaffold):
    result = subprocess.run(["meson", "setup", "build"], cwd=scaffold, capture_output=True, text=True, timeout=300,
                            env={**environment(), "PKG_CONFIG_LIBDIR": str(scaffold / "none")})
    assert result.returncode == 1
    assert "meson setup build -Doverread_include=OVERREAD/include" in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["", "Wrist", "wrist-xr", "1wrist", "../wrist", "wrist/xr", "a" * 65, "test", "all"])
def test_a_bad_name_is_refused_and_leaves_nothing_behind(tmp_path, name):
    result = overread("plugin", "new", name, "--dir", tmp_path)
    assert result.returncode == 1 and "bad_name at NAME" in result.stderr
    assert not list(tmp_path.iterdir())


def test_what_exists_is_not_written_over(scaffold):
    (scaffold / "wrist_xr.c").write_text("mine")
    result = overread("plugin", "new", "wrist_xr", "--dir", scaffold.parent)
    assert result.returncode == 1 and "exists" in result.stderr
    assert (scaffold / "wrist_xr.c").read_text() == "mine"


@pytest.mark.parametrize("arguments", [["new"], ["new", "a", "b"], ["check"], ["check", "a.so", "--seed", "x"],
                                       ["try"], ["try", "a.so"], ["try", "a.so", "--truth", "t", "--nonsense"]])
def test_a_command_line_that_is_wrong_ends_with_2_and_the_usage(arguments):
    result = overread("plugin", *arguments)
    assert result.returncode == 2 and "usage: overread plugin" in result.stderr


# --- try ---------------------------------------------------------------------------------------------------------

def attempt(folder, library, *options, case="found", **files):
    parts = {part: files.get(part, folder / f"golden/{case}/{part}.json") for part in ("truth", "answer", "config")}
    return overread("plugin", "try", library, *(word for part, path in parts.items() for word in (f"--{part}", path)),
                    *options)


def test_trying_an_answer_tells_a_person_what_was_right_and_why(scaffold):
    result = attempt(scaffold, compile_plugin(scaffold))
    assert result.returncode == 0, result.stderr
    for words in ("2.000 of 2.000 points; the read counts as correct", "RIGHT  found  1.000 of 1.000",
                  "Your mark lies 5 pixels from the centre", "Rule: One point for a mark", "distance_px: 5.000000"):
        assert words in result.stdout
    missed = scaffold / "missed.json"
    missed.write_text('{"abnormal": false}')
    result = attempt(scaffold, compile_plugin(scaffold), answer=missed)
    for words in ("counts as wrong", "MISSED  missed  0.000 of 1.000", "Look again: The abnormality's centre",
                  "distance_px: undefined, nothing was marked"):
        assert words in result.stdout


def test_trying_as_json_gives_an_expectation(scaffold):
    result = attempt(scaffold, compile_plugin(scaffold), "--json")
    assert result.stdout == (scaffold / "golden/found/expected.json").read_text()
    folder = ROOT / "plugins/prostate_mri"
    result = attempt(folder, PLUGINS / "prostate_mri/prostate_mri.so", "--json", case="two_lesions")
    assert json.loads(result.stdout) == json.loads((folder / "golden/two_lesions/expected.json").read_text())


@pytest.mark.parametrize(("part", "text", "place"), [
    ("answer", '{"abnormal": 1}', "schema at answer/abnormal:"),
    ("answer", '{"abnormal": true, "mark": [600, 1]}', "incoherent at answer/mark:"),
    ("truth", '{"abnormal": true}', "incoherent at truth/centre:"),
    ("truth", '{"abnormal": tru}', "malformed_json at truth:"),
    ("config", '{"width": 512, "height": 512}', "schema at config/tolerance:"),
])
def test_what_is_wrong_with_the_input_is_named_by_its_place(scaffold, part, text, place):
    path = scaffold / "input.json"
    path.write_text(text)
    result = attempt(scaffold, compile_plugin(scaffold), **{part: path})
    assert result.returncode == 1 and place in result.stderr and not result.stdout


def test_files_that_are_not_there_are_named(scaffold, tmp_path):
    result = attempt(scaffold, tmp_path / "nothing.so")
    assert result.returncode == 1 and "no_such_file at FILE.so" in result.stderr
    library = compile_plugin(scaffold)
    result = attempt(scaffold, library, truth=tmp_path / "nothing.json")
    assert result.returncode == 1 and "no_such_file at truth" in result.stderr
    (scaffold / "manifest.json").unlink()
    result = attempt(scaffold, library)
    assert result.returncode == 1 and "no_manifest at manifest.json" in result.stderr


def test_a_plugin_that_does_what_it_may_not_is_ended_and_the_call_is_named(scaffold):
    result = attempt(scaffold, broken(scaffold, "worker"))
    assert result.returncode == 1 and "grader_failed" in result.stderr and "a call that is denied: access" in result.stderr


def test_no_folder_is_left_behind(scaffold, tmp_path):
    library = compile_plugin(scaffold)
    folder = tmp_path / "temporary"
    folder.mkdir()
    parts = [word for part in ("truth", "answer", "config") for word in (f"--{part}", scaffold / f"golden/found/{part}.json")]
    result = subprocess.run([OVERREAD, "plugin", "try", library, *parts], capture_output=True, timeout=300,
                            env={**environment(), "OVERREAD_GRADER": str(GRADER), "TMPDIR": str(folder)})
    assert result.returncode == 0 and not list(folder.iterdir())


# --- check: each seen failing ------------------------------------------------------------------------------------

GRADE = "    if (!findings || !metrics)\n        return OVERREAD_NO_MEMORY;\n"
FOUND = "    distance = distance_of(&truth->at, &answer->at);\n"
ENTRY = "const overread_plugin *overread_plugin_entry(void)"
# name: [(file, what stands there, what it becomes)], words of the failure
BROKEN = {
    "manifest": ([("manifest.json", '"type": "object"', '"type": "objekt"')], "/schemas/"),
    "ui": ([("manifest.json", '{"/mark": "point_px"}', '{"/nope": "point_px"}')], '"/nope" leads to nothing of the answer'),
    "exports": ([("wrist_xr.c", ENTRY, f"OVERREAD_EXPORT int another;\nint another = 1;\n{ENTRY}")], 'it exports "another"'),
    "imports": ([("wrist_xr.c", "#include <string.h>", "#include <string.h>\n#include <time.h>"),
                 ("wrist_xr.c", GRADE, GRADE + "    if (time(NULL) == 1)\n        return OVERREAD_BUG;\n")], "time()"),
    "head": ([("wrist_xr.c", '.version = "0.1.0"', '.version = "0.2.0"')], "version is not the manifest's"),
    "abi": ([("wrist_xr.c", ".abi_major = OVERREAD_ABI_MAJOR", ".abi_major = 2")], "abi 2.0 is not supported"),
    "cases": ([("golden/found/answer.json", "[203, 304]", "[203, 304, 1]")], "found: answer/mark"),
    "golden": ([("wrist_xr.c", "Your decision is right.", "Your decision is good.")], 'the grade has `"text": "Your decision is good.'),
    "statistics": ([("manifest.json", '"truth": "abnormal"', '"truth": "no_such_metric"')], 'no golden grade has a metric "no_such_metric"'),
    "repeats": ([("wrist_xr.c", FOUND, FOUND + "    static int calls;\n    distance += calls++ > 0;\n")], "after other cases"),
    "processes": ([("wrist_xr.c", FOUND, FOUND + "    distance += (int)(((uintptr_t)&integer >> 12) & 0xffff);\n")],
                  "in a fresh process"),
    "time_zone": ([("wrist_xr.c", "#include <string.h>", "#include <stdlib.h>\n#include <string.h>"),
                   ("wrist_xr.c", FOUND, FOUND + '    distance += getenv("TZ") ? (int)strlen(getenv("TZ")) : 0;\n')],
                  "in a fresh process with TZ="),
    "locale": ([("wrist_xr.c", "#include <string.h>", "#include <locale.h>\n#include <string.h>"),
                ("wrist_xr.c", FOUND, FOUND + "    distance += (int)strlen(setlocale(LC_CTYPE, NULL)) - 1;\n")],
               "in a fresh process with LC_ALL="),
    "keys": ([("wrist_xr.c", FOUND, FOUND + "    distance += input->config->as.members[0].name > "
                                            "input->config->as.members[2].name;\n")], "members in another order"),
    "rounding": ([("wrist_xr.c", "#include <stdbool.h>", "#include <math.h>\n#include <stdbool.h>"),
                  ("wrist_xr.c", "(int64_t)distance * 1000000;", "(int64_t)nearbyint((distance + tolerance / 1e9) / 3.0 * 1e6);")],
                 "when arithmetic rounds"),
    "truncations": ([("wrist_xr.c", FOUND, FOUND + "    if (tolerance < 15)\n        __builtin_trap();\n")], "damaged text"),
    "mutations": ([("wrist_xr.c", "    if (!answer->at.given) {\n",
                    '    if (!answer->at.given) {\n        finding->answer_pointer = "/mark";\n')], "mutation"),
    "allocations": ([("wrist_xr.c", GRADE, "")], "without its allocation 1 of 3"),
    "threads": ([("wrist_xr.c", FOUND, FOUND + "    static volatile int kept;\n    kept = distance;\n"
                  "    (void)host->alloc(host->context, 1);\n    distance = kept;\n")], "keeps state"),
    "worker": ([("wrist_xr.c", "#include <stdbool.h>", "#include <stdbool.h>\nextern int access(const char *path, int mode);"),
                ("wrist_xr.c", FOUND, FOUND + '    distance += access("/etc/hostname", 4) > 0;\n')], "grader_failed"),
    "limits": ([("manifest.json", '"mark": {', '"others": {"type": "array", "items": {"type": "integer"}}, "mark": {'),
                ("golden/found/answer.json", '"mark"', '"others": [1], "mark"'),
                ("wrist_xr.c", GRADE, GRADE + '    if (member(input->answer, "others") && '
                 'member(input->answer, "others")->count > 1000)\n        for (volatile int i = 0;; i++)\n            ;\n')],
               "grader_timeout"),
    "truth_as_answer": ([("wrist_xr.c", FOUND, FOUND + "    distance = distance ? distance : 100;\n")],
                        "who sends the truth earns 1.000 of 2.000 points"),
    "empty_answer": ([("wrist_xr.c", "    if (!answer->at.given) {\n", "    if (!answer->at.given) {\n"
                       "        finding->points_milli = finding->max_points_milli = 5000;\n")],
                     "an empty answer earns 6.000 points, the truth 2.000"),
}


def broken(folder, name):
    for file, old, new in BROKEN[name][0]:
        text = (folder / file).read_text()
        assert old in text, f"{name}: the scaffold has no {old!r} in {file}"
        (folder / file).write_text(text.replace(old, new, 1))
    return compile_plugin(folder)


def test_there_is_a_broken_plugin_for_each_check():
    assert list(BROKEN) == CHECKS


@pytest.mark.parametrize("name", BROKEN)
def test_a_plugin_that_is_broken_fails_the_check_that_is_for_it(scaffold, name):
    second = scaffold / "golden/far_off"
    second.mkdir()
    for part in ("config", "truth"):
        (second / f"{part}.json").write_text((scaffold / f"golden/found/{part}.json").read_text())
    (second / "answer.json").write_text('{"abnormal": true, "mark": [10, 20]}')
    (second / "expected.json").write_text(attempt(scaffold, compile_plugin(scaffold), "--json", case="far_off").stdout)
    outcomes = check(broken(scaffold, name), "--seed", 1)
    assert outcomes[name][0] == "FAILED" and BROKEN[name][1] in outcomes[name][1], outcomes


@pytest.mark.parametrize(("check_name", "old", "new", "words"), [
    ("ui", '"members": ["mark"]', '"members": ["marc"]', 'has no member "marc"'),
    ("ui", '{"": [', '{"/lesions": [', '"/lesions" leads to nothing of the answer'),
    ("ui", '"point_px"', '"point_pixels"', '"point_pixels" is no widget of the guide'),
    ("ui", '{"/abnormal": [true]}', '{"/abnormal_": [true]}', '"/abnormal_" leads to nothing of the answer'),
    ("ui", '{"/abnormal": [true]}', '{"/abnormal": []}', 'names no value'),
    ("ui", '{"/mark": {"/abnormal"', '{"/marc": {"/abnormal"', '"/marc" leads to nothing of the answer'),
    ("statistics", '"levels": 2', '"levels": 2, "reference": "nobody"', '/reader_statistics/reference: no golden grade'),
    ("statistics", '"score": "suspicion"', '"score": "distance_px"', 'not one of 1 to 2'),
])
def test_a_manifest_whose_names_lead_nowhere_fails(scaffold, check_name, old, new, words):
    edit(scaffold / "manifest.json", old, new)
    outcomes = check(compile_plugin(scaffold))
    assert failed(outcomes) == {check_name} and words in outcomes[check_name][1], outcomes


def test_what_a_reference_or_a_branch_leads_to_is_found_by_the_hints(scaffold):
    path = scaffold / "manifest.json"
    manifest = json.loads(path.read_text())
    answer = manifest["schemas"]["answer"]
    answer["$defs"] = {"spot": answer["properties"].pop("mark"), "more": {"properties": {"mark": {"$ref": "#/$defs/spot"}}}}
    answer["properties"]["mark"] = True
    answer["allOf"] = [{"anyOf": [{"$ref": "#/$defs/more"}]}]
    manifest["ui"]["widgets"]["/mark/*"] = "x-column-or-row"
    path.write_text(json.dumps(manifest))
    assert not failed(check(compile_plugin(scaffold)))


def test_a_crash_fails_its_check_alone_and_leaves_the_input_to_try(scaffold, tmp_path):
    library = broken(scaffold, "truncations")
    result = overread("plugin", "check", library, "--seed", 5)
    line = re.search(r"FAILED mutations: .* while .* \(again with --seed 5\)\n    overread (plugin try .*)", result.stdout)
    assert line and "ok golden" in result.stdout and "ok repeats" in result.stdout
    assert "SIG" in line[0] or "ended with status" in line[0]
    again = overread(*line[1].split())
    assert again.returncode == 1 and "grader_failed" in again.stderr


def test_the_seed_repeats_a_run(scaffold):
    library = broken(scaffold, "mutations")
    runs = [overread("plugin", "check", library, "--seed", seed).stdout for seed in (3, 3, 4)]
    place = [re.search(r"FAILED mutations: (.*)", run)[1] for run in runs]
    assert place[0] == place[1] != place[2]


def test_without_golden_cases_the_run_fails_and_says_where_it_looked(scaffold):
    outcomes = check(compile_plugin(scaffold), "--cases", scaffold / "none")
    assert failed(outcomes) == {"cases"} and "--cases DIR" in outcomes["cases"][1]
    assert outcomes["golden"][0] == "skipped"


@pytest.mark.parametrize("plugin", ["prostate_mri", "breast_mammo", "lung_ct"])
def test_a_shipped_plugin_conforms_in_every_check(plugin):
    outcomes = check(PLUGINS / plugin / f"{plugin}.so", "--cases", ROOT / "plugins" / plugin / "golden")
    assert {word for word, _ in outcomes.values()} == {"ok"}, outcomes


def at(schema, pointer, root):
    """The schema of what a pointer of `ui` leads to, or None."""
    for step in [part for part in pointer.split("/") if part]:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        if step == "*":
            schema = schema.get("items") or next(iter(schema.get("properties", {}).values()), None)
        else:
            schema = schema.get("properties", {}).get(step)
        if schema is None:
            return None
    return root["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


@pytest.mark.parametrize("plugin", ["prostate_mri", "breast_mammo", "lung_ct", "wrist_xr"])
def test_the_hints_for_a_form_are_of_the_guides_words_and_lead_into_the_answer(scaffold, plugin):
    path = scaffold / "manifest.json" if plugin == "wrist_xr" else ROOT / "plugins" / plugin / "manifest.json"
    manifest, text = json.loads(path.read_text()), (ROOT / "include/overread/AUTHORS.md").read_text()
    answer, ui = manifest["schemas"]["answer"], manifest["ui"]
    section = text.split("## Hints for the form")[1].split("\n## ")[0]
    assert all(f"`{name}`" in section for name in ui if name != "sectors")
    for pointer, groups in ui["groups"].items():
        said = [member for group in groups for member in group["members"]]
        assert sorted(said) == sorted(at(answer, pointer, answer)["properties"]), pointer
    for pointer, widget in ui["widgets"].items():
        assert at(answer, pointer, answer) is not None and f"`{widget}`" in section, pointer
    for pointer, conditions in ui.get("show_when", {}).items():
        assert at(answer, pointer, answer) is not None, pointer
        for other, values in conditions.items():
            schema = at(answer, other, answer)
            assert schema["type"] == "boolean" or set(values) <= set(schema["enum"]), other
    assert {role for row in ui.get("hanging", []) for role in row} <= set(ui.get("series", []))


def test_the_sector_map_has_the_snomed_codes_of_the_reference():
    with reference("pirads_v21_sectors.tsv").open() as file:
        wanted = {(row["zone"], row["side"], row["level"]): row["snomed_ct"] for row in csv.DictReader(file, delimiter="\t")}
    manifest = json.loads((ROOT / "plugins/prostate_mri/manifest.json").read_text())
    sectors = manifest["ui"]["sectors"]
    assert {(s["zone"], s["side"], s["level"]): s["snomed_ct"] for s in sectors} == wanted and len(sectors) == 41
    for which in ("answer", "truth"):
        assert [s["code"] for s in sectors] == manifest["schemas"][which]["$defs"]["sector"]["enum"]


def test_the_server_cannot_load_a_plugin():
    names = subprocess.run(["nm", "-D", "--undefined-only", OVERREAD], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"\bdlm?open\b", names)


# --- the guide ---------------------------------------------------------------------------------------------------

def guide(section):
    """The code blocks of one section of the authors' guide."""
    text = (ROOT / "include/overread/AUTHORS.md").read_text()
    body = re.search(rf"^## {section}\..*?(?=^## )", text, re.M | re.S)[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", body, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n") for block in blocks if block.strip()]


def of_this(checkout):
    """The guide's lines that say where the checkout and its build are, about ours."""
    lines = checkout.replace("/home/you/overread", str(ROOT)).replace("$OVERREAD/build/", f"{BUILD}/")
    assert checkout.count("/home/you/overread") == 1 and lines.count(str(BUILD)) == 2
    return lines


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, count))


def test_what_the_guide_says_leads_to_a_graded_case(tmp_path, server_with, tenant, demo_cases):
    env = {**environment(), "OVERREAD_GRADER": str(GRADER), "PATH": f"{OVERREAD.parent}:{environment()['PATH']}"}

    def shell(commands, folder, status=0):
        result = subprocess.run(["bash", "-ec", commands], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout

    folder = tmp_path / "wrist_xr"
    checkout, begin = guide(1)[:2]
    assert re.search(r"^Ok: +1", shell(f"{of_this(checkout)}\n{begin}", tmp_path), re.M)
    shown = shell(guide(2)[0], folder)
    for line in guide(2)[1].splitlines():
        assert line == "..." or line in shown.splitlines() or not line

    side, codes = guide(3)
    edit(folder / "manifest.json", '"centre": {', f'{side}\n        "centre": {{')
    edit(folder / "manifest.json", '"mark": {', f'{side}\n        "mark": {{')
    edit(folder / "manifest.json", '"decision_right":', f'{codes}\n    "decision_right":')
    functions, call, build = guide(4)[:3]
    source = folder / "wrist_xr.c"
    edit(source, "static enum overread_status grade(", f"{functions}\n\nstatic enum overread_status grade(")
    edit(source, "2 * sizeof(*findings)", "3 * sizeof(*findings)")
    edit(source, "    for (uint32_t i = 0; i < ret->finding_count;", f"    {call}\n    for (uint32_t i = 0; i < ret->finding_count;")
    assert shell(build, folder).endswith("passed, 0 failed\n")

    commands, complaint, last = guide(5)
    copy, rest = commands.split("\n", 1)
    case = folder / "golden/wrong_side"
    shell(copy, folder)
    edit(case / "truth.json", "{", '{"side": "radius", ')
    edit(case / "answer.json", "{", '{"side": "ulna", ')
    assert "You did not name the bone that is broken." in shell(rest, folder)
    assert complaint in shell(last, folder, 1)
    edit(case / "truth_as_answer.json", "{", '{"side": "radius", ')
    assert shell(last, folder).endswith("passed, 0 failed\n")

    shell("overread plugin keygen plugin-key", tmp_path)
    (tmp_path / "plugins").mkdir()
    server = server_with(plugin_dir=tmp_path / "plugins", plugin_keys=tmp_path / "plugin-key.pub.pem")
    install, image, manifest, truth, take_in, read = guide(7)
    for said, is_here in (("overread.conf", server.config_file), ("app/plugins", tmp_path / "plugins"),
                          ("plugin-key.pem", tmp_path / "plugin-key.pem")):
        assert f"$OVERREAD/var/{said}" in install
        install = install.replace(f"$OVERREAD/var/{said}", str(is_here))
    shell(f"{install}\n{image.replace('IMAGE.dcm', str(next(demo_cases[0].folder.rglob('*.dcm'))))}", folder)
    (folder / "wrist-1/case.json").write_text(manifest)
    (folder / "wrist-1/truth.json").write_text(truth)
    server.wait_event("plugin_changed")
    shell(f"{install.splitlines()[0]}\n{take_in}", folder)
    me = tenant("trainee")["trainee"]
    grade = json.loads(shell(f"U={server.url} A='Authorization: Bearer {me.token}'\n{read}", folder))
    assert [finding["code"] for finding in grade["findings"]] == ["decision_right", "found", "side_wrong"]
    assert (grade["points"], grade["max_points"], grade["correct"]) == (2, 2.5, False)


@pytest.mark.skipif(sanitized(), reason="an author's tools are not sanitized; the plain build shows it")
def test_with_sanitizers_as_the_guide_says_a_read_out_of_bounds_is_found(scaffold):
    setup, compile_it, run = guide(6)[0].split("\n", 2)
    env = {**environment(), "OVERREAD_GRADER": str(GRADER), "PATH": f"{OVERREAD.parent}:{environment()['PATH']}"}

    def shell(line):
        return subprocess.run(["bash", "-c", f"{of_this(guide(1)[0])}\n{line}"], cwd=scaffold, env=env, capture_output=True,
                              text=True, timeout=300)

    result = shell(f"{setup} && {compile_it} && {run}")
    assert result.returncode == 0 and result.stdout.endswith(f"{len(CHECKS) - 2} passed, 0 failed\n"), result.stdout + result.stderr
    assert "skipped worker" in result.stdout and "skipped limits" in result.stdout
    edit(scaffold / "wrist_xr.c", FOUND, FOUND + "    int table[2] = {0, 0};\n    volatile int at = 2;\n    distance += table[at] != table[at];\n")
    result = shell(f"{compile_it} && {run}")
    assert result.returncode == 1 and "FAILED golden" in result.stdout, result.stdout + result.stderr
    assert "stack-buffer-overflow" in result.stderr or "out of bounds" in result.stderr


def test_the_guide_names_every_check():
    text = (ROOT / "include/overread/AUTHORS.md").read_text().split("## 6.")[1]
    assert all(f"`{name}`" in text for name in CHECKS)


def test_the_guide_names_every_keyword_and_limit_and_leads_to_no_file_that_is_not_installed():
    text = (ROOT / "include/overread/AUTHORS.md").read_text()
    section = text.split("\n## The manifest\n")[1].split("\n## ")[0]
    source = (ROOT / "core/grading/schema_compile.c").read_text()
    keywords = re.findall(r'^    K\("([^"]+)"', source, re.M)
    annotations = re.findall(r'"([^"]+)"', re.search(r"is_annotation\(.*?names\[\] = \{(.*?)NULL", source, re.S)[1])
    assert len(keywords) > 30 and len(annotations) == 9
    assert not [word for word in [*keywords, *annotations, "$defs", "$id", "$schema"] if f"`{word}`" not in section]
    limits = (ROOT / "core/grading/manifest.c").read_text()
    for name, low, high in re.findall(r'"/limits/(\w+)", false, (\d+), (\d+)', limits):
        otherwise = re.search(rf"\b{name} = (\d+)", limits)[1]
        assert f"`{name}`, {low} to {high}, else {otherwise}" in section
    statistics = text.split("\n## Statistics over many reads\n")[1].split("\n## ")[0]
    names = re.search(r"int manifest_statistics_check.*?names\[\] = \{(.*?)NULL",
                      (ROOT / "core/grading/manifest_statistics.c").read_text(), re.S)[1]
    assert not [word for word in re.findall(r'"(\w+)"', names) if f"| `{word}` |" not in statistics]
    assert not re.search(r"\]\((?!https?:)", text)


def test_what_a_plugin_logs_is_seen_by_who_tries_it(scaffold):
    edit(scaffold / "wrist_xr.c", FOUND, FOUND + '    host->log(host->context, "the distance is known");\n')
    result = attempt(scaffold, compile_plugin(scaffold))
    assert result.returncode == 0 and "the distance is known" in result.stderr and "the distance" not in result.stdout
