"""A second time point of the same patient: laid beside the first by the spine, and measured like it."""
