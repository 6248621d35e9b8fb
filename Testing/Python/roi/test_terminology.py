"""The table of structures: real codes, unique names, and other segmenters' labels mapped without a gap."""

from __future__ import annotations

from typing import get_args

import pytest
from pydicom.sr._concepts_dict import concepts

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.roi import ROI_KINDS
from MemorySurvivalLib.roi.segments import StructureGroup
from MemorySurvivalLib.roi.terminology import (
    LEFT,
    RIGHT,
    find_by_code,
    label_table,
    label_tasks,
    recognise,
    structure,
    structures,
)

KNOWN_TO_PYDICOM = {code: meaning for codes in concepts["SCT"].values() for code, (meaning, _) in codes.items()}


def test_every_structure_is_complete() -> None:
    for name, each in structures().items():
        assert each.name == name
        assert each.group in get_args(StructureGroup)
        assert each.code.scheme == ("99MEMSURV" if each.group == "roi" else "SCT")
        assert 0 < len(each.code.value) <= 16  # DICOM SH
        assert 0 < len(each.code.meaning) <= 64  # DICOM LO
        assert len(each.colour_rgb) == 3 and all(0 <= part <= 255 for part in each.colour_rgb)
        assert each.laterality == (
            LEFT if "_left" in name else RIGHT if "_right" in name and "middle" not in name else None
        ) or name.startswith(("heart_", "lung_middle"))


def test_the_spine_is_whole() -> None:
    levels = [f"{letter}{n}" for letter, count in (("C", 7), ("T", 13), ("L", 6)) for n in range(1, count + 1)]
    assert all(structure(level).group == "vertebra" for level in levels)
    assert structure("S1").group == structure("sacrum").group == "sacrum"
    assert structure("spinal_canal").group == structure("spinal_cord").group == "canal"
    assert [structure(kind).group for kind in ROI_KINDS if kind != "other"] == ["roi", "roi"]


def test_meanings_agree_with_the_dicom_standard_as_pydicom_has_it() -> None:
    """Bones are spelt in pydicom's table as here, so no code slipped by a row."""
    checked = 0
    for name, each in structures().items():
        meaning = KNOWN_TO_PYDICOM.get(each.code.value)
        if meaning is None or each.group not in ("vertebra", "sacrum", "bone") or name == "spine":
            continue
        word = each.code.meaning.split()[0].lower().removesuffix("s")
        assert word[:4] in meaning.lower(), (name, meaning)
        checked += 1
    assert checked >= 60
    assert KNOWN_TO_PYDICOM[LEFT.value] == "Left" and KNOWN_TO_PYDICOM[RIGHT.value] == "Right"


def test_numbered_vertebrae_are_vertebrae() -> None:
    third = structure("vertebra 3")
    assert (third.name, third.group, third.code.meaning) == ("vertebra 3", "vertebra", "Vertebra")
    assert structure("vertebra 4").colour_rgb != third.colour_rgb
    assert recognise("Vertebra 3") == third


@pytest.mark.parametrize("name", ["L7", "vertebra 0", "vertebra 100", "", "Liver"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a structure"):
        structure(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vertebrae_L4", "L4"),
        ("vertebra_L4", "L4"),
        ("L4 vertebra", "L4"),
        ("l4", "L4"),
        ("Vertebra", "vertebra"),
        ("clavicula_left", "clavicle_left"),
        ("Left clavicle", "clavicle_left"),
        ("rib_right_7", "rib_right_7"),
        ("Seventh rib Right", "rib_right_7"),
        ("bladder", "urinary_bladder"),
        ("Spinal-Cord", "spinal_cord"),
        ("SPINE DILATED", "spine_dilated"),
        ("Skeleton", "skeleton"),
        ("hip left", "hip_left"),
    ],
)
def test_names_are_recognised(text: str, name: str) -> None:
    found = recognise(text)
    assert found is not None and found.name == name


@pytest.mark.parametrize("text", ["Segment_1", "tumour", "", "left", "GTV Mass", "123"])
def test_other_names_mean_nothing(text: str) -> None:
    assert recognise(text) is None


def test_codes_lead_back_to_their_structure() -> None:
    for name, each in structures().items():
        side = each.laterality.meaning.lower() if each.laterality else None
        assert find_by_code(each.code.value, each.code.scheme, side, name) == each
    left = find_by_code("51299004", "SCT", "left")
    assert left is not None and left.name == "clavicle_left"
    right = find_by_code("64033007", "SCT", "right", "Kidney")  # the side counts more than a name without one
    assert right is not None and right.name == "kidney_right"
    told = find_by_code("51299004", "SCT", None, "Left clavicle")
    assert told is not None and told.name == "clavicle_left"
    built_in = find_by_code("720617006", "SCT")  # moosez: Bone structure of left clavicle
    assert built_in is not None and built_in.name == "clavicle_left"
    femur = find_by_code("71341001", "SCT")
    assert femur is not None and (femur.name, femur.group, femur.laterality) == ("femur", "bone", None)
    anyone = find_by_code("51282000", "SCT")
    assert anyone is not None and anyone.name == "vertebra"
    assert find_by_code("51282000", "SRT") is None
    assert find_by_code("86049000", "SCT") is None  # Malignant neoplasm, primary


@pytest.mark.parametrize("package", ["totalsegmentator", "moosez"])
def test_every_label_of_other_segmenters_has_a_structure(package: str) -> None:
    for task in label_tasks(package):
        table = label_table(package, task)
        assert sorted(table.labels) == list(range(1, len(table.labels) + 1))
        assert len(set(table.theirs.values())) == len(table.theirs)
        for label, found in table.structures().items():
            assert found.name == table.labels[label]
            side = [word for word in ("left", "right") if word in table.theirs[label].split("_")]
            assert not side or side[0] in found.name


def test_totalsegmentator_labels_are_the_published_ones() -> None:
    table = label_table("totalsegmentator", "total")
    assert (table.package, table.version, len(table.labels)) == ("TotalSegmentator", "2.18.0", 117)
    picked = {label: table.labels[label] for label in (5, 25, 26, 27, 50, 77, 79, 92, 117)}
    assert picked == {
        5: "liver",
        25: "sacrum",
        26: "S1",
        27: "L5",
        50: "C1",
        77: "hip_left",
        79: "spinal_cord",
        92: "rib_left_1",
        117: "costal_cartilages",
    }
    assert label_table("totalsegmentator", "total_v3").labels[26] == "L6"
    with pytest.raises(InputError, match="no label table"):
        label_table("totalsegmentator", "body")
