"""ops/check/headers.py compiles each header alone."""
CHECK = "headers.py"


def test_a_header_that_leans_on_others_is_refused(tree):
    tree.write("core/base/lean.h", "#ifndef LEAN_H\n#define LEAN_H\nsize_t lean(void);\n#endif\n")
    tree.refuses(CHECK, "core/base/lean.h", "size_t")


def test_a_header_without_a_guard_is_refused(tree):
    tree.write("core/base/open.h", "enum open_state { OPEN };\n")
    tree.refuses(CHECK, "core/base/open.h")


def test_a_header_in_a_gnu_dialect_is_refused(tree):
    tree.write("core/base/gnu.h", "#ifndef GNU_H\n#define GNU_H\nextern typeof(1) gnu;\n#endif\n")
    tree.refuses(CHECK, "core/base/gnu.h", "-std=c11")


def test_a_plugin_header_that_is_not_cpp_is_refused(tree):
    tree.write("include/overread/plugin.h", "#ifndef P_H\n#define P_H\nextern int class;\n#endif\n")
    tree.refuses(CHECK, "include/overread/plugin.h", "-std=c++11")


def test_a_source_whose_own_header_is_not_first_is_refused(tree):
    tree.write("core/base/text.c", '#include <stddef.h>\n#include "base/text.h"\n')
    tree.refuses(CHECK, "core/base/text.c:1", 'first include must be "base/text.h"')
