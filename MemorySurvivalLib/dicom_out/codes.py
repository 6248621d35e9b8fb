"""Coded concepts of the DICOM objects: those of the standard that are used, and this project's private ones."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from MemorySurvivalLib.roi import segments

SCHEME = "99MEMSURV"
SCHEME_NAME = "MemorySurvival private codes"

PRIVATE: dict[str, str] = {
    "RISK_ESTIMATE": "Estimate of progression-free survival risk",
    "LOG_RISK": "Log-risk relative to the mean of the training cohort",
    "RISK_POSITION": "Share of reference cases with a lower log-risk",
    "RISK_GROUP": "Risk group as frozen in training",
    "RISK_GROUP_VALUE": "Name of a risk group",
    "PET_WEIGHT": "Weight of the PET in the fused score",
    "PFS_AT_HORIZON": "Progression-free survival probability at the horizon",
    "PFS_HORIZON": "Horizon of the survival prediction",
    "MODEL_STATUS": "Evidence behind the model",
    "STATUS_DEMO": "Demonstration: learned from simulated cases only",
    "STATUS_LOCAL": "Local research model, not validated elsewhere",
    "STATUS_VALID": "Validated model",
    "STABILITY": "Stability of the score",
    "STABLE": "No change that was tried moved the score much",
    "SENSITIVE": "A change that was tried moved the score",
    "NOT_JUDGED": "Stability not judged",
    "LOG_RISK_LOWEST": "Lowest log-risk under the changes tried",
    "LOG_RISK_HIGHEST": "Highest log-risk under the changes tried",
    "LOG_RISK_CHANGE": "Change of log-risk when the place is occluded",
    "OCCLUSION": "Occlusion of image patches",
    "MODEL_INPUT": "Value of the region that the model read",
    "DIFFUSE_UPTAKE": "Diffuse uptake, not counted as a lesion",
    "SPINE_DILATED": "Spine with canal and paramedullary tissue",
    "SKELETON": "Skeleton with dilated spine",
}
"""Code value (at most 16 characters) -> code meaning (at most 64). A value never changes its meaning; see
docs/dicom-results.md."""

HEADS_SIMULATED = "Demonstration: heads learned from simulated cases only"
"""Meaning of STATUS_DEMO where the backbone has seen more than phantoms."""

SUV_BODY_WEIGHT = CodedConcept("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight")
GRAM = CodedConcept("g", "UCUM", "gram")
MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")
MONTH = CodedConcept("mo", "UCUM", "month")
HOUNSFIELD = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
RATIO = CodedConcept("1", "UCUM", "no units")

LESION = CodedConcept.from_code(codes.SCT.Lesion)
ABNORMAL = CodedConcept.from_code(codes.SCT.MorphologicallyAbnormalStructure)
ANATOMY = CodedConcept("123037004", "SCT", "Anatomical Structure")
TISSUE = CodedConcept("85756007", "SCT", "Tissue")
PROCEDURE = CodedConcept.from_code(codes.SCT.PETCTFDGImagingOfWholeBody)
ARTIFICIAL_INTELLIGENCE = CodedConcept.from_code(codes.DCM.ArtificialIntelligence)
MORPHOLOGY = CodedConcept.from_code(codes.DCM.MorphologicalOperations)

STATUS_VALUES = {"demonstration": "STATUS_DEMO", "local-research": "STATUS_LOCAL", "validated": "STATUS_VALID"}
STABILITY_VALUES = {"stable": "STABLE", "sensitive": "SENSITIVE", "not judged": "NOT_JUDGED"}


def private(value: str, meaning: str | None = None) -> CodedConcept:
    """A private concept by its code value; `meaning` replaces the wording where a bundle has its own."""
    return CodedConcept(value, SCHEME, (meaning or PRIVATE[value])[:64])


def concept(code: segments.Code) -> CodedConcept:
    """A code of the terminology as DICOM has it."""
    return CodedConcept(code.value, code.scheme, code.meaning[:64])


def scheme_item() -> CodingSchemeIdentificationItem:
    """What a reader is told of the private scheme (PS3.3 section C.12.1.1.7)."""
    return CodingSchemeIdentificationItem(
        SCHEME, name=SCHEME_NAME, responsible_organization="MemorySurvival project, docs/dicom-results.md"
    )
