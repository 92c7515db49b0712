# pylint: disable=unused-import
from support.fixtures import (_server, client, demo_cases, mailbox, pg, pytest_runtest_makereport,  # noqa: F401
                              server, server_with, tenant)
