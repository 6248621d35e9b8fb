"""Digital phantoms with known truth. Simulated data tests software, never myeloma."""
