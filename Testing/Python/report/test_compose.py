"""The pages say what the model holds, in the order in which a reader needs it, and never more than they may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.manifest import LearnedFrom
from MemorySurvivalLib.clinical.record import ClinicalFindings, ClinicalScore, ReadingItem, VisualReading
from MemorySurvivalLib.privacy.clean import clean_record
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.report.compose import compose_document
from MemorySurvivalLib.report.document import Figure, Paragraph, Table, Ticks
from MemorySurvivalLib.report.flags import find_flags
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.report.wording import FLAT_FIGURES, say_covariate, say_measured, say_metrics
from MemorySurvivalLib.scoring import StatisticUsed

LONG = "Müller-Łukasiewicz-" * 3 + "Straßenöl"


def find(value: Any, kind: type) -> Iterator[Any]:
    """Every block of a kind, in order."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from find(item, kind)
    elif is_dataclass(value):
        for entry in fields(value):
            yield from find(getattr(value, entry.name), kind)


def test_values_that_the_model_read_of_the_region_stand_among_what_went_in(
    example: Any, report_of: Any, words_of: Any
) -> None:
    read = (
        StatisticUsed("suv_max_g_ml", 12.345, "g/mL"),
        StatisticUsed("hu_mean", -17.3, "HU"),
        StatisticUsed("tlg_g", None, "g"),
        StatisticUsed("of a later version", 3.0, ""),
    )
    text = words_of(compose_document(report_of(example.with_risk(statistics=read).record)).pages)
    told = text[text.index("The model also read these values of the region") :]
    for words in (
        "SUVmax 12.35 g/mL highest SUVbw of the region",
        "HU mean −17 HU",
        "TLG not measurable: the training cohort's average was taken SUVbw summed over voxels of 4 or more",
        "of a later version 3.0",
    ):
        assert words in told, told[:400]
    assert "Numbers measured in the region entered this model too" in text
    assert "measured in the region" not in words_of(compose_document(report_of(example.record)).pages)
    assert "also read" not in words_of(compose_document(report_of(example.record)).pages)


def test_the_method_is_that_of_the_head_that_scored(example: Any, report_of: Any, words_of: Any) -> None:
    """A linear model of pooled memories is called no network, and averaging inside the region is said."""
    record, seen = example.record, StatisticUsed("tlg_g", 12.0, "g")
    bundle = record.bundle
    published = words_of(compose_document(report_of(record)).pages)
    assert "by a survival network (DeepSurv)." in published
    for absent in ("linear Cox model", "averaged inside the region", "raised above"):
        assert absent not in published
    spec = msgspec.structs.replace(bundle.head_spec, fusion="concatenation", downsampler="pooled", hidden=())
    propagation = msgspec.structs.replace(bundle.propagation, inside=True, most_slices=48)
    linear = replace(
        record,
        bundle=replace(bundle, head_spec=spec, propagation=propagation),
        risk=replace(record.risk, statistics=(seen,)),
    )
    said = words_of(compose_document(report_of(linear)).pages)
    assert "What the network kept of each slice was averaged inside the region." in said
    assert "by a linear Cox model." in said and "DeepSurv" not in said
    assert "entered this model too" in said and "this network" not in said
    assert "slice step 2, raised above 48 slices, boxed" in said
    deep = replace(linear.bundle, head_spec=msgspec.structs.replace(spec, hidden=(8,)))
    assert "by a survival network" in words_of(compose_document(report_of(replace(linear, bundle=deep))).pages)


def test_an_interval_stands_with_its_metric() -> None:
    metrics = {"training_c_index": 0.75, "held_out_c_index": 0.7, "held_out_c_index_low": 0.65, "noise_low": 1.0}
    metrics |= {"held_out_c_index_high": 0.7512}
    assert say_metrics(metrics) == "training c index 0.75, held out c index 0.7 (0.65 to 0.751), noise low 1"
    assert say_metrics({}) == ""
    flat = say_metrics({"flat_c_index_pooled": 0.7})
    assert flat == f"flat c index pooled 0.7 ({FLAT_FIGURES})" and FLAT_FIGURES not in say_metrics(metrics)


