"""ops/check/direction.py lets the house's own direction through and nothing against it."""
import subprocess

import pytest

CHECK = "direction.py"


@pytest.mark.parametrize("room, target", [
    ("base", "db/db.h"), ("db", "http/http.h"), ("http", "db/db.h"), ("grading", "jobs/jobs.h"), ("db", "jobs/jobs.h"),
    ("jobs", "http/http.h"), ("identity", "tenancy/tenancy.h"), ("tenancy", "billing/billing.h"),
    ("library", "reading/reading.h"), ("reading", "scoreboard/scoreboard.h"), ("scoreboard", "teaching/teaching.h"),
    ("portal", "identity/identity.h"), ("reading", "cli/cli.h")])
def test_an_include_against_the_direction_is_refused(tree, room, target):
    tree.write(f"core/{room}/planted.h", f'#include "{target}"\n')
    tree.refuses(CHECK, f"core/{room}/planted.h:1", f"{room} must not include", target)


@pytest.mark.parametrize("room, target", [
    ("jobs", "db/db.h"), ("audit", "tenancy/tenancy.h"), ("scoreboard", "reading/reading.h"), ("cli", "teaching/teaching.h"),
    ("reading", "grading/grading.h")])
def test_an_include_along_the_direction_is_accepted(tree, room, target):
    tree.write(f"core/{room}/planted.h", f'#include "{target}"\n')
    tree.accepts(CHECK)


def test_an_include_in_a_comment_is_no_include(tree):
    tree.append("core/base/text.h", '/*\n#include "db/db.h"\n*/\n// #include "db/db.h"\n')
    tree.accepts(CHECK)


def test_a_folder_that_is_no_room_is_refused(tree):
    tree.write("core/misc/misc.c", "int x;\n")
    tree.refuses(CHECK, "'misc' is not a room")


def test_an_include_without_its_room_is_refused(tree):
    tree.append("core/base/text.c", '#include "text.h"\n')
    tree.refuses(CHECK, 'must be included as "room/text.h"')


def test_another_rooms_statements_are_refused(tree):
    tree.append("core/base/text.c", '#include "reading_sql.h"\n')
    tree.refuses(CHECK, "another room's statements")


@pytest.mark.parametrize("line", ["#include <h2o.h>", "struct h2o_req_t;"])
def test_libh2o_outside_http_is_refused(tree, line):
    tree.append("core/reading/reading_http.c", line + "\n")
    tree.refuses(CHECK, "core/http's alone")


def test_libh2o_inside_http_is_accepted(tree):
    tree.write("core/http/server.c", "#include <h2o.h>\nstruct h2o_req_t;\n")
    tree.accepts(CHECK)


def test_a_rule_that_answers_a_client_is_refused(tree):
    tree.append("core/reading/reading.c", "void http_reply_json(int);\n")
    tree.refuses(CHECK, "rules are free of HTTP")


@pytest.mark.parametrize("statement", [
    "SELECT id FROM reads WHERE id = $1", "  select set_config('a', $1, true)", "INSERT INTO reads VALUES ($1)",
    "update reads set state = $1", "DELETE FROM reads", "WITH r AS (SELECT 1) SELECT * FROM r", "create table t (i int)",
    "drop role x", "truncate reads"])
def test_sql_in_c_is_refused(tree, statement):
    tree.append("core/reading/reading.c", f'const char *q = "{statement}";\n')
    tree.refuses(CHECK, "core/reading/reading.c:5", ".sql file")


def test_sql_that_is_split_over_literals_is_refused(tree):
    tree.append("core/reading/reading.c", 'const char *q = "SELECT id "\n    "FROM " /* where from */ "reads";\n')
    tree.refuses(CHECK, ".sql file")


@pytest.mark.parametrize("text", [
    "Select a case from the library first.", "DELETE", "with the same key", "update available", "create a tenant",
    "Selecting failed", "grant of image"])
def test_english_and_methods_are_not_sql(tree, text):
    tree.append("core/reading/reading.c", f'const char *q = "{text}";\n')
    tree.accepts(CHECK)


def test_sql_in_db_is_accepted(tree):
    tree.write("core/db/migrate.c", 'const char *q = "SELECT 1 FROM migrations";\n')
    tree.accepts(CHECK)


def test_a_plugin_that_includes_a_room_is_refused(tree):
    tree.append("plugins/prostate_mri/grade.c", '#include "base/text.h"\n')
    tree.refuses(CHECK, "overread/plugin.h> only")


def build_room(tree, room, code):
    folder = tree.path / "build/core" / room
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.c").write_text(code)
    subprocess.run(["cc", "-c", "x.c", "-o", "x.o"], cwd=folder, check=True)
    subprocess.run(["ar", "rcT", f"lib{room}.a", "x.o"], cwd=folder, check=True)


def test_a_call_against_the_direction_is_refused_without_an_include(tree):
    build_room(tree, "reading", "int reading_open(void) { return 0; }")
    build_room(tree, "base", "int reading_open(void); int base_x(void) { return reading_open(); }")
    tree.refuses(CHECK, "core/base: calls reading_open", arguments=["--build", tree.path / "build"])


def test_a_call_along_the_direction_is_accepted(tree):
    build_room(tree, "base", "int base_x(void) { return 0; }")
    build_room(tree, "reading", "int base_x(void); int reading_open(void) { return base_x(); }")
    tree.accepts(CHECK, arguments=["--build", tree.path / "build"])


def test_a_build_without_libraries_is_not_a_pass(tree):
    tree.refuses(CHECK, "build first", arguments=["--build", tree.path / "build"])
