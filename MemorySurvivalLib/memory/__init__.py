"""The SAM 2 backbone and the memory state it leaves behind."""
