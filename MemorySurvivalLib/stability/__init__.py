"""How far a score moves when choices change that should not matter."""
