"""From the images of one series to regular stacks: sorted by where they lie, or a sentence that says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pydicom

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE, reading_quietly, show
from MemorySurvivalLib.imaging.dicom_slices import SliceHeader
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix

SAME_PLACE_MM = 0.01
"""Images closer than this along the slice normal lie at one place."""

UNEVEN_SHARE = 0.1
"""How far a slice may lie from its place in an even stack, as a share of the spacing (positions are often rounded)."""

SIDEWAYS_MM = 0.5
"""How far a slice may lie beside the stack's axis; more is a tilted gantry or another stack."""

SAME_DIRECTION = 1e-3
NAMED = 3
"""How many files or places a sentence names before it says "and more"."""


@dataclass(frozen=True)
class Stack:
    """Images in the order of a volume's slices (along the normal, rows x columns), and the affine if they are regular.

    Without an affine `problems` says why.
    """

    slices: tuple[SliceHeader, ...]
    affine: Affine | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Irregular(Exception):
    """Why images are no regular stack; `repeats` when several lie at one place."""

    def __init__(self, sentence: str, *, repeats: bool = False) -> None:
        super().__init__(sentence)
        self.repeats = repeats


def arrange(images: Iterable[SliceHeader]) -> tuple[Stack, ...]:
    """Sort images of one series into stacks, the longest first.

    Images that differ in size, pixel spacing or direction never share a stack. Exact copies (same place, same tags,
    same pixels) are dropped and said. Images that repeat a place are taken apart by acquisition, time or reconstruction
    where that gives regular stacks; where it does not, and for gaps, uneven or tilted stacks, the stack has no affine.
    """
    stacks = [stack for group in _group_alike(images) for stack in _arrange_alike(group)]
    return tuple(sorted(stacks, key=lambda stack: -len(stack.slices)))


def _group_alike(images: Iterable[SliceHeader]) -> list[list[SliceHeader]]:
    groups: list[list[SliceHeader]] = []
    for image in images:
        for group in groups:
            if _alike(image, group[0]):
                group.append(image)
                break
        else:
            groups.append([image])
    return groups


def _alike(a: SliceHeader, b: SliceHeader) -> bool:
    if (a.rows, a.columns, a.samples) != (b.rows, b.columns, b.samples):
        return False
    if (a.position_mm is None) != (b.position_mm is None):
        return False
    return _close(a.orientation, b.orientation, SAME_DIRECTION) and _close(a.spacing_yx_mm, b.spacing_yx_mm, 1e-4)


