"""Sliding windows of entities: their state, their life, their incidents."""
