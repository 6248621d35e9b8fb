"""What every test run says at its end: which tests were left out and why; in CI none may be, except those for a GPU."""

from __future__ import annotations

import os

import pytest


def _left_out(reporter: pytest.TerminalReporter) -> tuple[list[pytest.TestReport], list[pytest.TestReport]]:
    skipped = reporter.stats.get("skipped", [])
    gpu = [report for report in skipped if "gpu" in report.keywords]
    return gpu, [report for report in skipped if "gpu" not in report.keywords]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    gpu, others = _left_out(terminalreporter)
    terminalreporter.section("left out")
    terminalreporter.write_line(f"GPU tests not run, because there is no GPU: {len(gpu)}")
    terminalreporter.write_line(f"other tests left out: {len(others)}")
    for report in others:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"  {report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and _left_out(reporter)[1]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