def _close(a: tuple[float, ...] | None, b: tuple[float, ...] | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return all(abs(one - other) <= tolerance for one, other in zip(a, b, strict=True))


def _arrange_alike(images: list[SliceHeader]) -> list[Stack]:
    problem = _unplaceable(images)
    if problem:
        return [Stack(tuple(images), None, (problem,))]
    images, notes = _drop_copies(_sorted(images))
    try:
        return [_stack(images, notes)]
    except _Irregular as error:
        parts = _take_apart(images, notes, repeats=error.repeats)
        return parts or [Stack(tuple(images), None, (str(error),), notes)]


def _unplaceable(images: list[SliceHeader]) -> str:
    first = images[0]
    if first.samples != 1:
        return "The pictures are in colour (screenshots or fused images), so they hold no measured values."
    missing = [
        name
        for name, value in (
            ("Image Position (0020,0032)", first.position_mm),
            ("Image Orientation (0020,0037)", first.orientation),
            ("Pixel Spacing (0028,0030)", first.spacing_yx_mm),
        )
        if value is None
    ]
    if missing:
        carry = "carries" if len(images) == 1 else "carry"
        return (
            f"{_count(len(images), 'image')} {carry} no readable {' and no '.join(missing)}, so where they lie is not "
            "known; export the series again with its geometry."
        )
    if min(first.spacing_yx_mm or (0.0,)) <= 0:
        return "The Pixel Spacing (0028,0030) is not positive; export the series again."
    row, column = np.array(first.orientation).reshape(2, 3)
    if abs(np.linalg.norm(row) - 1) > 1e-2 or abs(np.linalg.norm(column) - 1) > 1e-2 or abs(row @ column) > 1e-3:
        return "The Image Orientation (0020,0037) is not two directions at right angles; export the series again."
    return ""


def _axes(image: SliceHeader) -> FloatMatrix:
    """Unit vectors along x (columns), y (rows) and the slice normal, as columns; exactly at right angles."""
    row, column = np.array(image.orientation, dtype=np.float64).reshape(2, 3)
    row /= np.linalg.norm(row)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return np.stack([row, np.cross(normal, row), normal], axis=1)


def _places(images: list[SliceHeader]) -> tuple[FloatMatrix, FloatMatrix]:
    """Position along the normal (n,) and across it (n, 2), in mm."""
    local = np.array([image.position_mm for image in images], dtype=np.float64) @ _axes(images[0])
    return local[:, 2], local[:, :2]


def _sorted(images: list[SliceHeader]) -> list[SliceHeader]:
    along, _ = _places(images)
    return [images[i] for i in np.argsort(along, kind="stable")]


def _stack(images: list[SliceHeader], notes: tuple[str, ...]) -> Stack:
    """A regular stack of sorted images. Raises _Irregular."""
    if len(images) < 2:
        raise _Irregular("It is a single image, not a volume (perhaps a localiser or a screenshot).")
    along, across = _places(images)
    steps = np.diff(along)
    if (steps < SAME_PLACE_MM).any():
        raise _repeated(along)
    _check_sideways(along, across)
    _check_even(along)
    spacing_mm = float(along[-1] - along[0]) / (len(images) - 1)
    spacing_y_mm, spacing_x_mm = images[0].spacing_yx_mm or (0.0, 0.0)
    try:
        affine = Affine.from_parts(
            (spacing_x_mm, spacing_y_mm, spacing_mm), _axes(images[0]), images[0].position_mm or ()
        )
    except InputError as error:
        raise _Irregular(str(error)) from error
    return Stack(tuple(images), affine, (), notes)


def _repeated(along: FloatMatrix) -> _Irregular:
    places = np.split(along, np.flatnonzero(np.diff(along) >= SAME_PLACE_MM) + 1)
    repeated = [place for place in places if len(place) > 1]
    return _Irregular(
        f"{_count(len(repeated), 'place')} of {len(places)} hold several different images (the first at "
        f"{repeated[0][0]:.1f} mm, {len(repeated[0])} images), and no tag takes them apart into whole volumes; "
        "export one phase or reconstruction alone.",
        repeats=True,
    )


def _check_sideways(along: FloatMatrix, across: FloatMatrix) -> None:
    drift = across - across[0]
    if np.linalg.norm(drift, axis=1).max() <= SIDEWAYS_MM:
        return
    slope, *_ = np.linalg.lstsq((along - along[0])[:, None], drift, rcond=None)
    rest = drift - (along - along[0])[:, None] * slope
    if np.linalg.norm(rest, axis=1).max() <= SIDEWAYS_MM:
        degrees = float(np.degrees(np.arctan(np.linalg.norm(slope))))
        raise _Irregular(
            f"The slices are sheared by {degrees:.1f} degrees (a tilted gantry), so they form no regular volume; "
            "correct the tilt at the workstation or resample the series."
        )
    raise _Irregular(
        f"The slices are shifted sideways against each other by up to {np.linalg.norm(drift, axis=1).max():.1f} mm, so "
        "they form no regular volume; export one acquisition alone."
    )


def _check_even(along: FloatMatrix) -> None:
    steps = np.diff(along)
    spacing = float(np.median(steps))
    ratio = steps / spacing
    gaps = np.flatnonzero((ratio > 1.5) & (np.abs(ratio - np.round(ratio)) <= UNEVEN_SHARE))
    filled = np.abs(np.delete(ratio, gaps) - 1) <= UNEVEN_SHARE
    if gaps.size and filled.all():
        missing = int(np.round(ratio[gaps]).sum()) - gaps.size
        where = [
            f"between slice {i + 1} ({along[i]:.1f} mm) and slice {i + 2} ({along[i + 1]:.1f} mm)" for i in gaps[:NAMED]
        ]
        more = " and at other places" if gaps.size > NAMED else ""
        are = "is" if missing == 1 else "are"
        raise _Irregular(
            f"{_count(missing, 'slice')} of {spacing:.2f} mm {are} missing {', '.join(where)}{more} (positions along "
            "the slice normal); copy or export the whole series again."
        )
    even = np.linspace(along[0], along[-1], along.size)
    worst = np.abs(along - even).max()
    if worst > UNEVEN_SHARE * spacing:
        raise _Irregular(
            f"The slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm apart); export one regular "
            "reconstruction."
        )


def _take_apart(images: list[SliceHeader], notes: tuple[str, ...], *, repeats: bool) -> list[Stack]:
    """Regular stacks by the first tag that gives them; nothing where none does.

    Images that repeat no place are taken apart only by acquisition, and only into stacks that lie differently: else a
    whole-body PET with a missing slice would fall apart into its beds and hide the gap.
    """
    cuts: list[tuple[str, Callable[[SliceHeader], Hashable]]] = [
        (name, _reader_of_mark(i))
        for i, (name, _) in enumerate(images[0].marks)
        if repeats or "Acquisition Number" in name
    ]
    _, across = _places(images)
    cells = np.round((across - across[0]) / 2) + 0.0  # no negative zeros
    beside = {id(image): cell.tobytes() for image, cell in zip(images, cells, strict=True)}
    cuts.append(("place beside each other", lambda image: beside[id(image)]))
    for name, value in cuts:
        groups = [list(group) for _, group in groupby(sorted(images, key=lambda i: str(value(i))), key=value)]
        if len(groups) < 2 or min(map(len, groups)) < 2:
            continue
        told = (*notes, f"The series holds {len(groups)} stacks; they were taken apart by {name}.")
        try:
            stacks = [_stack(_sorted(group), told) for group in groups]
        except _Irregular:
            continue
        if repeats or _differ(stacks):
            return stacks
    return []


def _reader_of_mark(index: int) -> Callable[[SliceHeader], Hashable]:
    return lambda image: image.marks[index][1]


def _differ(stacks: list[Stack]) -> bool:
    """Whether stacks have other spacings, or lie beside each other."""
    first, *others = [stack.affine for stack in stacks if stack.affine]
    return any(
        abs(other.spacing_mm[2] / first.spacing_mm[2] - 1) > UNEVEN_SHARE
        or np.linalg.norm((np.subtract(other.origin_mm, first.origin_mm) @ first.direction)[:2]) > SIDEWAYS_MM
        for other in others
    )


def _drop_copies(images: list[SliceHeader]) -> tuple[list[SliceHeader], tuple[str, ...]]:
    """Images without exact copies, and a note that says how many were dropped."""
    if len(images) < 2:
        return images, ()
    along, _ = _places(images)
    digests: dict[object, bytes] = {}
    kept: list[SliceHeader] = []
    dropped = 0
    place: list[SliceHeader] = []
    for image, previous, here in zip(images, [None, *along], along, strict=False):
        if previous is None or here - previous >= SAME_PLACE_MM:
            place = []
        if any(_is_copy(image, other, digests) for other in place):
            dropped += 1
            continue
        place.append(image)
        kept.append(image)
    note = f"{_count(dropped, 'image')} were exact copies of others and left out."
    return kept, (note,) if dropped else ()


def _is_copy(a: SliceHeader, b: SliceHeader, digests: dict[object, bytes]) -> bool:
    if a.path == b.path or (a.marks, a.slope, a.intercept, a.frame) != (b.marks, b.slope, b.intercept, b.frame):
        return False
    if not _close(a.position_mm, b.position_mm, SAME_PLACE_MM):
        return False
    return _digest(a, digests) == _digest(b, digests)


def _digest(image: SliceHeader, digests: dict[object, bytes]) -> bytes:
    """Hash of a file's pixel data as stored; a file that cannot be read is like no other."""
    if image.path not in digests:
        try:
            with reading_quietly():
                pixels = pydicom.dcmread(image.path, specific_tags=["PixelData"], force=True).get("PixelData")
            digests[image.path] = hashlib.sha256(pixels or show(image.path).encode()).digest()
        except BROKEN_VALUE:
            digests[image.path] = show(image.path).encode()
    return digests[image.path]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
