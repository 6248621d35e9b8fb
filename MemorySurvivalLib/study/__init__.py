"""The study: simulated cohorts embedded once, every kind of model judged on them against the known truth."""
