"""What differs between two results of one patient, as typed values: what kind of comparison it is, and every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.rights import OTHER_ROI
from MemorySurvivalLib.compare.lesions import MatchedLesions, match_lesions
from MemorySurvivalLib.compare.measured import compare_measured, list_uptake_doubts
from MemorySurvivalLib.compare.reading import Side
from MemorySurvivalLib.compare.rows import NumberRow, TextRow, differing, text_rows
from MemorySurvivalLib.compare.same_images import shared_images
from MemorySurvivalLib.compare.same_patient import check_same_patient
from MemorySurvivalLib.followup.comparison import NOT_RESPONSE
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.wording import (
    collect_notes,
    hide_folders,
    known_paths,
    say_covariate,
    say_measured,
    say_value,
)
from MemorySurvivalLib.stability.record import StabilityRecord

SCHEMA = "memory-survival-comparison"

Kind = Literal["studies", "images", "models", "masks", "covariates", "settings", "repeat"]
"""What two results differ in. `studies`: neither image is the same; `images`: one of the two is; `repeat`: nothing."""

KIND_WORDS: Mapping[Kind, str] = {
    "studies": "two studies",
    "images": "one image replaced",
    "models": "two models",
    "masks": "two masks",
    "covariates": "other clinical values",
    "settings": "other settings",
    "repeat": "the same case again",
}

TWO_SCALES = (
    "The two log-risks are of different models (another bundle, head or kind of region), each on a scale of its own: "
    "they are not subtracted, and the larger number is not the higher risk."
)
SETTINGS = ("alignment", "allow_other_roi", "fill", "patch_mm", "roi_labels", "roi_segment", "segmenter", "stride_mm")
"""What a request may ask for that changes numbers; what holds paths or a patient's values is not among them."""


@dataclass(frozen=True)
class Comparison:
    """Two results beside each other. `names` head the columns; `one_scale` says whether log-risks may be subtracted.

    `identity` and `cautions` are sentences to read first; `labels` stand on every page that shows this. Flags and notes
    are split into those of the first, of the second, and of both.
    """

    names: tuple[str, str]
    kinds: tuple[Kind, ...]
    one_scale: bool
    identity: tuple[str, ...]
    cautions: tuple[str, ...]
    about: tuple[TextRow, ...]
    score: tuple[NumberRow | TextRow, ...]
    region: tuple[NumberRow | TextRow, ...]
    measured: tuple[NumberRow, ...]
    lesions: MatchedLesions | None
    covariates: tuple[TextRow, ...]
    covariates_alike: tuple[str, ...]
    notes_first: tuple[str, ...]
    notes_second: tuple[str, ...]
    notes_both: tuple[str, ...]
    versions: tuple[TextRow, ...]
    versions_alike: tuple[str, ...]
    labels: tuple[str, ...]
    simulated: bool
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = 1

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def compare_results(
    first: Side, second: Side, *, confirmed: bool = False, registration: SpineMatch | None = None
) -> Comparison:
    """Lay two results of one patient beside each other; the first is the earlier one where the studies differ.

    `registration` takes points of the second study to the first. Raises PatientMismatch where the two seem to be of
    different patients and nobody `confirmed` that they are not.
    """
    identity = check_same_patient(first, second, confirmed=confirmed)
    one, other = first.record, second.record
    shared = shared_images(one, other)
    covariates = _covariate_rows(one, other)
    versions = text_rows(_versions(one), _versions(other))
    kinds = _find_kinds(one, other, shared, bool(differing(covariates)))
    one_scale = _on_one_scale(one, other)
    rows, comparable = compare_measured(one.measurements, other.measurements)
    lesions = None
    if one.measurements is not None and other.measurements is not None:
        lesions = match_lesions(one.measurements, other.measurements, same_ct="CT" in shared, registration=registration)
    score = _score_rows(one, other, one_scale)
    cautions = [NOT_RESPONSE] if "studies" in kinds else []
    if not one_scale:
        cautions.append(TWO_SCALES)
    cautions += [*_within_stability(one, other, one_scale), *comparable]
    if "studies" in kinds:
        cautions += list_uptake_doubts(one, other)
        if not (first.subject.study_date and second.subject.study_date):
            cautions.append(
                f"The results do not say when the studies were; {first.name} is taken for the earlier one because it "
                "was given first."
            )
        elif first.subject.study_date > second.subject.study_date:
            cautions.append(f"By their dates {second.name} is the earlier study of the two.")
    notes = collect_notes(one), collect_notes(other)
    return Comparison(
        names=(first.name, second.name),
        kinds=kinds,
        one_scale=one_scale,
        identity=identity,
        cautions=tuple(cautions),
        about=_about_rows(first, second, shared),
        score=score,
        region=_region_rows(one, other),
        measured=rows,
        lesions=lesions,
        covariates=differing(covariates),
        covariates_alike=tuple(row.name for row in covariates if not row.differs and row.first != NO_VALUE),
        notes_first=tuple(note for note in notes[0] if note not in notes[1]),
        notes_second=tuple(note for note in notes[1] if note not in notes[0]),
        notes_both=tuple(note for note in notes[0] if note in notes[1]),
        versions=differing(versions),
        versions_alike=tuple(row.name for row in versions if not row.differs),
        labels=tuple(dict.fromkeys((*one.risk.labels, *other.risk.labels))),
        simulated=one.simulated_case or other.simulated_case,
    )


