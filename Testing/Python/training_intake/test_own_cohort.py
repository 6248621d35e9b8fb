"""Patients are embedded once; one whose images cannot be used is excluded and hurts nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohort_tables import ROW
from made_up import make_patient

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.training import own_cohort
from MemorySurvivalLib.training.intake import take_cohort
from MemorySurvivalLib.training.own_cohort import EmbedOptions, bundle_log_risks, embed_patients


def write_cohort(folder: Path, count: int) -> Path:
    """Made-up patients with their masks, and the last one with a file that is no image."""
    names = [*ROW, "spine_dilated"]
    lines = [",".join(names)]
    for number in range(count):
        place = folder / f"case{number}"
        place.mkdir()
        make_patient(place, seed=number).written()
        if number == count - 1:
            (place / "pet.nrrd").write_text("nothing")
        files = {name: f"case{number}/{name}.nrrd" for name in ("ct", "pet")}
        row = ROW | files | {"patient_id": f"P{number}", "spine_dilated": f"case{number}/spine.nrrd"}
        lines.append(",".join(row[name] for name in names))
    path = folder / "cohort.csv"
    path.write_text("\n".join(lines))
    return path


def test_embedding_goes_on_where_it_was(tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = take_cohort(write_cohort(tmp_path, 3))
    options = EmbedOptions(str(small_bundle), lesions=False, device="cpu")
    work = tmp_path / "work"

    def stop(event: ProgressEvent) -> None:
        if event.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_patients(intake, options, work, progress=stop)
    first = sorted(work.iterdir())
    assert len(first) == 1
    cohort = embed_patients(intake, options, work)
    assert cohort.data.patient_ids == ("P0", "P1")
    assert cohort.flow.steps == (("image cannot be used", 1, 2),)
    assert str(tmp_path) not in cohort.flow.excluded[0].sentence
    assert cohort.data.statistics["suv_max_g_ml"][0] > 5
    assert set(cohort.data.states) == {"PET/mean", "CT/mean"}
    assert len(set(cohort.image_hashes)) == 2

    def never(*arguments: object) -> None:
        raise InputError("embedded again")

    monkeypatch.setattr(own_cohort, "_embed", never)
    again = embed_patients(intake, options, work)
    assert again.image_hashes == cohort.image_hashes
    risks = bundle_log_risks(load_bundle(small_bundle), cohort.data)
    assert all(len(values) == 2 for values in risks.values())


def test_nobody_left(tmp_path: Path, small_bundle: Path) -> None:
    intake = take_cohort(write_cohort(tmp_path, 1))
    with pytest.raises(InputError, match=r"No patient of .* can be used"):
        embed_patients(intake, EmbedOptions(str(small_bundle), lesions=False, device="cpu"), tmp_path / "work")
