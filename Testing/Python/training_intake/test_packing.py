"""An embedded cohort becomes a bundle that loads, whose evidence is out of fold and whose status is what it may be."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from backbone_cards import carry_training

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.card import find_open_fields
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.evaluation.risk_groups import risk_quartiles
from MemorySurvivalLib.report.sheet import Sheet
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.evidence_picture import draw_evidence
from MemorySurvivalLib.training.exclusion import Excluded, ExclusionFlow
from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.intake import Intake, OwnPatient
from MemorySurvivalLib.training.judged_head import FLAT_LABEL
from MemorySurvivalLib.training.model_card import QUESTIONS, Stated
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.nested import Validation
from MemorySurvivalLib.training.own_cohort import OwnCohort, bundle_log_risks, read_otherwise
from MemorySurvivalLib.training.packing import NOTHING_HELD_OUT, train_bundle
from MemorySurvivalLib.training.results import FLAT_WARNING
from MemorySurvivalLib.training.train_config import TrainConfig, read_config
from MemorySurvivalLib.training.trained_page import write_training_page
from MemorySurvivalLib.training.tuning import Budget
from MemorySurvivalLib.worklist.items import CaseFiles

QUICK = TrainConfig(
    title="Quick",
    modalities=("PET",),
    downsampler="channels",
    downsampler_width=2,
    hidden=(4,),
    training=TrainingConfig(epochs=3, patience=3),
    validation=Validation(FoldPlan(2, 1), Budget(1, 2)),
    head_budget=Budget(1, 2),
    evaluation=EvaluationPlan((24.0,), 30.0, (6.0, 30.0), (0.3,), 100, 99),
    horizon_months=24.0,
)


def make_cohort(n: int = 100, *, simulated: bool = False) -> OwnCohort:
    """States whose mean is the hazard's driver; sex and age as covariates."""
    rng = np.random.default_rng(5)
    driver = rng.normal(0, 1, n)
    failure = rng.exponential(30 / np.exp(driver))
    censored = rng.uniform(35, 80, n)
    times, events = np.minimum(failure, censored) + 0.1, failure <= censored
    states = torch.from_numpy(driver)[:, None, None, None] * 0.2 + 0.1 * torch.randn(
        n, 64, 4, 4, generator=torch.Generator().manual_seed(5)
    )
    covariates = tuple(
        {"age_years": f"{rng.normal(62, 9):.1f}", "sex": "male" if i % 2 else "female"} for i in range(n)
    )
    patients = tuple(
        OwnPatient(
            i + 2,
            f"P{i}",
            CaseFiles(),
            float(times[i]),
            bool(events[i]),
            covariates[i],
            "A",
            scan_date=date(2015, 1, 1),
        )
        for i in range(n)
    )
    flow = ExclusionFlow(n + 1, (Excluded(n + 2, "no image", f"Row {n + 2} names no image."),))
    intake = Intake(Path("cohort.csv"), patients, flow, (), ("age_years", "sex"), (), ("scanner",))
    ids = tuple(patient.patient_id for patient in patients)
    data = CohortData(
        ids, times, events, covariates, states={"PET/mean": states.half()}, sites=("A",) * n, simulated=simulated
    )
    return OwnCohort(intake, patients, data, flow, tuple(map(str, range(n))), {})


