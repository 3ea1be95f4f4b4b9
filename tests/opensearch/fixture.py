"""The OpenSearch of a test session."""

from collections.abc import Iterator

import pytest

from tests.kafka.errors import Unavailable
from tests.opensearch.server import OpenSearch


@pytest.fixture(scope="session")
def opensearch() -> Iterator[OpenSearch]:
    """One node for all tests that ask for it; each makes indices of its own."""
    try:
        server = OpenSearch()
        with server:
            yield server
    except Unavailable as error:
        pytest.skip(str(error))
