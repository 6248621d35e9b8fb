"""Page one: whose images, the answer and how far to trust it, what moved it, what was measured, what was missing."""

from __future__ import annotations

from itertools import accumulate
from math import ceil

from MemorySurvivalLib.report.document import (
    Bar,
    Block,
    Bullets,
    Cell,
    Facts,
    Figure,
    FigureRow,
    Page,
    Paragraph,
    Section,
    Ticks,
)
from MemorySurvivalLib.report.language import say_date, tr
from MemorySurvivalLib.report.model import PictureEntry, Report
from MemorySurvivalLib.report.record import HotspotRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.report.wording import (
    collect_notes,
    file_name,
    hide_folders,
    known_paths,
    roi_title,
    say_covariate,
    say_decimals,
    say_fixed,
    say_measured,
    say_millilitres,
    say_percent,
    say_place,
    say_plain,
    say_position,
    say_share,
    say_signed,
    say_status,
    shorten,
)
from MemorySurvivalLib.scoring import SurvivalCurve

SAID_ELSEWHERE = ("simulated-model", "simulated-case", "sensitive")
"""Flags that the banner and the stability's own line say."""
LINES_OF_FLAGS = 5
CHARACTERS_IN_A_LINE = 125
CLOSE_UPS_ON_PAGE_ONE = 2
LESIONS_ON_PAGE_ONE = 5
MOST_NAME = 40
"""Characters of an ID or a description; longer ones lose their middle. The patient's name is never cut."""


def compose_answer(report: Report) -> Page:
    """The page that answers in ten seconds."""
    sections = [_about(report), _result(report), _trust(report), *_images(report), _hotspots(report)]
    return Page(tr("Risk report from FDG-PET/CT"), tuple(section for section in sections if section is not None))


def notes_for_later(report: Report) -> tuple[str, ...]:
    """The flags and notes that page one has no room for."""
    texts = _flag_texts(report)
    return texts[_that_fit(texts) :]


def say_subject(subject: Subject) -> tuple[str, ...]:
    """Patient and study in lines, as far as the choice allows."""
    person = []
    if subject.sex:
        person.append({"M": tr("male"), "F": tr("female"), "O": tr("other sex")}.get(subject.sex, subject.sex))
    if subject.age_years is not None:
        person.append(tr("{years} years").format(years=subject.age_years))
    if subject.choice == "none":
        return (tr("not named in this report"), *_joined(person))
    if subject.choice == "pseudonym":
        return (tr("pseudonym {code}").format(code=subject.patient_id or "–"), *_joined(person))
    named = [subject.name or tr("name not known")]
    if subject.patient_id:
        named.append(tr("ID {id}").format(id=shorten(subject.patient_id, MOST_NAME)))
    if subject.birth_date:
        person.insert(0, tr("born {date}").format(date=say_date(subject.birth_date)))
    study = [say_date(subject.study_date), shorten(subject.study_description, MOST_NAME)]
    if subject.accession_number:
        study.append(tr("accession {number}").format(number=subject.accession_number))
    when = [tr("study {study}").format(study=", ".join(filter(None, study)))] if any(study) else []
    return (*named, *_joined(person), *when)


def _joined(words: list[str]) -> tuple[str, ...]:
    return (", ".join(words),) if words else ()


def _about(report: Report) -> Section:
    record = report.record
    paths = known_paths(record)
    scored = [
        Cell(name if source.path == name else f"{name}: {shorten(file_name(source.path), 48)}")
        for name, source in sorted(record.inputs.items())
    ]
    if record.simulated_case:
        scored.append(Cell(tr("simulated case")))
    region = [
        Cell(roi_title(record)),
        Cell(tr("{volume} ml").format(volume=say_plain(record.roi.volume_ml, 4)), record.roi.volume_ml),
        Cell(shorten(hide_folders(record.roi.made_by, paths), 60)),
    ]
    if record.roi.edited:
        region.append(Cell(tr("edited by a person")))
    status = tr("status: {status}").format(status=record.bundle.status)
    model = [
        Cell(tr("{title}, version {version}").format(title=record.bundle.title, version=record.bundle.version)),
        Cell(f"{status}. {say_status(record)}".rstrip()),
    ]
    subject = [Cell(line) for line in say_subject(report.subject)]
    rows = (
        (tr("Patient and study"), tuple(subject)),
        (tr("Scored"), tuple(scored)),
        (tr("Region"), tuple(region)),
        (tr("Model"), tuple(model)),
    )
    return Section("", (Facts(rows, across=True),))


