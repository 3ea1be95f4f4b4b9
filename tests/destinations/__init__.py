"""Strict servers of the protocols that SIEMs take records by: they check every byte, and misbehave when told to."""