@pytest.mark.parametrize(
    ("learned", "told"),
    [
        (LearnedFrom(40, ("real-A-PET", "real-A-CT"), "CC BY 3.0", True), "real-A-PET, real-A-CT (CC BY 3.0)"),
        (LearnedFrom(40, (), "", False), "it began with weights whose images are not named here"),
    ],
)
def test_a_backbone_that_saw_patients_is_never_called_simulated(
    learned: LearnedFrom, told: str, example: Any, report_of: Any, words_of: Any
) -> None:
    bundle = example.record.bundle
    backbone = msgspec.structs.replace(bundle.backbone, learned_from=learned)
    population = f"phantoms for the heads; the backbone learned from {learned.sentence}"
    made = msgspec.structs.replace(bundle.provenance, population=population)
    report = report_of(example.with_record(bundle=replace(bundle, backbone=backbone, provenance=made)).record)
    text = words_of(compose_document(report).pages)
    for words in (
        "Backbone trained on simulated patients: 40",
        told,
        population,
        "407 cases, 291 events for the heads",
    ):
        assert words in text
    assert f"{population} (simulated)" not in text, "of the backbone's images that would be wrong"
    for said in ("Its heads learned from simulated patients only", "its heads learned from simulated images"):
        assert said in text
    for denied in ("It learned from simulated", "it learned from simulated", "model learned from simulated"):
        assert denied not in text
    assert [flag.sentence for flag in report.flags if flag.key == "simulated-model"] == [
        "The model's heads learned from simulated patients only."
    ]
    plain = words_of(compose_document(report_of(example.record)).pages)
    assert "It learned from simulated patients only" in plain and "Backbone trained on" not in plain


def test_a_patient_called_max_does_not_take_the_name_of_a_value(example: Any) -> None:
    read = (StatisticUsed("suv_max_g_ml", 12.345, "g/mL"),)
    record = example.with_risk(statistics=read).with_record(notes=("Max was here.",)).record
    cleaned = clean_record(record, Subject(), (Identifier("name", "Peak^Max"),))
    assert cleaned.risk.statistics == read and "Max" not in cleaned.notes[0]


def test_the_names_of_public_series_are_no_patients_name(example: Any) -> None:
    bundle = example.record.bundle
    backbone = msgspec.structs.replace(
        bundle.backbone, learned_from=LearnedFrom(1, ("real-STS_002-PET",), "CC BY", True)
    )
    record = example.with_record(bundle=replace(bundle, backbone=backbone)).record
    cleaned = clean_record(record, Subject(), (Identifier("ID", "STS_002"),))
    assert cleaned.bundle.backbone == backbone


def test_page_one_answers_in_the_order_of_the_questions(example: Any, report_of: Any, words_of: Any) -> None:
    first = words_of(compose_document(report_of(example.record, Subject())).pages[0])
    order = (
        "not named in this report",
        "Scored CT PET simulated case",
        "edited by a person",
        "Demonstration model, version 0.3.1",
        "status: demonstration",
        "+0.46 log-risk",
        "Higher than 87 % of 143 reference cases",
        "Risk group: high",
        "Weight in this score: PET 64 %",
        "Stability: stable. log-risk +0.44 to +0.52 under 2 changes that should not matter; higher than 86 % to 89 %",
        "The blood glucose was 12.3 mmol/L",
        "pet-projection",
        "Focal lesions 2",
        "MTV 11.0 ml",
        "Lesions reviewed: 0 of 3; focal 0 of 2",
        "1 left hip bone, SUVmax 14.6",
        "Covariates: Age 63, Sex female",
        "Missing: Calcium",
        "Hotspot 1: +0.0412 log-risk",
    )
    places = [first.find(text) for text in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_each_flag_and_note_is_said_once(example: Any, report_of: Any, words_of: Any) -> None:
    report = report_of(example.record)
    text = words_of(compose_document(report).pages[:2])
    for flag in report.flags:
        told = text.count(flag.sentence)
        known = flag.key in ("simulated-model", "simulated-case")
        # The page about the way from the scanner names the images' flags again, in their place.
        assert told == 0 if known else 1 <= told <= 2, flag


def test_the_lesions_that_were_looked_at_are_ticked(example: Any, report_of: Any) -> None:
    document = compose_document(report_of(example.record, findings=ClinicalFindings(reviewed_lesions=(2,))))
    ticks = next(find(document.pages[0], Ticks))
    assert [ticked for _, ticked in ticks.items] == [False, True]
    said = [each.text for each in find(document.pages[0], Paragraph) if each.lead == "Lesions reviewed:"]
    assert said == ["1 of 3; focal 1 of 2"], "of all that the list and the panel show"
    table = next(table for table in find(document.pages, Table) if "reviewed" in table.columns)
    assert [row[-1].text for row in table.rows] == ["☐ no", "☑ yes", "☐ no"]


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (Subject(age_years=63, sex="F"), "not named in this report female, 63 years"),
        (Subject("pseudonym", patient_id="MM-17"), "pseudonym MM-17"),
        (
            Subject("identified", LONG, "4711", "1962-12-01", "M", 63, "2026-03-31", "PET/CT", "A-9"),
            f"{LONG} ID 4711 born 1962-12-01, male, 63 years study 2026-03-31, PET/CT, accession A-9",
        ),
    ],
)
def test_whom_the_report_names(subject: Subject, said: str, example: Any, report_of: Any, words_of: Any) -> None:
    document = compose_document(report_of(example.record, subject=subject))
    assert said in words_of(document.pages[0])
    assert document.subject_line


