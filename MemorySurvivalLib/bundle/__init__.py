"""Model bundles: one file that holds everything a score needs, verified before anything in it is used."""
