"""A worker that does as it is told: each scenario is one way that a job can go. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

LOCK = threading.Lock()


def send(**event: Any) -> None:
    """Write one event line."""
    with LOCK:
        print(json.dumps(event), flush=True)


def beat() -> None:
    """Say every tenth of a second that the process lives."""
    while True:
        send(event="heartbeat")
        time.sleep(0.1)


def finish(job: dict[str, Any], heatmap: bool) -> None:
    """Leave a report, and the ROI file as heatmap, and say so."""
    out = Path(job["parameters"]["out"])
    out.mkdir()
    (out / "report.html").write_text("<p>report</p>", encoding="utf-8")
    files: dict[str, str | None] = {"report": str(out / "report.html"), "result": None, "heatmap": None}
    result: dict[str, Any] = {
        "log_risk": 0.4213,
        "position": 0.62,
        "position_reference": "400 simulated reference cases",
        "risk_group": None,
        "label": "SIMULATED MODEL",
        "notes": [f"The PET {job['parameters']['pet']} was resampled onto the CT grid."],
        "gate_pet": 0.63,
        "heatmap": None,
        "request": job["parameters"],
    }
    if heatmap:
        files["heatmap"] = str(shutil.copy(job["parameters"]["roi"], out / "heatmap.nrrd"))
        result["heatmap"] = {"unit": "change of log-risk", "limit": 0.25}
    send(event="finished", id=job["id"], result=result, files=files)


def make_masks(job: dict[str, Any]) -> None:
    """Hand out the masks that the test has prepared."""
    out = Path(job["parameters"]["out"])
    shutil.copytree(os.environ["MEMORYSURVIVAL_FAKE_MASKS"], out)
    send(event="note", id=job["id"], text=f"{job['parameters']['ct']} was segmented.")
    files = {"structures": str(out / "structures.json"), "labels": str(out / "labels.nrrd")}
    send(event="finished", id=job["id"], result={"notes": ["Vertebrae are numbered."]}, files=files)


def explain(scenario: str, job: dict[str, Any]) -> None:
    """Hand out the explanation that the test has prepared, or stay in the middle of it."""
    prepared = Path(os.environ["MEMORYSURVIVAL_FAKE_EXPLANATION"])
    told = json.loads((prepared / "explanation.json").read_text(encoding="utf-8"))
    if job["job"] == "explain_estimate":
        send(event="finished", id=job["id"], result={**told["estimate"], "asked": job["parameters"]}, files={})
        return
    send(event="progress", id=job["id"], stage="occlusion", done=30, total=120, eta_s=61.0)
    if scenario == "explain-endless":
        time.sleep(600)
    out = Path(job["parameters"]["out"])
    shutil.copytree(prepared, out)
    maps = ("heatmap", "heatmap_PET", "heatmap_CT", "agreement", "gradient")
    files = {key: str(out / f"{key}.nrrd") if (out / f"{key}.nrrd").is_file() else None for key in maps}
    send(event="finished", id=job["id"], result={**told["result"], "request": job["parameters"]}, files=files)


def check_mask(job: dict[str, Any]) -> None:
    """Say what was handed over, and two boxes; with boxes to compare with, that nothing changed."""
    parameters = job["parameters"]
    size, rows = parameters["grid"]["size"], parameters["grid"]["index_to_lps"]
    boxes = [{"z": z, "x0": 4, "y0": 10, "x1": 11, "y1": 18} for z in (8, 6)]
    placed = []
    for box in boxes:
        corners = [
            [box[x] - 0.5, box[y] - 0.5, box["z"] + z] for z in (-0.5, 0.5) for y in ("y0", "y1") for x in ("x0", "x1")
        ]
        points = [
            [sum(a * b for a, b in zip(row, [*corner, 1.0], strict=True)) for row in rows[:3]] for corner in corners
        ]
        placed.append({"z": box["z"], "corners_lps_mm": points})
    before = parameters.get("before")
    prompts = None
    if before is not None:
        prompts = {"changed": 0, "prompted": 2, "since": "before", "same_risk": True}
    sentences = [f"mask: {Path(parameters['mask']).is_file()}", f"voxels: {size[0] * size[1] * size[2]}"]
    result = {"sentences": sentences, "stray_sentences": [], "prompt_boxes": boxes, "placed_boxes": placed}
    send(event="finished", id=job["id"], result={**result, "prompts": prompts}, files={})


def make_mip(job: dict[str, Any]) -> None:
    """Hand out the frames that the test has prepared."""
    made = Path(os.environ["MEMORYSURVIVAL_FAKE_MIP"])
    out = Path(job["parameters"]["out"])
    files = {name: str(shutil.copy(made / f"{name}.npy", out)) for name in ("frames", "depth_mm")}
    result = json.loads((made / "mip.json").read_text(encoding="utf-8"))
    send(event="finished", id=job["id"], result=result, files=files)


def run(scenario: str, job: dict[str, Any]) -> None:
    """One job."""
    send(event="started", id=job["id"])
    send(event="progress", id=job["id"], stage="memory PET", done=41, total=150, eta_s=12.3)
    if job["job"] == "bundles":
        found = [{"name": name, "status": status, "path": "x"} for name, status in BUNDLES]
        send(event="finished", id=job["id"], result={"bundles": found}, files={})
    elif job["job"] in QUESTIONS:
        send(event="finished", id=job["id"], result={}, files={})
    elif job["job"] == "mip" and "MEMORYSURVIVAL_FAKE_MIP" in os.environ:
        make_mip(job)
    elif job["job"] == "segment" and scenario == "success":
        make_masks(job)
    elif job["job"] == "segmenters":
        send(event="finished", id=job["id"], result={"segmenters": SEGMENTERS}, files={})
    elif job["job"] == "check_mask":  # asked for in the background in every scenario
        check_mask(job)
    elif "MEMORYSURVIVAL_FAKE_EXPLANATION" in os.environ and job["job"].startswith("explain") and scenario != "failure":
        explain(scenario, job)
    elif scenario == "tags" and not job["parameters"]["supplied"]:
        text = "The PET's tags lack the injected dose (0018,1074) and the patient's weight (0010,1030)."
        details = {"missing": ["dose_bq", "weight_kg"]}
        send(event="failed", id=job["id"], kind="MissingPetTags", message=text, details=details)
    elif scenario == "identity" and not job["parameters"]["confirm_identity"]:
        difference = "The CT and the PET are of different studies, 3 days apart."
        text = f"{difference} Choose images of one study."
        details = {"differences": [difference]}
        send(event="failed", id=job["id"], kind="IdentityMismatch", message=text, details=details)
    elif scenario in ("success", "chatter", "tags", "identity", "explain-endless"):
        explained_later = "MEMORYSURVIVAL_FAKE_EXPLANATION" in os.environ
        finish(job, heatmap=job["parameters"]["roi"] is not None and not explained_later)
    elif scenario == "failure":
        text = f"The PET {job['parameters']['pet']} is not in SUV units; convert it to SUVbw first."
        send(event="failed", id=job["id"], kind="InputError", message=text)
    elif scenario == "crash":
        print("a long native traceback", file=sys.stderr, flush=True)
        os._exit(139)
    elif scenario == "endless":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        send(event="note", id=job["id"], text=f"child {child.pid}")
        time.sleep(600)


SEGMENTERS = [
    {
        "name": "built-in",
        "title": "the built-in segmenter",
        "found": True,
        "version": "0.1.0",
        "reason": "",
        "terms": "",
    },
    {
        "name": "totalsegmentator",
        "title": "TotalSegmentator",
        "found": False,
        "version": "",
        "reason": "TotalSegmentator is not installed; install it or choose another segmenter.",
        "terms": "Apache-2.0.",
    },
    {
        "name": "moose",
        "title": "MOOSE",
        "found": True,
        "version": "3.2.2",
        "reason": "",
        "terms": "Please check the mask.",
    },
]
QUESTIONS = ("covariates", "devices", "estimate", "inspect", "nodes", "outbox")
"""Asked in the background in every scenario."""

BUNDLES = (("demonstration", "demonstration"), ("ward-7", "local-research"))


def main() -> None:
    """Serve until stdin closes."""
    scenario = sys.argv[1]
    if scenario == "no-torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if scenario == "chatter":
        print("this is not JSON")
        print('["nor", "an", "event"]')
    version = "9.9.9" if scenario == "wrong-version" else "0.1.0"
    send(event="ready", protocol=1, version=version, pid=os.getpid())
    threading.Thread(target=beat, daemon=True).start()
    for line in sys.stdin:
        if "job" in (job := json.loads(line)):  # else a job that is over already is to be cancelled
            run(scenario, job)


if __name__ == "__main__":
    main()
