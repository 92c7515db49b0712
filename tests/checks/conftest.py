"""A small tree that every check passes; each test plants one offence in it."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "core/base/text.h": "#ifndef TEXT_H\n#define TEXT_H\nvoid text_trim(char *s);\n#endif\n",
    "core/base/text.c": '#include "base/text.h"\nvoid text_trim(char *s) { s[0] = 0; }\n',
    "core/reading/reading.sql": "-- name: read_list\nSELECT 1;\n",
    "core/reading/reading.h": "#ifndef READING_H\n#define READING_H\nint reading_open(void);\n#endif\n",
    "core/reading/reading.c": '#include "reading/reading.h"\n#include "base/text.h"\n#include "reading_sql.h"\n'
                              'int reading_open(void) { return 0; }\n',
    "core/reading/reading_http.c": '#include "reading/reading.h"\nvoid http_reply(int);\n'
                                   'void answer(void) { http_reply(200); }\n',
    "include/overread/plugin.h": "#ifndef PLUGIN_H\n#define PLUGIN_H\ntypedef struct overread_value overread_value;\n#endif\n",
    "plugins/prostate_mri/grade.c": "#include <overread/plugin.h>\n",
}


class Tree:
    def __init__(self, path):
        self.path = path
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, name, text):
        with open(self.path / name, "a") as file:
            file.write(text)

    def run(self, check, *arguments):
        """(exit status, output) of one of ops/check's scripts on this tree."""
        result = subprocess.run([sys.executable, ROOT / "ops/check" / check, "--root", self.path, *arguments],
                                capture_output=True, text=True)
        return result.returncode, result.stdout + result.stderr

    def refuses(self, check, *words, arguments=()):
        status, output = self.run(check, *arguments)
        assert status == 1, output
        assert "1 offences" in output, output
        for word in words:
            assert word in output, output

    def accepts(self, check, arguments=()):
        status, output = self.run(check, *arguments)
        assert status == 0, output


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "tree")
