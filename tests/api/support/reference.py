"""Reference data that are not part of the project: OVERREAD_SHARED_DATA names their folder, else they lie beside a working
checkout, in shared/data."""
import os
from pathlib import Path

import pytest

from support.server import ROOT

DATA = Path(os.environ.get("OVERREAD_SHARED_DATA") or ROOT.parent / "shared/data")


def reference(name):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not at hand: {DATA} has none (OVERREAD_SHARED_DATA names another folder)")
    return DATA / name
