"""Embedded cohorts are continued where they were stopped, joined into parts, and refuse what is not theirs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.torch
from backbone_cards import make_card
from study_makers import embed_made_up, make_configuration

from MemorySurvivalLib.bundle.backbone_training import TRAINING_CARD
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.backbone import weights_sha256
from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.study import embed_cohorts as embed_module
from MemorySurvivalLib.study.cohorts import count_embedded, read_cohort
from MemorySurvivalLib.study.configuration import (
    Embedding,
    Extra,
    Question,
    Stage,
    StudyConfiguration,
    load_configuration,
)
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts, load_engine, part_folder
from MemorySurvivalLib.study.embedding import EmbeddedCase
from MemorySurvivalLib.study.models import SPATIAL_STATISTICS
from MemorySurvivalLib.study.parts import describe_folder
from MemorySurvivalLib.training.backbone import WEIGHTS
from MemorySurvivalLib.training.demonstration import load_compact

COMMITTED = "9a454a9e109f"


@pytest.fixture
def configuration() -> StudyConfiguration:
    return msgspec.structs.replace(make_configuration(12), part_cases=5)


def test_the_committed_configuration_is_frozen() -> None:
    """Whoever changes it changes this line too, and knows that the results must be made anew."""
    assert load_configuration().sha256[:12] == COMMITTED


def test_the_backbone_that_ships_is_the_studys() -> None:
    settings = load_configuration().embedding
    assert load_engine(settings).image_size == settings.image_size
    assert find_bundle(settings.bundle).is_file()
    with pytest.raises(InputError, match="was configured for 000000000000"):
        load_engine(msgspec.structs.replace(settings, backbone_sha256="0" * 64))


def test_a_backbone_that_does_not_ship_yet_is_known_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training wrote is read in the worker processes too, and never another than the configured one."""
    shipped, _members = load_compact(None)
    (tmp_path / WEIGHTS).write_bytes(safetensors.torch.save(shipped.state_dict()))
    settings = msgspec.structs.replace(load_configuration().embedding, backbone_sha256=weights_sha256(shipped))
    with pytest.raises(InputError, match="holds no training of a backbone"):
        load_engine(settings, backbone=tmp_path)
    (tmp_path / TRAINING_CARD).write_bytes(make_card(settings.backbone_sha256))
    assert load_engine(settings, backbone=tmp_path).model.image_size == settings.image_size
    other = msgspec.structs.replace(settings, backbone_sha256="0" * 64)
    configuration = msgspec.structs.replace(make_configuration(1), embedding=other)
    with pytest.raises(InputError, match=f"The training {tmp_path.name} holds .* was configured for 000000000000"):
        load_engine(other, backbone=tmp_path)
    monkeypatch.setattr(embed_module, "ProcessPoolExecutor", lambda n, **_: ThreadPoolExecutor(n))
    for processes in (1, 2):
        with pytest.raises(InputError, match="was configured for 000000000000"):
            embed_cohorts(configuration, configuration.order[:1], tmp_path, backbone=tmp_path, processes=processes)


def test_a_stopped_run_goes_on_and_joins_parts(configuration: StudyConfiguration, tmp_path: Path) -> None:
    made: list[tuple[int, bool]] = []

    def stops(patient: Patient, settings: Embedding, extras: frozenset[Extra]) -> EmbeddedCase:
        if len(made) == 15:
            raise KeyboardInterrupt
        made.append((patient.number, settings.close_up_mm is not None))
        assert not (extras and settings.close_up_mm), "extras are kept of whole slices alone"
        return embed_made_up(patient, settings, extras)

    stages = (Stage("main-dev", 12),)
    with pytest.raises(KeyboardInterrupt):
        embed_cohorts(configuration, stages, tmp_path, embed_one=stops)
    assert count_embedded(configuration, "main-dev", tmp_path) == 7
    made.clear()
    assert embed_cohorts(configuration, stages, tmp_path, embed_one=stops) == {"main-dev": 12}
    assert made == [(7, True), *((number, close) for number in range(8, 12) for close in (False, True))]
    folder = part_folder(configuration, configuration.cohort("main-dev"), tmp_path)
    names = sorted(path.name for path in folder.path.rglob("*") if path.is_file())
    parts = [f"part-000{index}{suffix}.shuffled.xz" for index in (0, 1) for suffix in ("-small", "-imagenet", "")]
    assert names == ["case-00010.safetensors", "case-00011.safetensors", *sorted(parts)]
    assert describe_folder(folder, 12)["cases"] == 12
    again = tmp_path / "again"
    embed_cohorts(configuration, stages, again, embed_one=embed_made_up)
    for path in folder.path.rglob("part-*"):
        assert path.read_bytes() == (again / path.relative_to(tmp_path)).read_bytes()


def test_no_minutes_make_nothing(configuration: StudyConfiguration, tmp_path: Path) -> None:
    assert embed_cohorts(configuration, configuration.order, tmp_path, minutes=0, embed_one=embed_made_up) == {
        "main-dev": 0,
        "main-test": 0,
        "second-test": 0,
    }
    with pytest.raises(InputError, match="Only 0 patients of main-test are embedded"):
        read_cohort(configuration, "main-test", "main", tmp_path)


