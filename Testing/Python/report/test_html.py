"""The page says what the record says, carries its labels, and needs nothing from outside."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.imaging.case import load_case
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import resample_onto
from MemorySurvivalLib.report.compose import compose_document
from MemorySurvivalLib.report.html import write_html
from MemorySurvivalLib.report.literature import CITATIONS, NOTES
from MemorySurvivalLib.report.record import CaseRecord, OutsideRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.report.writing import write_report
from MemorySurvivalLib.resources import locate_resource
from MemorySurvivalLib.roi.roi import Roi

Example = Any
"""The type lives in conftest.py, which tests cannot import by name."""

DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAW0y9LQAAAABJRU5ErkJggg==")

OTHER_ROI = "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND"


@dataclass
class Page(HTMLParser):
    """What a reader, a browser and a screen reader find on the page."""

    text: str = ""
    pages: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    data: list[tuple[float, str]] = field(default_factory=list)
    _skip: int = 0
    _value: float | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self._skip += tag in ("style", "title", "svg")
        if tag != "data":
            self.text += " "
            if self.pages:
                self.pages[-1] += " "
        if tag == "article":
            self.pages.append("")
        if tag == "data":
            self._value = float(values["value"] or "nan")

    def handle_endtag(self, tag: str) -> None:
        self._skip -= tag in ("style", "title", "svg")
        if tag == "data":
            self._value = None

    def handle_data(self, data: str) -> None:
        if self._value is not None:
            self.data.append((self._value, data))
        if not self._skip:
            self.text += f" {data} " if self._value is None else data
            if self.pages:
                self.pages[-1] += data


def read_page(path: Path) -> tuple[str, Page]:
    source = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    return source, page


def write(example: Example, folder: Path) -> tuple[str, Page]:
    """The page with its pictures drawn; it may show the names of files."""
    subject = Subject("identified")
    return read_page(write_report(example.record, example.case, example.roi, example.heatmap, folder, subject))


@pytest.fixture
def render(report_of: Any, tmp_path: Path) -> Callable[[Example], tuple[str, Page]]:
    """The page with a white dot in the place of each picture."""

    def make(example: Example) -> tuple[str, Page]:
        report = report_of(example.record)
        for picture in report.pictures:
            (tmp_path / f"{picture.name}.png").write_bytes(DOT)
        write_html(compose_document(report), tmp_path, tmp_path / "page.html")
        return read_page(tmp_path / "page.html")

    return make


def leaves(value: Any) -> Iterator[Any]:
    """Every plain value in a nest of dictionaries and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        yield len(value)
        for item in value:
            yield from leaves(item)
    else:
        yield value


@pytest.fixture(scope="module")
def written(example: Example, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Page]:
    folder = tmp_path_factory.mktemp("report")
    source, page = write(example, folder)
    return folder, source, page


def as_number(text: str) -> float:
    return float(text.replace("−", "-").replace(" ", "").replace("%", ""))


def test_every_marked_number_is_the_records(written: tuple[Path, str, Page], example: Example) -> None:
    numbers = {float(v) for v in leaves(example.record.as_builtins()) if isinstance(v, int | float)}
    assert len(written[2].data) > 40
    for value, text in written[2].data:
        assert value in numbers, text
        shown = re.findall(r"[+−]?\d+(?:\.\d+)?(?: %)?", text)
        near = [
            abs(as_number(one) - (100 * value if "%" in one else value))
            <= 0.51 * 10 ** -len(re.sub(r" %|.*\.|^[^.]*$", "", one))
            for one in shown
        ]
        assert any(near), (text, value)


def test_no_other_number_stands_on_the_page(written: tuple[Path, str, Page], example: Example) -> None:
    """Each number in the running text is in the record, up to rounding, or part of a text in the record."""
    values = [*leaves(example.record.as_builtins()), *leaves(msgspec.to_builtins((CITATIONS, NOTES)))]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    texts = " ".join(str(v) for v in values if isinstance(v, str))
    of_the_page = "2.1 0.69 41"  # SAM 2.1, a doubled hazard, the outline's share of the maximum
    counted = set(map(float, range(6)))
    strange = []
    for token in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])", written[2].text):
        places = len(token.partition(".")[2])
        shown = float(token)
        near = 0.51 * 10**-places
        known = any(abs(abs(n) - shown) <= near or abs(abs(n) * 100 - shown) <= near for n in numbers)
        if not known and shown not in counted and token not in texts and token not in of_the_page.split():
            strange.append(token)
    assert strange == []


