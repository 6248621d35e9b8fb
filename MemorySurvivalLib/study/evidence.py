"""The tables of the study in Markdown, written into docs/evidence.md from saved results alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.repeated_folds import fold_mean
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.simulation.hazard import IMAGE_TERMS
from MemorySurvivalLib.study.configuration import ENCODER, StudyConfiguration
from MemorySurvivalLib.study.hotspot_results import HotspotResults, hotspot_path, read_hotspots
from MemorySurvivalLib.study.hotspot_summary import AVID_SUV, summarise
from MemorySurvivalLib.study.judging import Goal, Interval, Judge, judge_goals, largest
from MemorySurvivalLib.study.models import (
    EMBEDDING,
    EMBEDDING_STATISTICS,
    IMAGENET_CNN,
    IMAGENET_STATISTICS,
    PUBLISHED,
    STATISTICS,
    embedding_name,
    study_models,
)
from MemorySurvivalLib.study.probing import ALL_TERMS, SCENARIOS, ProbeResults, probe_path, read_probes
from MemorySurvivalLib.study.readings import POOLING_WORDS, ROI_WORDS
from MemorySurvivalLib.study.results import ModelResult, ScenarioResults, read_results, without_outdated

BEGIN = "<!-- the study: written by `python -m MemorySurvivalLib.study evidence`, do not edit by hand -->"
END = "<!-- end of the study -->"

Row = Sequence[object]

_NOTHING = ModelResult("", "", "", "", "", "", "")


def load_results(configuration: StudyConfiguration, results: Path) -> list[ScenarioResults]:
    """Every file of results of this embedding, in the configuration's order of scenarios and rising size, without what
    is to be fitted again."""
    folder = results / f"embedding-{configuration.embedding.sha256[:12]}"
    order = [question.scenario for question in configuration.questions]
    found = [one for one in map(read_results, sorted(folder.glob("*.json"))) if one is not None]
    found = [without_outdated(configuration, one) for one in found]
    return sorted(found, key=lambda one: (order.index(one.scenario), one.patients))


def write_page(configuration: StudyConfiguration, results: Path, page: Path) -> None:
    """Put the section into a page, between its two marks, or at the page's end. Raises InputError without results."""
    found = load_results(configuration, results)
    if not found:
        raise InputError(f"No results of this study are in {results}; run `python -m MemorySurvivalLib.study run`.")
    parts = [describe_study(configuration, found)]
    explained = read_hotspots(hotspot_path(configuration, results))
    if explained is not None and explained.cases:
        parts.append(describe_hotspots(configuration, explained))
    for scenario in SCENARIOS:
        probed = read_probes(probe_path(configuration, results, scenario))
        if probed is not None:
            parts.append(describe_probes(probed))
    section = "\n".join([BEGIN, "", *parts, END, ""])
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, mark, rest = text.partition(BEGIN)
    after = rest.partition(f"{END}\n")[2] if mark else ""
    with atomic_file(page) as temporary:
        temporary.write_text(f"{before.rstrip()}\n\n{section}{after}".lstrip(), encoding="utf-8")


def describe_study(configuration: StudyConfiguration, results: Sequence[ScenarioResults]) -> str:
    """The section: how far the study got, goals, tables by scenario."""
    parts = ["## The study of models (simulated)", "", *_head(configuration, results), "", "### Goals (simulated)", ""]
    parts += [*goals_table(judge_goals(configuration, results)), ""]
    unseen = judge_goals(configuration, results, unseen=True)
    if unseen:
        said = "The same on those test patients alone whom no earlier configuration of the study was asked about:"
        parts += [said, "", *goals_table(unseen), ""]
    for scenario, found in largest(results).items():
        for test in found.tests:
            parts += [*_scenario(configuration, found, test), ""]
            smaller = [one for one in results if one.scenario == scenario and test in one.tests]
            parts += _only_smaller(configuration, smaller, test)
        for one in results:
            if one.scenario == scenario and one.nested:
                parts += [*_nested(one), ""]
    parts += [*_imagenet(configuration, results), *_growth(configuration, results)]
    return "\n".join(parts).rstrip() + "\n"


