"""The broker of a test session."""

import os
from collections.abc import Iterator

import pytest

from tests.kafka.cluster import Broker
from tests.kafka.endpoint import Endpoint
from tests.kafka.errors import Unavailable

EXISTING = "KAFKA_BOOTSTRAP"


@pytest.fixture(scope="session")
def kafka() -> Iterator[Endpoint]:
    """One broker for all tests that ask for it: this session's own, or the one that KAFKA_BOOTSTRAP names.

    Tests share it, so each makes topics of its own (`kafka.topic("events")`) and leaves the broker up.
    """
    existing = os.environ.get(EXISTING)
    if existing:
        yield Endpoint(existing)
        return
    with own_broker() as broker:
        yield broker


def own_broker(**how: object) -> Broker:
    """A broker for one test alone. The test counts as not run where this machine cannot have one."""
    try:
        return Broker(**how)
    except Unavailable as error:
        pytest.skip(str(error))