def test_the_answer_of_page_one(written: tuple[Path, str, Page]) -> None:
    first = " ".join(written[2].pages[0].split())
    for words in (
        "+0.46 log-risk",
        "doubles the hazard",
        "of 143 reference cases",
        "Risk group: high",
        "Progression-free at 33 months: 44 %",
        "PET 64 %",
        "Demonstration model, version 0.3.1",
        "status: demonstration",
        "CT: ct.nii.gz",
        "PET: pet.nii.gz",
        "dilated spine",
        "Hotspot 1: +0.0412 log-risk",
        "Hotspot 2: −0.0173 log-risk",
        "colours are full at ±0.0375",
        "Missing covariates",
    ):
        assert words in first


def test_page_two_holds_hashes_parameters_and_covariates(written: tuple[Path, str, Page], example: Example) -> None:
    second = " ".join(written[2].pages[1].split())
    record = example.record
    hashes = [record.bundle.sha256, record.bundle.backbone.sha256, record.roi.sha256]
    hashes += [m.sha256 for m in record.memory] + [s.sha256 for s in record.inputs.values()]
    for words in (*hashes, "sam2.1-compact", "readout max", "torch" if "torch" in record.software else "python 3.11.9"):
        assert words in second
    assert "Calcium missing" in second and "shoe size ignored" in second and "Age 63" in second


def test_page_two_tells_the_images_way_from_the_scanner(written: tuple[Path, str, Page]) -> None:
    text = " ".join(written[2].text.split())
    for said in (
        "activity concentration (BQML), decay from injection; 61 min from injection to scan",
        "Supplied by the user dose_bq 3.7e+08",
        "PET flag The blood glucose was 12.3 mmol/L, above 11; it lowers FDG uptake.",
        "CT without PET left out: 112 mm at the foot",
        "PET against CT The PET lies 6.5 mm from the CT",
        "Whose images Confirmed by the user although:",
        "spine_dilated: built-in CT segmenter 0.1.0, edited, voxels changed: 1234",
        "The edit changes the prompt boxes of 3 slices (2 moved by up to 7.5 mm, 1 new; 87 slices are prompted).",
    ):
        assert said in text, said


def test_labels_and_research_use_are_everywhere(written: tuple[Path, str, Page]) -> None:
    _, source, page = written
    assert len(page.pages) == 5
    for text in page.pages:
        assert RESEARCH_USE in text
        assert "SIMULATED MODEL · SIMULATED CASE" in text
    assert source.count('class="watermark"') == 5
    watermarks = re.findall(r"<text [^>]*>([^<]*)</text>", source)
    assert watermarks == ["SIMULATED MODEL · SIMULATED CASE"] * 5
    style = locate_resource("Report/report.css").read_text(encoding="utf-8")
    assert style.strip() in source
    assert f'@bottom-left {{ content: "{RESEARCH_USE}"' in source
    assert '@top-center { content: "SIMULATED MODEL \\0000b7  SIMULATED CASE"' in source


def test_pictures_have_words_for_those_who_do_not_see_them(written: tuple[Path, str, Page]) -> None:
    images = [attributes for tag, attributes in written[2].tags if tag == "img"]
    assert len(images) == 8
    for attributes in images:
        assert len(attributes["alt"] or "") > 40 and RESEARCH_USE in (attributes["alt"] or "")


def test_a_screen_reader_finds_its_way(written: tuple[Path, str, Page]) -> None:
    page = written[2]
    assert ("html", {"lang": "en"}) in page.tags
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"article|h\d", tag)]
    runs = "".join(heading[-1] for heading in headings).split("e")[1:]
    assert len(runs) == len(page.pages) and all(re.fullmatch("12+", run) for run in runs), runs
    assert all((values.get("scope") in ("row", "col")) for tag, values in page.tags if tag == "th")
    titles = {values["id"] for tag, values in page.tags if tag == "h2"}
    named = [values["aria-labelledby"] for _, values in page.tags if "aria-labelledby" in values]
    assert set(named) == titles and len(named) == len(titles)
    for tag, values in page.tags:
        if tag == "svg":
            assert values.get("aria-hidden") == "true" or values.get("aria-label"), values


