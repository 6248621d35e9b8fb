"""Stand-ins for TotalSegmentator and moosez: the recorded command line, output layout and label names, no network.

Recorded from TotalSegmentator 2.18.0 (bin/TotalSegmentator.py, nnunet.py, nifti_ext_header.py, config.py, libs.py) and
moosez 3.2.2 (moosez.py, models.py, file_utilities.py, workflows.py). A voxel of 1000 + n HU gets label n.
FAKE_MODE says what goes wrong, FAKE_SEEN names a file for what was seen, FAKE_CHILD one for a grandchild's id.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

TITLES = {"totalsegmentator": "TotalSegmentator", "moosez": "moosez"}
GRANDCHILD = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"


def write_program(folder: Path, which: str) -> Path:
    """A script that starts the stand-in, as a console script would."""
    program = folder / TITLES[which]
    program.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        f"#!{sys.executable}",
        "import sys",
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})",
        "import fake_segmenters",
        f"fake_segmenters.main({which!r})",
    )
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def fail(mode: str) -> None:
    """End as the real programs were seen, or are written, to end."""
    if mode == "crash":
        raise ValueError("The image is two-dimensional")
    if mode == "offline":
        print("Downloading model for Task 291 ...")
        sys.exit("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='github.com', port=443): Max retries")
    if mode == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    if mode == "full":
        sys.exit("OSError: [Errno 28] No space left on device")
    if mode == "hang":
        subprocess.Popen([sys.executable, "-c", GRANDCHILD, os.environ["FAKE_CHILD"]])
        while True:
            time.sleep(1)


def label_by_density(source: Path, mode: str, allowed: dict[int, str]):  # type: ignore[no-untyped-def]
    """The label map that belongs to a CT, as a SimpleITK image."""
    import numpy as np
    import SimpleITK as sitk

    ct = sitk.ReadImage(str(source))
    voxels = sitk.GetArrayFromImage(ct) - 1000
    labels = np.where(np.isin(voxels, list(allowed)), voxels, 0).astype(np.uint8)
    if mode == "unnamed":
        labels[labels > 0] = 255
    if mode == "nothing":
        labels[:] = 0
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(ct)
    if mode == "elsewhere":
        image.SetOrigin([each + 5000 for each in ct.GetOrigin()])
    if mode == "turned":
        image = sitk.DICOMOrient(image, "RAS")
    if mode == "fractions":
        image = sitk.Cast(image, sitk.sitkFloat32) * 0.5
    return image


def add_label_names(path: Path, names: dict[int, str]) -> None:
    """Put the names into the extended header of a gzipped NIfTI file, as nifti_ext_header.py does."""
    content = gzip.decompress(path.read_bytes())
    body = "".join(
        f'<Label Key="{n}" Red="0.0" Green="1.0" Blue="0.0" Alpha="1"><![CDATA[{name}]]></Label>\n'
        for n, name in names.items()
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>   '
        f'<VolumeInformation Index="0">   <LabelTable>\n{body}\n  </LabelTable>  <StudyMetaDataLinkSet>  '
        "</StudyMetaDataLinkSet>  <VolumeType><![CDATA[Label]]></VolumeType>   </VolumeInformation></CaretExtension>"
    ).encode()
    size = -(-(len(text) + 8) // 16) * 16
    header = bytearray(content[:348])
    struct.pack_into("<f", header, 108, 352.0 + size)
    extension = b"\1\0\0\0" + struct.pack("<2i", size, 0) + text.ljust(size - 8, b"\0")
    path.write_bytes(gzip.compress(bytes(header) + extension + content[352:], 1))


def run_totalsegmentator(mode: str) -> None:
    """bin/TotalSegmentator.py: the options used here, and some of the others to be sure that none is mistaken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", dest="input", type=lambda p: Path(p).absolute())
    parser.add_argument("-o", dest="output", type=lambda p: Path(p).absolute())
    parser.add_argument("-ml", "--ml", action="store_true")
    parser.add_argument("-nr", "--nr_thr_resamp", type=int, default=1)
    parser.add_argument("-ns", "--nr_thr_saving", type=int, default=6)
    parser.add_argument("-f", "--fast", action="store_true")
    parser.add_argument("-ff", "--fastest", action="store_true")
    parser.add_argument("-ta", "--task", choices=["total", "total_v3", "body", "total_mr"], default="total")
    parser.add_argument("-rs", "--roi_subset", type=str, nargs="+")
    parser.add_argument("-d", "--device", type=str, default="gpu")
    parser.add_argument("-q", "--quiet", action="store_true")
    arguments = parser.parse_args()
    home = Path(os.environ.get("TOTALSEG_HOME_DIR", Path.home() / ".totalsegmentator"))
    if seen := os.environ.get("FAKE_SEEN"):
        configuration = home / "config.json"
        record = {
            "arguments": sys.argv[1:],
            "configuration": json.loads(configuration.read_text()) if configuration.exists() else None,
            "weights": os.environ.get("TOTALSEG_WEIGHTS_PATH"),
            "temporary": os.environ.get("TMPDIR"),
            "rights": oct(arguments.input.parent.stat().st_mode & 0o777),
        }
        Path(seen).write_text(json.dumps(record), encoding="utf-8")
    print("\nIf you use this tool please cite: https://pubs.rsna.org/doi/10.1148/ryai.230024\n")
    print("Resampling...\n  Resampled in 0.01s")
    for part in (1, 2):
        print(f"Predicting part {part} of 2 ...", flush=True)
        fail(mode)
        sys.stderr.write("\r  0%|          | 0/2\r 50%|#####     | 1/2\r100%|##########| 2/2\n")
        sys.stderr.flush()
    print("Saving segmentations...")
    if mode == "silent":
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import SimpleITK as sitk

    from MemorySurvivalLib.roi.terminology import label_table

    names = dict(label_table("totalsegmentator", "total").theirs)
    assert arguments.ml and str(arguments.output).endswith(".nii.gz")
    sitk.WriteImage(label_by_density(arguments.input, mode, names), str(arguments.output))
    if mode == "old":  # 2.0.0 to 2.1.0 at least: ribs in another order
        names[92], names[94] = "rib_right_4", "rib_left_1"
    if mode != "nameless":
        add_label_names(arguments.output, names)


