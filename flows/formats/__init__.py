"""Bytes to types and back, pure functions; one file per source or target."""
