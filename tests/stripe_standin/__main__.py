"""python3 tests/stripe_standin --port N --webhook URL --secret whsec_... [--auto]"""
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from stripe_standin.control import main  # noqa: E402

main()
