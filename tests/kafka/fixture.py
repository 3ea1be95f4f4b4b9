"""The broker of a test session."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from tests.kafka.cluster import Broker, Cluster
from tests.kafka.endpoint import Endpoint
from tests.kafka.errors import Unavailable
from tests.kafka.secured import SecuredBroker

EXISTING = "KAFKA_BOOTSTRAP"
Made = TypeVar("Made", bound=Cluster)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Endpoint]:
    """One broker for all tests that ask for it: this session's own, or the one that KAFKA_BOOTSTRAP names.

    Tests share it, so each makes topics of its own (`kafka.topic("events")`) and leaves the broker up.
    """
    existing = os.environ.get(EXISTING)
    if existing:
        yield Endpoint(existing)
        return
    with here(Broker) as broker:
        yield broker


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredBroker]:
    """One broker with TLS for all tests that ask for it: see its `scram` and `mutual`."""
    with here(SecuredBroker) as broker:
        yield broker


def here(make: Callable[..., Made], *arguments: Any, **options: Any) -> Made:
    """A broker or cluster of a test's own. The test counts as not run where this machine cannot have one."""
    try:
        return make(*arguments, **options)
    except Unavailable as error:
        pytest.skip(str(error))


def own_broker(**options: Any) -> Broker:
    """A broker for one test alone."""
    return here(Broker, **options)