def test_scores_that_cannot_be_computed_say_what_is_missing(example: Any, report_of: Any, words_of: Any) -> None:
    scores = (
        ClinicalScore("ISS", "II", "ISS II", {"beta-2 microglobulin": "4.1 mg/L"}, (), "Greipp 2005"),
        ClinicalScore("R-ISS", None, "not computable: FISH missing", {}, ("FISH",), "Palumbo 2015"),
        ClinicalScore("R2-ISS", "high", "R2-ISS high", {}, (), "D'Agostino 2022", points=3.5),
    )
    page = words_of(compose_document(report_of(example.record, findings=ClinicalFindings(scores))).pages[2])
    for said in ("ISS II beta-2 microglobulin 4.1 mg/L", "not computable: FISH missing", "high (3.5 points)"):
        assert said in page
    for cited in ("ISS: Greipp 2005", "R-ISS: Palumbo 2015", "R2-ISS: D'Agostino 2022"):
        assert cited in page


def test_a_reading_is_final_only_when_every_item_is_confirmed(example: Any, report_of: Any, words_of: Any) -> None:
    items = (
        ReadingItem("marrow", "Marrow uptake", ("1", "2", "3"), "3", "segment means", answer="2", confirmed=True),
        ReadingItem("fractures", "Fractures", ("yes", "no"), None, "", answer="yes"),
    )
    reading = VisualReading(items, reader="Dr. Ōe", confirmed_at="2026-04-01T10:00:00+00:00")
    page = words_of(compose_document(report_of(example.record, findings=ClinicalFindings(reading=reading))).pages[2])
    assert "Not final: 1 of 2 items confirmed; suggestions are no findings." in page
    assert "Marrow uptake 2 3 (segment means) confirmed" in page
    assert "Fractures – – not confirmed" in page, "an answer counts once it is confirmed"
    final = replace(reading, items=(items[0], replace(items[1], confirmed=True)))
    page = words_of(compose_document(report_of(example.record, findings=ClinicalFindings(reading=final))).pages[2])
    assert "Final: confirmed by Dr. Ōe, 2026-04-01 10:00 UTC" in page and "Fractures yes – confirmed" in page


def test_similar_cases_stand_there_where_something_was_measured(example: Any, report_of: Any, words_of: Any) -> None:
    report = report_of(example.record)
    assert report.twins is not None and report.twins.own is not None and report.twins.own.mtv_ml == 11.0
    assert report.twins.title and words_of(compose_document(report)).count(report.twins.sentences[-1]) == 1
    assert report_of(replace(example.record, measurements=None)).twins is None


def test_every_citation_is_used_and_listed(example: Any, report_of: Any, words_of: Any) -> None:
    report = report_of(example.record)
    page = words_of(compose_document(report).pages[2])
    for number, citation in enumerate(report.citations, start=1):
        assert page.count(f"[{number}]") == 2 and citation.doi in page


