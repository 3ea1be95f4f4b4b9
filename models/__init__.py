"""Pure arithmetic over arrays: no I/O, no clock, no log, no global state."""