def describe_hotspots(configuration: StudyConfiguration, explained: HotspotResults) -> str:
    """Where maps point, beside the hottest voxel and chance."""
    settings = configuration.explaining
    rows = summarise(explained, settings.tolerance_mm)
    columns = (
        ("map", "map"),
        ("cases", "cases"),
        ("top_in_or_near_a_lesion", "top in or near a lesion"),
        ("interval", "95 % interval"),
        ("with_an_avid_lesion", "the same, of cases with an avid lesion"),
        ("at_distractor", "at a distractor"),
        ("at_organ", "at an organ"),
        ("at_elsewhere", "elsewhere"),
        ("without_any_hotspot", "no hotspot"),
        ("median_energy_in_lesions", "effect in lesions"),
        ("median_energy_against_chance", "against chance"),
    )
    said = [
        "### Explanations against planted disease (simulated)",
        "",
        f"{len(explained.cases)} simulated test cases of {explained.scenario} with a lesion in the region",
        f"({settings.roi}); {len(explained.passed_over)} others had none there. Patches of {settings.patch_mm:g} mm",
        f"every {settings.stride_mm:g} mm, filled with {settings.fill}. `near`: within {settings.tolerance_mm:g} mm.",
        "The effect is the part that raised the risk: median share of it in lesions, and how many times what an effect",
        "spread evenly would have there. The models hold no clinical values. It says nothing about lesions in persons.",
        f"Avid: a lesion in the region reaches SUV {AVID_SUV:g}; some disease is planted without uptake. Where a top",
        "is not near a lesion: near a benign change of bone that is hot without hazard (a healing fracture, worn end",
        "plates, bone around an implant), near an organ with much uptake (brain, heart, liver, kidneys, bladder), or",
        "elsewhere.",
        "",
        *_table([title for _, title in columns], [[row[name] for name, _ in columns] for row in rows]),
    ]
    return "\n".join(said) + "\n"


def describe_probes(probed: ProbeResults) -> str:
    """What vectors know of the truth, beside how much each truth weighs."""
    terms = [term for term in (*IMAGE_TERMS, ALL_TERMS) if term in probed.sd]
    rows: list[Row] = [("SD in the log hazard", "", *(f"{probed.sd[term]:.2f}" for term in terms))]
    rows += [(one.vector, one.columns, *(f"{one.explained[term]:.2f}" for term in terms)) for one in probed.probes]
    said = [
        f"### What the vectors know of the truth, {probed.scenario} (simulated)",
        "",
        f"Asked of the planted truth itself, which no model above ever sees: ridge regression on {probed.patients}",
        "development patients, share of each term's variance explained out of fold (0: nothing). Vectors are PET and",
        "CT side by side, pooled inside the ROI. It tells what is there to be found, not what outcomes teach.",
        "",
        *_table(("vector", "columns", *terms), rows),
        *_taught(probed),
    ]
    return "\n".join(said) + "\n"


def _taught(probed: ProbeResults) -> list[str]:
    if not probed.taught:
        return []
    rows = [
        (one.name, one.learner, one.chosen, one.columns, Interval(*one.c), Interval(*one.recovered))
        for one in probed.taught
    ]
    return [
        "",
        "What such columns give where outcomes are no limit: models that were shown the true log hazard of the",
        f"{probed.patients} development patients, which no cohort of persons has, asked about {probed.tested} of",
        f"{probed.test}.",
        "An oracle recovers 1. A better learner may get more out of the same columns: this is no bound.",
        "",
        *_table(("shown the truth", "learner", "state", "columns", "c", "recovered"), rows),
    ]


def goals_table(goals: Sequence[Goal]) -> list[str]:
    """Which goals were met, and by how much."""
    words = {True: "met", False: "missed", None: "not fitted yet"}
    rows = [(g.goal, g.test, g.development, g.tested, g.outcome or "", words[g.met]) for g in goals]
    return _table(("goal", "test", "learned from", "tested on", "outcome", ""), rows)


