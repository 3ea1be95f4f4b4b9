"""Labelled attacks, one kind a file."""
