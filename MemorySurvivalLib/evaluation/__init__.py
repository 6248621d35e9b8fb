"""How good predicted risks are: discrimination, calibration, net benefit, risk groups, and honest intervals of each."""
