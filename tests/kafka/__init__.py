"""A real Apache Kafka, started and stopped by whoever needs one: tests, benchmarks, demos, people (`make kafka`)."""