def _head(configuration: StudyConfiguration, results: Sequence[ScenarioResults]) -> list[str]:
    fitting = configuration.fitting
    fits = sum(model.fits for found in results for model in found.models.values())
    seconds = sum(model.seconds for found in results for model in found.models.values())
    seconds += sum(nested.seconds for found in results for nested in found.nested.values())
    embedding = configuration.embedding
    return [
        "Simulated patients, not persons: this tests the software and the method, never myeloma. Every model learned",
        "from development patients alone (settings chosen in their inner folds) and was then asked once about test",
        "patients. `recovered` is (c - .5) / (c of the oracle - .5); the oracle knows the log hazard, not the frailty.",
        f"Intervals are 95 % percentiles of {fitting.resamples} resamples of test patients; models are not refitted,",
        "so what another development cohort would change is not in them.",
        "",
        f"Configuration {configuration.sha256[:12]}, embedding {embedding.sha256[:12]}, backbone",
        f"{embedding.backbone_sha256[:12]}. Budget: {fitting.trials} Sobol points an alternative in",
        f"{fitting.inner_folds} inner folds; in all {fits} fits and {seconds / 60:.0f} processor minutes. Heads on",
        "maps have fixed settings. How to run it again: [study.md](study.md).",
    ]


def _scenario(configuration: StudyConfiguration, found: ScenarioResults, test: str) -> list[str]:
    judge = Judge(configuration, found, test)
    title = f"### {found.scenario}, tested on {test} (simulated)"
    said = (
        f"Learned from {found.patients} patients ({found.events} events), tested on {len(judge.events)} "
        f"({int(judge.events.sum())} events). Oracle c {judge.oracle}; with frailty {judge.oracle_with_frailty:.3f}."
    )
    models = [
        model
        for model in study_models(configuration.embedding, ("baselines", "fused", "deep", "published"))
        if judge.has(model.name)
    ]
    rows = [
        (model.name, judge.c(model.name), judge.recovered(model.name), found.models[model.name].chosen)
        for model in models
    ]
    lines = [title, "", said, "", *_table(("model", "c", "recovered", "chosen in inner folds"), rows)]
    grid = _grid(configuration, judge)
    if grid:
        lines += ["", "Image only, one vector a patient under ridge Cox (c without interval; simulated):", "", *grid]
    failed = [f"- {name}: {model.error}" for name, model in found.models.items() if model.error]
    return lines + (["", "Could not be fitted:", *failed] if failed else [])


def _only_smaller(configuration: StudyConfiguration, results: Sequence[ScenarioResults], test: str) -> list[str]:
    """Models that were fitted on fewer patients alone, as the heads on maps, which take minutes each."""
    judges = [Judge(configuration, found, test) for found in sorted(results, key=lambda one: -one.patients)]
    rows: list[Row] = []
    for model in study_models(configuration.embedding, ("baselines", "fused", "deep", "published")):
        judge = next((judge for judge in judges if judge.has(model.name)), None)
        if judge is not None and judge is not judges[0]:
            sizes = judge.results.patients, len(judge.events)
            rows.append((model.name, *sizes, judge.c(model.name), judge.recovered(model.name)))
    if not rows:
        return []
    said = f"Learned from fewer patients, asked about {test} (simulated):"
    return [said, "", *_table(("model", "learned from", "tested on", "c", "recovered"), rows), ""]


def _grid(configuration: StudyConfiguration, judge: Judge) -> list[str]:
    rows = []
    known = study_models(configuration.embedding, ("embeddings",))
    for roi, readout, pooling in dict.fromkeys((model.roi, model.readout, model.downsampler) for model in known):
        names = [embedding_name(modality, roi, readout, pooling) for modality in ("PET", "CT", "PET+CT")]
        if any(map(judge.has, names)):
            values = [f"{judge.c_alone(name):.3f}" if judge.has(name) else "" for name in names]
            rows.append((ROI_WORDS[roi], readout, POOLING_WORDS[pooling], *values))
    return _table(("ROI", "readout", "pooling", "PET", "CT", "PET+CT"), rows) if rows else []


