"""What the user chose: the parameter node that drives the panel and is saved with the scene."""

import enum
from typing import Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper


class Device(enum.Enum):
    """Where the worker computes; the values are those of the command line."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """The text in the list of devices."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CPU: _("Processor (CPU)"),
            Device.CUDA: _("NVIDIA graphics card (CUDA)"),
            Device.MPS: _("Apple graphics (MPS)"),
        }[self]


class Alignment(enum.Enum):
    """What is done about a PET that does not lie on the CT; the values are those of the command line."""

    CHECK = "check"
    CORRECT = "correct"
    OFF = "off"

    def label(self) -> str:
        """The text in the list."""
        return {
            Alignment.CHECK: _("Warn when they do not fit"),
            Alignment.CORRECT: _("Correct rigidly"),
            Alignment.OFF: _("Leave as it is"),
        }[self]


class Sex(enum.Enum):
    """What the user states about the patient's sex for the SUV; the values are DICOM's."""

    TAGS = ""
    F = "F"
    M = "M"
    O = "O"  # noqa: E741

    def label(self) -> str:
        """The text in the list."""
        return {Sex.TAGS: _("from the tags"), Sex.F: _("Female"), Sex.M: _("Male"), Sex.O: _("Other")}[self]


class Fill(enum.Enum):
    """What replaces tissue to see what it did; the values are the library's, empty for what the bundle says."""

    BUNDLE = ""
    ROI_MEDIAN = "roi_median"
    VOLUME_MEAN = "volume_mean"
    BLUR = "blur"

    def label(self) -> str:
        """The text in the list."""
        return {
            Fill.BUNDLE: _("As the model says"),
            Fill.ROI_MEDIAN: _("Median of the region"),
            Fill.VOLUME_MEAN: _("Mean of the image"),
            Fill.BLUR: _("Blurred tissue"),
        }[self]


class ExplainedImages(enum.Enum):
    """In which images tissue is replaced; the values are the library's modalities, empty for what the bundle says."""

    BUNDLE = ""
    BOTH = "PET,CT"
    PET = "PET"
    CT = "CT"

    def label(self) -> str:
        """The text in the list."""
        return {
            ExplainedImages.BUNDLE: _("As the model says"),
            ExplainedImages.BOTH: _("PET and CT"),
            ExplainedImages.PET: _("PET alone"),
            ExplainedImages.CT: _("CT alone"),
        }[self]


class MaskSource(enum.Enum):
    """Where masks come from; the values are the library's segmenters, and "existing" for a file."""

    BUILT_IN = "built-in"
    TOTALSEGMENTATOR = "totalsegmentator"
    MOOSE = "moose"
    FILE = "existing"

    def label(self) -> str:
        """The text in the list."""
        return {
            MaskSource.BUILT_IN: _("Built-in segmenter"),
            MaskSource.TOTALSEGMENTATOR: _("TotalSegmentator"),
            MaskSource.MOOSE: _("MOOSE"),
            MaskSource.FILE: _("Segmentation file"),
        }[self]


class MaskLabels(enum.Enum):
    """What the labels of a segmentation file mean; the values are those of the library."""

    OWN = ""
    ONE_MASK = "mask"
    TOTALSEGMENTATOR = "totalsegmentator"
    MOOSE = "moose:clin_ct_vertebrae"

    def label(self) -> str:
        """The text in the list."""
        return {
            MaskLabels.OWN: _("As the file says"),
            MaskLabels.ONE_MASK: _("All labels are one mask"),
            MaskLabels.TOTALSEGMENTATOR: _("TotalSegmentator's numbers"),
            MaskLabels.MOOSE: _("MOOSE's numbers of vertebrae"),
        }[self]


@parameterNodeWrapper
class ScoreParameters:
    """One case to score and how.

    ct, pet - the two images; a pet that is not of DICOM in SUVbw (g/mL).
    roi - a segmentation or a label map; empty lets the library find the region itself.
    segment_id - which segment of the segmentation.
    covariates - path of a CSV file, or nothing.
    bundle - name of the model bundle.
    device, explain, allow_other_roi - as on the command line.
    alignment, measure - as on the command line.
    prior_ct, prior_pet - an earlier study of the same patient.
    worklist, worklist_out - the review list and the folder of its results; worklist_case - which of its cases is open.
    reviewer - who finishes cases of the list.
    reader_study - whether scores are covered until the reader's own estimate; reader_folder, reader_name,
    reader_session - which study, who reads, and how often; reader_case, reader_ct, reader_pet - the case begun last.
    heatmap - the volume that the last explained run produced, or that the user chose again.
    explain_patch_mm, explain_stride_mm - as texts in C locale; empty: as the bundle says.
    explain_fill, explain_images, explain_quick - what replaces tissue, in which images, and whether coarsely first.
    mask_source, mask_file, mask_labels - what makes masks; the file to read them from and what its labels mean.
    score_without_accepting - scoring does not wait until a person has accepted the mask.
    show_boxes - whether the prompt boxes lie over the slice views.
    pet_dose_mbq ... pet_sex - what the user states about the PET where its tags do not, as typed; empty: from the tags.
    pet_values_of - the node identifier of the PET that these were typed for, so that they never serve another.
    covariate_values - clinical values that were typed or filled in, with their sources, as JSON in C locale.
    covariate_values_of - the images that these and the file were given for, so that they never serve another patient.
    check_stability - measure, with every score, how far it moves under small changes.
    worklist_outcomes - a CSV file with the outcomes of the list's cases, or nothing.
    staging_values - laboratory and FISH values for the staging scores, as JSON in C locale.
    """

    ct: slicer.vtkMRMLScalarVolumeNode
    pet: slicer.vtkMRMLScalarVolumeNode
    # Slicer's wrapper reads typing.Union on every version that we support.
    roi: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    segment_id: str = ""
    covariates: str = ""
    bundle: str = "demonstration"
    device: Device = Device.AUTO
    explain: bool = False
    allow_other_roi: bool = False
    alignment: Alignment = Alignment.CHECK
    measure: bool = False
    pet_dose_mbq: str = ""
    pet_injected: str = ""
    pet_scanned: str = ""
    pet_half_life_s: str = ""
    pet_weight_kg: str = ""
    pet_height_m: str = ""
    pet_sex: Sex = Sex.TAGS
    pet_values_of: str = ""
    explain_patch_mm: str = ""
    explain_stride_mm: str = ""
    explain_fill: Fill = Fill.BUNDLE
    explain_images: ExplainedImages = ExplainedImages.BUNDLE
    explain_quick: bool = False
    mask_source: MaskSource = MaskSource.BUILT_IN
    mask_file: str = ""
    mask_labels: MaskLabels = MaskLabels.OWN
    score_without_accepting: bool = False
    show_boxes: bool = False
    worklist: str = ""
    worklist_out: str = ""
    worklist_case: str = ""
    reviewer: str = ""
    covariate_values: str = ""
    covariate_values_of: str = ""
    staging_values: str = ""
    reader_study: bool = False
    reader_folder: str = ""
    reader_name: str = ""
    reader_session: str = "1"
    reader_case: str = ""
    heatmap: slicer.vtkMRMLScalarVolumeNode
    reader_ct: slicer.vtkMRMLScalarVolumeNode
    reader_pet: slicer.vtkMRMLScalarVolumeNode
    prior_ct: slicer.vtkMRMLScalarVolumeNode
    prior_pet: slicer.vtkMRMLScalarVolumeNode
    check_stability: bool = False
    worklist_outcomes: str = ""