def _result(report: Report) -> Section:
    risk = report.record.risk
    scale = tr(
        "0 is the mean of the training cohort. {plus} doubles the hazard of progression or death, {minus} halves it."
    )
    blocks: list[Block] = [
        Paragraph(tr("{number} log-risk").format(number=say_fixed(risk.log_risk)), "number", exact=risk.log_risk),
        Paragraph(scale.format(plus=say_fixed(0.69), minus=say_fixed(-0.69)), "quiet"),
    ]
    position = say_position(report.record)
    if position is not None:
        blocks.append(Paragraph(position, "key", exact=risk.position))
        blocks.append(Paragraph(risk.reference or "", "quiet"))
    if risk.risk_group is not None:
        blocks.append(Paragraph(tr("Risk group: {group}").format(group=risk.risk_group), "key"))
    if risk.survival is not None and risk.survival.probability:
        blocks += _survival(risk.survival)
    charts = [_figure(picture) for role in ("reference", "survival") for picture in report.pictures_as(role)]
    widths = [chart.width_mm for chart in charts]
    shares = (186 - 5 * len(charts) - sum(widths), *widths) if charts else ()
    return Section(tr("Result"), tuple(blocks), tuple((chart,) for chart in charts), shares)


def _survival(curve: SurvivalCurve) -> list[Block]:
    months, share = say_plain(curve.times_months[-1]), curve.probability[-1]
    text = tr("Progression-free at {months} months: {share}").format(months=months, share=say_percent(share))
    blocks: list[Block] = [Paragraph(text, "key", exact=share)]
    if curve.lower and curve.upper:
        ends = " ".join((say_percent(curve.lower[-1]), tr("to"), say_percent(curve.upper[-1])))
        slopes = f" {tr('to')} ".join(say_plain(slope, 3) for slope in curve.slope_interval)
        band = tr(
            "{ends} (the band) within the interval of the calibration slope, {slopes}; other doubts are not in it"
        )
        blocks.append(Paragraph(band.format(ends=ends, slopes=slopes), "quiet"))
    return blocks


def _trust(report: Report) -> Section:
    blocks: list[Block] = []
    gate = report.record.risk.gate_pet
    if gate is not None:
        share = say_percent(gate)
        left = tr("Weight in this score: PET {share}").format(share=share)
        alt = tr("Bar: PET {share}, CT the rest").format(share=share)
        blocks.append(Bar(gate, left, tr("CT the rest"), alt))
    blocks.append(say_stability(report))
    texts = _flag_texts(report)
    room = _that_fit(texts)
    shown = texts[:room]
    if room < len(texts):
        shown = (*shown, tr("{count} more on the next page.").format(count=len(texts) - room))
    if shown:
        warned = any(flag.severity == "warning" for flag in report.flags)
        blocks.append(Bullets(shown, "warning" if warned else "note"))
    return Section("", tuple(blocks))


def say_stability(report: Report) -> Paragraph:
    """The badge and the range in one line."""
    badge = report.record.stability
    if badge is None:
        return Paragraph(tr("not measured for this case"), "quiet", lead=tr("Stability:"))
    verdict = {"stable": tr("stable"), "sensitive": tr("sensitive")}.get(badge.verdict, tr("not judged"))
    text = tr("log-risk {low} to {high} under {count} changes that should not matter").format(
        low=say_fixed(badge.lowest), high=say_fixed(badge.highest), count=len(badge.trials)
    )
    if badge.positions and report.record.risk.position is not None:
        low, high = say_percent(badge.positions[0]), say_percent(badge.positions[-1])
        span = low if low == high else tr("{low} to {high}").format(low=low, high=high)
        text += "; " + tr("higher than {span} of the reference cases").format(span=span)
    lead = tr("Stability: {verdict}.").format(verdict=verdict)
    return Paragraph(f"{text}.", "warning" if badge.verdict == "sensitive" else "text", lead=lead)


