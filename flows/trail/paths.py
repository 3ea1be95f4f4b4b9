"""A path of an endpoint as it becomes an entity: without the identifiers in it."""

import msgspec

from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from models.base import ENDPOINT


def templated(path: str) -> str:
    """A path as the trail's plain column has it. About 100 microseconds.

    >>> templated("/users/8f3a9c2e-0000-4000-8000-000000000000/keys"), templated("/v1/login"), templated("")
    ('/users/{id}/keys', '/v1/login', '')
    """
    batch = decode(raw_batch("", [msgspec.json.encode({"time": 1_793_577_600, "endpoint": path})]), Limits())
    if not len(batch):
        return path
    start, size = int(batch.name_start[ENDPOINT, 0]), int(batch.name_length[ENDPOINT, 0])
    return batch.names[start : start + size].tobytes().decode("utf-8", "replace")