def test_pictures_lie_beside_the_page_too(written: tuple[Path, str, Page]) -> None:
    folder, source, _ = written
    files = sorted((folder / "pictures").iterdir())
    assert [file.name for file in files] == [
        "fused-coronal.png",
        "fused-sagittal.png",
        "heatmap-coronal.png",
        "hotspot-1.png",
        "hotspot-2.png",
        "pet-projection.png",
        "reference.png",
        "survival.png",
    ]
    embedded = set(re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", source))
    assert embedded == {base64.b64encode(file.read_bytes()).decode() for file in files}
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json", "pictures"}


def test_nothing_is_loaded_from_outside(written: tuple[Path, str, Page]) -> None:
    _, source, page = written
    assert "default-src 'none'" in source
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", source))
    assert set(re.findall(r"url\((.)", source)) <= {"#"}


def test_markup_in_names_and_notes_is_shown_as_text(example: Example, render: Any) -> None:
    evil = "/data/<script>alert(1)</script>&'\".nii"
    inputs = {name: replace(source, path=evil) for name, source in example.record.inputs.items()}
    source, page = render(example.with_record(inputs=inputs, notes=("<img src=x onerror=alert(2)>",)))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(attributes.get("src") != "x" for tag, attributes in page.tags if tag == "img")
    assert "&lt;img src=x onerror=alert(2)&gt;" in source


def test_folders_do_not_tell_who_the_patient_is(written: tuple[Path, str, Page]) -> None:
    source = re.sub(r"base64,[A-Za-z0-9+/=]+", "", written[1])
    assert not [word for word in ("Doe", "hospital", "scans") if word in source]
    assert "spine.nrrd was on another grid" in written[2].text


def test_unless_the_user_says_so_not_even_files_are_named(example: Example, tmp_path: Path) -> None:
    write_report(example.record, example.case, example.roi, example.heatmap, tmp_path)
    for name in ("report.html", "report.json"):
        said = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (tmp_path / name).read_text(encoding="utf-8"))
        assert not [word for word in ("Doe", "hospital", "scans", "ct.nii", "pet.nii", "spine.nrrd") if word in said]


def test_what_the_bundle_may_not_show_is_not_mentioned(example: Example, tmp_path: Path) -> None:
    bare = example.with_record(stability=None, measurements=None).with_risk(
        labels=("SIMULATED MODEL", OTHER_ROI),
        position=None,
        reference=None,
        reference_log_risks=(),
        risk_group=None,
        survival=None,
        gate_pet=None,
        covariates=None,
    )
    source, page = write(bare, tmp_path)
    for words in ("Risk group", "Progression-free", "reference cases", "Higher than", "Weight in this score"):
        assert words not in page.text
    assert not {"reference.png", "survival.png"} & {path.name for path in (tmp_path / "pictures").iterdir()}
    assert "from the images alone" in page.text
    assert source.count("ROI NOT OF THE MODEL&#39;S KIND</text>") == len(page.pages) == 4


def test_reference_risks_alone_draw_no_position(example: Example, tmp_path: Path) -> None:
    write(example.with_risk(position=None), tmp_path)
    assert not (tmp_path / "pictures" / "reference.png").exists()


def test_a_model_without_labels_has_no_watermark(example: Example, render: Any) -> None:
    source, page = render(example.with_risk(labels=()))
    assert 'class="watermark"' not in source and 'class="banner"' not in source
    assert all(RESEARCH_USE in text for text in page.pages)


def test_a_heatmap_of_zeros_says_so(example: Example, tmp_path: Path) -> None:
    effect = example.heatmap.effect
    heatmap = replace(example.heatmap, effect=effect.with_voxels(np.zeros_like(effect.voxels)), hotspots=())
    record = replace(example.record.heatmap, minimum=0.0, maximum=0.0, hotspots=())
    _, page = write(replace(example.with_record(heatmap=record), heatmap=heatmap), tmp_path)
    assert "the heatmap is zero everywhere" in page.text
    assert not list((tmp_path / "pictures").glob("h*.png"))