def _flag_texts(report: Report) -> tuple[str, ...]:
    """Flags, then the notes that none of them repeats."""
    flags = [flag.sentence for flag in report.flags if flag.key not in SAID_ELSEWHERE]
    return tuple(dict.fromkeys((*flags, *collect_notes(report.record))))


def _that_fit(texts: tuple[str, ...]) -> int:
    lines = accumulate(ceil(len(text) / CHARACTERS_IN_A_LINE) for text in texts)
    return sum(total <= LINES_OF_FLAGS for total in lines)


def _images(report: Report) -> tuple[Section, Section | None]:
    pictures = report.pictures_as("overview")
    if not pictures:
        gone = Paragraph(tr("The pictures of the body were left out."), "quiet")
        return Section(tr("Images and measurements"), (gone,), ((*_measured(report), *_covariates(report)),)), None
    row = FigureRow(tuple(_figure(picture, lead=picture.title) for picture in pictures))
    where = tr("Slices {where}. The line is the border of the region of interest; R is the patient's right.")
    caption = Paragraph(f"{where.format(where=tr(report.where))} {report.research_use}.", "quiet")
    beside = (*_measured(report), *_covariates(report))
    return Section(tr("Images and measurements"), (row,), (beside,), (136.0, 46.0)), Section("", (caption,))


def _measured(report: Report) -> tuple[Block, ...]:
    measured = report.record.measurements
    if measured is None:
        return (Paragraph(tr("nothing was measured"), "quiet", lead=tr("Lesions:")),)
    totals, liver = measured.totals, measured.references.liver
    hottest = say_decimals(totals.suv_max, 1)
    without = (Cell(tr("{count} without a volume").format(count=totals.without_volume)),) * (totals.without_volume > 0)
    rows: list[tuple[str, tuple[Cell, ...]]] = [
        (tr("Focal lesions"), (Cell(str(totals.focal), totals.focal),)),
        (tr("MTV"), (Cell(tr("{volume} ml").format(volume=say_decimals(totals.mtv_ml, 1)), totals.mtv_ml), *without)),
        (tr("TLG"), (Cell(tr("{mass} g").format(mass=say_decimals(totals.tlg_g, 1)), totals.tlg_g),)),
        (tr("Hottest"), (Cell(f"SUVmax {hottest}", totals.suv_max),)),
        (tr("Liver"), (Cell(f"SUVmean {say_decimals(liver.suv_mean, 1)}", liver.suv_mean) if liver else Cell("–"),)),
    ]
    listed = [row.lesion for row in measured.lesions]
    focal = [one for one in listed if one.kind == "focal"]
    blocks: list[Block] = [Facts(tuple(rows))]
    if not listed:
        return tuple(blocks)
    seen = set(report.findings.reviewed_lesions)
    count = tr("{seen} of {all}").format(seen=sum(one.number in seen for one in listed), all=len(listed))
    if len(focal) < len(listed):  # a viewer's list, too, holds what is not counted as a lesion
        ticked = sum(one.number in seen for one in focal)
        count = tr("{count}; focal {seen} of {all}").format(count=count, seen=ticked, all=len(focal))
    blocks.append(Paragraph(count, "text", lead=tr("Lesions reviewed:")))
    if not focal:
        return tuple(blocks)
    ticks = [
        (f"{one.number}  {one.site.replace('_', ' ')}, SUVmax {say_decimals(one.suv_max, 1)}", one.number in seen)
        for one in focal[:LESIONS_ON_PAGE_ONE]
    ]
    blocks.append(Ticks(tuple(ticks)))
    if len(focal) > LESIONS_ON_PAGE_ONE:
        more = len(focal) - LESIONS_ON_PAGE_ONE
        blocks.append(Paragraph(tr("{count} more under Measurements").format(count=more), "quiet"))
    return tuple(blocks)


