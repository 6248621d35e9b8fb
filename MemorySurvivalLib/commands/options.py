"""Options that several commands share: which images, and what the user states about them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from MemorySurvivalLib.imaging.acquisition import Alignment
from MemorySurvivalLib.imaging.suv_supplied import add_pet_options, supplied_from

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.intake import ImageRequest


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """`ct`, `pet`, `study`, the choice among series, `alignment`, and what a PET's tags do not tell."""
    parser.add_argument("--ct", type=Path, help="CT in HU: NIfTI, NRRD, MHA, or DICOM (a folder or a file of it)")
    parser.add_argument("--pet", type=Path, help="PET: an image file in SUVbw g/mL, or DICOM")
    parser.add_argument("--study", type=Path, help="DICOM folder that holds CT and PET, instead of --ct and --pet")
    add_choice_options(parser)
    parser.add_argument(
        "--alignment",
        choices=get_args(Alignment),
        default="check",
        help="a PET beside the CT: warn (check), also move it rigidly (correct), or do not look (off); %(default)s",
    )
    add_pet_options(parser)


def add_choice_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose among DICOM series: `ct_series`, `pet_series` and `confirm_identity`."""
    parser.add_argument("--ct-series", metavar="KEY", help="use this CT (a key from `inspect`)")
    parser.add_argument("--pet-series", metavar="KEY", help="use this PET (a key from `inspect`)")
    parser.add_argument(
        "--confirm-identity",
        action="store_true",
        help="images that seem to be of different patients or studies do belong together (this is recorded)",
    )


def images_from(options: argparse.Namespace) -> ImageRequest:
    """The images that the options name. Raises InputError where they do not add up."""
    from MemorySurvivalLib.imaging.intake import ImageRequest

    return ImageRequest(
        ct=options.ct,
        pet=options.pet,
        study=options.study,
        ct_series=options.ct_series,
        pet_series=options.pet_series,
        supplied=supplied_from(options),
        confirm_identity=options.confirm_identity,
    )
