"""Many cases one after the other: which there are, where each stands, and having them worked on unattended."""
