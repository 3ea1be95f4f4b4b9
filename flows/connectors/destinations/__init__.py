"""The protocols that SIEMs take records by, one to a file."""