def test_scenarios_share_images_but_not_outcomes(configuration: StudyConfiguration, tmp_path: Path) -> None:
    embed_cohorts(configuration, (Stage("main-dev", 12),), tmp_path, embed_one=embed_made_up)
    main, spatial, null = (read_cohort(configuration, "main-dev", s, tmp_path) for s in ("main", "spatial", "null"))
    key = "PET/skeleton/stations:4/region"
    assert main.data.states[key].shape == (12, 16, 1, 1)
    assert (main.data.states[key] == null.data.states[key]).all()
    assert main.data.statistics.keys() == {
        f"{r}/{s}" for r in ("spine_dilated", "skeleton") for s in SPATIAL_STATISTICS
    }
    assert main.data.simulated
    assert main.data.covariates == spatial.data.covariates != null.data.covariates
    assert not np.array_equal(main.log_hazard, spatial.log_hazard)
    assert main.data.patient_ids[3].startswith("main-31-")


def test_small_maps_are_there_for_the_first_alone(configuration: StudyConfiguration, tmp_path: Path) -> None:
    embed_cohorts(configuration, (Stage("main-dev", 10),), tmp_path, embed_one=embed_made_up)
    found = read_cohort(configuration, "main-dev", "main", tmp_path, 10, ("small",))
    assert found.data.states["PET/spine_dilated/last/small"].shape == (10, 4, 4, 4)
    with pytest.raises(InputError, match="first 10 patients of main-dev alone"):
        read_cohort(configuration, "main-dev", "main", tmp_path, 12, ("small",))
    folder = part_folder(configuration, configuration.cohort("main-dev"), tmp_path)
    folder.part(1, "small").unlink()
    assert len(read_cohort(configuration, "main-dev", "main", tmp_path).data) == 10
    with pytest.raises(InputError, match=r"part-0001-small.shuffled.xz with the small maps of these cases is missing"):
        read_cohort(configuration, "main-dev", "main", tmp_path, 10, ("small",))


def test_imagenet_vectors_lie_beside_the_parts(configuration: StudyConfiguration, tmp_path: Path) -> None:
    embed_cohorts(configuration, (Stage("main-dev", 12), Stage("second-test", 10)), tmp_path, embed_one=embed_made_up)
    key = "CT/spine_dilated/imagenet/grid"
    assert key not in read_cohort(configuration, "main-dev", "main", tmp_path, 10).data.states
    found = read_cohort(configuration, "main-dev", "main", tmp_path, 10, ("imagenet",)).data.states
    assert found[key].shape == (10, 4, 1, 1)
    assert not [name for name in found if name.endswith("/small")]
    with pytest.raises(InputError, match="ImageNet vectors are kept of the first 10 patients of main-dev alone"):
        read_cohort(configuration, "main-dev", "main", tmp_path, 11, ("imagenet",))
    with pytest.raises(InputError, match="Small maps are kept of no patient of second-test"):
        read_cohort(configuration, "second-test", "second", tmp_path, 10, ("small",))
    part_folder(configuration, configuration.cohort("second-test"), tmp_path).part(0, "imagenet").unlink()
    with pytest.raises(InputError, match=r"part-0000-imagenet.shuffled.xz with the ImageNet vectors .* is missing"):
        read_cohort(configuration, "second-test", "second", tmp_path, 10, ("imagenet",))


def test_parts_of_something_else_are_refused(configuration: StudyConfiguration, tmp_path: Path) -> None:
    embed_cohorts(configuration, (Stage("main-dev", 5), Stage("main-test", 5)), tmp_path, embed_one=embed_made_up)
    dev, test = (part_folder(configuration, configuration.cohort(n), tmp_path) for n in ("main-dev", "main-test"))
    other = test.part(0).read_bytes()
    test.part(0).write_bytes(dev.part(0).read_bytes())
    with pytest.raises(InputError, match="belongs to another embedding or cohort"):
        read_cohort(configuration, "main-test", "main", tmp_path)
    test.part(0).write_bytes(other[:-100])
    with pytest.raises(InputError, match="is damaged"):
        read_cohort(configuration, "main-test", "main", tmp_path)
    changed = msgspec.structs.replace(
        configuration, embedding=msgspec.structs.replace(configuration.embedding, first_step=9)
    )
    assert count_embedded(changed, "main-dev", tmp_path) == 0, "another embedding has a folder of its own"


def test_a_study_that_contradicts_itself_is_refused(configuration: StudyConfiguration) -> None:
    with pytest.raises(InputError, match="no cohort 'other'"):
        configuration.cohort("other")
    with pytest.raises(ValueError, match="does not define: other"):
        msgspec.convert(
            msgspec.to_builtins(msgspec.structs.replace(configuration, order=(Stage("other", 1),))), StudyConfiguration
        )
    ct_only = Question("ct-only", "main-dev", (("main-test", "main"),))
    with pytest.raises(ValueError, match="does not show the images of the scenario ct-only"):
        msgspec.convert(
            msgspec.to_builtins(msgspec.structs.replace(configuration, questions=(ct_only,))), StudyConfiguration
        )
