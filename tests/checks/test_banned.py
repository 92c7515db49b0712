"""ops/check/banned.py finds what must not be called, and does not trip over words that only look like it."""
import pytest

CHECK = "banned.py"


@pytest.mark.parametrize("call", [
    "atoi(s)", "atof (s)", "sprintf(b, s)", "vsprintf(b, s, v)", "strcpy(b, s)", "strcat(b, s)", "strtok(s, t)",
    "sscanf(s, t)", "alloca(9)", "localtime(t)", "localtime_r(t, u)", "gets(s)", "system(s)", "popen(s, t)"])
@pytest.mark.parametrize("place", ["core/base/text.c", "plugins/prostate_mri/grade.c"])
def test_an_unsafe_call_is_refused_everywhere(tree, call, place):
    tree.append(place, f"void f(void) {{ {call}; }}\n")
    tree.refuses(CHECK, place, call.split("(")[0].strip(), "banned")


@pytest.mark.parametrize("call", ["malloc(9)", "calloc(1, 9)", "realloc(p, 9)", "free(p)", "strdup(s)",
                                  "arena_defer(a, free, p)"])
def test_bare_memory_is_refused_outside_base(tree, call):
    tree.append("core/reading/reading.c", f"void f(void) {{ {call}; }}\n")
    tree.refuses(CHECK, "core/reading/reading.c:5", "memory comes from")


def test_bare_memory_is_accepted_in_base(tree):
    tree.append("core/base/text.c", "void f(void) { free(malloc(9)); }\n")
    tree.accepts(CHECK)


@pytest.mark.parametrize("line", [
    "/* never malloc or strcpy(a, b) */", 'const char *s = "do not call system(x)";', "void f(void) { mem_free(p); }",
    "void f(void) { host->free(p); host.free(p); }", "void f(void) { snprintf(b, 9, s); vsnprintf(b, 9, s, v); }",
    "void f(void) { filesystem(x); }"])
def test_words_that_only_look_like_it_are_accepted(tree, line):
    tree.append("core/reading/reading.c", line + "\n")
    tree.accepts(CHECK)


def test_formatted_sql_is_refused_in_db_too(tree):
    tree.write("core/db/db.c", 'void f(void) { arena_printf(a, "SELECT * FROM %s", table); }\n')
    tree.refuses(CHECK, "SQL is never formatted")


def test_a_like_pattern_is_no_formatting(tree):
    tree.write("core/db/db.c", 'const char *q = "SELECT * FROM t WHERE a LIKE \'x%\' AND b = $1";\n')
    tree.accepts(CHECK)


@pytest.mark.parametrize("note", ["TO" "DO", "FIX" "ME"])
@pytest.mark.parametrize("place", ["core/base/text.h", "migrations/0001_x.sql", "ops/up", "tests/api/test_x.py"])
def test_a_note_to_do_it_later_is_refused(tree, note, place):
    tree.write(place, f"-- {note}: later\n")
    tree.refuses(CHECK, place, note)
