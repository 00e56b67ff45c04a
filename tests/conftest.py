"""What every test shares."""

from __future__ import annotations

import os

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test of an operation of the service an id of its own, which Schemathesis leaves to its name.

    Where processes share the work, of tests of one id only one would be run.
    """
    if operation := getattr(item, "operation_label", None):
        item._id = item.id.with_params(operation)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every component is installed, a skipped test is a failure: set ``ATTUNE_SKIPS_ARE_ERRORS``."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("ATTUNE_SKIPS_ARE_ERRORS") and reporter and reporter.stats.get("skipped") and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
