"""Page two: the method in plain words, the model, covariates, inputs, versions, hashes, who edited, the limitations."""

from __future__ import annotations

from typing import Any

from MemorySurvivalLib.clinical.staging_fields import is_for_staging
from MemorySurvivalLib.memory.readout import check_readout
from MemorySurvivalLib.report.document import Block, Bullets, Cell, Facts, Page, Paragraph, Section
from MemorySurvivalLib.report.language import say_date, tr
from MemorySurvivalLib.report.model import Report
from MemorySurvivalLib.report.page_answer import notes_for_later
from MemorySurvivalLib.report.record import CaseRecord, HeatmapRecord
from MemorySurvivalLib.report.wording import (
    FILL_WORDS,
    READOUT_WORDS,
    file_name,
    hide_folders,
    is_given,
    known_paths,
    say_acquisition,
    say_covariate,
    say_edited,
    say_measured,
    say_metrics,
    say_percent,
    say_plain,
    say_statistic,
    say_value,
)

Row = tuple[str, tuple[Cell, ...]]


def compose_method(report: Report) -> Page:
    """How the numbers came to be, from the scanner to the score."""
    record = report.record
    inputs = Facts((*_inputs(record), *_memories(record)))
    values, way = _covariates(record), tuple((name, (Cell(text),)) for name, text in say_acquisition(record))
    clinical: tuple[Block, ...] = (
        Paragraph(tr("Clinical covariates"), "key"),
        Facts(values) if values else Paragraph(tr("None used: the score comes from the images alone.")),
    )
    region = _statistics(record)
    if region:
        clinical += (Paragraph(tr("The model also read these values of the region"), "key"), Facts(region))
    scanner: tuple[Block, ...] = (Paragraph(tr("From the scanner to the model"), "key"), Facts(way))
    sections = [
        Section(tr("Method"), _method(record)),
        Section(tr("Limitations"), (Bullets(_limits(record)),)),
        Section(tr("Model and inputs"), (Facts(_model(record)),), ((inputs,),)),
        Section(tr("What went in"), clinical, (scanner,) if way else ()),
        Section(tr("Run"), (Facts(_run(record)),)),
    ]
    more = notes_for_later(report)
    if more:
        sections.append(Section(tr("More notes"), (Bullets(more),)))
    return Page(tr("How this was made"), tuple(sections))


def _method(record: CaseRecord) -> tuple[Paragraph, ...]:
    parts = [
        tr(
            "The PET was brought onto the CT's grid. On {used} of {all} axial slices with the region, a box around the "
            "region prompted a frozen SAM 2.1 network, from head to feet."
        ).format(used=record.roi.slices_used, all=record.roi.slices_with_roi)
    ]
    if record.bundle.propagation.close_up_mm is not None:
        parts.append(
            tr("The network saw the region with {margin} mm around it, enlarged, not the whole slice.").format(
                margin=say_plain(record.bundle.propagation.close_up_mm)
            )
        )
    if record.bundle.propagation.inside == "peak":
        parts.append(tr("Of what the network kept of each slice, the largest values inside the region were taken."))
    elif record.bundle.propagation.inside == "lesions":
        parts.append(
            tr(
                "In what the network kept of each slice, a second small network, trained on simulated patients, looked "
                "for lesions inside the region; only what it found was kept."
            )
        )
    elif record.bundle.propagation.inside:
        parts.append(tr("What the network kept of each slice was averaged inside the region."))
    words = (
        tr(
            "What the network kept of the slices ({readout}) was reduced to one vector per modality and turned into a "
            "log-risk by a linear Cox model."
        )
        if record.bundle.head_spec.is_linear
        else tr(
            "What the network kept of the slices ({readout}) was reduced to one vector per modality and turned into a "
            "log-risk by a survival network (DeepSurv)."
        )
    )
    parts.append(words.format(readout=tr(READOUT_WORDS[check_readout(record.bundle.propagation.readout)[0]])))
    if record.risk.statistics:
        parts.append(tr("Numbers measured in the region entered this model too; they stand under What went in."))
    scoring = Paragraph(" ".join(parts))
    return (scoring,) if record.heatmap is None else (scoring, Paragraph(_explain_heatmap(record.heatmap)))


