"""Sentences without what tells who the patient is, and otherwise as they were."""

from __future__ import annotations

import pytest

from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.wording import LEFT_OUT, REMOVED, Wording, is_known_name, neutral_names

PLAIN = Wording()
KNOWN = Wording(
    {"/data/Doe John/ct": "CT", "C:\\Doe\\pet.nrrd": "PET"},
    (Identifier("name", "Dö^John"), Identifier("name", "Grünwald^Zoë"), Identifier("ID", "QX-881")),
)


@pytest.mark.parametrize(
    "sentence",
    [
        "SUVbw is in g/mL and 1/2 of the CT/PET pairs, and/or others.",
        "The PET covers only 83% of the CT; the rest is read as no uptake.",
        "Version 1.2.3 of the built-in segmenter made 20 of 310 slices (12.5 mm).",
        'The segment "L4" was taken as it stands.',
        "The mask was edited after a segmenter 1.2 made it.",
        "The injection at 10:15:00 lies 62 min before the scan.",
        "See https://example.org/model for the model.",
    ],
)
def test_a_harmless_sentence_stays(sentence: str) -> None:
    assert PLAIN.clean(sentence) == sentence
    assert KNOWN.clean(sentence) == sentence


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ("The DICOM file /data/Roe/im 3.dcm is damaged.", "The DICOM file [path] 3.dcm is damaged."),
        ("Cut:/data/roe/ct", "Cut:[path]"),
        ("See C:\\Users\\roe\\ct.nrrd now", "See [path] now"),
        ("See \\\\server\\roe\\ct.nrrd now", "See [path] now"),
        ("The series 1.2.826.0.1.3680043.8.1 is short.", "The series [UID] is short."),
        ("Injected 2021-08-17 10:00:00, born 19470923.", "Injected [date], born [date]."),
        (
            "The mask was accepted by Dr Example (2026-11-22T12:31:00+00:00).",
            "The mask was accepted by a person.",
        ),
        ('The segment "Zoes spine" was chosen.', f'The segment "{REMOVED}" was chosen.'),
        ("CT Head of Roe: 3 copies were left out.", "CT series: 3 copies were left out."),
        ("Columns the model does not know were ignored: Roe.", "Columns the model does not know were ignored."),
    ],
)
def test_what_a_sentence_of_ours_takes_from_the_input_goes(sentence: str, left: str) -> None:
    assert PLAIN.clean(sentence) == left


def test_known_paths_get_neutral_names_whole() -> None:
    assert KNOWN.clean("The CT /data/Doe John/ct has air.") == "The CT CT has air."
    assert KNOWN.clean("Read C:\\Doe\\pet.nrrd; done.") == "Read PET; done."
    assert KNOWN.clean("The file /data/Doe John/ct/slice7.dcm is cut.") == "The file CT is cut."
    assert KNOWN.clean("It lies in:/data/Doe John/ct.") == "It lies in:CT."


def test_names_go_in_any_spelling() -> None:
    assert KNOWN.clean("grünwald, ZOË (QX-881)") == f"{REMOVED}, {REMOVED} ({REMOVED})"
    assert KNOWN.clean("About Gruenwald.") == LEFT_OUT, "only its spelling gives it away"


def test_names_of_anatomy_are_nobodys() -> None:
    for name in ("L4", "near L4", "rib_left_7", "liver", "spine_dilated", "vertebra 3", "mask", ""):
        assert is_known_name(name), name
    assert neutral_names(["L4", "Roe 1", "Roe 2", "Roe 1"]) == {"Roe 1": "segment 1", "Roe 2": "segment 2"}