def test_a_bundle_of_an_own_cohort(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort()
    out = tmp_path / "own.msbundle"
    trained = train_bundle(cohort, load_bundle(light_base), QUICK, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    assert bundle.manifest.status == "local-research"
    assert [head.name for head in bundle.manifest.heads] == ["image", "image+clinical"]
    for entry in bundle.manifest.heads:
        assert entry.reference is not None and len(entry.reference.log_risks) == 100
        assert entry.metrics["nested_c_index_pooled"] < 1
        held_out = next(one for one in trained.heads if one.entry.name == entry.name).validated.log_risk[0]
        assert entry.reference.log_risks == pytest.approx(np.sort(held_out), abs=1e-4)
        assert "flat" not in " ".join(entry.metrics)
    assert sorted(find_open_fields(bundle.card)) == sorted(QUESTIONS.values())
    image, both = trained.heads
    assert [one.name for one in image.rivals] == ["clinical values alone"], "the cohort has no statistics"
    folds = image.rivals[0].difference.figures[0].folds
    assert folds is not None and folds.value > 0, "the driver is in the images, sex and age are noise"
    said = "It ranks" if folds.low > 0 else "It is not shown to rank"
    assert any(note.startswith(f"{said} patients better than clinical values alone does") for note in image.notes)
    for said in (
        "integrated Brier score, 6 to 30 months",
        "naive 0.",
        "Harrell's c minus that of clinical values alone",
    ):
        assert said in bundle.card, said
    assert trained.design[0].startswith("Nested cross-validation of 100 patients with")
    assert trained.design[1] in bundle.card
    assert "Settings of the heads are chosen among 1 Sobol points in 2 inner folds" in trained.design[1]
    assert {row.variable for row in both.subgroups} == {"sex", "age", "site"}
    assert "101 patients in the table, 1 no image, 100 remain." in bundle.card
    assert "The table does not say: scanner." in bundle.card
    assert "SIMULATED" not in bundle.card
    risks = bundle_log_risks(bundle, cohort.data)
    assert set(risks) == {"image", "image+clinical"} and np.isfinite(risks["image"]).all()
    with pytest.raises(OutputError, match="is there already"):
        train_bundle(cohort, load_bundle(light_base), QUICK, Stated(), out, tmp_path / "work")


def test_the_same_patient_twice_is_refused(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort()
    same = OwnCohort(cohort.intake, cohort.patients, cohort.data, cohort.flow, ("one",) * 100, {})
    with pytest.raises(InputError, match="have equal images"):
        train_bundle(same, load_bundle(light_base), QUICK, Stated(), tmp_path / "a.msbundle", tmp_path / "work")


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(msgspec.json.encode(QUICK))
    assert read_config(path) == QUICK
    path.write_text('{"epochs": 3}')
    with pytest.raises(InputError, match="epochs"):
        read_config(path)
    assert read_config(None) == TrainConfig()


@pytest.mark.parametrize("model", ["ridge", "network"])
def test_heads_that_take_statistics(tmp_path: Path, light_base: Path, model: str) -> None:
    cohort = make_cohort()
    driver = cohort.data.states["PET/mean"].float().mean(dim=(1, 2, 3)).numpy()
    tlg = np.where(np.arange(100) % 11 == 3, np.nan, np.exp(4 + 5 * driver))
    cohort = replace(cohort, data=replace(cohort.data, statistics={"tlg_g": tlg, "lesion_tlg_g": tlg}))
    config = msgspec.structs.replace(QUICK, model=model, statistics=("tlg_g",))
    out = tmp_path / "own.msbundle"
    train_bundle(cohort, load_bundle(light_base), config, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    assert [head.name for head in bundle.manifest.heads] == ["image+statistics", "image+statistics+clinical"]
    for entry in bundle.manifest.heads:
        assert entry.statistics is not None and [one.name for one in entry.statistics.entries] == ["tlg_g"]
    assert "tlg_g" in bundle.card and "lesion_tlg_g" not in bundle.card
    risks = bundle_log_risks(bundle, cohort.data)
    for entry in bundle.manifest.heads:
        groups = entry.groups
        assert groups is not None
        share = np.mean(risks[entry.name] < groups.thresholds[0])
        assert share == pytest.approx(1 / 3, abs=0.03), "the loaded head scores as the fitted one"
    half = replace(cohort.data, statistics={})
    with pytest.raises(InputError, match="no statistic tlg_g, which the head image"):
        bundle_log_risks(bundle, half)


def test_statistics_that_no_bundle_takes_are_refused_first(tmp_path: Path, light_base: Path) -> None:
    for names, said in ((("lesion_tlg_g",), "no statistic of a region"), (("hu_mean",), "measured in the CT")):
        config = msgspec.structs.replace(QUICK, statistics=names)
        with pytest.raises(InputError, match=said):
            train_bundle(make_cohort(), load_bundle(light_base), config, Stated(), tmp_path / "a.msbundle", tmp_path)


@pytest.mark.parametrize("downsampler", ["average", "attention"])
def test_a_network_reads_maps_also_on_a_base_that_reads_inside(
    tmp_path: Path, light_base: Path, downsampler: str
) -> None:
    """One number a channel would be blown up to a map for the one, and be too small for the other."""
    base = read_otherwise(load_bundle(light_base), None, inside=True)
    assert base.manifest.propagation.inside
    out = tmp_path / "own.msbundle"
    config = msgspec.structs.replace(QUICK, downsampler=downsampler, training=TrainingConfig(epochs=1, patience=1))
    assert (config.reads_inside, msgspec.structs.replace(config, model="ridge").reads_inside) == (False, None)
    cohort = make_cohort(80)
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    train_bundle(cohort, base, config, Stated(), out, tmp_path / "work")
    manifest = load_bundle(out).manifest
    assert not manifest.propagation.inside
    assert [head.spec.memory_shape for head in manifest.heads] == [(64, 4, 4)]
    asked = msgspec.structs.replace(config, inside=True)
    (tmp_path / "train.json").write_bytes(msgspec.json.encode(asked))
    with pytest.raises(InputError, match='take the model "ridge" or "mlp"'):
        read_config(tmp_path / "train.json")
    with pytest.raises(InputError, match='leave "inside" out'):
        train_bundle(cohort, base, asked, Stated(), tmp_path / "b.msbundle", tmp_path / "work")


def test_another_readout_than_the_base_on_a_backbone_whose_training_is_known(
    tmp_path: Path, small_bundle: Path
) -> None:
    base = carry_training(load_bundle(small_bundle), tmp_path / "base.msbundle")
    cohort = make_cohort()
    inside = cohort.data.states["PET/mean"].float().mean(dim=(2, 3), keepdim=True).half()
    cohort = replace(cohort, data=replace(cohort.data, states={"PET/max": inside}, covariates=()))
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    config = msgspec.structs.replace(QUICK, model="ridge", readout="max", inside=True)
    out = tmp_path / "own.msbundle"
    train_bundle(cohort, base, config, Stated(), out, tmp_path / "work")
    made = load_bundle(out)
    manifest = made.manifest
    assert made.backbone_training == base.backbone_training and manifest.backbone == base.manifest.backbone
    assert "## How the backbone was trained" in made.card and "real-STS_002-PET" in made.card
    assert (manifest.propagation.readout, manifest.propagation.inside) == ("max", True)
    assert [head.spec.memory_shape for head in manifest.heads] == [(64, 1, 1)]
    assert base.manifest.propagation.readout == "mean"


def test_a_flat_validation_is_never_sold_as_nested(tmp_path: Path, light_base: Path) -> None:
    """Its figures carry its name everywhere, and nothing in the bundle is called held out."""
    flat = msgspec.structs.replace(QUICK, validation=Validation(FoldPlan(2, 1), Budget(2, 2), flat=True))
    cohort = make_cohort(80)
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    out, page = tmp_path / "own.msbundle", tmp_path / "page.html"
    trained = train_bundle(cohort, load_bundle(light_base), flat, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    (entry,) = bundle.manifest.heads
    assert set(entry.metrics) == {"flat_c_index_fold_mean", "flat_c_index_pooled"}
    assert entry.reference is None and entry.calibration is None
    assert FLAT_WARNING in bundle.manifest.provenance.how and FLAT_WARNING in bundle.card
    assert NOTHING_HELD_OUT in bundle.card and "(nested)" not in bundle.card and "Nested" not in bundle.card
    write_training_page(cohort, trained, page)
    text = page.read_text()
    assert trained.design[0].startswith("Flat") and "on the outer folds themselves" in trained.design[1]
    assert text.count(FLAT_LABEL) >= 2, "banner and watermark"
    assert (
        FLAT_WARNING in text and "cross-validated (flat)" in text and "nested" not in text.lower().split("</style>")[1]
    )


def test_the_page_shows_what_was_judged(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort(90, simulated=True)
    driver = cohort.data.states["PET/mean"].float().mean(dim=(1, 2, 3)).numpy()
    cohort = replace(cohort, data=replace(cohort.data, statistics={"tlg_g": np.exp(4 + 5 * driver)}))
    base = load_bundle(light_base)
    trained = train_bundle(cohort, base, QUICK, Stated(), tmp_path / "own.msbundle", tmp_path / "work")
    write_training_page(cohort, trained, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    for said in (
        "data:image/png;base64,",
        "naive one-sided p",
        "integrated Brier score, 6 to 30 months",
        "by permutation",
        "quartile of risk",
        "ICI at 24 months",
        "net benefit gained at 24 months, threshold 0.3",
        "both without memory states",
        "The head minus it",
        *(said.replace("'", "&#39;") for said in trained.design),
        "SIMULATED PATIENTS",
        "Research use only",
    ):
        assert said in text, said
    words = re.sub(r"base64,[^\"]*", "", text)
    assert not re.search(r"\bP\d+\b", words), "no patient is named"
    write_training_page(cohort, trained, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == text


def test_what_could_not_be_judged_is_said_in_the_picture() -> None:
    nothing = draw_evidence("image", "out of fold", None, (), ())
    assert "nothing could be judged" in nothing.alt and nothing.png.startswith(b"\x89PNG")


def test_the_picture_itself_says_of_whom_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(Sheet, "write", lambda sheet, left, top, text, *rest, **style: written.append(text))
    months = np.arange(1.0, 41.0)
    quartiles = risk_quartiles(months, np.ones(40, dtype=bool), -months, permutations=9)
    draw_evidence("image", "out of fold", quartiles, (), (), (FLAT_LABEL,))
    assert FLAT_LABEL in written and RESEARCH_USE in written
    at_risk = written[written.index("patients at risk") + 1 :]
    # The first quartile leaves in the months 31 to 40, the second in 21 to 30: at 0, 12, 24 and 36 months.
    assert at_risk[:10] == ["1", "10", "10", "10", "5", "2", "10", "10", "7", "0"]


def test_permutations_and_harmonisation_where_asked_for(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort(120)
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    rng = np.random.default_rng(3)
    driver = cohort.data.states["PET/mean"].float().mean(dim=(1, 2, 3)).numpy()
    statistics = {"tlg_g": np.exp(4 + 5 * driver), "suv_max_g_ml": np.exp(rng.normal(1, 0.3, 120))}
    sites = tuple("AB"[i] for i in rng.integers(0, 2, 120))
    data = replace(cohort.data, statistics=statistics, sites=sites)
    config = msgspec.structs.replace(QUICK, harmonise=True, permutations=3)
    base = load_bundle(light_base)
    trained = train_bundle(
        replace(cohort, data=data), base, config, Stated(), tmp_path / "own.msbundle", tmp_path / "work"
    )
    (head,) = trained.heads
    assert [one.name for one in head.rivals] == ["region statistics alone", "region statistics alone, ComBat"]
    assert sum(note.startswith("Is there any signal? c 0.") for note in head.notes) == 1
    assert "repeated on 3 permutations" in trained.card
    one_site = replace(cohort, data=replace(data, sites=("A",) * 120))
    with pytest.raises(InputError, match="site"):
        train_bundle(one_site, base, config, Stated(), tmp_path / "x.msbundle", tmp_path / "other")
    with pytest.raises(InputError, match="no statistics of the region to harmonise"):
        train_bundle(cohort, base, config, Stated(), tmp_path / "x.msbundle", tmp_path / "third")
    with pytest.raises(InputError, match="-1 permutations"):
        wrong = msgspec.structs.replace(QUICK, permutations=-1)
        train_bundle(cohort, base, wrong, Stated(), tmp_path / "x.msbundle", tmp_path / "fourth")
