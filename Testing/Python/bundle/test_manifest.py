"""Manifests that cannot be read, contradict themselves or claim what they may not are refused with one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from spoilt_bundles import Members, contradiction, edited, pack, refusal, set_in

from MemorySurvivalLib.bundle.archive import MANIFEST, read_archive, write_archive
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.imaging.pet_quality import PetLimits
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.roi.derive import RoiConfig


@pytest.mark.parametrize("version", [0, 2, 99])
def test_an_unknown_version(tmp_path: Path, members: Members, version: int) -> None:
    """Said even when the rest of the manifest has changed beyond reading."""
    changed = {**members, MANIFEST: json.dumps({"format": "msbundle", "format_version": version, "new": 1}).encode()}
    path = pack(tmp_path / "a.msbundle", changed)
    assert refusal(path) == (
        f"The model bundle {path} has format version {version}; this program reads version 1. "
        "Update MemorySurvival or get a bundle made for it."
    )


def test_another_format(tmp_path: Path, members: Members) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("format", value="onnx")))
    assert refusal(path) == f"{path} is not a model bundle (its format is 'onnx')."


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "msbundle"}'])
def test_a_manifest_that_is_none(tmp_path: Path, members: Members, content: bytes) -> None:
    path = pack(tmp_path / "a.msbundle", {**members, MANIFEST: content})
    assert refusal(path).startswith(f"The manifest of the model bundle {path} is not valid: ")


@pytest.mark.parametrize("field", ["status", "backbone", "windows", "roi", "heads", "provenance", "licence", "members"])
def test_a_missing_field(tmp_path: Path, members: Members, field: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, lambda manifest: manifest.pop(field)))
    assert refusal(path) == (
        f"The manifest of the model bundle {path} is not valid: Object missing required field `{field}`."
    )


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (set_in("surprise", value=1), "Object contains unknown field `surprise`"),
        (
            set_in("windows", "PET", "gamma", value=1),
            "Object contains unknown field `gamma` - at `$.windows.PET`",
        ),
        (set_in("status", value="approved"), "Invalid enum value 'approved' - at `$.status`"),
        (set_in("roi", value="liver"), "Invalid enum value 'liver' - at `$.roi`"),
        (set_in("windows", "CT", "low", value=5000), "a window needs low < high, got 5000.0 and 1000.0"),
        (set_in("heads", 0, "spec", "modalities", value=["PET"]), "gated fusion mixes two modalities, got ['PET']"),
        (
            set_in("heads", 0, "spec", "modalities", value=["PET", "PET"]),
            "a head needs one or both modalities once each, got ['PET', 'PET']",
        ),
        (set_in("heads", 0, "spec", "hidden", value=[10**9]), "layers must be 1 to 4096 wide, got [32, 1000000000]"),
        (
            set_in("pet_limits", value={"uptake_min": [80, 10]}),
            "The PET limit uptake_min must be two numbers of zero or more",
        ),
        (set_in("roi_config", value={"paramedullary_mm": -1}), "The spine cannot be dilated by -1"),
        (set_in("heads", 0, "spec", "dropout", value=1.5), "a head cannot have 0 covariates with dropout 1.5"),
    ],
)
def test_a_field_that_cannot_be(tmp_path: Path, members: Members, change: Any, clause: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, change))
    assert refusal(path).startswith(f"The manifest of the model bundle {path} is not valid: {clause}")


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (set_in("heads", value=[]), "it has no head"),
        (lambda m: m["heads"].append(m["heads"][0]), "two heads have the same name"),
        (
            set_in("backbone", "weights", value="bundled"),
            "its backbone entry and its members disagree on bundled weights",
        ),
        (
            set_in("status", value="validated"),
            "it learned from simulated cases, so its status cannot be 'validated'",
        ),
        (
            set_in("status", value="local-research"),
            "it learned from simulated cases, so its status cannot be 'local-research'",
        ),
        (set_in("propagation", "slice_step", value=0), "its slice step and batch size must be at least 1"),
        (set_in("propagation", "batch_size", value=0), "its slice step and batch size must be at least 1"),
        (set_in("propagation", "most_slices", value=0), "the most slices that it reads must be at least 1"),
        (
            set_in("explain", "stride_mm", value=41),
            "its occlusion patches need 0 < stride <= size and a colour limit above 0",
        ),
        (
            set_in("explain", "display_limit", value=0),
            "its occlusion patches need 0 < stride <= size and a colour limit above 0",
        ),
        (set_in("explain", "modalities", value=["PET", "PET"]), "it names an image to occlude twice"),
        (
            set_in("explain", "modalities", value=[]),
            "head 'image' reads none of the images in which the bundle occludes patches",
        ),
    ],
)
def test_a_contradicting_manifest(tmp_path: Path, members: Members, change: Any, clause: str) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, change))
    assert refusal(path) == contradiction(path, clause)


SEX = {"name": "sex", "levels": ["male", "female"], "shares": [0.5, 0.5]}
AGE = {"name": "age", "unit": "years", "low": 18, "high": 110, "mean": 60, "sd": 10}
CALIBRATION = {"horizon_months": 24, "out_of_fold": True, "slope": 1.0, "slope_interval": [0.8, 1.2]}


@pytest.mark.parametrize(
    ("field", "value", "clause"),
    [
        (
            ("reference", "origin"),
            "resubstitution",
            "its reference risks are 'resubstitution'; only held-out cases can be a reference "
            "(a model's risks of its own training cases flatter it)",
        ),
        (("reference", "log_risks"), [0.1] * 19, "its reference has only 19 cases, at least 20 are needed"),
        (
            ("groups", "thresholds"),
            [0.5, -0.5],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("groups", "names"),
            ["low", "high"],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("groups", "names"),
            ["low", "low", "high"],
            "its risk groups need rising thresholds and one name more than thresholds",
        ),
        (
            ("baseline", "cumulative_hazard"),
            [0.1, 0.3, 0.2],
            "its baseline hazard needs as many rising values as rising times",
        ),
        (("baseline", "times_months"), [12, 24], "its baseline hazard needs as many rising values as rising times"),
        (
            ("baseline",),
            {"times_months": [], "cumulative_hazard": []},
            "its baseline hazard needs as many rising values as rising times",
        ),
        (("baseline", "times_months"), [-1, 24, 36], "its baseline hazard has a negative time or value"),
        (
            ("covariates",),
            {"continuous": [AGE], "categorical": [SEX]},
            "its covariate schema has 3 values, its network expects 0",
        ),
        (
            ("covariates",),
            {"continuous": [{**AGE, "sd": 0}], "categorical": []},
            "its covariate schema cannot be used: age needs low < high and an SD above 0",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": [{**SEX, "shares": [1]}]},
            "its covariate schema cannot be used: sex needs a share of at least 0 for each level",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": [{**SEX, "levels": ["male", "Male"]}]},
            "its covariate schema cannot be used: sex names a level twice",
        ),
        (
            ("covariates",),
            {"continuous": [], "categorical": []},
            "its covariate schema cannot be used: it needs one or more covariates, each named once",
        ),
        (
            ("calibration",),
            {**CALIBRATION, "horizon_months": 60},
            "it is calibrated at 60 months, where it has no baseline hazard",
        ),
        (
            ("calibration",),
            {**CALIBRATION, "slope_interval": [1.1, 1.2]},
            "its calibration slope lies outside its own interval",
        ),
    ],
)
def test_evidence_that_cannot_be(
    tmp_path: Path, members: Members, field: tuple[str, ...], value: object, clause: str
) -> None:
    path = pack(tmp_path / "a.msbundle", edited(members, set_in("heads", 0, *field, value=value)))
    assert refusal(path) == contradiction(path, f"head 'image': {clause}")


def test_a_contradicting_bundle_is_not_written_either(tmp_path: Path, light_bundle: Path) -> None:
    archive = read_archive(light_bundle)
    wrong = msgspec.structs.replace(archive.manifest, propagation=PropagationConfig(readout="mean", slice_step=0))
    path = tmp_path / "a.msbundle"
    with pytest.raises(BundleError) as caught:
        write_archive(path, wrong, archive.members)
    assert str(caught.value) == contradiction(path, "its slice step and batch size must be at least 1")
    assert not path.exists()


def test_a_bundle_from_before_these_settings_takes_the_defaults(tmp_path: Path, members: Members) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        del manifest["pet_limits"], manifest["roi_config"]

    manifest = read_archive(pack(tmp_path / "a.msbundle", edited(members, forget))).manifest
    assert manifest.pet_limits == PetLimits()
    assert manifest.roi_config == RoiConfig()
