"""The heatmap as a DICOM Parametric Map (PS3.3 section A.75) of single-precision numbers, cropped to the region."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import DeflatedExplicitVRLittleEndian

from MemorySurvivalLib import __version__
from MemorySurvivalLib.dicom_out.codes import RATIO, private, scheme_item
from MemorySurvivalLib.dicom_out.envelope import MANUFACTURER, MODEL_NAME, Envelope, describe
from MemorySurvivalLib.dicom_out.placing import Placed
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.report.record import HeatmapRecord

WORDS = "Heatmap, change of log-risk"


def write_heatmap(
    placed: Placed,
    record: HeatmapRecord,
    series: DicomSeries,
    stands: Sequence[Dataset],
    envelope: Envelope,
    labels: Sequence[str],
    *,
    series_number: int,
    deflate: bool = False,
) -> ParametricMap:
    """The map with the real-world value "change of log-risk" (no unit); a frame for each slice, with its own origin.

    Frames hold the region's box alone, so rows and columns differ from the source's; each frame refers to the source
    image at its place. Float pixels cannot be compressed by any image codec of the standard; `deflate` packs the whole
    data set losslessly instead (PS3.5 section A.5), by which zeros outside the region take no room.
    """
    values = np.ascontiguousarray(placed.voxels, dtype=np.float32)
    slices = list(placed.slices)
    chosen = [stands[i] for i in slices]
    origins = [_origin(stand, placed.start_zyx) for stand in chosen]
    limit = float(np.abs(values).max(initial=0.0)) or 1.0
    mapping = RealWorldValueMapping(
        lut_label="LOG_RISK_CHANGE",
        lut_explanation="Change of log-risk when the place is occluded",
        unit=RATIO,
        value_range=(-limit, limit),
        slope=1.0,
        intercept=0.0,
        quantity_definition=private("LOG_RISK_CHANGE"),
    )
    spacing_mm = series.affine.spacing_mm if series.affine else (1.0, 1.0, 1.0)
    shown = record.limit or limit
    found = ParametricMap(
        source_images=chosen,
        pixel_array=values,
        series_instance_uid=envelope.uids.make(WORDS, "series"),
        series_number=series_number,
        sop_instance_uid=envelope.uids.make(WORDS),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=__version__,
        device_serial_number=envelope.serial,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        **_window_argument(shown),
        content_description=describe(WORDS, labels),
        content_label="HEATMAP",
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=[float(v) for v in stands[0].PixelSpacing],
            slice_thickness=float(stands[0].SliceThickness),
            spacing_between_slices=round(spacing_mm[2], 6),
        ),
        plane_orientation=hd.PlaneOrientationSequence(
            coordinate_system=hd.CoordinateSystemNames.PATIENT,
            image_orientation=[float(v) for v in stands[0].ImageOrientationPatient],
        ),
        plane_positions=[
            hd.PlanePositionSequence(coordinate_system=hd.CoordinateSystemNames.PATIENT, image_position=origin)
            for origin in origins
        ],
        coding_schemes=[scheme_item()],
    )
    found.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [_window(shown)]
    found.BodyPartExamined = "WHOLEBODY"
    _refer(found, chosen, origins)
    envelope.finish(found, WORDS, series_number, labels)
    if deflate:
        found.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return found


def _window_argument(limit: float) -> dict[str, Any]:
    """The window as this highdicom wants it: 0.27, which Slicer brings, knows two numbers, later ones a list."""
    if "voi_lut_transformations" in inspect.signature(ParametricMap.__init__).parameters:
        return {"voi_lut_transformations": [hd.VOILUTTransformation(window_center=0.0, window_width=2.0 * limit)]}
    return {"window_center": 0.0, "window_width": 2.0 * limit}


def _window(limit: float) -> Dataset:
    """The report's own window; plain LINEAR allows no width below 1."""
    item = Dataset()
    item.WindowCenter, item.WindowWidth = "0", f"{2.0 * limit:.6g}"
    item.WindowCenterWidthExplanation = "as in the report"
    item.VOILUTFunction = "LINEAR_EXACT"
    return item


def _origin(stand: Dataset, start_zyx: tuple[int, int, int]) -> tuple[float, float, float]:
    """Centre of the first voxel of a cropped frame, LPS mm."""
    row, column = np.array(stand.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    down_mm, across_mm = (float(v) for v in stand.PixelSpacing)
    _, y, x = start_zyx
    place = np.array(stand.ImagePositionPatient, dtype=np.float64) + row * across_mm * x + column * down_mm * y
    return float(place[0]), float(place[1]), float(place[2])


def _refer(found: ParametricMap, stands: Sequence[Dataset], origins: Sequence[tuple[float, float, float]]) -> None:
    """Say for each frame which source image lies there; a cropped frame has another origin, so it is not inferred."""
    by_place = {_key(origin): stand for origin, stand in zip(origins, stands, strict=True)}
    for frame in found.PerFrameFunctionalGroupsSequence:
        stand = by_place[_key(frame.PlanePositionSequence[0].ImagePositionPatient)]
        source = Dataset()
        source.ReferencedSOPClassUID = stand.SOPClassUID
        source.ReferencedSOPInstanceUID = stand.SOPInstanceUID
        source.SpatialLocationsPreserved = "YES"
        source.PurposeOfReferenceCodeSequence = [
            hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        derivation = Dataset()
        derivation.DerivationCodeSequence = [private("OCCLUSION")]
        derivation.SourceImageSequence = [source]
        frame.DerivationImageSequence = [derivation]


def _key(place: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(v), 3) for v in place)
