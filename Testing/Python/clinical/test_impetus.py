"""The IMPeTUs form: nothing is final before a named reader has confirmed every item; suggestions say their basis."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from reading_makers import ANSWERS, LIVER, NOW, confirm_all, make_lesion, make_record

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.findings import convert_findings, make_findings
from MemorySurvivalLib.clinical.impetus import (
    GROUPS,
    KEYS,
    NONE,
    blank_form,
    confirm,
    find_contradictions,
    find_item,
    find_unconfirmed,
    finish,
    withdraw,
)
from MemorySurvivalLib.clinical.plain_reading import carry_answers, from_plain, to_plain
from MemorySurvivalLib.clinical.prefill import prefill
from MemorySurvivalLib.clinical.reading_file import decode_reading, encode_reading, read_reading, write_reading
from MemorySurvivalLib.clinical.record import ReadingItem, ReadingValue, VisualReading
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.measure.tables import MeasurementRecord


def suggested(record: MeasurementRecord, key: str) -> ReadingValue:
    return find_item(prefill(record), key).suggested


def basis(record: MeasurementRecord, key: str) -> str:
    return find_item(prefill(record), key).basis


def refusal(form: VisualReading, reader: str = "Dr Ada Röntgen") -> str:
    with pytest.raises(InputError) as caught:
        finish(form, reader, NOW)
    return str(caught.value)


def test_a_suggestion_is_no_answer() -> None:
    form = prefill(make_record(make_lesion(1)))
    assert [item.key for item in form.items] == list(KEYS)
    assert not any(item.confirmed or item.answer for item in form.items)
    assert not form.final
    assert all(item.basis.endswith(".") for item in form.items)
    assert form.research_use == RESEARCH_USE
    assert all("doi:10.1007/s00259" in citation for citation in form.citations)


def test_what_is_not_measured_has_no_suggestion() -> None:
    record = make_record(
        make_lesion(1, low_density=True, site_distance_mm=4.0),
        make_lesion(2, "sacrum", "spill-in", spill_in="urinary_bladder"),
    )
    for key in ("lytic_group", "fractures", "paramedullary", "extramedullary", "extramedullary_deauville"):
        assert suggested(record, key) is None
    assert "1 of 1 focal lesion have a median below 100 HU" in basis(record, "lytic_group")
    assert "lesion 1 at L1" in basis(record, "paramedullary")
    assert "lesion 2 at sacrum (urinary bladder)" in basis(record, "extramedullary")
    assert all(item.suggested is None for item in prefill(None).items)


@pytest.mark.parametrize(("count", "group"), [(0, "0"), (1, "1-3"), (3, "1-3"), (4, "4-10"), (10, "4-10"), (11, ">10")])
def test_focal_lesions_fall_into_their_group(count: int, group: str) -> None:
    lesions = [make_lesion(number) for number in range(1, count + 1)]
    others = [make_lesion(90, kind="diffuse"), make_lesion(91, kind="spill-in")]  # do not count
    assert suggested(make_record(*lesions, *others), "focal_group") == group
    in_spine = make_record(*lesions, region="spine_dilated")
    assert suggested(in_spine, "focal_group") == (group if count > 10 else None)  # other bones can only add
    assert set(GROUPS) >= {group}


def test_sites_follow_the_nearest_bone() -> None:
    record = make_record(make_lesion(1, "femur_left"), make_lesion(2, "sacrum"), make_lesion(3, "skull", "diffuse"))
    assert suggested(record, "focal_sites") == ("spine", "extraspinal")
    assert suggested(make_record(make_lesion(1, "skull")), "focal_sites") == ("skull",)
    assert suggested(make_record(), "focal_sites") == (NONE,)
    assert suggested(make_record(), "focal_deauville") == NONE
    unknown = make_record(make_lesion(1), make_lesion(2, ""))
    assert suggested(unknown, "focal_sites") is None
    assert "lesion 2" in basis(unknown, "focal_sites")
    for key in ("focal_sites", "focal_deauville"):
        assert suggested(make_record(make_lesion(1), region="spine_dilated"), key) is None
        assert suggested(make_record(region="spine_dilated"), key) is None


@pytest.mark.parametrize(
    ("suv", "both", "liver_alone"),
    [(1.5, "2", None), (1.6, "3", None), (2.2, "3", None), (2.3, "4", "4"), (4.0, "4", "4"), (4.1, "5", "5")],
)
def test_marrow_and_hottest_lesion_are_compared_with_the_references(
    suv: float, both: str, liver_alone: str | None
) -> None:
    lesions = make_lesion(1, peak=0.4), make_lesion(2, peak=suv), make_lesion(3, kind="spill-in", peak=50.0)
    for key in ("marrow_deauville", "focal_deauville"):
        assert suggested(make_record(*lesions, marrow=suv), key) == both
        assert suggested(make_record(*lesions, marrow=suv, pool=None), key) == liver_alone
        assert suggested(make_record(*lesions, marrow=suv, liver=None), key) is None
        dark = replace(LIVER, suv_mean=0.0)
        assert suggested(make_record(*lesions, marrow=suv, liver=dark, pool=None), key) is None


def test_few_vertebrae_say_nothing_of_the_marrow() -> None:
    assert suggested(make_record(marrow=3.0, vertebrae=2), "marrow_deauville") is None
    assert "Only 2 vertebrae" in basis(make_record(vertebrae=2), "marrow_deauville")


def test_final_needs_every_item_and_a_name() -> None:
    form = blank_form()
    for left in range(len(KEYS), 0, -1):
        assert len(find_unconfirmed(form)) == left
        assert "not final before these are confirmed" in refusal(form)
        assert not replace(form, reader="Dr Ada Röntgen").final
        key = KEYS[len(KEYS) - left]
        form = confirm(form, key, ANSWERS[key])
    assert not form.final
    assert "reader's name" in refusal(form, "  ")
    done = finish(form, "  Dr  Ada Röntgen ", NOW)
    assert done.final
    assert (done.reader, done.confirmed_at) == ("Dr Ada Röntgen", "2026-03-31T09:30:00+00:00")
    with pytest.raises(ValueError, match="time zone"):
        finish(form, "Dr Ada Röntgen", datetime(2026, 3, 31))


def test_a_change_after_signing_opens_the_form_again() -> None:
    done = finish(confirm_all(blank_form()), "Dr Ada Röntgen", NOW)
    for changed in (confirm(done, "lytic_group", "4-10"), withdraw(done, "fractures"), confirm_all(done)):
        assert not changed.final
        assert (changed.reader, changed.confirmed_at) == ("", "")
    assert find_item(withdraw(done, "fractures", (NONE,)), "fractures").answer == (NONE,)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({"focal_group": "0"}, 2),
        ({"focal_group": "0", "focal_sites": (NONE,), "focal_deauville": NONE}, 0),
        ({"focal_sites": (NONE,)}, 1),
        ({"focal_deauville": NONE}, 1),
        ({"extramedullary": ("nodal",)}, 1),
        ({"extramedullary": ("nodal", "extranodal"), "extramedullary_deauville": "5"}, 0),
        ({"extramedullary_deauville": "2"}, 1),
    ],
)
def test_answers_that_contradict_each_other_are_not_signed(changes: dict[str, ReadingValue], count: int) -> None:
    form = confirm_all(blank_form(), **changes)
    assert len(find_contradictions(form)) == count
    if count:
        assert "correct one of them" in refusal(form)
        text = encode_reading(replace(form, reader="A", confirmed_at="x"))
        with pytest.raises(InputError, match="contradicts itself"):
            decode_reading(text)
    else:
        assert finish(form, "A", NOW).final


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("marrow_deauville", "6"),
        ("marrow_deauville", None),
        ("marrow_deauville", ("3",)),
        ("marrow_deauville", 3),
        ("focal_sites", ()),
        ("focal_sites", "spine"),
        ("focal_sites", ("spine", "liver")),
        ("fractures", (NONE, "spine")),
        ("fractures", True),
    ],
)
def test_other_answers_are_refused(key: str, answer: ReadingValue) -> None:
    with pytest.raises(InputError):
        confirm(blank_form(), key, answer)


def test_answers_stand_in_the_form_s_order() -> None:
    form = confirm(blank_form(), "paramedullary", ("extraspinal", "skull", "extraspinal"))
    assert find_item(form, "paramedullary").answer == ("skull", "extraspinal")
    with pytest.raises(InputError, match="no item 'shoe'"):
        confirm(form, "shoe", "1")


def test_an_item_cannot_be_made_wrong() -> None:
    with pytest.raises(ValueError, match="without an answer"):
        ReadingItem("a", "A", ("1",), None, "", confirmed=True)
    with pytest.raises(ValueError, match="no answer to a"):
        ReadingItem("a", "A", ("1",), "2", "")


def test_the_form_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    for form in (
        prefill(make_record(make_lesion(1))),
        finish(confirm_all(prefill(make_record(make_lesion(1)))), "Dr. 山田 Ćirić", NOW),
    ):
        write_reading(form, path)
        assert read_reading(path) == form
    assert [each.name for each in tmp_path.iterdir()] == ["reading.json"]


def test_odd_files_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    good = msgspec.to_builtins(prefill(None))
    twice = {**good, "items": [*good["items"], good["items"][0]]}
    wrong = {**good, "items": [{**good["items"][0], "confirmed": True}, *good["items"][1:]]}
    cases: list[tuple[bytes, str]] = [
        (b"", "not a reading in JSON"),
        (b"\xff\xfe", "reading"),
        (b"[1]", "not a reading"),
        (b"{}", "not a reading of this software"),
        (msgspec.json.encode({**good, "schema_version": 2}), "newer version"),
        (msgspec.json.encode({**good, "items": good["items"][1:]}), "marrow_deauville; prefill it anew"),
        (msgspec.json.encode(twice), "marrow_deauville"),
        (msgspec.json.encode(wrong), "confirmed without an answer"),
    ]
    for content, words in cases:
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_reading(path)
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        read_reading(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be opened"):
        read_reading(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_reading(prefill(None), tmp_path / "file" / "reading.json")


def test_findings_come_back_from_plain_values() -> None:
    findings = make_findings({"albumin_g_l": "40"}, confirm_all(blank_form()), (3, 1, 3))
    assert findings.reviewed_lesions == (1, 3)
    assert [score.value for score in findings.scores] == [None, None, None]
    assert make_findings(None).scores == ()
    plain = msgspec.to_builtins(findings)
    assert convert_findings(plain) == findings
    plain["reading"]["items"] = plain["reading"]["items"][:3]
    with pytest.raises(InputError, match="each question"):
        convert_findings(plain)
    with pytest.raises(InputError, match="not valid"):
        convert_findings({"reviewed_lesions": ["one"]})


def test_plain_values_hold_the_whole_form() -> None:
    for form in (prefill(make_record(make_lesion(1))), finish(confirm_all(blank_form()), "A", NOW)):
        plain = to_plain(form)
        assert from_plain(json.loads(json.dumps(plain))) == form
        assert json.loads(encode_reading(form)) == plain
    good = to_plain(finish(confirm_all(blank_form()), "A", NOW))
    first = good["items"][0]
    for odd in (
        {},
        {**good, "schema_version": 2},
        {**good, "items": good["items"][1:]},
        {**good, "items": [{**first, "answer": "9"}, *good["items"][1:]]},
        {**good, "items": [{**first, "answer": None}, *good["items"][1:]]},
        {**good, "items": None},
        {**good, "items": [good["items"][0], {**good["items"][1], "answer": "0"}, *good["items"][2:]]},
    ):
        with pytest.raises(InputError, match="fill in the form again"):
            from_plain(odd)


def test_answers_of_an_earlier_reading_are_to_be_confirmed_again() -> None:
    earlier = confirm(withdraw(confirm_all(blank_form()), "fractures", ("spine",)), "lytic_group", "4-10")
    carried = carry_answers(prefill(make_record(make_lesion(1))), replace(earlier, reader="A"))
    assert find_item(carried, "lytic_group").answer == "4-10"
    assert find_item(carried, "fractures").answer is None
    assert find_item(carried, "focal_group").suggested == "1-3"
    assert len(find_unconfirmed(carried)) == len(KEYS)
    assert carried.reader == ""
