"""`python -m MemorySurvivalLib.study`: embed, run, probe, explain; write tables and bundle. Simulated patients."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

import msgspec
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.study.configuration import Stage, StudyConfiguration, load_configuration
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts, part_folder
from MemorySurvivalLib.study.evidence import write_page
from MemorySurvivalLib.study.hotspot_summary import summarise
from MemorySurvivalLib.study.hotspots import explain_cases
from MemorySurvivalLib.study.lesion_reader import make_reader
from MemorySurvivalLib.study.models import Group
from MemorySurvivalLib.study.parts import describe_folder, sort_json
from MemorySurvivalLib.study.probing import probe_vectors
from MemorySurvivalLib.study.rival_network import load_rival
from MemorySurvivalLib.study.rivals import PATIENTS, judge_rival
from MemorySurvivalLib.study.running import Plan, run_study
from MemorySurvivalLib.study.shipping import ship_study
from MemorySurvivalLib.training.demonstration import load_compact


def main(arguments: list[str] | None = None) -> int:
    """Command line of the study."""
    parser = argparse.ArgumentParser(prog="python -m MemorySurvivalLib.study", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    embed = steps.add_parser("embed", help="simulate and embed cohorts; goes on where it was stopped")
    embed.add_argument("--cohort", default="all", help="a cohort of the configuration, or all in the configured order")
    embed.add_argument("--patients", type=int, help="only so many patients of the cohort")
    embed.add_argument("--processes", type=int, default=1, help="processes of one thread each")
    embed.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
    reader = steps.add_parser("reader", help="train the lesion reader on phantoms of its own")
    reader.add_argument("--work", type=Path, required=True, help="the folder of the phantoms' memories (3 MB each)")
    reader.add_argument("--out", type=Path, required=True, help="the folder of the reader and its card")
    reader.add_argument("--processes", type=int, default=1, help="processes of one thread each")
    show = steps.add_parser("show", help="what has been embedded, as JSON")
    for one in (embed, show):
        one.add_argument("--out", type=Path, required=True, help="the folder of the parts")
    embed.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
    run = steps.add_parser("run", help="fit and judge models on what is embedded; goes on where it was stopped")
    run.add_argument("--parts", type=Path, required=True, help="the folder of the parts")
    run.add_argument("--out", type=Path, required=True, help="the folder of the results")
    run.add_argument("--scenario", action="append", default=[], help="only this scenario; may be given again")
    run.add_argument("--group", action="append", default=[], choices=get_args(Group), help="only this group of models")
    run.add_argument("--model", action="append", default=[], metavar="NAME", help="only this model, not nested")
    run.add_argument("--size", action="append", default=[], type=int, help="only this size of the development cohort")
    run.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
    run.add_argument("--no-nested", action="store_true", help="leave the nested cross-validation out")
    probe = steps.add_parser("probe", help="ask the embedded vectors for the planted truth")
    probe.add_argument("--parts", type=Path, required=True, help="the folder of the parts")
    probe.add_argument("--out", type=Path, required=True, help="the folder of the results")
    explain = steps.add_parser("explain", help="explain test cases and compare the maps with the planted lesions")
    explain.add_argument("--parts", type=Path, required=True, help="the folder of the parts")
    explain.add_argument("--out", type=Path, required=True, help="the folder of the results")
    explain.add_argument("--cases", type=int, help="so many cases (the configuration's number)")
    explain.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
    for one in (embed, explain):
        one.add_argument("--backbone", type=Path, help="folder of its training (default: that of the study's bundle)")
    bundle = steps.add_parser("bundle", help="fit the heads that ship and write the demonstration bundle")
    bundle.add_argument("--parts", type=Path, required=True, help="the folder of the parts")
    bundle.add_argument("--out", type=Path, required=True, help="the .msbundle file to write")
    bundle.add_argument("--backbone", type=Path, help="folder of its training (default: the one that ships)")
    rival = steps.add_parser("rival", help="judge an ImageNet network of yours (ResNet, ViT) beside the study's rows")
    rival.add_argument("--network", required=True, help="torchvision:NAME or timm:NAME, as in torchvision:resnet50")
    rival.add_argument("--weights", type=Path, required=True, help="its weights: .safetensors, or tensors of torch")
    rival.add_argument("--parts", type=Path, required=True, help="the folder of the parts")
    rival.add_argument("--out", type=Path, required=True, help="the folder of the results")
    rival.add_argument("--patients", type=int, default=PATIENTS, help="of each cohort (default %(default)s)")
    rival.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
    evidence = steps.add_parser("evidence", help="write the tables of saved results into a page")
    evidence.add_argument("--results", type=Path, required=True, help="the folder of the results")
    evidence.add_argument("--page", type=Path, required=True, help="the Markdown page that gets the section")
    options = parser.parse_args(arguments)
    configuration = load_configuration()
    try:
        if options.step == "embed":
            _embed(configuration, options)
        if options.step == "reader":
            _train_reader(configuration, options)
        elif options.step == "run":
            _run(configuration, options)
        elif options.step == "probe":
            _probe(configuration, options)
        elif options.step == "explain":
            _explain(configuration, options)
        elif options.step == "bundle":
            _ship(configuration, options)
        elif options.step == "rival":
            _rival(configuration, options)
        elif options.step == "evidence":
            write_page(configuration, options.results, options.page)
        else:
            sys.stdout.write(sort_json(_describe(configuration, options.out)))
    except MemorySurvivalError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _embed(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    if options.cohort == "all":
        stages = configuration.order
    else:
        cohort = configuration.cohort(options.cohort)
        stages = (Stage(cohort.name, min(options.patients or cohort.patients, cohort.patients)),)
    torch.set_num_threads(1)
    with ProgressBars() as bars:
        reached = embed_cohorts(
            configuration,
            stages,
            options.out,
            minutes=options.minutes,
            processes=options.processes,
            device=options.device,
            backbone=options.backbone,
            progress=bars,
        )
    for name, count in reached.items():
        sys.stderr.write(f"{name}: {count} of {configuration.cohort(name).patients} simulated patients embedded\n")


def _train_reader(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    torch.set_num_threads(options.processes)
    with ProgressBars() as bars:
        card = make_reader(configuration, options.work, options.out, processes=options.processes, progress=bars)
    sys.stdout.write(sort_json(msgspec.to_builtins(card)))


def _run(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    defaults = Plan()
    plan = Plan(
        scenarios=tuple(options.scenario),
        groups=tuple(options.group) or defaults.groups,
        models=tuple(options.model),
        sizes=tuple(options.size) or None,
        minutes=options.minutes,
        nested=not options.no_nested,
    )
    torch.set_num_threads(1)
    with ProgressBars() as bars:
        written = run_study(configuration, options.parts, options.out, plan, bars)
    for path in written:
        sys.stdout.write(f"{path}\n")


def _probe(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    with ProgressBars() as bars:
        written = probe_vectors(configuration, options.parts, options.out, bars)
    for path in written:
        sys.stdout.write(f"{path}\n")


def _explain(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    with ProgressBars() as bars:
        kept = explain_cases(
            configuration,
            options.parts,
            options.out,
            cases=options.cases,
            minutes=options.minutes,
            backbone=options.backbone,
            progress=bars,
        )
    rows = summarise(kept, configuration.explaining.tolerance_mm)
    sys.stdout.write(sort_json({"notice": kept.notice, "learned_from": kept.learned_from, "maps": rows}))


def _ship(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    backbone, training = load_compact(options.backbone)
    with ProgressBars() as bars:
        ship_study(configuration, options.parts, backbone, options.out, bars, backbone_training=training)
    sys.stdout.write(f"{options.out}\n")


def _rival(configuration: StudyConfiguration, options: argparse.Namespace) -> None:
    network = load_rival(options.network, options.weights)
    with ProgressBars() as bars:
        result = judge_rival(
            configuration,
            network,
            options.parts,
            options.out,
            patients=options.patients,
            minutes=options.minutes,
            progress=bars,
        )
    sys.stdout.write(sort_json(msgspec.to_builtins(result)))


def _describe(configuration: StudyConfiguration, root: Path) -> dict[str, object]:
    return {
        "notice": f"Simulated patients, not persons. {RESEARCH_USE}.",
        "configuration": configuration.sha256,
        "embedding": configuration.embedding.sha256,
        **{
            name: {
                cohort.name: describe_folder(part_folder(configuration, cohort, root, way), cohort.patients)
                for cohort in configuration.cohorts
            }
            for name, way in zip(("cohorts", "close_ups"), configuration.embedding.ways, strict=False)
        },
    }


if __name__ == "__main__":
    sys.exit(main())
