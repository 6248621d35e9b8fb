"""Embedded cases on disk: one file a case while work goes on, then part files of some cases, small enough to commit."""

from __future__ import annotations

import json
import lzma
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.study.configuration import EXTRAS, Extra
from MemorySurvivalLib.study.embedding import EmbeddedCase, split_key
from MemorySurvivalLib.study.imagenet import IMAGENET

NOTICE = f"Simulated patients, not persons. {RESEARCH_USE}."
SUFFIX = ".shuffled.xz"
"""Of parts: safetensors, every first byte of two before every second one, then xz: 40 % smaller without loss."""


EXTRA_WORDS: Mapping[Extra, str] = {"small": "small maps", "imagenet": "ImageNet vectors"}


class CaseNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a case beside tensors.

    Covariates, outcome and truth are not kept: they follow from the scenario, the cohort's seed and the number in a
    millisecond, and differ between scenarios that share the images. `image_seed` and `site` prove that they belong.
    `seconds` is the processor time of the embedding without simulation, `computed_on` the device where it matters.
    """

    number: int
    image_seed: int
    site: str
    statistics: dict[str, float]
    slices: dict[str, int]
    step: int
    seconds: float
    computed_on: str = ""


class PartNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of itself; one entry of its metadata, because several would be written in any order."""

    notice: str
    embedding: str
    images: str
    seed: int
    cases: list[CaseNote]


@dataclass(frozen=True)
class PartFolder:
    """The folder of one cohort's parts under one embedding: `case-N` files and `part-N` files of `size` cases."""

    path: Path
    embedding: str
    images: str
    seed: int
    size: int

    @classmethod
    def of(cls, root: Path, embedding: str, images: str, seed: int, size: int) -> PartFolder:
        """Where they lie under the study's folder; other embeddings and other images have folders of their own."""
        return cls(root / f"embedding-{embedding[:12]}" / f"{images}-seed-{seed}", embedding, images, seed, size)

    def case(self, number: int) -> Path:
        """The file of one case while its part is not complete."""
        return self.path / "cases" / f"case-{number:05d}.safetensors"

    def part(self, index: int, extra: Extra | None = None) -> Path:
        """The file of cases `index * size` and on, or of what is kept beside it."""
        return self.path / f"part-{index:04d}{f'-{extra}' if extra else ''}{SUFFIX}"

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Those of the numbers that are in no file."""
        whole = {index for index in {n // self.size for n in numbers} if self.part(index).exists()}
        return [n for n in numbers if n // self.size not in whole and not self.case(n).exists()]

    def reached(self, most: int) -> int:
        """How many cases there are from number 0 on without a gap."""
        gaps = self.missing(range(most))
        return gaps[0] if gaps else most

    def write_case(self, note: CaseNote, embedded: EmbeddedCase) -> None:
        """Keep one case."""
        tensors = {**embedded.vectors, **embedded.maps, **embedded.small_maps}
        self._write(self.case(note.number), {name: one[None] for name, one in tensors.items()}, [note])

    def join(self, index: int) -> bool:
        """Join the cases of a part into its file, when all are there; extras go to files of their own."""
        numbers = range(index * self.size, (index + 1) * self.size)
        if self.part(index).exists() or not all(self.case(n).exists() for n in numbers):
            return False
        cases = [self._read(self.case(n)) for n in numbers]
        notes = [note for _tensors, one in cases for note in one]
        for extra in (*EXTRAS, None):  # the part itself last: it says that all is there
            names = [name for name in cases[0][0] if _extra(name) == extra]
            joined = {name: torch.cat([tensors[name] for tensors, _notes in cases]) for name in names}
            if joined:
                self._write(self.part(index, extra), joined, notes)
        for n in numbers:
            self.case(n).unlink()
        return True

    def read(self, most: int, extras: Collection[Extra] = ()) -> tuple[dict[str, torch.Tensor], list[CaseNote]]:
        """Tensors (n, ...) and notes of the first cases, at most `most`, as many as there are without a gap.

        `extras` must be kept of all of these. Raises InputError where a file is missing, damaged or of another study.
        """
        count = self.reached(most)
        tensors: dict[str, list[torch.Tensor]] = {}
        notes: list[CaseNote] = []
        number = 0
        while number < count:
            index = number // self.size
            in_part = self.part(index).exists()
            found, own = self._read(self.part(index) if in_part else self.case(number))
            for extra in extras if in_part else ():
                if not self.part(index, extra).exists():
                    raise InputError(
                        f"{self.part(index, extra)} with the {EXTRA_WORDS[extra]} of these cases is missing; fetch it, "
                        "or fit fewer."
                    )
                found |= self._read(self.part(index, extra))[0]
            for name, values in found.items():
                kept = _extra(name)
                if kept is None or kept in extras:
                    tensors.setdefault(name, []).append(values)
            notes += own
            number += len(own)
        return {name: torch.cat(values)[:count] for name, values in tensors.items()}, notes[:count]

    def bytes_used(self) -> int:
        """The size of all files."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file()) if self.path.exists() else 0

    def _write(self, path: Path, tensors: Mapping[str, torch.Tensor], notes: Sequence[CaseNote]) -> None:
        note = PartNote(NOTICE, self.embedding, self.images, self.seed, list(notes))
        metadata = {"part": msgspec.json.encode(note).decode()}
        content = safetensors.torch.save({name: one.contiguous() for name, one in tensors.items()}, metadata)
        with atomic_file(path) as temporary:
            temporary.write_bytes(_pack(content) if path.name.endswith(SUFFIX) else content)

    def _read(self, path: Path) -> tuple[dict[str, torch.Tensor], list[CaseNote]]:
        try:
            content = path.read_bytes()
            content = _unpack(content) if path.name.endswith(SUFFIX) else content
            tensors = safetensors.torch.load(content)
            length = int.from_bytes(content[:8], "little")
            note = msgspec.json.decode(content[8 : 8 + length], type=_Header).metadata["part"]
        except (OSError, KeyError, lzma.LZMAError, safetensors.SafetensorError, msgspec.MsgspecError) as error:
            raise InputError(
                f"The part {path} of the study is damaged ({error}); delete it and embed again."
            ) from error
        if (note.embedding, note.images, note.seed) != (self.embedding, self.images, self.seed):
            raise InputError(f"{path} belongs to another embedding or cohort; keep it in another folder.")
        return tensors, note.cases