def run_moosez(mode: str) -> None:
    """moosez.py: subjects are folders of the main directory, images are named by their modality."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-d", "--main_directory", type=str)
    parser.add_argument("-m", "--model_names", nargs="+", type=str)
    parser.add_argument("-b", "--benchmark", action="store_true")
    parser.add_argument("-v-off", "--verbose_off", action="store_false")
    parser.add_argument("-log-off", "--logging_off", action="store_false")
    parser.add_argument("-herd", "--moose_herd", nargs="?", const=2, type=int)
    arguments = parser.parse_args()
    main = Path(arguments.main_directory)
    print("\x1b[38;5;141m MODEL DOWNLOAD:\x1b[0m")
    fail(mode)
    subjects = [each for each in main.iterdir() if each.is_dir() and list(each.glob("CT_*.nii*"))]
    if not subjects or mode == "silent":
        print("\x1b[31m No moose compliant subject found to continue!\x1b[0m")
        return  # with exit status 0
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import SimpleITK as sitk

    from MemorySurvivalLib.roi.terminology import label_table

    (source,) = subjects[0].glob("CT_*.nii*")
    folder = subjects[0] / "moosez-2026-01-02-03-04-05" / "segmentations"
    folder.mkdir(parents=True)
    for model in arguments.model_names:
        for frame in "⠋⠙⠹":  # the spinner repeats its line
            print(f"\r{frame} [1/1] Running workflow for {subjects[0].name} using {model}...", end="", flush=True)
        print()
        names = dict(label_table("moosez", model).theirs)
        prefix = model.replace("_ct_", "_CT_")
        stem = source.name.split(".nii")[0]
        image = label_by_density(source, mode, names)
        sitk.WriteImage(image, str(folder / f"{prefix}_segmentation_{stem}.nii.gz"))
        if mode != "nameless":
            listed = {n: {"name": name} for n, name in names.items()}
            (folder / f"{prefix}_organ_indices.json").write_text(json.dumps({"organ_indices": listed}))
    print("✔ All predictions done!")


def main(which: str) -> None:
    """What the console script calls."""
    {"totalsegmentator": run_totalsegmentator, "moosez": run_moosez}[which](os.environ.get("FAKE_MODE", ""))
