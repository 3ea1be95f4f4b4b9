"""Online detectors, one algorithm per file."""
