"""Fixtures, for a conftest to take in: `stripe` is a stand-in that is new for each test and fails it for what was sent wrong."""
import pytest

from .standin import Standin


@pytest.fixture(scope="session")
def _stripe():
    """One address and key for all tests of a session, so that a server can be configured with it."""
    standin = Standin().start()
    yield standin
    standin.close()


@pytest.fixture
def stripe(_stripe):
    """.url, .api_key, .webhooks.secrets; .violations and faults that never struck fail the test at its end."""
    _stripe.reset()
    yield _stripe
    _stripe.webhooks.stop()
    _stripe.assert_clean()