class _Header(msgspec.Struct):
    """The part of a safetensors header that holds our note: JSON within JSON."""

    raw: dict[str, str] = msgspec.field(name="__metadata__")

    @property
    def metadata(self) -> dict[str, PartNote]:
        return {name: msgspec.json.decode(text, type=PartNote) for name, text in self.raw.items() if name == "part"}


def _extra(key: str) -> Extra | None:
    """Beside the part goes what is kept of the first cases alone."""
    _modality, _roi, readout, kind = split_key(key)
    return "small" if kind == "small" else "imagenet" if readout == IMAGENET else None


def _pack(content: bytes) -> bytes:
    """float16 numbers have even lengths, and so have safetensors' padded headers."""
    return lzma.compress(content[::2] + content[1::2], preset=6)


def _unpack(packed: bytes) -> bytes:
    shuffled = lzma.decompress(packed)
    half = (len(shuffled) + 1) // 2
    content = bytearray(len(shuffled))
    content[::2], content[1::2] = shuffled[:half], shuffled[half:]
    return bytes(content)


def describe_folder(folder: PartFolder, most: int) -> dict[str, Any]:
    """What is there, for a page: cases reached, and mean processor seconds, slices and bytes a case."""
    _tensors, notes = folder.read(most)
    if not notes:
        return {"cases": 0}
    slices: dict[str, float] = {
        kind: round(sum(note.slices[kind] for note in notes) / len(notes), 1) for kind in notes[0].slices
    }
    return {
        "cases": len(notes),
        "cpu_seconds_a_case": round(sum(note.seconds for note in notes) / len(notes), 2),
        "mean_slices": slices,
        "bytes_a_case": round(folder.bytes_used() / len(notes)),
    }


def sort_json(value: Any) -> str:
    """JSON with sorted keys and a line end, so that committed files differ only where results do."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
