"""The table of tissues a phantom is made of, and the groups of them that others ask for."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """Label values of a phantom. Zero is air (and the table) outside the body."""

    OUTSIDE = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    VISCERAL_FAT = 4
    AIRWAY = 5
    LUNG = 6
    MEDIASTINUM = 7
    HEART_BLOOD = 8
    MYOCARDIUM = 9
    ARTERY = 10
    VEIN = 11
    LIVER = 12
    SPLEEN = 13
    STOMACH = 14
    GAS = 15
    PANCREAS = 16
    KIDNEY = 17
    RENAL_PELVIS = 18
    BLADDER = 19
    COLON = 20
    SMALL_BOWEL = 21
    GREY_MATTER = 22
    WHITE_MATTER = 23
    CEREBELLUM = 24
    EYE = 25
    SALIVARY_GLAND = 26
    CARTILAGE = 27
    DISC = 28
    SPINAL_CANAL = 29
    BREAST = 30
    IMPLANT = 31
    PROSTATE_UTERUS = 32
    THYROID = 33

    C1 = 41
    C2 = 42
    C3 = 43
    C4 = 44
    C5 = 45
    C6 = 46
    C7 = 47
    T1 = 48
    T2 = 49
    T3 = 50
    T4 = 51
    T5 = 52
    T6 = 53
    T7 = 54
    T8 = 55
    T9 = 56
    T10 = 57
    T11 = 58
    T12 = 59
    L1 = 60
    L2 = 61
    L3 = 62
    L4 = 63
    L5 = 64
    SACRUM = 65
    SKULL = 66
    MANDIBLE = 67
    STERNUM = 68
    RIBS_LEFT = 69
    RIBS_RIGHT = 70
    CLAVICLE_LEFT = 71
    CLAVICLE_RIGHT = 72
    SCAPULA_LEFT = 73
    SCAPULA_RIGHT = 74
    HUMERUS_LEFT = 75
    HUMERUS_RIGHT = 76
    HIP_LEFT = 77
    HIP_RIGHT = 78
    FEMUR_LEFT = 79
    FEMUR_RIGHT = 80
    FOREARM_LEFT = 81
    FOREARM_RIGHT = 82


VERTEBRAE: tuple[Tissue, ...] = tuple(Tissue(value) for value in range(Tissue.C1, Tissue.L5 + 1))
"""C1 to L5, from the top."""

BONES: tuple[Tissue, ...] = tuple(Tissue(value) for value in range(Tissue.C1, Tissue.FOREARM_RIGHT + 1))
"""Every bone; all of them have label values from C1 upwards."""
