"""Standard input: [[payload, [secret, ...], t], ...]. Standard output: the Stripe-Signature that the stand-in gives each."""
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stripe_standin import header  # noqa: E402

json.dump([header(payload.encode(), secrets, t) for payload, secrets, t in json.load(sys.stdin)], sys.stdout)