def _covariates(report: Report) -> tuple[Block, ...]:
    used = report.record.risk.covariates
    lead = tr("Covariates:")
    if used is None:
        return (Paragraph(tr("none used; the score comes from the images alone"), "text", lead=lead),)
    text = ", ".join(f"{say_covariate(name)} {say_measured(name, value)}" for name, value in sorted(used.used.items()))
    if not used.missing:
        return (Paragraph(text, "text", lead=lead),)
    return (
        Paragraph(text or tr("none"), "text", lead=lead),
        Paragraph(", ".join(map(say_covariate, used.missing)), "warning", lead=tr("Missing:")),
    )


def _hotspots(report: Report) -> Section | None:
    heatmap = report.record.heatmap
    if heatmap is None:
        return None
    title = tr("What moved the score")
    if heatmap.minimum == 0 == heatmap.maximum:
        text = tr(
            "Replacing tissue anywhere in the region changed the log-risk by exactly 0: the heatmap is zero everywhere "
            "and there are no hotspots."
        )
        return Section(title, (Paragraph(text),))
    if not heatmap.hotspots:
        text = heatmap.summary[0] if heatmap.summary else tr("The heatmap has no hotspots.")
        return Section(title, (Paragraph(f"{text} {report.research_use}."),))
    figures = hotspot_figures(report)[:CLOSE_UPS_ON_PAGE_ONE]
    row = (FigureRow(figures),) if figures else (Paragraph(tr("The pictures of the hotspots were left out."), "quiet"),)
    colours = tr(
        "Red: this tissue raised the risk; blue: it lowered it. The heatmap runs from {low} to {high}; colours are "
        "full at ±{limit}"
    ).format(low=say_signed(heatmap.minimum), high=say_signed(heatmap.maximum), limit=say_plain(heatmap.limit))
    if heatmap.noise_floor:
        noise = tr("effects within ±{floor} are noise and not drawn")
        colours += ", " + noise.format(floor=say_plain(heatmap.noise_floor, 2))
    more = f" {tr('More hotspots are on a later page.')}" if len(heatmap.hotspots) > CLOSE_UPS_ON_PAGE_ONE else ""
    return Section(title, (*row, Paragraph(f"{colours}.{more} {report.research_use}.", "quiet")))


def hotspot_figures(report: Report) -> tuple[Figure, ...]:
    """The neighbourhoods of the hotspots that there are pictures of, strongest first."""
    spots = report.record.heatmap.hotspots if report.record.heatmap else ()
    return tuple(
        _hotspot_figure(picture, spots[picture.hotspot - 1], picture.hotspot)
        for picture in report.pictures_as("hotspot")
        if picture.hotspot is not None and picture.hotspot <= len(spots)
    )


def _hotspot_figure(picture: PictureEntry, spot: HotspotRecord, number: int) -> Figure:
    """The neighbourhood of a hotspot with its effect, place, share and volume."""
    site = f" ({spot.site.replace('_', ' ')})" if spot.site else ""
    lead = tr("Hotspot {number}{site}: {effect} log-risk")
    text = tr("at {place}").format(place=say_place(spot.position_lps_mm))
    if spot.volume_ml:
        size = tr("{share} of all effects, {volume} ml")
        text += "; " + size.format(share=say_share(spot.share), volume=say_millilitres(spot.volume_ml))
    if spot.agreed is not None:
        text += "; " + (tr("another fill agrees") if spot.agreed else tr("no other fill shows it"))
    return _figure(picture, text, lead.format(number=number, site=site, effect=say_signed(spot.effect)))


def _figure(picture: PictureEntry, caption: str = "", lead: str = "") -> Figure:
    return Figure(picture.name, picture.width_mm, picture.height_mm, picture.alt, caption, lead)
