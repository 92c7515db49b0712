# pylint: disable=unused-import
from stripe_standin.fixtures import _stripe, stripe  # noqa: F401
from support.accounts import held_mail  # noqa: F401
from support.fixtures import (_server, client, demo_cases, mailbox, pg, pytest_runtest_makereport,  # noqa: F401
                              server, server_with, tenant)
from support.selling import _buyers, _shop, market, shop  # noqa: F401
