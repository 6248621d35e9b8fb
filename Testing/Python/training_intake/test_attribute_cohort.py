"""`memory-survival attribute`: tiny patients to a table and a page, stopped and continued, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from cohort_tables import ROW
from made_up import SMALL, BundleMaker, Patient, make_head, make_manifest, make_patient

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import load_bundle, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import InputError, OutputError, WeightsError
from MemorySurvivalLib.explain.plan import ExplainChoice
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.roi import automatic
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure
from MemorySurvivalLib.training import attributing
from MemorySurvivalLib.training.attributing import PARTS, AttributionOptions, CohortAttribution, attribute_cohort
from MemorySurvivalLib.training.attribution import OUTSIDE, MeanAttribution, PatientMean
from MemorySurvivalLib.training.attribution_page import PAGE_FILE, TABLE_FILE, write_attribution
from MemorySurvivalLib.training.attribution_picture import draw_attributions
from MemorySurvivalLib.training.intake import take_cohort

VERTEBRAE = ("L2", "L1", "T12", "T11")
"""From feet to head, four slices each from the second."""


def write_bones(patient: Patient) -> None:
    """The region and four vertebrae in it, as Slicer saves a segmentation."""
    region = patient.spine.voxels > 0
    column = np.zeros_like(patient.spine.voxels)
    bone = patient.ct.voxels > 250
    for number in range(len(VERTEBRAE)):
        low = 2 + 4 * number
        column[low : low + 4][(bone & region)[low : low + 4]] = number + 1
    layers = [Volume(one, patient.spine.affine).to_sitk() for one in (column, region.astype(np.uint8))]
    image = sitk.Compose(layers)
    segments = [(name, "0", number + 1) for number, name in enumerate(VERTEBRAE)] + [("spine_dilated", "1", 1)]
    for number, (name, layer, value) in enumerate(segments):
        fields = {"ID": f"Segment_{number}", "Name": name, "Layer": layer, "LabelValue": str(value)}
        for key, text in fields.items():
            image.SetMetaData(f"Segment{number}_{key}", text)
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    sitk.WriteImage(image, str(patient.folder / "bones.seg.nrrd"), useCompression=True)


def write_cohort(folder: Path, count: int = 3, *changes: dict[str, str], broken: Sequence[int] = ()) -> Path:
    """Made-up patients with named bones; `changes` to their rows, and some with a PET that is no image."""
    names = [*ROW, "spine_dilated"]
    lines = [",".join(names)]
    for number in range(count):
        place = folder / f"case{number}"
        place.mkdir(parents=True)
        write_bones(make_patient(place, seed=number).written())
        if number in broken:
            (place / "pet.nrrd").write_text("nothing")
        files = {name: f"case{number}/{name}.nrrd" for name in ("ct", "pet")}
        row = ROW | files | {"patient_id": f"SECRET-{number}", "spine_dilated": f"case{number}/bones.seg.nrrd"}
        row |= changes[number] if number < len(changes) else {}
        lines.append(",".join(row[name] for name in names))
    path = folder / "cohort.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "cohort", 3, broken=(2,))


def options(bundle: Path, **more: object) -> AttributionOptions:
    return AttributionOptions(str(bundle), device="cpu", use_cache=False, **more)  # type: ignore[arg-type]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE_FILE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_from_a_table_to_a_page(
    cohort: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["attribute", str(cohort), "--bundle", str(small_bundle), "--device", "cpu", "--no-cache"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 image cannot be used, 2 remain" in said and "2 maps made, 0 were there; head image+clinical" in said
    assert RESEARCH_USE in said and "SIMULATED MODEL" in said
    rows = {(row["level"], row["name"]): row for row in rows_of(out)}
    assert [name for level, name in rows if level == "bone"] == ["T11", "T12", "L1", "L2"]
    assert [name for level, name in rows if level == "region"] == ["thoracic spine", "lumbar spine", OUTSIDE]
    digest = load_bundle(small_bundle).archive.sha256
    for row in rows.values():
        mean, low, high = (float(row[f"log_risk_change_{name}"]) for name in ("mean", "low", "high"))
        assert low <= mean <= high and abs(mean) <= float(row["absolute_change_mean"]) + 1e-9
        assert (row["patients"], row["bundle_sha256"], row["notice"]) == ("2", digest, RESEARCH_USE)
        assert float(row["absolute_change_low"]) >= 0
    assert any(float(row["log_risk_change_mean"]) for row in rows.values())
    page = (out / PAGE_FILE).read_text(encoding="utf-8")
    for words in (RESEARCH_USE, "Patients", "2 patients are too few", "95 % interval", "SIMULATED MODEL", digest):
        assert words in page
    assert "too few to speak of a cohort" in page and "data:image/png;base64," in page
    for private in ("SECRET", "case0", str(tmp_path)):
        assert private not in page and private not in (out / TABLE_FILE).read_text()
    parts = sorted((out / PARTS).iterdir())
    assert len(parts) == 2 and all("SECRET" not in one.read_text() for one in parts)
    # the means follow from the patients' files
    kept = [json.loads(one.read_text()) for one in parts]
    effects = [next(site["effect"] for site in one["sites"] if site["name"] == "L1") for one in kept]
    assert float(rows[("bone", "L1")]["log_risk_change_mean"]) == pytest.approx(np.mean(effects), rel=1e-4)


def test_it_goes_on_where_it_was_and_ends_with_the_same_bytes(
    cohort: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, wanted = take_cohort(cohort), options(small_bundle)

    def stop(event: ProgressEvent) -> None:
        if event.done == 1:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        attribute_cohort(intake, wanted, out, progress=stop)
    first = {path: path.read_bytes() for path in (out / PARTS).iterdir()}
    assert len(first) == 1
    found = attribute_cohort(intake, wanted, out)
    assert (found.computed, len(found.cases)) == (1, 2)
    assert all(path.read_bytes() == content for path, content in first.items())
    write_attribution(found, out)

    at_once = tmp_path / "at once"
    write_attribution(attribute_cohort(intake, wanted, at_once), at_once)
    for name in (TABLE_FILE, PAGE_FILE, "pictures/regions.png", "pictures/vertebrae.png"):
        assert (out / name).read_bytes() == (at_once / name).read_bytes(), name
    assert [one.name for one in sorted((out / PARTS).iterdir())] == sorted(
        one.name for one in (at_once / PARTS).iterdir()
    )

    def never(*arguments: object) -> None:
        raise InputError("explained again")

    monkeypatch.setattr(attributing, "_attribute", never)
    again = attribute_cohort(intake, wanted, out)
    assert again.computed == 0 and again.cases == found.cases


def test_other_settings_or_another_bundle_are_computed_anew(
    small_bundle: Path, make_bundle: BundleMaker, tmp_path: Path
) -> None:
    path, out = write_cohort(tmp_path / "cohort", 1), tmp_path / "out"
    intake = take_cohort(path)
    attribute_cohort(intake, options(small_bundle), out)
    variants = (
        options(small_bundle, choice=ExplainChoice(patch_mm=48.0)),
        options(small_bundle, choice=ExplainChoice(modalities=("CT",))),
        options(small_bundle, covariates=False),
        options(make_bundle("other", title="Another")),
    )
    for number, wanted in enumerate(variants, start=2):
        assert attribute_cohort(intake, wanted, out).computed == 1, number
        assert len(list((out / PARTS).iterdir())) == number
    assert attribute_cohort(intake, options(small_bundle), out).computed == 0
    make_patient(path.parent / "case0", seed=9).written()
    assert attribute_cohort(intake, options(small_bundle), out).computed == 1


def test_voxels_that_no_patch_held_do_not_count(small_bundle: Path, tmp_path: Path) -> None:
    """Cubes without overlap, whose centres lie in the region, leave some of it out."""
    intake = take_cohort(write_cohort(tmp_path / "cohort", 1))
    wanted = options(small_bundle, choice=ExplainChoice(patch_mm=24.0, stride_mm=24.0))
    found = attribute_cohort(intake, wanted, tmp_path / "out")
    (case,) = found.cases
    region = np.count_nonzero(make_patient(tmp_path, seed=0).spine.voxels)
    assert case.covered < 1
    assert sum(site.voxels for site in case.sites) == round(case.covered * region)


def test_bones_are_segmented_where_the_mask_names_none(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_cohort(tmp_path / "cohort", 1)
    path.write_text(path.read_text().replace("bones.seg.nrrd", "spine.seg.nrrd"))
    patient = make_patient(tmp_path / "cohort" / "case0", seed=0)
    image = patient.spine.to_sitk()
    image.SetMetaData("Segment0_ID", "Segment_0")
    image.SetMetaData("Segment0_Name", "spine_dilated")
    image.SetMetaData("Segment0_LabelValue", "1")
    image.SetMetaData("Segment0_Layer", "0")
    sitk.WriteImage(image, str(patient.folder / "spine.seg.nrrd"))

    def segment(ct: Volume) -> Segmentation:
        labels = ct.with_voxels((ct.voxels > 250).astype(np.uint8))
        return Segmentation(labels, {1: Structure("L3", "vertebra", Code("1", "TEST", "test"))}, Maker("test"))

    monkeypatch.setattr(automatic, "segment_case", segment)
    found = attribute_cohort(take_cohort(path), options(small_bundle), tmp_path / "out")
    assert [site.name for site in found.cases[0].sites] == ["L3", OUTSIDE]


def refused(path: Path, bundle: Path, out: Path, **more: object) -> str:
    with pytest.raises((InputError, OutputError)) as caught:
        attribute_cohort(take_cohort(path), options(bundle, **more), out)
    return str(caught.value)


def test_two_heads_are_refused_before_anything_is_computed(small_bundle: Path, tmp_path: Path) -> None:
    path = write_cohort(tmp_path / "cohort", 2, {"age_years": "", "sex": "", "haemoglobin_g_dl": ""})
    said = refused(path, small_bundle, tmp_path / "out")
    assert "1 by image and 1 by image+clinical" in said and "add --no-covariates" in said
    assert not (tmp_path / "out").exists()
    found = attribute_cohort(take_cohort(path), options(small_bundle, covariates=False), tmp_path / "out")
    assert (found.head, len(found.cases)) == ("image", 2)


def test_nobody_left(small_bundle: Path, tmp_path: Path) -> None:
    path = write_cohort(tmp_path / "cohort", 1, broken=(0,))
    said = refused(path, small_bundle, tmp_path / "out")
    assert said.startswith("No patient of ") and "Row 2" in said
    missing = write_cohort(tmp_path / "missing", 1, {"time_months": "0"})
    assert "is left to explain" in refused(missing, small_bundle, tmp_path / "out")


def test_settings_that_cannot_be(cohort: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "stride <= patch" in refused(cohort, small_bundle, out, choice=ExplainChoice(patch_mm=-1.0))
    with pytest.raises(ValueError, match="coarse"):
        attribute_cohort(take_cohort(cohort), options(small_bundle, choice=ExplainChoice(coarse=True)), out)
    assert not out.exists()


def test_a_folder_that_holds_something_else_is_not_touched(cohort: Path, small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "documents"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "holds something other than an earlier attribution" in refused(cohort, small_bundle, out)
    assert [one.name for one in out.iterdir()] == ["thesis.txt"]
    assert "holds something other" in refused(cohort, small_bundle, out / "thesis.txt")


def test_a_damaged_part_is_named(small_bundle: Path, tmp_path: Path) -> None:
    path, out = write_cohort(tmp_path / "cohort", 1), tmp_path / "out"
    attribute_cohort(take_cohort(path), options(small_bundle), out)
    (part,) = (out / PARTS).iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    said = refused(path, small_bundle, out)
    assert part.name in said and "delete it and run again" in said


def test_one_sentence_on_the_command_line(
    cohort: Path, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["attribute", str(tmp_path / "none.csv"), "--bundle", str(small_bundle), *out]) == 2
    assert main(["attribute", str(cohort), "--bundle", "no such bundle", *out]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and all(line.startswith("memory-survival: ") for line in lines)


def test_stopped_on_the_command_line(
    cohort: Path,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: object, **more: object) -> CohortAttribution:
        raise KeyboardInterrupt

    monkeypatch.setattr(attributing, "attribute_cohort", interrupted)
    assert main(["attribute", str(cohort), "--bundle", str(small_bundle), "--out", str(tmp_path / "out")]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_images_that_the_head_does_not_read(cohort: Path, tmp_path: Path) -> None:
    """Told once for all patients, not as an exclusion of each."""
    torch.manual_seed(1)
    spec = HeadSpec(("PET",), "concatenation", 0)
    _head, entry = make_head("image", None, 1)
    backbone = BackboneEntry(SMALL.architecture, SMALL.image_size, "external", "0" * 64, "elsewhere")
    path = tmp_path / "pet.msbundle"
    manifest = make_manifest((msgspec.structs.replace(entry, spec=spec),), backbone)
    save_bundle(path, manifest, {"image": RiskHead(spec).eval()}, "# Card\n", None)
    said = refused(cohort, path, tmp_path / "out", choice=ExplainChoice(modalities=("CT",)))
    assert said == "The head image reads PET only, so occluding CT changes nothing; use --occlude PET."


def test_absent_weights_are_no_fault_of_the_patients(cohort: Path, light_base: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        attribute_cohort(take_cohort(cohort), options(light_base), tmp_path / "out")


def test_a_full_disk_excludes_nobody(
    cohort: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OutputError("No space is left.")

    monkeypatch.setattr(attributing, "_attribute", full)
    assert refused(cohort, small_bundle, tmp_path / "out") == "No space is left."


def test_simulated_and_real_patients_are_not_mixed(small_bundle: Path, tmp_path: Path) -> None:
    path, out = write_cohort(tmp_path / "cohort", 2), tmp_path / "out"
    attribute_cohort(take_cohort(path), options(small_bundle), out)
    part = sorted((out / PARTS).iterdir())[0]
    part.write_text(part.read_text().replace('"simulated":false', '"simulated":true'))
    assert "mixes simulated and real patients" in refused(path, small_bundle, out)


def test_an_interval_of_few_patients_does_not_squeeze_the_others() -> None:
    def row(name: str, patients: int, half: float) -> MeanAttribution:
        mean = PatientMean(0.1, 0.1, 0.1 - half, 0.1 + half)
        return MeanAttribution(name, "lumbar spine", patients, mean, mean)

    def picture(rows: list[MeanAttribution]) -> bytes:
        return draw_attributions("bones", "Bones", rows, 10, ()).png

    wide = [row("L1", 2, 50.0), row("L2", 10, 0.2)]
    wider = [row("L1", 2, 500.0), row("L2", 10, 0.2)]
    assert picture(wide) == picture(wider)
    assert picture([row("L1", 10, 50.0), wide[1]]) != picture([row("L1", 10, 500.0), wide[1]])
    drawn = draw_attributions("bones", "Bones", wide, 10, ("SIMULATED MODEL",))
    assert drawn.png != picture(wide), "the watermark"
    assert drawn.alt.startswith("Bars of 2 places with 95 % intervals over 10 patients")