def _nested(found: ScenarioResults) -> list[str]:
    rows: list[Row] = []
    for name, one in found.nested.items():
        if one.error:
            rows.append((name, "", "", "", one.error))
            continue
        c = fold_mean("Harrell's c", np.array(one.c), found.patients, found.events)
        naive = f"{c.naive_low:.3f} to {c.naive_high:.3f}"
        rows.append((name, str(c), naive, f"{one.pooled_c:.3f}", ", ".join(one.chosen)))
    return [
        f"Nested cross-validation within the {found.patients} development patients of {found.scenario} (simulated):",
        "mean over folds with Nadeau and Bengio's corrected interval, the naive one that papers report (too sure), and",
        "pooled out of fold. Heads on small maps have fixed settings.",
        "",
        *_table(("model", "c", "naive", "pooled c", "chosen"), rows),
    ]


def _imagenet(configuration: StudyConfiguration, results: Sequence[ScenarioResults]) -> list[str]:
    """The ImageNet network beside others of the same file, on the test patients whose vectors are kept."""
    baseline = configuration.embedding.imagenet
    roi = baseline.roi if baseline is not None else configuration.embedding.rois[0]
    own = [model.name for model in study_models(configuration.embedding, ("imagenet",))]
    rivals = [STATISTICS, EMBEDDING, EMBEDDING_STATISTICS, PUBLISHED]
    rivals += [embedding_name("PET+CT", roi, "last", "grid"), embedding_name("PET+CT", roi, ENCODER, "region")]
    rows: list[Row] = []
    fitted = [found for found in results if found.models.get(IMAGENET_CNN, _NOTHING).log_risk]
    for found in largest(fitted).values():
        for test, risk in found.models[IMAGENET_CNN].log_risk.items():
            judge = Judge(configuration, found, test, len(risk))
            gains = {
                name: judge.difference(name, other)
                for name, other in ((EMBEDDING, IMAGENET_CNN), (EMBEDDING_STATISTICS, IMAGENET_STATISTICS))
                if judge.has(name) and judge.has(other)
            }
            rows += [
                (test, found.patients, len(risk), name, judge.c(name), gains.get(name, ""))
                for name in (*own, *rivals)
                if judge.has(name)
            ]
    told = sorted({one.left_out["imagenet"] for one in results if "imagenet" in one.left_out})
    if not rows and not told:
        return []
    said = [
        "### The ImageNet network in place of the paper's ResNet (simulated)",
        "",
        "On the first test patients alone, of whom its vectors are kept; the others learned from the same patients.",
        "`gain` is what memory has over it: image only, and both with statistics.",
        "",
    ]
    columns = ("test", "learned from", "tested on", "model", "c", "gain")
    table = [*_table(columns, rows), ""] if rows else []
    return [*said, *table, *(["Left out:", "", *(f"- {why}" for why in told), ""] if told else [])]


def _growth(configuration: StudyConfiguration, results: Sequence[ScenarioResults]) -> list[str]:
    """c by size of the development cohort, of the models that were fitted at two sizes or more."""
    names = [model.name for model in study_models(configuration.embedding, ("baselines", "fused", "deep"))]
    judges = {
        (found.scenario, found.patients): Judge(configuration, found, next(iter(found.tests))) for found in results
    }
    sizes = sorted({found.patients for found in results})
    rows: list[Row] = []
    for scenario in largest(results):
        of_sizes = [judges.get((scenario, size)) for size in sizes]
        for name in names:
            cells = [f"{judge.c_alone(name):.3f}" if judge and judge.has(name) else "" for judge in of_sizes]
            if sum(map(bool, cells)) > 1:
                tested = next(len(judge.events) for judge in of_sizes if judge)
                rows.append((scenario, name, tested, *cells))
    if not rows:
        return []
    return [
        "### More patients to learn from (simulated)",
        "",
        "c by how many patients taught the model; empty: not fitted.",
        "",
        *_table(("scenario", "model", "tested on", *map(str, sizes)), rows),
    ]


def _table(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    return lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
