"""One dataflow operator per file."""
