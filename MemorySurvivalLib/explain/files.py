"""An explanation as files and as the part of a result's record that tells it in numbers."""

from __future__ import annotations

from pathlib import Path

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.explain.explanation import Explanation, summarise
from MemorySurvivalLib.explain.heatmap import MEANING, UNIT
from MemorySurvivalLib.explain.hotspots import Hotspot
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.report.record import HeatmapRecord, HotspotRecord, OutsideRecord

FILE = "heatmap.nrrd"


def write_heatmaps(folder: Path, case: Case, explanation: Explanation, *, every: bool = False) -> dict[str, str]:
    """Write the map, or every map, of an explanation into a folder; names by key.

    The images run along the original CT's axes and are cropped to the region's box.
    """
    heatmap = explanation.heatmap
    maps: dict[str, Volume | None] = {"heatmap": heatmap.effect}
    if every:
        maps |= {f"heatmap_{modality}": volume for modality, volume in heatmap.effects.items()}
        maps |= {"agreement": explanation.agreement, "gradient": explanation.gradient}
    names = {}
    for key, volume in maps.items():
        if volume is not None:
            turned = volume.reoriented(case.orientation)
            attributes = {**turned.attributes, "research_use": RESEARCH_USE}
            write_volume(Volume(turned.voxels, turned.affine, attributes), folder / f"{key}.nrrd")
            names[key] = f"{key}.nrrd"
    return names


def heatmap_record(explanation: Explanation) -> HeatmapRecord:
    """The explanation in numbers."""
    heatmap = explanation.heatmap
    voxels = heatmap.effect.voxels
    return HeatmapRecord(
        file=FILE,
        unit=UNIT,
        meaning=MEANING,
        patch_mm=heatmap.config.patch_mm,
        stride_mm=heatmap.config.stride_mm,
        fill=heatmap.config.fill,
        fill_values=heatmap.fills,
        patches=heatmap.patches,
        covered=heatmap.covered,
        encoded_slices=explanation.encoded_slices,
        minimum=float(voxels.min()),
        maximum=float(voxels.max()),
        limit=heatmap.display_limit,
        hotspots=tuple(_hotspot_record(number, one) for number, one in enumerate(heatmap.hotspots, start=1)),
        noise_floor=heatmap.noise_floor,
        modalities=heatmap.config.modalities,
        coarse=heatmap.config.coarse,
        resumed=explanation.resumed,
        whole_roi_effect=explanation.whole_roi_effect,
        summed_effect=explanation.summed_effect,
        outside=tuple(OutsideRecord(one.organ, one.effect) for one in explanation.outside),
        organs_unknown=explanation.organs_unknown,
        fill_agreement=explanation.fill_agreement,
        summary=summarise(explanation),
    )


def _hotspot_record(number: int, hotspot: Hotspot) -> HotspotRecord:
    x, y, z = hotspot.position_lps_mm
    return HotspotRecord(
        position_lps_mm=(x, y, z),
        position_ras_mm=(-x, -y, z),
        effect=hotspot.effect,
        number=number,
        site=hotspot.site,
        share=hotspot.share,
        volume_ml=hotspot.volume_ml,
        agreed=hotspot.agreed,
    )