def _find_kinds(one: CaseRecord, other: CaseRecord, shared: tuple[str, ...], covariates: bool) -> tuple[Kind, ...]:
    kinds: list[Kind] = []
    if not shared:
        kinds.append("studies")
    elif len(shared) < len(one.inputs):
        kinds.append("images")
    if (one.bundle.sha256, one.risk.head) != (other.bundle.sha256, other.risk.head):
        kinds.append("models")
    if shared and one.roi.sha256 != other.roi.sha256:
        kinds.append("masks")  # of two studies the masks differ anyway
    if covariates:
        kinds.append("covariates")
    both_measured = one.measurements is not None and other.measurements is not None
    if differing(text_rows(_settings(one), _settings(other))) or (
        both_measured and _threshold(one) != _threshold(other)
    ):
        kinds.append("settings")
    return tuple(kinds) or ("repeat",)


def _on_one_scale(one: CaseRecord, other: CaseRecord) -> bool:
    """One bundle, one head, one kind of region: only then two log-risks are numbers of one scale."""
    same_model = (one.bundle.sha256, one.risk.head, one.roi.kind) == (
        other.bundle.sha256,
        other.risk.head,
        other.roi.kind,
    )
    return same_model and (OTHER_ROI in one.risk.labels) == (OTHER_ROI in other.risk.labels)


def _about_rows(first: Side, second: Side, shared: tuple[str, ...]) -> tuple[TextRow, ...]:
    one, other = first.record, second.record
    rows = [
        TextRow("scored", one.created, other.created),
        TextRow("model", _model(one), _model(other)),
    ]
    dates = first.subject.study_date, second.subject.study_date
    if any(dates):
        rows.insert(0, TextRow("study date", dates[0] or "not stated", dates[1] or "not stated"))
    for modality in sorted(one.inputs):
        same = modality in shared
        rows.append(TextRow(modality, "same image" if same else "one image", "same image" if same else "another image"))
    return tuple(rows)


def _model(record: CaseRecord) -> str:
    bundle = record.bundle
    return f"{bundle.title} {bundle.version} ({bundle.status}), head {record.risk.head}"


def _score_rows(one: CaseRecord, other: CaseRecord, one_scale: bool) -> tuple[NumberRow | TextRow, ...]:
    a, b = one.risk, other.risk
    rows: list[NumberRow | TextRow] = [NumberRow.of("log-risk", "", a.log_risk, b.log_risk, 2, one_scale, signed=True)]
    if a.position is not None or b.position is not None:
        percent = [None if risk.position is None else 100 * risk.position for risk in (a, b)]
        rows.append(NumberRow.of("position among its reference cases", "%", percent[0], percent[1], 0, one_scale))
        reference = TextRow("reference cases", _reference(one), _reference(other))
        rows += [reference] if reference.differs else []
    if a.risk_group is not None or b.risk_group is not None:
        rows.append(TextRow("risk group", a.risk_group or "not shown", b.risk_group or "not shown"))
    if a.gate_pet is not None or b.gate_pet is not None:
        percent = [None if gate is None else 100 * gate for gate in (a.gate_pet, b.gate_pet)]
        rows.append(NumberRow.of("weight of the PET", "%", percent[0], percent[1], 0, one_scale))
    if one.stability is not None or other.stability is not None:
        rows.append(TextRow("stability", _stability(one.stability), _stability(other.stability)))
    if one.heatmap is not None or other.heatmap is not None:
        rows.append(TextRow("hottest spot of the map", _hotspot(one), _hotspot(other)))
    return tuple(rows)


def _reference(record: CaseRecord) -> str:
    if record.risk.position is None:
        return "not shown"
    return record.risk.reference or f"{len(record.risk.reference_log_risks)} cases"


