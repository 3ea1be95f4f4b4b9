"""The object store of a test session."""

from collections.abc import Iterator

import pytest

from tests.kafka.errors import Unavailable
from tests.object_store.server import ObjectStore


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One server for all tests that ask for it; each makes a bucket of its own."""
    try:
        server = ObjectStore()
        with server:
            yield server
    except Unavailable as error:
        pytest.skip(str(error))
