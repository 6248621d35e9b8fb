"""From image files to a case: PET and CT as typed volumes on one grid."""
