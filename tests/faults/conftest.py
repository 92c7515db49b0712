# pylint: disable=unused-import
from support.fixtures import (_server, client, demo_cases, pg, pytest_runtest_makereport,  # noqa: F401
                              server, server_with, tenant)