def _explain_heatmap(heatmap: HeatmapRecord) -> str:
    cubes = (
        tr("For the heatmap, parts of cubes of {edge} mm, {apart} mm apart,")
        if heatmap.coarse
        else tr("For the heatmap, cubes of {edge} mm, {apart} mm apart,")
    ).format(edge=say_plain(heatmap.patch_mm), apart=say_plain(heatmap.stride_mm))
    replaced = tr("were replaced one at a time in {images} by {fill} and the case was scored again").format(
        images=f" {tr('and')} ".join(heatmap.modalities), fill=tr(FILL_WORDS.get(heatmap.fill, heatmap.fill))
    )
    times = "" if heatmap.coarse else " " + tr("({count} times)").format(count=heatmap.patches)
    parts = [
        f"{cubes} {replaced}{times}.",
        tr("Effect = log-risk of the case − log-risk without that tissue, averaged where cubes overlap."),
    ]
    if heatmap.noise_floor:
        parts.append(
            tr("The noise floor is how far effects move when the boxes move a little or another fill is taken.")
        )
    if heatmap.coarse:
        parts.append(
            tr(
                "This map is coarse: a fifth of its work was done and the rest estimated or left out (it holds {share} "
                "of the region), so hotspots may be missing or misplaced."
            ).format(share=say_percent(heatmap.covered))
        )
    parts.append(tr("It tells what the model reacts to, not what causes progression."))
    return " ".join(parts)


def _model(record: CaseRecord) -> tuple[Row, ...]:
    bundle = record.bundle
    made = bundle.provenance
    windows = bundle.windows
    most = bundle.propagation.most_slices
    limit = "" if most is None else f"raised above {most} slices, "
    rows: list[Row] = [
        (tr("Bundle"), (Cell(f"{bundle.title} ({bundle.name} {bundle.version}), {bundle.status}"),)),
        (tr("Trained on"), _trained_on(record)),
        (tr("Evidence"), (Cell(say_metrics(bundle.metrics) or tr("none stated")),)),
        (tr("How"), (Cell(f"{made.how}; {say_date(made.created)}; seed {made.seed}"),)),
        (tr("Licence"), (Cell(bundle.licence),)),
        (tr("Bundle SHA-256"), (Cell(bundle.sha256, code=True),)),
        (
            tr("Backbone"),
            (
                Cell(
                    f"{bundle.backbone.architecture}, {bundle.backbone.image_size} px, {bundle.backbone.release}, "
                    f"weights {bundle.backbone.weights}"
                ),
            ),
        ),
        (tr("Backbone SHA-256"), (Cell(bundle.backbone.sha256, code=True),)),
        *_backbone_trained_on(record),
        *_lesion_reader(record),
        (
            tr("Head"),
            (Cell(f"{record.risk.head}: {' + '.join(bundle.head_spec.modalities)}, {bundle.head_spec.fusion}"),),
        ),
        (
            tr("Windows of the model"),
            (
                Cell(
                    f"CT {say_plain(windows.CT.low)} {tr('to')} {say_plain(windows.CT.high)} HU; "
                    f"PET {say_plain(windows.PET.low)} {tr('to')} {say_plain(windows.PET.high)} SUVbw"
                ),
            ),
        ),
        (
            tr("Propagation"),
            (
                Cell(
                    f"readout {bundle.propagation.readout}, slice step {bundle.propagation.slice_step}, {limit}"
                    f"{bundle.propagation.mode}, batch {bundle.propagation.batch_size}"
                ),
            ),
        ),
    ]
    return tuple(rows)


def _trained_on(record: CaseRecord) -> tuple[Cell, ...]:
    made = record.bundle.provenance
    if record.bundle.backbone.learned_from is not None:
        # The population tells heads and backbone apart, so the heads' numbers stand by themselves.
        heads = tr("{cases} cases, {events} events for the heads").format(cases=made.cases, events=made.events)
        return (Cell(made.population), Cell(heads))
    population = f"{made.population} ({tr('simulated')})" if made.simulated else made.population
    words = tr("{population}, {cases} cases, {events} events")
    return (Cell(words.format(population=population, cases=made.cases, events=made.events)),)


def _lesion_reader(record: CaseRecord) -> tuple[Row, ...]:
    reader = record.bundle.backbone.reader
    if reader is None:
        return ()
    learned = tr("trained on the planted lesions of {count} simulated patients").format(count=reader.simulated_cases)
    return (
        (tr("Lesion reader"), (Cell(learned),)),
        (tr("Lesion reader SHA-256"), (Cell(reader.sha256, code=True),)),
    )


def _backbone_trained_on(record: CaseRecord) -> tuple[Row, ...]:
    learned = record.bundle.backbone.learned_from
    if learned is None:
        return ()
    said = [tr("simulated patients: {count}").format(count=learned.simulated_cases)]
    if learned.real_cases:
        words = tr("real image series of patients, without outcomes: {names} ({licences})")
        said.append(words.format(names=", ".join(learned.real_cases), licences=learned.licences))
    if not learned.begun_clean:
        said.append(tr("it began with weights whose images are not named here"))
    return ((tr("Backbone trained on"), tuple(Cell(text) for text in said)),)


