"""embed_sql.py refuses what would only fail at run time."""
import os
import subprocess
import sys

import pytest

SCRIPT = os.environ.get("EMBED_SQL") or os.path.join(os.path.dirname(__file__), "../../../core/db/embed_sql.py")


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def statements(folder, sql):
    (folder / "x.sql").write_text(sql)
    return run("statements", folder / "x.sql", folder / "x_sql.h", folder / "x_sql.c")


@pytest.mark.parametrize("sql, words", [
    ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n", "defined twice, first in line 1"),
    ("-- name: a\n-- lane: fast\nSELECT 1;\n", 'no lane "fast"'),
    ("-- name: Bad-Name\nSELECT 1;\n", "a name is"),
    ("SELECT 1;\n", 'SQL before the first "-- name:"'),
    ("-- name: a\nSELECT 1\n", 'ends with ";"'),
    ("-- name: a\nSELECT 1; SELECT 2;\n", "only one statement"),
    ("-- name: a\nSELECT $1, $3;\n", "gaps"),
    ("-- name: a\nCOMMIT;\n", "COMMIT has no place"),
    ("-- name: a\nSET search_path = x;\n", "SET has no place"),
    ("-- name: a\n-- name: b\nSELECT 1;\n", "a: a statement ends"),
])
def test_a_statement_that_cannot_work_is_refused_with_its_place(tmp_path, sql, words):
    result = statements(tmp_path, sql)
    assert result.returncode == 1 and words in result.stderr and "x.sql" in result.stderr
    assert not (tmp_path / "x_sql.c").exists()


def test_an_empty_room_makes_an_empty_table(tmp_path):
    assert statements(tmp_path, "-- nothing yet\n").returncode == 0
    assert "x_statements[] = {\n    {NULL, NULL, 0, DB_LANE_READ},\n}" in (tmp_path / "x_sql.c").read_text()


@pytest.mark.parametrize("names, words", [
    (["0001_a.sql", "0003_b.sql"], "the migration after 0001 is 0002"),
    (["0001_a.sql", "0001_b.sql"], "the migration after 0001 is 0002"),
    (["1_a.sql"], "is called NNNN_name.sql"),
])
def test_migrations_with_gaps_or_odd_names_are_refused(tmp_path, names, words):
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    result = run("migrations", tmp_path, tmp_path / "out.c", tmp_path / "out.d")
    assert result.returncode == 1 and words in result.stderr


def test_migrations_depend_on_their_folder_so_that_a_new_one_is_seen(tmp_path):
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("SELECT 'a';\n")
    assert run("migrations", folder, tmp_path / "out.c", tmp_path / "out.d").returncode == 0
    assert (tmp_path / "out.d").read_text() == f"{tmp_path}/out.c: {folder} {folder}/0001_a.sql\n"
    assert '{1, "0001_a.sql",\n     "SELECT \'a\';\\n"}' in (tmp_path / "out.c").read_text()
