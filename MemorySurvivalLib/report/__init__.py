"""What the user takes away: one report model and the formats made from it."""
