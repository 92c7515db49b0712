"""A stateful Stripe on loopback, for tests: `from stripe_standin import Standin`. By hand: python3 tests/stripe_standin --help."""
from .checkout import Refused
from .standin import Standin
from .webhooks import altered, header, in_old_version, of_stranger, restated, signature

__all__ = ["Refused", "Standin", "altered", "header", "in_old_version", "of_stranger", "restated", "signature"]
