"""Functions over plain arrays, compiled as they stand; no classes."""
