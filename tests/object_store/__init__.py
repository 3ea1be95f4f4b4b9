"""A real object store that speaks S3, started and stopped by the tests."""
