"""Results beside each other: two of one patient, a whole cohort, and reference cases with a similar burden."""