def test_each_hotspot_has_its_bone_share_volume_and_fills(example: Example, render: Any) -> None:
    first, second = example.record.heatmap.hotspots
    spots = (
        replace(first, site="T4", share=0.41, volume_ml=118.125, agreed=True),
        replace(second, site="near left_hip_bone", share=0.0031, volume_ml=3.75, agreed=False),
    )
    heatmap = replace(example.record.heatmap, hotspots=spots, noise_floor=0.0111, fill_agreement=0.9)
    _, page = render(example.with_record(heatmap=heatmap))
    one, three = (" ".join(page.pages[n].split()) for n in (0, 3))
    assert "Hotspot 1 (T4): +0.0412 log-risk" in one
    assert "41 % of all effects, 118 ml; another fill agrees" in one
    assert "Hotspot 2 (near left hip bone): −0.0173 log-risk" in one
    assert "0.3 % of all effects, 3.8 ml; no other fill shows it" in one
    assert "effects within ±0.011 are noise and not drawn" in one
    assert re.search(r"1 T4 \+0\.0412 41 % 118 agrees", three)
    assert re.search(r"2 near left hip bone −0\.0173 0\.3 % 3\.8 does not", three)
    assert "At least two fills agree in 90 %" in three


def test_the_region_and_what_lies_outside_are_told(example: Example, render: Any) -> None:
    heatmap = replace(
        example.record.heatmap,
        noise_floor=0.0111,
        whole_roi_effect=0.1367,
        summed_effect=0.2602,
        outside=(OutsideRecord("everything outside the region", -0.4239), OutsideRecord("bladder", -5e-5)),
        organs_unknown=("kidneys",),
    )
    _, page = render(example.with_record(heatmap=heatmap))
    third = " ".join(page.pages[3].split())
    for said in (
        "the whole region +0.1367",
        "its parts, as if they added up +0.2602",
        "everything outside the region −0.4239",
        "bladder −0.0001 within noise",
        "kidneys – not found",
    ):
        assert said in third, said
    assert third.count("within noise") == 1


def test_where_nothing_exceeds_the_noise_the_page_says_so(example: Example, tmp_path: Path) -> None:
    sentence = "There is no region above noise: replacing tissue moves the log-risk nowhere by more than 0.9."
    record = replace(example.record.heatmap, noise_floor=0.9, hotspots=(), summary=(sentence,))
    _, page = write(example.with_record(heatmap=record), tmp_path)
    assert sentence in page.text
    assert len(page.pages) == 4
    assert not list((tmp_path / "pictures").glob("h*.png")), "nothing is drawn"


def test_a_result_of_an_older_version_still_gives_a_page(example: Example, render: Any) -> None:
    """Before there was a noise floor, a hotspot was a place and an effect, and a curve had no interval."""
    plain = example.record.as_builtins()
    for name in ("noise_floor", "modalities", "coarse", "resumed", "whole_roi_effect", "summed_effect", "outside"):
        del plain["heatmap"][name]
    for name in ("organs_unknown", "fill_agreement", "summary"):
        del plain["heatmap"][name]
    for spot in plain["heatmap"]["hotspots"]:
        for name in ("number", "site", "share", "volume_ml", "agreed"):
            del spot[name]
    for name in ("lower", "upper", "slope_interval"):
        del plain["risk"]["survival"][name]
    record = msgspec.convert(plain, CaseRecord)
    _, page = render(replace(example, record=record))
    one, three = (" ".join(page.pages[n].split()) for n in (0, 3))
    assert "Hotspot 1: +0.0412 log-risk" in one
    assert "noise" not in one + three and "another fill" not in three and "agree" not in three


def test_a_coarse_map_and_its_fill_are_told(example: Example, render: Any) -> None:
    record = replace(example.record.heatmap, coarse=True, fill="blur", fill_values={}, modalities=("PET",))
    _, page = render(example.with_record(heatmap=record))
    second = " ".join(page.pages[1].split())
    assert "in PET by the image itself, blurred" in second and "fill blur" in second
    assert "a fifth of its work was done and the rest estimated or left out (it holds 99 % of the region)" in second


