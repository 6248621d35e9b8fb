"""Existing segmentations: label maps with any source of names, Slicer's files, and the ROI that is taken from them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import SimpleITK as sitk
from fake_segmenters import add_label_names
from odd_grids import GRIDS

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.derive import RoiConfig, derive_roi
from MemorySurvivalLib.roi.existing import choose_roi, read_existing, read_segmentation
from MemorySurvivalLib.roi.existing_labels import place_on, read_embedded_names
from MemorySurvivalLib.roi.existing_layers import ExistingSegmentation, LayerBuilder
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.roi.terminology import structure
from MemorySurvivalLib.segmenting import LabelRecord

SHAPE = (8, 9, 10)
EVERYWHERE = (slice(None), slice(None), slice(None))


def make_ct(grid: str = "straight", shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(np.zeros(shape, np.int16), GRIDS[grid])


def label_voxels(*labels: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A block of 2 x 3 x 4 voxels for each label, none overlapping."""
    voxels = np.zeros(shape, np.uint16)
    for n, label in enumerate(labels):
        voxels[2 * n : 2 * n + 2, 1:4, 2 + n : 6 + n] = label
    return voxels


def write_labels(path: Path, voxels: np.ndarray, affine: Affine) -> Path:
    write_volume(Volume(voxels, affine), path)
    return path


def write_seg_nrrd(path: Path, layers: list[np.ndarray], affine: Affine, segments: list[dict[str, str]]) -> Path:
    """Slicer's layout: layers as a list axis, fields Segment<n>_* in the header."""
    image = Volume(layers[0], affine).to_sitk()
    if len(layers) > 1:
        image = sitk.Compose([Volume(layer, affine).to_sitk() for layer in layers])
    for n, fields in enumerate(segments):
        for key, text in {"ID": f"Segment_{n}", "Layer": "0", "Color": "0.5 0.25 1", **fields}.items():
            image.SetMetaData(f"Segment{n}_{key}", text)
    image.SetMetaData("Segmentation_ReferenceImageExtentOffset", "0 0 0")
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def terminology(value: str, meaning: str, side: str = "") -> str:
    modifier = {"left": "SCT^7771000^Left", "right": "SCT^24028007^Right", "": "^^"}[side]
    kind = f"SCT^123037004^Anatomical Structure~SCT^{value}^{meaning}~{modifier}"
    entry = f"Segmentation category and type - 3D Slicer General Anatomy list~{kind}~Anatomic codes~^^~^^"
    return f"Segmentation.Status:inprogress|TerminologyEntry:{entry}|"


def build(ct: Volume, *segments: tuple[str, np.ndarray]) -> ExistingSegmentation:
    builder = LayerBuilder(ct)
    for name, mask in segments:
        builder.add(structure(name), name, EVERYWHERE, mask)
    return ExistingSegmentation(builder.layers, tuple(builder.segments), Maker("test"))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_label_maps_come_back_on_any_grid(tmp_path: Path, grid: str, ending: str) -> None:
    ct = make_ct(grid)
    voxels = label_voxels(28, 79, 26)
    found = read_segmentation(write_labels(tmp_path / f"labels{ending}", voxels, ct.affine), ct, "totalsegmentator")
    assert {each.name for each in found.structures.values()} == {"L4", "spinal_cord", "S1"}
    for label, name in ((28, "L4"), (79, "spinal_cord"), (26, "S1")):
        assert np.array_equal(found.labels.voxels == found.label_of(name), voxels == label)
    assert found.labels.affine is ct.affine and found.notes == ()


@pytest.mark.parametrize("orientation", ["RAS", "SPL", "AIR"])
def test_a_map_that_runs_another_way_than_the_ct(tmp_path: Path, orientation: str) -> None:
    """The segmentation turned, the CT as it is: voxel for voxel the same, without a note."""
    ct = make_ct("straight")
    voxels = label_voxels(1, 2)
    turned = Volume(voxels, ct.affine).reoriented(orientation)
    write_volume(turned, tmp_path / "labels.nii.gz")
    found = read_segmentation(tmp_path / "labels.nii.gz", ct, "totalsegmentator")
    assert np.array_equal(found.labels.voxels == found.label_of("spleen"), voxels == 1)
    assert np.array_equal(found.labels.voxels == found.label_of("kidney_right"), voxels == 2)
    assert found.notes == ()


