"""The table of backbone weights that others publish: where they are, what they hash to, what their licence asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from MemorySurvivalLib.errors import WeightsError


@dataclass(frozen=True)
class Licence:
    """A licence by its SPDX identifier, the version of its text and where that text stands."""

    identifier: str
    version: str
    text_url: str


CC_BY_SA_4 = Licence("CC-BY-SA-4.0", "4.0", "https://creativecommons.org/licenses/by-sa/4.0/legalcode.en")
APACHE_2 = Licence("Apache-2.0", "2.0", "https://www.apache.org/licenses/LICENSE-2.0")


@dataclass(frozen=True)
class Release:
    """One published checkpoint of sam2.1 hiera-tiny; its sha256 says what it is, its address only where to look.

    `restriction` is one sentence on what the file may be used for, shown before the user agrees to the licence.
    """

    name: str
    file: str
    size_bytes: int
    sha256: str
    licence: Licence
    url: str
    restriction: str

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or self.size_bytes <= 0:
            raise WeightsError(f"The release {self.name!r} needs a sha256 of 64 digits and a positive size.")

    @property
    def notice(self) -> str:
        """What the user is told before agreeing: name, size, licence and restriction, one fact a line."""
        return (
            f"{self.name}: {self.size_bytes / 1e6:.0f} MB from {self.url}\n"
            f"Licence: {self.licence.identifier} ({self.licence.text_url})\n"
            f"Use: {self.restriction}"
        )


_MEDSAM2_USE = (
    "research and education only, as its authors ask; MemorySurvival never passes these weights on, and neither may "
    "you without giving the authors credit and sharing alike."
)


def _medsam2(name: str, size_bytes: int, sha256: str) -> Release:
    revision = "e4a6f35edd7e091619cbc0750f462f1574e23955"
    url = f"https://huggingface.co/wanglab/MedSAM2/resolve/{revision}/{name}.pt"
    return Release(name, f"{name}.pt", size_bytes, sha256, CC_BY_SA_4, url, _MEDSAM2_USE)


RELEASES: tuple[Release, ...] = (
    _medsam2("MedSAM2_latest", 156_040_129, "c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060"),
    _medsam2("MedSAM2_CTLesion", 156_041_079, "78f7e125418dfd6fec22f4afe90bcd85cb1d4423d0a9df36f7a87ed63aa1a5f5"),
    Release(
        name="sam2.1_hiera_tiny",
        file="sam2.1_hiera_tiny.pt",
        size_bytes=156_008_466,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        licence=APACHE_2,
        url="https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt",
        restriction="as the Apache-2.0 licence allows; trained on natural images and videos, not on medical ones.",
    ),
)
"""MedSAM2 (arXiv 2504.03600) and the Meta checkpoint that it was fine-tuned from. Sizes and hashes are those that
third-party projects pin."""


def find_release(name: str, releases: Iterable[Release] = RELEASES) -> Release | None:
    """The release with this name or file name, whatever the case of its letters; None when there is none."""
    wanted = name.casefold()
    return next((r for r in releases if wanted in (r.name.casefold(), r.file.casefold())), None)