def _stability(record: StabilityRecord | None) -> str:
    if record is None:
        return "not measured"
    return f"{record.verdict}; {record.lowest:+.2f} to {record.highest:+.2f}"


def _hotspot(record: CaseRecord) -> str:
    if record.heatmap is None:
        return "no map"
    spots = record.heatmap.hotspots
    if not spots:
        return "no hotspot"
    most = max(spots, key=lambda spot: abs(spot.effect))
    place = most.site.replace("_", " ") or "place without a name"
    return f"{place}, {most.effect:+.3f}; {len(spots)} hotspot{'' if len(spots) == 1 else 's'}"


def _within_stability(one: CaseRecord, other: CaseRecord, one_scale: bool) -> tuple[str, ...]:
    """Whether the scores differ by more than changes that should not matter moved either of them."""
    moves = [abs(t.moved) for record in (one, other) if record.stability for t in record.stability.trials]
    if not one_scale or not moves:
        return ()
    change = abs(other.risk.log_risk - one.risk.log_risk)
    words = "no more than" if change <= max(moves) else "more than"
    return (
        f"The log-risks differ by {change:.2f}, {words} small changes of boxes, mask, slices and registration moved "
        f"one of them ({max(moves):.2f}).",
    )


def _region_rows(one: CaseRecord, other: CaseRecord) -> tuple[NumberRow | TextRow, ...]:
    a, b = one.roi, other.roi
    rows: list[NumberRow | TextRow] = [
        TextRow("mask", "same mask" if a.sha256 == b.sha256 else "one mask", _second_mask(a.sha256 == b.sha256)),
        NumberRow.of("volume", "ml", a.volume_ml, b.volume_ml, 1, a.kind == b.kind),
        NumberRow.of("slices with the region", "", a.slices_with_roi, b.slices_with_roi, 0, a.kind == b.kind),
        NumberRow.of("slices used", "", a.slices_used, b.slices_used, 0, a.kind == b.kind),
        TextRow("kind", a.kind.replace("_", " "), b.kind.replace("_", " ")),
        TextRow("made by", _made_by(one), _made_by(other)),
        TextRow("edited", _edited(one), _edited(other)),
    ]
    if a.boxes is not None or b.boxes is not None:
        rows.append(TextRow("boxes", *(roi.boxes.sentence if roi.boxes else "not compared" for roi in (a, b))))
    return tuple(rows)


def _second_mask(same: bool) -> str:
    return "same mask" if same else "another mask"


def _made_by(record: CaseRecord) -> str:
    return hide_folders(record.roi.made_by, known_paths(record))


def _edited(record: CaseRecord) -> str:
    if record.roi.edit is not None:
        return record.roi.edit.sentence
    return {True: "yes", False: "no", None: "not known"}[record.roi.edited]


NO_VALUE = "missing"


def _covariate_rows(one: CaseRecord, other: CaseRecord) -> tuple[TextRow, ...]:
    """What the heads used; what was given and not used does not move the score."""
    used = [dict(record.risk.covariates.used) if record.risk.covariates else {} for record in (one, other)]
    names = dict.fromkeys((*used[0], *used[1]))
    return tuple(TextRow(say_covariate(name), *(_say_value(name, each) for each in used)) for name in names)


def _say_value(name: str, used: Mapping[str, str]) -> str:
    return say_measured(name, used[name]) if name in used else NO_VALUE


def _settings(record: CaseRecord) -> dict[str, str]:
    return {name: say_value(record.request[name]) for name in SETTINGS if record.request.get(name) is not None}


def _threshold(record: CaseRecord) -> float | None:
    return None if record.measurements is None else record.measurements.threshold_suv


def _versions(record: CaseRecord) -> dict[str, str]:
    rows = {f"{modality} SHA-256": source.sha256 for modality, source in sorted(record.inputs.items())}
    rows |= {"mask SHA-256": record.roi.sha256, "bundle SHA-256": record.bundle.sha256}
    rows |= {f"memory {memory.modality} SHA-256": memory.sha256 for memory in record.memory}
    rows |= {
        "backbone": record.bundle.backbone.release,
        "device": record.device,
        "threads": str(record.threads),
        "format": str(record.schema_version),
    }
    if record.acquisition.suv is not None:
        rows["SUV"] = record.acquisition.suv.method
    if record.measurements is not None:
        rows["lesion threshold"] = f"SUV {record.measurements.threshold_suv:.3g}"
    return rows | _settings(record) | dict(record.software)