def test_a_coarser_map_is_resampled_and_said() -> None:
    ct = make_ct("oblique", (16, 18, 20))
    matrix = ct.affine.matrix.copy()
    matrix[:3, :3] *= 2
    matrix[:3, 3] = ct.affine.points_mm((0.5, 0.5, 0.5))
    coarse = Volume(label_voxels(3), Affine(matrix))
    placed, notes = place_on(coarse, ct, "segmentation x")
    assert np.array_equal(placed.voxels, np.kron(coarse.voxels, np.ones((2, 2, 2), np.uint16)))
    assert len(notes) == 1 and "another grid" in notes[0]


def test_what_lies_outside_the_ct_is_said() -> None:
    whole = Volume(label_voxels(1, 2, 3), GRIDS["straight"])
    ct = whole.cropped((0, 0, 0), (3, 9, 10))
    placed, notes = place_on(whole, ct, "segmentation x")
    assert np.array_equal(placed.voxels, whole.voxels[:3])
    assert notes == ("Only 50% of the volume of the segmentation x lies inside the CT.",)
    with pytest.raises(InputError, match="does not overlap with the CT"):
        place_on(Volume(label_voxels(1), GRIDS["straight"]), whole.cropped((5, 0, 0), (8, 9, 10)), "segmentation x")


