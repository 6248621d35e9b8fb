"""Tables, files and the command: what a reader of the CSV, the JSON and the label maps finds."""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from measure_makers import phantom, true_roi

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands import measure
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.measuring import MeasureConfig, Measurements, measure_case, write_measurements
from MemorySurvivalLib.measure.reference import References, ReferenceSphere
from MemorySurvivalLib.measure.tables import MeasurementRecord, categorise, segment_row, write_segments

SEED = 21


@pytest.fixture(scope="module")
def measured() -> Measurements:
    simulated, case, segmentation = phantom(SEED)
    return measure_case(case, segmentation, true_roi(simulated, case))


def test_the_record_survives_json(measured: Measurements) -> None:
    record = msgspec.json.decode(measured.record.as_json(), type=MeasurementRecord)
    assert record.research_use == RESEARCH_USE
    assert record.totals == measured.record.totals
    assert record.lesions == measured.record.lesions
    assert record.simulated


def test_csv_files_read_as_tables_of_equal_rows(measured: Measurements, tmp_path: Path) -> None:
    _, case, _ = phantom(SEED)
    write_measurements(measured, case, tmp_path)
    for name in ("segments.csv", "lesions.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1, name
        assert rows[0][-1] == "notice"
        assert all(row[-1] == RESEARCH_USE for row in rows[1:])
        assert len(rows) > 1
        columns = np.loadtxt(tmp_path / name, delimiter=",", dtype=str, quotechar='"')
        assert columns.shape == (len(rows), len(rows[0]))
    with (tmp_path / "lesions.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    for row, entry in zip(table, measured.record.lesions, strict=True):
        assert float(row["suv_max_g_ml"]) == pytest.approx(entry.lesion.suv_max, rel=1e-4)
        assert (row["counted"] == "yes") == (entry.lesion.kind == "focal")
        assert bool(row["mtv_41_ml"]) == (entry.lesion.mtv_ml is not None)


def test_names_that_look_like_formulas_stay_text(measured: Measurements, tmp_path: Path) -> None:
    row = replace(measured.record.roi, name='=HYPERLINK("x")')
    write_segments([row], tmp_path / "segments.csv")
    with (tmp_path / "segments.csv").open(encoding="utf-8", newline="") as file:
        (found,) = csv.DictReader(file)
    assert found["name"].startswith("'=")


def test_label_maps_run_along_the_cts_own_axes(measured: Measurements, tmp_path: Path) -> None:
    simulated, case, _ = phantom(SEED)
    write_measurements(measured, replace(case, orientation="RAI"), tmp_path)
    lesions = read_volume(tmp_path / "lesions.nrrd", "lesions")
    assert lesions.affine.orientation == "RAI"
    assert np.array_equal(lesions.reoriented().voxels, measured.lesion_labels.voxels)
    assert lesions.attributes["research_use"] == RESEARCH_USE
    assert "memory_survival_simulated" in lesions.attributes
    references = read_volume(tmp_path / "references.nrrd", "references")
    assert set(np.unique(references.voxels)) == {0, 1, 2}
    volume_ml = np.count_nonzero(references.voxels == 1) * np.prod(simulated.ct.spacing_mm) / 1000
    assert volume_ml == pytest.approx(14.1, rel=0.1)


def test_uptake_relative_to_references(measured: Measurements) -> None:
    liver, pool = measured.record.references.liver, measured.record.references.blood_pool
    assert liver is not None
    assert pool is not None
    for row in measured.record.segments:
        assert row.relative.mean_to_liver == pytest.approx(row.measure.suv_mean / liver.suv_mean)
        assert row.relative.max_to_blood_pool == pytest.approx(row.measure.suv_max / pool.suv_mean)
        assert row.relative.category in (2, 3, 4, 5)


def test_categories_need_both_references() -> None:
    liver = ReferenceSphere("liver", (0.0, 0.0, 0.0), 30.0, 2.0, 0.2, 2.5, 55.0, 8.0, "a test")
    pool = replace(liver, organ="blood_pool", suv_mean=1.5)
    both = References(liver, pool)
    assert [categorise(suv, both) for suv in (0.5, 1.5, 1.6, 2.2, 2.3, 4.0, 4.1)] == [2, 2, 3, 3, 4, 4, 5]
    assert categorise(3.0, References(liver)) is None
    assert categorise(3.0, References(None, pool)) is None


def test_references_by_hand_replace_the_found_ones(measured: Measurements) -> None:
    simulated, case, segmentation = phantom(SEED)
    found = measured.record.references.liver
    assert found is not None
    config = MeasureConfig(liver_at=found.centre_lps_mm)
    again = measure_case(case, segmentation, true_roi(simulated, case), config).record.references.liver
    assert again is not None
    assert again.made_by == "placed by hand"
    assert again.suv_mean == pytest.approx(found.suv_mean)


def test_a_region_on_another_grid_is_refused() -> None:
    simulated, case, segmentation = phantom(SEED)
    roi = true_roi(simulated, case)
    small = replace(roi, mask=roi.mask.cropped((0, 0, 0), (150, 90, 90)))
    with pytest.raises(InputError, match="another grid"):
        measure_case(case, segmentation, small)


def test_a_segment_row_holds_what_was_measured(measured: Measurements) -> None:
    row = measured.record.segments[0]
    assert segment_row(type("S", (), {**vars(row)})(), measured.record.references) == row  # type: ignore[arg-type]


def write_inputs(folder: Path) -> dict[str, Path]:
    """Half of the phantom's slices (chest and belly) as files, with its true labels."""
    simulated, _, segmentation = phantom(SEED)
    paths = {name: folder / f"{name}.nrrd" for name in ("ct", "pet", "labels")}
    low, high = (60, 0, 0), (150, *simulated.ct.shape[1:])
    write_volume(simulated.ct.cropped(low, high), paths["ct"])
    write_volume(simulated.pet, paths["pet"])
    write_volume(segmentation.labels.cropped(low, high), paths["labels"])
    structures = {
        "labels": {str(label): {"structure": msgspec.to_builtins(s)} for label, s in segmentation.structures.items()},
        "maker": {"method": "a test"},
        "schema": "memory-survival-segmentation",
    }
    (folder / "structures.json").write_text(json.dumps(structures), encoding="utf-8")
    return paths


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    measure.register(parser.add_subparsers())
    options = parser.parse_args(["measure", *arguments])
    return int(options.run(options))


def test_the_command_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_inputs(tmp_path)
    out = tmp_path / "out"
    given = ["--ct", str(paths["ct"]), "--pet", str(paths["pet"]), "--segmentation", str(paths["labels"])]
    assert command(*given, "--out", str(out), "--threshold", "3.5", "--liver-at", "-80", "-20", "270") == 0
    printed = capsys.readouterr().out
    assert RESEARCH_USE in printed
    assert "placed by hand" in printed
    names = {"measurements.json", "segments.csv", "lesions.csv", "lesions.nrrd", "references.nrrd"}
    assert {path.name for path in out.iterdir()} == names
    record = msgspec.json.decode((out / "measurements.json").read_bytes(), type=MeasurementRecord)
    assert record.threshold_suv == 3.5
    with pytest.raises(OutputError):
        command(*given, "--out", str(out))


def test_percist_takes_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PERCIST"):
        command(
            "--ct", "a", "--pet", "b", "--out", str(tmp_path / "o"), "--threshold-kind", "percist", "--threshold", "3"
        )


def test_a_label_map_on_another_grid_is_brought_over(measured: Measurements) -> None:
    simulated, case, segmentation = phantom(SEED)
    cropped = Volume(segmentation.labels.voxels, segmentation.labels.affine).cropped((0, 0, 0), (200, 100, 140))
    other = replace(segmentation, labels=cropped.reoriented("RAS"), body=None)
    found = measure_case(case, other, true_roi(simulated, case)).record.segments
    assert [row.measure.voxels for row in found[:5]] == [row.measure.voxels for row in measured.record.segments[:5]]
