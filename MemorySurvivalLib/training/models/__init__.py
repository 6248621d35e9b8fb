"""Survival models of the study, from a stage table to networks on memory states; nothing here is needed for scoring."""
