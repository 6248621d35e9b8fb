"""What every test run shares: the real data, and an end that names the tests left out (in CI only those for a GPU)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from Testing.Benchmarks.real_data import data_folder

# Property tests look for new cases on a developer's machine; the gate of main tries the same ones every time.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")

# Tests count encoded slices, and nobody's cache should fill with made-up patients; the cache's own tests set a limit.
os.environ["MEMORYSURVIVAL_CACHE_GB"] = "0"

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test images; without it the test is left out, but in CI it fails."""
    folder = data_folder()
    if not folder.is_dir():
        message = f"real test data is not at {folder}; set MEMORYSURVIVAL_TEST_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests run side by side: those of the Slicer host in one process in their order, the others file by file.

    The host has one scene and one application, as Slicer has; a test that passes alone should pass the same way here.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        host = ROOT / "Testing" / "SlicerHost" in item.path.parents
        item.add_marker(pytest.mark.xdist_group("host" if host else item.path.stem))


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
