"""Reader studies: readers estimate the risk before they see the score; what they said is kept and compared."""
