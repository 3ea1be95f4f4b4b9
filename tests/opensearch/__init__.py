"""A real OpenSearch, which speaks Elasticsearch's API, started and stopped by the tests."""
