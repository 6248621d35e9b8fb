"""Segmenters of bones and organs on CT behind one protocol: the built-in one and programs of others."""
