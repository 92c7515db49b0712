#!/usr/bin/env python3
"""Each header compiles alone, twice over: as C11, and the plugin ABI as C++11 too. Each source includes its own
header first, so that no header leans on what others happened to include."""
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import source

LIBRARIES = ["libh2o-evloop", "libpq", "openssl", "jansson", "libargon2", "libseccomp", "inih"]
WARNINGS = ["-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror", "-fsyntax-only"]
H2O = ["-DH2O_USE_LIBUV=0", "-DH2O_USE_EPOLL=1"]


def library_flags():
    result = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True)
    return [flag.replace("-I", "-isystem", 1) for flag in result.stdout.split()]


def compile_alone(compiler, flags, include):
    with tempfile.TemporaryDirectory() as folder:
        suffix = ".cc" if "++" in compiler else ".c"
        unit = Path(folder) / f"alone{suffix}"
        # Twice: the guard must hold. The declaration keeps the unit from being empty.
        unit.write_text(f"#include {include}\n#include {include}\nextern int alone;\n")
        result = subprocess.run([compiler, *flags, str(unit)], capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    return None if result.returncode == 0 else (lines or [result.stderr.strip()])[0]


def jobs_for(root, build):
    cc, cxx = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
    places = [f"-I{root / 'core'}", f"-I{root / 'include'}"] + ([f"-I{build / 'core'}"] if build else [])
    libraries = library_flags()
    for path in source.files(root, ["core"], {".h"}):
        inner = path.relative_to(root / "core")
        # What includes libh2o is core/http's own and speaks libh2o's dialect.
        private = any(target.startswith("h2o") for _, _, target in source.includes(path.read_text()))
        dialect = ["-std=gnu11", *H2O] if private else ["-std=c11"]
        yield path, cc, [*dialect, "-D_GNU_SOURCE", *WARNINGS, *places, *libraries], f'"{inner}"'
    for path in source.files(root, ["include"], {".h"}):
        inner, strict = path.relative_to(root / "include"), ["-pedantic-errors", f"-I{root / 'include'}"]
        yield path, cc, ["-std=c11", *WARNINGS, *strict], f"<{inner}>"
        yield path, cxx, ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *strict], f"<{inner}>"


def check_order(root, path):
    own = path.with_suffix(".h")
    if not own.exists():
        return
    expected = str(own.relative_to(root / "core"))
    first = next(source.includes(path.read_text(encoding="utf-8", errors="replace")), (1, True, ""))
    if first[2] != expected:
        yield f"{path.relative_to(root)}:{first[0]}: the first include must be \"{expected}\""


def check(root, build):
    offences, jobs = [], list(jobs_for(root, build))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for job, problem in zip(jobs, pool.map(lambda job: compile_alone(*job[1:]), jobs)):
            if problem:
                offences.append(f"{job[0].relative_to(root)}: not alone with {job[1]} {job[2][0]}: {problem}")
    for path in source.files(root, ["core"], {".c"}):
        offences += check_order(root, path)
    return offences, len(jobs)


if __name__ == "__main__":
    source.main(__doc__, check)