def test_the_band_of_the_survival_curve_is_told(example: Example, tmp_path: Path) -> None:
    curve = example.record.risk.survival
    lower, upper = (tuple(p**power for p in curve.probability) for power in (1.5, 0.6))
    banded = replace(curve, lower=lower, upper=upper, slope_interval=(0.62, 1.31))
    _, page = write(example.with_risk(survival=banded), tmp_path)
    one = " ".join(page.pages[0].split())
    assert "29 % to 61 % (the band) within the interval of the calibration slope, 0.62 to 1.31" in one
    images = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    assert any("in a band from 29 % to 61 % there" in text for text in images)
    plain, _ = write(example, tmp_path / "plain")
    assert "band" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", plain)


def test_without_explanation_only_the_fused_pictures_stand(example: Example, tmp_path: Path) -> None:
    _, page = write(example.without_heatmap(), tmp_path)
    assert "What moved the score" not in page.text and "Hotspot" not in page.text
    assert (tmp_path / "pictures" / "fused-coronal.png").exists()


def test_more_hotspots_get_a_page_of_their_own(example: Example, render: Any) -> None:
    spots = example.record.heatmap.hotspots
    many = (*spots, *(replace(spots[0], effect=0.001 * n) for n in (7, 6, 5)))
    _, page = render(example.with_record(heatmap=replace(example.record.heatmap, hotspots=many)))
    assert len(page.pages) == 5
    assert "Hotspot 3: +0.007 log-risk" in " ".join(page.pages[3].split())
    assert "Hotspot 3:" not in page.pages[0] and "later page" in page.pages[0]
    assert RESEARCH_USE in page.pages[3] and "SIMULATED MODEL" in page.pages[3]


def test_many_notes_move_to_page_two(example: Example, render: Any) -> None:
    notes = tuple(f"Note {n} says something of importance." for n in range(9))
    _, page = render(example.with_record(notes=notes))
    said = [n for n in range(9) if f"Note {n} " in page.pages[0]]
    left = [n for n in range(9) if f"Note {n} " in page.pages[1]]
    assert said + left == list(range(9)) and left and "more on the next page" in page.pages[0]
    assert "glucose" in page.pages[0], "flags stand before notes"
    assert "Note 8" in page.pages[1]


def test_names_of_any_length_and_script(example: Example, render: Any) -> None:
    name = "Ōsaka_東京_Łódź_" + "x" * 60 + "_серия-04.nii.gz"
    inputs = {key: replace(source, path=f"/a/{name}") for key, source in example.record.inputs.items()}
    _, page = render(example.with_record(inputs=inputs))
    assert name not in page.pages[0] and "_серия-04.nii.gz" in page.pages[0]
    assert name in page.pages[1]


def test_the_report_is_the_same_every_time(written: tuple[Path, str, Page], example: Example, tmp_path: Path) -> None:
    assert write(example, tmp_path)[0] == written[1]


def test_a_place_that_cannot_be_written_is_named(example: Example, tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.write_text("not a folder")
    with pytest.raises(OutputError, match="taken"):
        write(example, file)


@pytest.mark.real_data
def test_a_real_limb(real_data: Path, build_example_of: Any, tmp_path: Path) -> None:
    folder = real_data / "petct_sts10" / "STS_002"
    case = load_case(folder / "CT_image.nii.gz", folder / "PET_image.nii.gz")
    mask = resample_onto(read_volume(folder / "CT_mask.nii.gz", "mask").reoriented(), case.ct, linear=False)
    roi = Roi(mask.with_voxels(mask.voxels > 0), "other", "CT_mask.nii.gz")
    example = build_example_of(case, roi).with_risk(labels=("SIMULATED MODEL", OTHER_ROI), risk_group=None)
    _, page = write(example, tmp_path)
    assert OTHER_ROI in page.pages[0]
    assert (tmp_path / "pictures" / "heatmap-coronal.png").stat().st_size > 20_000
