"""What is to be known of a bundle before it is used, in plain values: from its manifest, its file, the weights store.

A viewer makes its sentences of these; what a bundle may show is still decided in `rights` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from MemorySurvivalLib.bundle.archive import CARD, Archive, read_archive
from MemorySurvivalLib.bundle.manifest import BackboneEntry, HeadEntry, Manifest, Provenance
from MemorySurvivalLib.bundle.registry import bundle_folders
from MemorySurvivalLib.bundle.rights import decide_rights
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.memory.weights_releases import Release
from MemorySurvivalLib.memory.weights_store import WeightsStore
from MemorySurvivalLib.risk.covariate_fields import CovariateField
from MemorySurvivalLib.roi.roi import RoiKind

WeightsState = Literal["bundled", "present", "absent", "damaged"]


@dataclass(frozen=True)
class Shown:
    """Which results a head may show of one kind of case; the log-risk and the heatmap it always may."""

    position: bool
    group: bool
    survival: bool
    labels: tuple[str, ...]


@dataclass(frozen=True)
class FieldSummary:
    """One covariate as a form asks for it (see `CovariateField`)."""

    name: str
    title: str
    unit: str
    low: float
    high: float
    levels: tuple[str, ...]

    @classmethod
    def of(cls, field: CovariateField) -> FieldSummary:
        return cls(field.name, field.title, field.unit, field.low, field.high, field.levels)


@dataclass(frozen=True)
class HeadSummary:
    """One head: what it looks at, which covariates it takes (none: images only), and what it may show.

    `real` and `simulated` are about cases whose region is of the bundle's kind. `horizon_months` is that of the
    survival curve, None where there is no calibration. `statistics` are titles of the numbers that it reads of the
    region beside its memory, such as "SUVmax".
    """

    name: str
    modalities: tuple[str, ...]
    covariates: tuple[FieldSummary, ...]
    reference: str | None
    reference_cases: int
    metrics: dict[str, float]
    horizon_months: float | None
    real: Shown
    simulated: Shown
    statistics: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightsNeed:
    """The backbone's weights: inside the bundle, or a file of the weights store that has to be there.

    For a published release its size, address and licence, so that a person can be asked before it is fetched. `name` is
    what the file is called in the store.
    """

    state: WeightsState
    name: str
    architecture: str
    sha256: str
    size_bytes: int | None = None
    url: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    restriction: str | None = None


@dataclass(frozen=True)
class BundleSummary:
    """A sound bundle. `sha256` is that of the whole file: there is no signature, so this is what can be compared."""

    name: str
    path: str
    shipped: bool
    title: str
    version: str
    status: str
    licence: str
    sha256: str
    roi: RoiKind
    slice_step: int
    most_slices: int | None
    heads: tuple[HeadSummary, ...]
    weights: WeightsNeed
    provenance: Provenance
    patch_mm: float
    stride_mm: float
    card: str
    damaged: str = ""


@dataclass(frozen=True)
class DamagedBundle:
    """A file that cannot be used as a bundle, and why, in one sentence."""

    name: str
    path: str
    shipped: bool
    damaged: str


def summarize_bundles(store: WeightsStore | None = None) -> list[BundleSummary | DamagedBundle]:
    """Every bundle that the registry knows, in its order; one that is damaged does not keep the others away."""
    store = store or WeightsStore()
    found: dict[str, BundleSummary | DamagedBundle] = {}
    for folder, shipped in bundle_folders():
        for path in sorted(folder.glob("*.msbundle")):
            if path.stem not in found:
                found[path.stem] = summarize_file(path, store, shipped=shipped)
    return list(found.values())


def summarize_file(path: Path, store: WeightsStore, *, shipped: bool = False) -> BundleSummary | DamagedBundle:
    """One file."""
    try:
        return summarize_bundle(read_archive(path), store, shipped=shipped)
    except BundleError as error:
        return DamagedBundle(path.stem, str(path), shipped, str(error))


def summarize_bundle(archive: Archive, store: WeightsStore, *, shipped: bool = False) -> BundleSummary:
    """A verified archive; its tensors are not loaded."""
    manifest = archive.manifest
    return BundleSummary(
        name=archive.path.stem,
        path=str(archive.path),
        shipped=shipped,
        title=manifest.title,
        version=manifest.version,
        status=manifest.status,
        licence=manifest.licence,
        sha256=archive.sha256,
        roi=manifest.roi,
        slice_step=manifest.propagation.slice_step,
        most_slices=manifest.propagation.most_slices,
        heads=tuple(_summarize_head(manifest, head) for head in manifest.heads),
        weights=find_need(manifest.backbone, store),
        provenance=manifest.provenance,
        patch_mm=manifest.explain.patch_mm,
        stride_mm=manifest.explain.stride_mm,
        card=archive.members[CARD].decode(errors="replace"),
    )


def find_need(backbone: BackboneEntry, store: WeightsStore) -> WeightsNeed:
    """Which weights a backbone needs and whether they are on this machine; a file is read only where it has changed."""
    if backbone.weights == "bundled":
        return WeightsNeed("bundled", backbone.release, backbone.architecture, backbone.sha256)
    release: Release | None = next((one for one in store.releases if one.sha256 == backbone.sha256), None)
    records = [record for record in store.records() if record.sha256 == backbone.sha256]
    state: WeightsState = "absent"
    if records:
        state = "present" if any(store.is_intact(record) for record in records) else "damaged"
    if release is None:
        return WeightsNeed(state, backbone.release, backbone.architecture, backbone.sha256)
    return WeightsNeed(
        state,
        release.name,
        backbone.architecture,
        backbone.sha256,
        release.size_bytes,
        release.url,
        release.licence.identifier,
        release.licence.text_url,
        release.restriction,
    )


def _summarize_head(manifest: Manifest, head: HeadEntry) -> HeadSummary:
    def shown(simulated: bool) -> Shown:
        rights = decide_rights(manifest, head, simulated_case=simulated, other_roi=False)
        return Shown(rights.position, rights.group, rights.survival, rights.labels)

    return HeadSummary(
        name=head.name,
        modalities=tuple(head.spec.modalities),
        covariates=tuple(FieldSummary.of(field) for field in head.covariates.fields) if head.covariates else (),
        reference=head.reference.description if head.reference else None,
        reference_cases=len(head.reference.log_risks) if head.reference else 0,
        metrics=head.metrics,
        horizon_months=head.calibration.horizon_months if head.calibration else None,
        real=shown(simulated=False),
        simulated=shown(simulated=True),
        statistics=tuple(STATISTICS[name].title for name in head.spec.statistics),
    )
