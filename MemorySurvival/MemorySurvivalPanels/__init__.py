"""The parts of the MemorySurvival panel inside Slicer, one concern a file; nothing here computes."""
