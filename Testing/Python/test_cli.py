"""The command as a user types it: exit codes, sentences, what is printed, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up import ROOT, Patient

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.cli import main


def arguments(patient: Patient, bundle: Path, *more: str) -> list[str]:
    return [
        "score",
        *("--ct", str(patient.ct_path), "--pet", str(patient.pet_path), "--roi", str(patient.spine_path)),
        *("--bundle", str(bundle), "--out", str(patient.folder / "out"), "--device", "cpu", *more),
    ]


def test_prints_what_the_bundle_may_show(
    patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(patient, small_bundle)) == 0
    printed = capsys.readouterr()
    assert "[SIMULATED MODEL]" in printed.out
    assert "above " in printed.out
    assert "41 reference cases" in printed.out
    assert "risk group" not in printed.out
    assert "survival" not in printed.out
    assert f"{patient.folder / 'out' / 'report.html'}" in printed.out
    assert RESEARCH_USE in printed.out
    assert "left" in printed.err, "a progress bar with the time left"


def test_json_is_the_stored_result(patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(patient, small_bundle, "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((patient.folder / "out" / "result.json").read_text())


def test_user_errors_are_one_sentence_and_exit_code_2(
    patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = patient.folder / "none.nrrd"
    options = arguments(patient, small_bundle)
    options[options.index("--pet") + 1] = str(missing)
    assert main(options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"memory-survival: The PET file {missing} does not exist; check the path.\n"


def test_covariates_choose_the_clinical_head(
    patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = patient.folder / "covariates.csv"
    table.write_text("age_years,sex\n70,female\n")
    assert main(arguments(patient, small_bundle, "--covariates", str(table))) == 0
    assert "head image+clinical" in capsys.readouterr().out


def test_an_unknown_category_is_one_sentence_before_anything_is_computed(
    patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = patient.folder / "covariates.csv"
    table.write_text("age_years,sex\n70,unclear\n")
    assert main(arguments(patient, small_bundle, "--covariates", str(table))) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "memory-survival: The covariate sex has the unknown value 'unclear'; use one of male, female or leave it blank."
    ]
    assert printed.out == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")
def test_no_write_permission_is_one_sentence(patient: Patient, small_bundle: Path) -> None:
    """A child gives up root's right to write anywhere; everything it needs is already imported."""
    closed = patient.folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    options = arguments(patient, small_bundle)
    options[options.index("--out") + 1] = str(closed / "out")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        if os.geteuid() == 0:
            os.setuid(65534)
        sys.stderr = os.fdopen(writer, "w", buffering=1)
        os._exit(main(options))
    os.close(writer)
    with os.fdopen(reader) as stream:
        printed = stream.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert printed == (
        f"memory-survival: There is no permission to write {closed / 'out'}; choose a folder that you may write to.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_at_once_and_leaves_nothing(patient: Patient, small_bundle: Path, number: signal.Signals) -> None:
    before = sorted(patient.folder.iterdir())
    options = arguments(patient, small_bundle, "--explain", "--patch-mm", "8", "--stride-mm", "2.5")
    process = subprocess.Popen(
        [sys.executable, "-m", "MemorySurvivalLib.cli", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while not any("partial" in path.name for path in patient.folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(number)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130, printed
    assert "nothing half-written was left" in printed
    assert "Traceback" not in printed
    assert sorted(patient.folder.iterdir()) == before


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from MemorySurvivalLib.cli import build_parser; build_parser(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0


def test_bundle_verbs(small_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(small_bundle)]) == 0
    assert "is sound" in capsys.readouterr().out
    assert main(["bundle", "show", str(small_bundle)]) == 0
    assert capsys.readouterr().out == "# Card\n"
    assert main(["bundle", "show", "--json", str(small_bundle)]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "test"
    assert main(["bundle", "show", "no-such-bundle"]) == 2
    assert "There is no model bundle named 'no-such-bundle'" in capsys.readouterr().err
