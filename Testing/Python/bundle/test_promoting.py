"""A bundle becomes `validated` only with every field stated and a validation of its own bytes on real patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from MemorySurvivalLib.bundle.archive import CARD, HEADS, read_archive, write_archive
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import BundleError, InputError, OutputError
from MemorySurvivalLib.training.model_card import QUESTIONS, Stated, empty_statements
from MemorySurvivalLib.training.promoting import (
    Figure,
    HeadFigures,
    Validation,
    fill_card,
    promote_bundle,
    read_validation,
)

OPEN_CARD = (
    "# Mine\n\n- **Ethics approval and consent**: TODO (a person must state this)\n- **Why this sample size**: all\n"
)
STATED = Stated(ethics="Approved | 2021\n- **X**: TODO", sample_size_rationale="another")


@pytest.fixture
def local(light_bundle: Path, tmp_path: Path) -> Path:
    archive = read_archive(light_bundle)
    provenance = msgspec.structs.replace(archive.manifest.provenance, simulated=False)
    manifest = msgspec.structs.replace(archive.manifest, status="local-research", provenance=provenance)
    path = tmp_path / "mine.msbundle"
    write_archive(path, manifest, {**archive.members, CARD: OPEN_CARD.encode()})
    return path


@pytest.fixture
def bundle(local: Path) -> ModelBundle:
    return load_bundle(local)


def validation_of(bundle: ModelBundle, **changes: Any) -> Validation:
    figures = tuple(
        HeadFigures(entry.name, (Figure("Harrell's c", 0.61, 0.55, 0.67),)) for entry in bundle.manifest.heads
    )
    whole = Validation("mine 1", bundle.archive.sha256, 200, 130, False, 36.0, figures)
    return msgspec.structs.replace(whole, **changes)


def test_a_promoted_bundle_holds_its_evidence_and_nothing_else_changes(bundle: ModelBundle, tmp_path: Path) -> None:
    out = tmp_path / "good.msbundle"
    after = promote_bundle(bundle, STATED, validation_of(bundle), "Hospital B", "Dr. A", out)
    old, new = bundle.manifest, after.manifest
    assert (old.status, new.status, new.name) == ("local-research", "validated", "good")
    assert after.archive.members[HEADS] == bundle.archive.members[HEADS]
    same = ("backbone", "windows", "roi", "propagation", "explain", "heads", "licence")
    assert all(getattr(new, name) == getattr(old, name) for name in same)
    assert "- **Ethics approval and consent**: Approved / 2021 - **X**: TODO\n" in after.card
    assert "- **Why this sample size**: all\n" in after.card, "what was stated before stays"
    assert "Hospital B" in after.card and bundle.archive.sha256 in after.card and "Dr. A" in new.provenance.how
    assert "| Harrell's c | 0.610 | 0.550 to 0.670 |" in after.card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle_sha256": "0" * 64}, "the bundle .* has the sha256"),
        ({"simulated": True}, "of simulated patients"),
        ({"events": 99}, "has 99 events"),
        ({"seen_before": "The bundle seems to have learned from these."}, "seems to have learned from these"),
        ({"heads": ()}, "no figures of the head"),
    ],
)
def test_what_validates_nothing(bundle: ModelBundle, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        promote_bundle(bundle, STATED, validation_of(bundle, **changes), "B", "A", tmp_path / "x.msbundle")
    assert not (tmp_path / "x.msbundle").exists()


def test_open_fields_hold_it_back(bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"stays at local-research: .*Ethics approval and consent"):
        promote_bundle(bundle, Stated(), validation_of(bundle), "B", "A", tmp_path / "x.msbundle")
    for patients, by in ((" ", "A"), ("B", "\n")):
        with pytest.raises(InputError, match="Say who"):
            promote_bundle(bundle, STATED, validation_of(bundle), patients, by, tmp_path / "x.msbundle")
    taken = tmp_path / "mine.msbundle"
    with pytest.raises(OutputError, match="is there already"):
        promote_bundle(bundle, STATED, validation_of(bundle), "B", "A", taken)


def test_a_demonstration_is_not_promoted(light_bundle: Path, tmp_path: Path) -> None:
    demonstration = load_bundle(light_bundle)
    with pytest.raises(BundleError, match="only a local-research one"):
        promote_bundle(demonstration, STATED, validation_of(demonstration), "B", "A", tmp_path / "x.msbundle")


def test_every_question_of_a_card_can_be_answered() -> None:
    card = "\n".join(f"- **{question}**: TODO (a person must state this)" for question in QUESTIONS.values())
    answers = Stated(**dict.fromkeys(QUESTIONS, "yes"))
    assert "TODO" not in fill_card(card, answers)
    assert fill_card(card, Stated()) == card


def test_the_command(local: Path, bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stated, figures, out = tmp_path / "stated.json", tmp_path / "validation.json", tmp_path / "good.msbundle"
    stated.write_text(empty_statements().replace('"ethics": ""', '"ethics": "yes"'))
    figures.write_bytes(msgspec.json.encode({**msgspec.to_builtins(validation_of(bundle)), "research_use": "x"}))
    given = ["bundle", "promote", str(local), "--validation", str(figures), "--patients", "B", "--as", "A"]
    assert main([*given, "--stated", str(stated), "--out", str(out)]) == 0
    assert "status validated" in capsys.readouterr().out
    assert load_bundle(out).manifest.status == "validated"
    figures.write_text("{}")
    assert main([*given, "--stated", str(stated), "--out", str(tmp_path / "y.msbundle")]) != 0
    assert "give the file that `memory-survival validate --json` wrote" in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be read"):
        read_validation(tmp_path / "none.json")