def _inputs(record: CaseRecord) -> tuple[Row, ...]:
    rows: list[Row] = []
    for name, source in sorted(record.inputs.items()):
        z, y, x = source.shape_zyx
        spacing = " × ".join(say_plain(mm, 4) for mm in source.spacing_mm)
        size = tr("{size} voxels of {spacing} mm, {axes}").format(
            size=f"{x} × {y} × {z}", spacing=spacing, axes=source.orientation
        )
        named = () if source.path == name else (Cell(file_name(source.path)),)
        rows.append((name, (*named, Cell(size), Cell(source.sha256, code=True))))
    roi = record.roi
    said = [hide_folders(roi.made_by, known_paths(record)), roi.provenance]
    said += [
        f"{part.name}: {' '.join(filter(None, (part.maker.method, part.maker.version)))}, {say_edited(part)}"
        for part in roi.parts
        if part.edited
    ]
    said += [change.sentence for change in (roi.edit, roi.boxes) if change is not None]
    cells = (*(Cell(text) for text in said if text), Cell(roi.sha256, code=True))
    rows.append((tr("Region ({kind})").format(kind=roi.kind), cells))
    return tuple(rows)


def _memories(record: CaseRecord) -> tuple[Row, ...]:
    return tuple(
        (
            tr("Memory state {modality}").format(modality=memory.modality),
            (Cell(f"{memory.readout}, {' × '.join(map(str, memory.shape))}"), Cell(memory.sha256, code=True)),
        )
        for memory in record.memory
    )


def _covariates(record: CaseRecord) -> tuple[Row, ...]:
    encoded = record.risk.covariates
    rows: list[Row] = []
    if encoded is not None:
        used = sorted(encoded.used.items())
        rows += [(say_covariate(name), (Cell(say_measured(name, value)),)) for name, value in used]
        missing = tr("missing: the training cohort's average was taken")
        rows += [(say_covariate(name), (Cell(missing),)) for name in encoded.missing]
        for name in encoded.ignored:
            said = tr("for staging: the model does not read it")
            rows.append((name, (Cell(said if is_for_staging(name) else tr("ignored: the model does not know it")),)))
    return tuple(rows)


def _statistics(record: CaseRecord) -> tuple[Row, ...]:
    said = (say_statistic(one) for one in record.risk.statistics)
    return tuple((title, tuple(Cell(text) for text in (value, meaning) if text)) for title, value, meaning in said)


def _run(record: CaseRecord) -> tuple[Row, ...]:
    paths = known_paths(record)
    device = tr("{device}, {count} threads").format(device=record.device, count=record.threads)
    rows: list[Row] = [
        (tr("Made"), (Cell(say_date(record.created)),)),
        (tr("Device"), (Cell(device),)),
        (tr("Seconds"), (Cell(say_value(record.seconds)),)),
    ]
    if record.heatmap is not None:
        heatmap = record.heatmap
        fill = say_value(heatmap.fill_values) if heatmap.fill_values else heatmap.fill
        text = tr("{file}; {share} of the region covered; {slices} slices encoded; fill {fill}").format(
            file=heatmap.file, share=say_percent(heatmap.covered), slices=heatmap.encoded_slices, fill=fill
        )
        rows.append((tr("Heatmap"), (Cell(text),)))
    asked = {key: _hide(value, paths) for key, value in sorted(record.request.items()) if is_given(value)}
    rows += [
        (tr("Request"), (Cell("; ".join(f"{key}: {say_value(value)}" for key, value in asked.items())),)),
        (tr("Software"), (Cell("; ".join(f"{name} {text}" for name, text in sorted(record.software.items()))),)),
        (tr("Record"), (Cell(f"result.json, {record.schema} {record.schema_version}"),)),
    ]
    return tuple(rows)


def _hide(value: Any, paths: tuple[str, ...]) -> Any:
    return hide_folders(value, paths) if isinstance(value, str) else value


def _limits(record: CaseRecord) -> tuple[str, ...]:
    found = []
    if record.bundle.status == "demonstration":
        found.append(
            tr(
                "The model is a demonstration: it learned from simulated images and outcomes, so on a real patient its "
                "numbers have no clinical meaning."
            )
            if record.bundle.backbone.simulated_only
            else tr(
                "The model is a demonstration: its heads learned from simulated images and outcomes, so on a real "
                "patient its numbers have no clinical meaning."
            )
        )
    if record.roi.kind == "other":
        found.append(
            tr("The region is not of the kind the model was trained on; this run shows only that the program works.")
        )
    if record.bundle.propagation.readout == "last":
        found.append(
            tr(
                "This readout depends almost only on the last slices of the pass; most of the body hardly enters the "
                "score."
            )
        )
    found.append(
        tr(
            "A log-risk ranks cases scored by the same model; it is not a probability and cannot be compared between "
            "models."
        )
    )
    found.append(tr("No treatment follows from this report."))
    return tuple(found)
