"""ops/fuzz builds and runs, where its compiler is at hand."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a"


@pytest.mark.skipif("OVERREAD_FUZZ" not in os.environ, reason="builds everything once more: OVERREAD_FUZZ=1 asks for it")
@pytest.mark.skipif(not shutil.which("clang-14") or not list(Path("/usr/lib").glob(RUNTIME)),
                    reason="clang-14 and its runtime are not installed; ops/fuzz itself would do that")
def test_each_harness_is_built_and_run_and_finds_nothing_in_a_second():
    result = subprocess.run([ROOT / "ops/fuzz", "--seconds", "1"], capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, result.stdout + result.stderr
    ran = dict(re.findall(r"^(\w+): ([0-9]+) inputs, .*, no finding$", result.stdout, re.M))
    harnesses = {path.stem.removeprefix("fuzz_") for path in (ROOT / "tests/fuzz").glob("fuzz_*.c")} - {"mutate", "plugin"}
    assert set(ran) == harnesses | {"prostate_mri", "breast_mammo", "lung_ct"}, result.stdout
    assert all(int(count) > 0 for count in ran.values())