def test_names_come_from_where_the_user_says(tmp_path: Path) -> None:
    ct = make_ct()
    path = write_labels(tmp_path / "labels.nii.gz", label_voxels(1, 2), ct.affine)
    (tmp_path / "names.csv").write_text("label,name\n1,L3\n2,Left kidney\n", encoding="utf-8-sig")
    (tmp_path / "names.json").write_text('{"1": "L3", "2": "Left kidney"}')
    (tmp_path / "moose.json").write_text(
        json.dumps({"organ_indices": {"1": {"name": "vertebra_L3"}, "2": {"name": "kidney_left"}}})
    )

    def names(choice: str | Path) -> list[str]:
        return [each.structure.name for each in read_existing(path, ct, choice).segments]

    for file in ("names.csv", "names.json", "moose.json"):
        assert names(tmp_path / file) == ["L3", "kidney_left"]
    assert names("totalsegmentator") == ["spleen", "kidney_right"]
    assert names("moose:clin_ct_vertebrae") == names("moosez:clin_ct_vertebrae") == ["C1", "C2"]
    add_label_names(path, {1: "vertebrae_T9", 2: "something else"})
    assert read_embedded_names(path) == {1: "vertebrae_T9", 2: "something else"}
    found = read_existing(path, ct)
    assert [(s.structure.name, s.structure.group) for s in found.segments] == [
        ("T9", "vertebra"),
        ("something else", "other"),
    ]
    assert read_embedded_names(write_labels(tmp_path / "plain.nii.gz", label_voxels(1), ct.affine)) == {}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("moose", "does not say which model"),
        ("totalsegmentator:body", "does not say which model"),
        ("my labels", "is not a table of labels"),
        ("gone.csv", "cannot be read"),
        ("odd.csv", "cannot be understood"),
        ("empty.csv", "names no label"),
        ("odd.json", "cannot be understood"),
        ("list.json", "cannot be understood"),
        ("latin.csv", "not UTF-8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, table: str, sentence: str) -> None:
    ct = make_ct()
    path = write_labels(tmp_path / "labels.nrrd", label_voxels(1, 2), ct.affine)
    (tmp_path / "odd.csv").write_text("label,name\n1,L3\ntwo,L4\n")
    (tmp_path / "empty.csv").write_text("label,name\n")
    (tmp_path / "odd.json").write_text("{1: L3}")
    (tmp_path / "list.json").write_text('["L3"]')
    (tmp_path / "latin.csv").write_bytes("1,Rückenmark".encode("latin-1"))
    choice = tmp_path / table if "." in table else table
    with pytest.raises(InputError, match=sentence):
        read_existing(path, ct, choice)


def test_a_plain_mask_is_one_mask_and_several_labels_are_asked_about(tmp_path: Path) -> None:
    ct = make_ct()
    mask = write_labels(tmp_path / "mask.nrrd", label_voxels(7), ct.affine)
    roi = choose_roi(read_existing(mask, ct), "spine_dilated")
    assert np.array_equal(roi.mask.voxels, label_voxels(7) > 0)
    assert 'The only segment, "mask"' in roi.notes[0]
    several = write_labels(tmp_path / "several.nrrd", label_voxels(1, 2), ct.affine)
    with pytest.raises(InputError, match=r'2 labels without names.*"mask"'):
        read_existing(several, ct)
    assert np.array_equal(
        choose_roi(read_existing(several, ct, "mask"), "skeleton").mask.voxels, label_voxels(1, 2) > 0
    )


@pytest.mark.parametrize(
    ("voxels", "sentence"),
    [
        (np.full(SHAPE, 0.5, np.float32), "not whole numbers"),
        (np.full(SHAPE, -3, np.int16), "which are not labels"),
        (np.zeros(SHAPE, np.uint8), "holds no segment with a voxel"),
    ],
)
def test_images_that_are_no_label_maps(tmp_path: Path, voxels: np.ndarray, sentence: str) -> None:
    path = write_labels(tmp_path / "image.nrrd", voxels, GRIDS["straight"])
    with pytest.raises(InputError, match=sentence):
        read_existing(path, make_ct())


def test_a_folder_with_a_mask_for_each_structure(tmp_path: Path) -> None:
    """TotalSegmentator without -ml; a mask may be empty, another image may lie beside them."""
    ct = make_ct("flipped")
    voxels = label_voxels(1, 2, 3)
    for name, label in (("vertebrae_L1", 1), ("rib_left_4", 2), ("liver", 0), ("notes of mine", 3)):
        write_labels(tmp_path / f"{name}.nii.gz", ((voxels == label) & (label > 0)).astype(np.uint8), ct.affine)
    found = read_existing(tmp_path, ct)
    assert {s.structure.name: int(found.mask(s).sum()) for s in found.segments} == {"L1": 24, "rib_left_4": 24}
    assert np.array_equal(found.mask(found.segments[1]), voxels == 1)
    assert found.notes == ("Files whose names mean no structure were left out: notes of mine.",)
    (tmp_path / "odd").mkdir()
    write_labels(tmp_path / "odd" / "ct.nii.gz", voxels, ct.affine)
    with pytest.raises(InputError, match="is named like a structure"):
        read_existing(tmp_path / "odd", ct)


def test_the_table_that_segment_writes_is_found_beside_the_labels(tmp_path: Path) -> None:
    """`memory-survival segment` leaves labels.nrrd and structures.json; the names are taken from there."""
    ct = make_ct("permuted")
    voxels = label_voxels(1, 2)
    path = write_labels(tmp_path / "labels.nrrd", voxels, ct.affine)
    records = {n: LabelRecord(structure(name), 1, "") for n, name in ((1, "vertebra 2"), (2, "bone"))}
    (tmp_path / "structures.json").write_bytes(msgspec.json.encode({"labels": records, "kinds": []}))
    found = read_existing(path, ct)
    assert [each.structure for each in found.segments] == [structure("vertebra 2"), structure("bone")]
    assert np.array_equal(found.mask(found.segments[1]), voxels == 2)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_existing(tmp_path / "gone.nrrd", make_ct())


@pytest.mark.parametrize("grid", GRIDS)
def test_slicer_segments_by_code_name_and_side(tmp_path: Path, grid: str) -> None:
    ct = make_ct(grid)
    segments = [
        {"Name": "Segment_1", "LabelValue": "4", "Tags": terminology("11994002", "L4 vertebra")},
        {"Name": "my bone", "LabelValue": "9", "Tags": terminology("51299004", "Clavicle", "left")},
        {"Name": "Spinal canal", "LabelValue": "2"},
        {"Name": "gone", "LabelValue": "77"},
    ]
    voxels = label_voxels(4, 9, 2).astype(np.uint8)
    found = read_existing(write_seg_nrrd(tmp_path / "s.seg.nrrd", [voxels], ct.affine, segments), ct)
    assert [each.structure.name for each in found.segments] == ["L4", "clavicle_left", "spinal_canal"]
    for segment, label in zip(found.segments, (4, 9, 2), strict=True):
        assert np.array_equal(found.mask(segment), voxels == label)


def test_slicer_layers_that_overlap_and_a_cropped_extent(tmp_path: Path) -> None:
    ct = make_ct("oblique", (12, 13, 14))
    part = ct.cropped((2, 3, 1), (10, 12, 11))
    bones, region = label_voxels(1, 2).astype(np.uint8), np.zeros(SHAPE, np.uint8)
    region[0:4, 0:6, 0:8] = 1
    segments = [
        {"Name": "L2", "LabelValue": "1"},
        {"Name": "L3", "LabelValue": "2"},
        {"Name": "spine_dilated", "LabelValue": "1", "Layer": "1"},
        {"Name": "odd", "LabelValue": "5", "Layer": "1", "Color": "1 0 0.5"},
    ]
    found = read_existing(write_seg_nrrd(tmp_path / "s.seg.nrrd", [bones, region], part.affine, segments), ct)
    inside = np.zeros(ct.shape, bool)
    inside[2:10, 3:12, 1:11] = region > 0
    roi = choose_roi(found, "spine_dilated")
    on_ct = roi.mask.reoriented(ct.affine.orientation)
    assert np.array_equal(on_ct.voxels, inside)
    flat = found.flatten()
    vertebra = np.zeros(ct.shape, bool)
    vertebra[2:10, 3:12, 1:11] = bones == 1
    assert np.array_equal(flat.labels.voxels == flat.label_of("L2"), vertebra)
    assert "Segments overlap (spine_dilated)" in " ".join(flat.notes)


def test_of_two_of_a_kind_the_later_has_the_voxel() -> None:
    ct = make_ct()
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[0:3], second[2:5] = True, True
    flat = build(ct, ("L1", first), ("L2", second)).flatten()
    assert (flat.labels.voxels[2] == flat.label_of("L2")).all() and (flat.labels.voxels[1] == flat.label_of("L1")).all()
    flat = build(ct, ("L1", first), ("liver", second), ("spinal_canal", second)).flatten()
    assert (flat.labels.voxels[2:5] == flat.label_of("spinal_canal")).all()
    assert "liver" in flat.notes[0] and "L1" in flat.notes[0]


def test_many_segments_need_more_than_a_byte() -> None:
    ct = make_ct(shape=(7, 8, 9))
    builder = LayerBuilder(ct)
    for n in range(300):
        mask = np.zeros(ct.shape, bool)
        mask.flat[n] = True
        builder.add(structure("bone"), f"bone {n}", EVERYWHERE, mask)
    existing = ExistingSegmentation(builder.layers, tuple(builder.segments), Maker("test"))
    assert len(existing.layers) == 1
    flat = existing.flatten()
    assert flat.labels.voxels.flat[299] == 300 and flat.notes == ()


def test_the_roi_is_derived_from_bones_where_it_is_not_there() -> None:
    ct = make_ct()
    vertebra, rib = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    vertebra[2:4, 3:6, 3:6], rib[6, 1:3, 1:3] = True, True
    existing = build(ct, ("L4", vertebra), ("rib_left_3", rib))
    for kind in ("spine_dilated", "skeleton"):
        roi = choose_roi(existing, kind, RoiConfig(paramedullary_mm=2.0))
        assert np.array_equal(roi.mask.voxels, derive_roi(existing.flatten(), kind, RoiConfig(2.0)).mask.voxels)
        assert roi.mask.voxels[rib].all() == (kind == "skeleton")


def test_a_derived_region_ends_at_the_skin() -> None:
    """A vertebra 4 mm under the skin, dilated by 10 mm, on a CT that runs along other axes."""
    affine = Affine.from_parts((2.0, 2.0, 2.0), np.diag([-1.0, 1.0, 1.0]), (0.0, 0.0, 0.0))
    hu = np.full((30, 60, 60), -1000, np.int16)
    hu[:, 10:50, 10:50] = 40
    vertebra = np.zeros(hu.shape, bool)
    vertebra[10:20, 42:48, 25:35] = True
    ct = Volume(hu, affine)
    second = np.zeros(hu.shape, bool)
    second[22:26, 42:48, 25:35] = True
    existing = build(ct, ("L4", vertebra), ("L3", second))
    outside = Volume((hu < 0).astype(np.uint8), affine).reoriented().voxels > 0
    free, held = choose_roi(existing, "spine_dilated"), choose_roi(existing, "spine_dilated", ct=ct)
    assert free.mask.voxels[outside].any() and not held.mask.voxels[outside].any()
    assert np.array_equal(held.mask.voxels, free.mask.voxels & ~outside)


@pytest.mark.parametrize(
    ("names", "kind", "sentence"),
    [
        (("liver",), "spine_dilated", r'only segment is "liver" \(Liver\)'),
        (("skeleton",), "spine_dilated", r'only segment is "skeleton"'),
        (("liver", "spleen"), "skeleton", "it holds liver, spleen"),
        (("rib_left_1", "rib_left_2"), "spine_dilated", "it holds rib_left_1, rib_left_2"),
        (("L1", "L2"), "other", "say which one"),
    ],
)
def test_what_cannot_be_the_roi(names: tuple[str, ...], kind: RoiKind, sentence: str) -> None:
    existing = build(make_ct(), *((name, label_voxels(*range(1, n + 2)) == n + 1) for n, name in enumerate(names)))
    with pytest.raises(InputError, match=sentence):
        choose_roi(existing, kind)


def test_a_segment_can_be_chosen_by_name() -> None:
    voxels = label_voxels(1, 2)
    existing = build(make_ct("flipped"), ("liver", voxels == 1), ("L2", voxels == 2))
    roi = choose_roi(existing, "other", segment="L2")
    assert np.array_equal(roi.mask.reoriented("RPI").voxels, voxels == 2)
    assert roi.mask.affine.orientation == "LPS" and roi.made_by == "test"
    with pytest.raises(InputError, match='no segment "L9"; choose one of liver, L2'):
        choose_roi(existing, "other", segment="L9")


@pytest.mark.real_data
def test_real_totalsegmentator_output_names_itself(real_data: Path) -> None:
    """The names in the file's header, written by TotalSegmentator 2 itself, agree with the table that we keep."""
    from MemorySurvivalLib.imaging.reading import read_volume

    ct = read_volume(real_data / "ct_labels" / "example_ct.nii.gz", "CT")
    path = real_data / "ct_labels" / "example_seg_fast_force_split.nii.gz"
    by_header, by_table = read_existing(path, ct), read_existing(path, ct, "totalsegmentator")
    assert len(by_header.segments) > 40
    assert [each.structure for each in by_header.segments] == [each.structure for each in by_table.segments]
    assert by_header.notes == ()
    flat = by_header.flatten()
    assert {"L1", "L5", "S1", "sacrum", "spinal_cord", "hip_left", "liver"} <= {
        s.name for s in flat.structures.values()
    }
    roi = choose_roi(by_header, "spine_dilated")
    vertebrae = flat.of("vertebra", "canal")
    assert roi.mask.reoriented(ct.affine.orientation).voxels[vertebrae].all()
