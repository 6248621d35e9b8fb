"""Taking in what the user has, image files or DICOM, as a CT in HU and a PET in SUVbw of one patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.acquisition import Acquisition, SuvRecord
from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
from MemorySurvivalLib.imaging.pet_quality import PetLimits, check_pet
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.dicom_series import DicomSeries, Found, Identity

FILE_ORIGIN = "image file"


@dataclass(frozen=True)
class ImageRequest:
    """Where the images are: a folder `study` that holds both as DICOM, or `ct` and `pet`, each an image file or DICOM.

    `ct_series` and `pet_series` choose among DICOM series, `supplied` states what a PET's tags do not,
    `confirm_identity` says that images of seemingly different patients or studies do belong together. Raises InputError
    unless exactly one of the two ways is taken.
    """

    ct: Path | None = None
    pet: Path | None = None
    study: Path | None = None
    ct_series: str | None = None
    pet_series: str | None = None
    supplied: Supplied = field(default_factory=Supplied)
    confirm_identity: bool = False
    covariates_patient_id: str | None = None

    def __post_init__(self) -> None:
        if self.study is not None and (self.ct or self.pet):
            raise InputError("Give either --study or --ct and --pet, not both.")
        if self.study is None and not (self.ct and self.pet):
            raise InputError("Give the images: --ct and --pet, or --study with a DICOM folder that holds both.")


@dataclass(frozen=True, eq=False)
class Intake:
    """CT (HU) and PET (SUVbw), each on its own grid, their names for sentences, and what is known of their origin.

    `identity` says whom the CT is of, to compare masks with; it goes into no record.
    """

    ct: Volume
    pet: Volume
    names: Mapping[Modality, str]
    acquisition: Acquisition
    notes: tuple[str, ...]
    identity: Identity | None = None


def take_in(
    request: ImageRequest, limits: PetLimits | None = None, progress: ProgressCallback = ignore_progress
) -> Intake:
    """Read the images that a request names; a DICOM PET is converted to SUVbw and judged against `limits`.

    Raises InputError with one sentence for images that cannot be used, IdentityMismatch for images of different
    patients or studies, MissingPetTags where the SUV needs values that the user must supply.
    """
    found, about = _choose(request, progress)
    if "CT" in found:
        from MemorySurvivalLib.imaging.dicom_pixels import read_series

        ct = read_series(found["CT"], progress)
    else:
        ct = read_volume(_given(request.ct), "CT")
    pet, suv, flags = _read_pet(request, found.get("PET"), limits, progress)
    names: dict[Modality, str] = {
        "CT": str(found["CT"].folder if "CT" in found else request.ct),
        "PET": str(found["PET"].folder if "PET" in found else request.pet),
    }
    origin: dict[Modality, str] = {"CT": _origin(found.get("CT")), "PET": _origin(found.get("PET"))}
    whose = found["CT"].identity if "CT" in found else None
    notes = (*about, *(flag.sentence for flag in flags))
    return Intake(ct, pet, names, Acquisition(origin, suv, flags, about), notes, whose)


def read_pet_grid(path: Path, progress: ProgressCallback = ignore_progress) -> Volume:
    """A PET (image file or DICOM) for its grid alone: the values are as stored, not SUV."""
    if not is_dicom_source(path):
        return read_volume(path, "PET")
    from MemorySurvivalLib.imaging.dicom_pixels import read_series
    from MemorySurvivalLib.imaging.dicom_scan import scan
    from MemorySurvivalLib.imaging.study import choose_one

    return read_series(choose_one(scan(path, progress), "PET"), progress)


def _choose(request: ImageRequest, progress: ProgressCallback) -> tuple[dict[Modality, DicomSeries], tuple[str, ...]]:
    """The DICOM series among the inputs (image files have none), and sentences on them and on whose images they are."""
    dicom = {name for name, path in (("CT", request.ct), ("PET", request.pet)) if path and is_dicom_source(path)}
    if request.study is None and not dicom:
        return {}, _check_identity(request, {})
    # pydicom takes a quarter of a second to load; only DICOM needs it.
    from MemorySurvivalLib.imaging.dicom_scan import scan
    from MemorySurvivalLib.imaging.study import choose_one, choose_study

    if request.study is None and len(dicom) == 1:
        one: dict[Modality, DicomSeries]
        if "CT" in dicom:
            one = {"CT": choose_one(scan(_given(request.ct), progress), "CT", request.ct_series)}
        else:
            one = {"PET": choose_one(scan(_given(request.pet), progress), "PET", request.pet_series)}
        about = tuple(f"{name} {series.description}: {note}" for name, series in one.items() for note in series.notes)
        return one, (*_check_identity(request, one), *about)
    if request.study is not None:
        found = scan(request.study, progress)
    else:
        found = _merge(scan(_given(request.ct), progress), scan(_given(request.pet), progress))
    choice = choose_study(
        found,
        ct_series=request.ct_series,
        pet_series=request.pet_series,
        covariates_patient_id=request.covariates_patient_id,
        confirmed=request.confirm_identity,
    )
    return {"CT": choice.ct, "PET": choice.pet}, choice.notes


def _merge(ct: Found, pet: Found) -> Found:
    """CT series of one place and PET series of another, as one place to choose from."""
    series = (
        *(one for one in ct.series if one.modality != "PT"),
        *(one for one in pet.series if one.modality == "PT"),
    )
    return replace(ct, series=series, others=(*ct.others, *pet.others), problems=(*ct.problems, *pet.problems))


def _check_identity(request: ImageRequest, found: Mapping[Modality, DicomSeries]) -> tuple[str, ...]:
    if not found and not request.covariates_patient_id:
        return ()
    from MemorySurvivalLib.imaging.study_identity import check_identity

    ct, pet = found.get("CT"), found.get("PET")
    return check_identity(
        ct.identity if ct else None,
        pet.identity if pet else None,
        request.covariates_patient_id,
        confirmed=request.confirm_identity,
    )


def _read_pet(
    request: ImageRequest, series: DicomSeries | None, limits: PetLimits | None, progress: ProgressCallback
) -> tuple[Volume, SuvRecord | None, tuple[QualityFlag, ...]]:
    stated = request.supplied.stated()
    if series is None:
        if stated:
            raise InputError(
                f"The PET {request.pet} is an image file, which is taken to hold SUVbw; values for the conversion "
                f"({', '.join(stated)}) only make sense with a DICOM PET."
            )
        return read_volume(_given(request.pet), "PET"), None, ()
    from MemorySurvivalLib.imaging.dicom_pixels import read_series
    from MemorySurvivalLib.imaging.suv import convert_to_suv, suv_volume

    conversion = convert_to_suv(series.headers, request.supplied)
    pet = suv_volume(read_series(series, progress), conversion.factors)
    record = SuvRecord(conversion.method, conversion.uptake_min, dict(conversion.facts), stated)
    return pet, record, check_pet(conversion, limits)


def _origin(series: DicomSeries | None) -> str:
    if series is None:
        return FILE_ORIGIN
    return f'DICOM series "{series.description}" of {len(series.slices)} images'


def _given(path: Path | None) -> Path:
    if path is None:
        raise InputError("An image is missing from the request.")
    return path