def test_nothing_measured_asked_or_given_still_gives_pages(example: Any, report_of: Any, words_of: Any) -> None:
    bare = example.without_heatmap().with_record(measurements=None, stability=None, notes=())
    bare = bare.with_risk(covariates=None, notes=(), gate_pet=None, survival=None, position=None, risk_group=None)
    document = compose_document(report_of(bare.record))
    text = words_of(document.pages)
    assert len(document.pages) == 3
    for said in (
        "Stability: not measured for this case",
        "Lesions: nothing was measured",
        "Covariates: none used; the score comes from the images alone",
        "None was computed: no clinical values were given for them.",
        "Visual reading (IMPeTUs) Not filled in.",
    ):
        assert said in text
    assert not [word for word in ("Risk group", "Progression-free at", "Higher than", "Hotspot") if word in text]


def test_three_hundred_hotspots_are_a_table_with_an_end(example: Any, report_of: Any, words_of: Any) -> None:
    heatmap = example.record.heatmap
    many = tuple(replace(heatmap.hotspots[0], effect=0.04 - n * 1e-4, number=n + 1) for n in range(300))
    document = compose_document(report_of(replace(example.record, heatmap=replace(heatmap, hotspots=many))))
    page = next(page for page in document.pages if "in numbers" in page.title)
    assert len(next(find(page, Table)).rows) == 40
    assert "Hotspots (the 40 strongest of 300; all are in result.json)" in words_of(page)
    assert len(list(find(document, Figure))) <= 6 + 10


def test_pictures_that_were_left_out_leave_the_others_in_their_places(
    example: Any, report_of: Any, words_of: Any
) -> None:
    report = report_of(example.record)
    without = tuple(one for one in report.pictures if one.role != "overview" and one.hotspot != 1)
    first = words_of(compose_document(replace(report, pictures=without)).pages[0])
    assert "Hotspot 2: −0.0173 log-risk" in first and "Hotspot 1:" not in first
    assert "The pictures of the body were left out." in first and "Lesions reviewed" in first
    none = words_of(compose_document(replace(report, pictures=())).pages[0])
    assert "The pictures of the hotspots were left out." in none and "colours are full at" in none


def test_labels_research_use_and_subject_belong_to_the_document(example: Any, report_of: Any) -> None:
    document = compose_document(report_of(example.record))
    assert document.labels == ("SIMULATED MODEL", "SIMULATED CASE")
    assert document.research_use == RESEARCH_USE and "demonstration 0.3.1" in document.foot
    assert "+0.46" in document.title and "SIMULATED MODEL" in document.title
    assert all(RESEARCH_USE in figure.alt for figure in find(document, Figure))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("creatinine_mg_dl", "3.27", "Creatinine 3.27 mg/dL"),
        ("platelets_10e9_l", "150.0", "Platelets 150.0 10⁹/L"),
        ("age_years", "63", "Age 63 years"),
        ("r_iss", "II", "R-ISS stage II"),
        ("r2_iss", "III", "R2-ISS stage III"),
        ("sex", "female", "Sex female"),
    ],
)
def test_covariates_stand_with_their_units(name: str, value: str, said: str) -> None:
    assert f"{say_covariate(name)} {say_measured(name, value)}" == said


def test_missing_covariates_are_said_once_and_in_words(example: Any, report_of: Any, words_of: Any) -> None:
    """Also of a result that an earlier version wrote, whose note holds the columns' names."""
    missing = ("calcium_mg_dl", "r_iss")
    note = f"Missing covariates took the training cohort's average: {', '.join(missing)}."
    encoded = replace(example.record.risk.covariates, missing=missing)
    record = replace(example.record, risk=replace(example.record.risk, covariates=encoded, notes=(note,)))
    said = "Missing covariates took the training cohort's average: Calcium, R-ISS stage."
    assert [flag.sentence for flag in find_flags(record) if flag.key == "missing-covariates"] == [said]
    text = words_of(compose_document(report_of(record)).pages)
    assert text.count(said) == 1 and not any(name in text for name in missing)
