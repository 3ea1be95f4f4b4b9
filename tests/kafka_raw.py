"""Records that the Python client refuses to make: header names of any bytes, timestamps of any number."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import cimpl

from tests.kafka.endpoint import Endpoint

_PRODUCER = 0
_COPY = 0x2
_TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _TIMESTAMP, _HEADERS = 1, 3, 4, 5, 7, 8, 10
_FLUSH_MS = 60_000


class RawRecord(NamedTuple):
    """A record as it goes over the wire; timestamp 0 is the client's clock."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    timestamp: int = 0


class _Memory(ctypes.Structure):
    _fields_ = (("at", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Union(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p), ("i32", ctypes.c_int32), ("i64", ctypes.c_int64), ("memory", _Memory),
        ("pointer", ctypes.c_void_p), ("padding", ctypes.c_char * 64),
    )  # fmt: skip


class _Argument(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("u", _Union))


def produce_raw(kafka: Endpoint, topic: str, records: Iterable[RawRecord], partition: int = 0) -> None:
    """Write records in order by the very library that the Python client wraps; `RuntimeError` if one is not taken.

    Whether they were delivered is for the caller to see: what is read back is the truth.
    """
    library = _library()
    reason = ctypes.create_string_buffer(512)
    options = library.rd_kafka_conf_new()
    for key, value in kafka.client(**{"enable.idempotence": "true", "message.max.bytes": 10_000_000}).items():
        if library.rd_kafka_conf_set(options, key.encode(), str(value).encode(), reason, 512):
            raise RuntimeError(reason.value.decode())
    client = library.rd_kafka_new(_PRODUCER, options, reason, 512)
    if not client:
        raise RuntimeError(reason.value.decode())
    try:
        for record in records:
            _send(library, client, topic, record, partition)
        if library.rd_kafka_flush(client, _FLUSH_MS):
            raise RuntimeError("not all records were delivered")
    finally:
        library.rd_kafka_destroy(client)


def _send(library: Any, client: int, topic: str, record: RawRecord, partition: int) -> None:
    headers = library.rd_kafka_headers_new(len(record.headers))
    for name, value in record.headers:
        library.rd_kafka_header_add(headers, name, len(name), value, len(value or b""))
    given: list[tuple[int, dict[str, Any]]] = [
        (_TOPIC, {"text": topic.encode()}),
        (_PARTITION, {"i32": partition}),
        (_VALUE, {"memory": _memory(record.value)}),
        (_KEY, {"memory": _memory(record.key)}),
        (_FLAGS, {"i32": _COPY}),
        (_TIMESTAMP, {"i64": record.timestamp}),
        (_HEADERS, {"pointer": headers}),
    ]
    arguments = (_Argument * len(given))(*(_Argument(kind, _Union(**value)) for kind, value in given))
    error = library.rd_kafka_produceva(client, arguments, len(given))
    if error:
        raise RuntimeError(library.rd_kafka_error_string(error).decode())


def _memory(content: bytes | None) -> _Memory:
    return _Memory(content, 0 if content is None else len(content))


def _library() -> Any:
    library = ctypes.CDLL(cimpl.__file__)  # its symbols are found through the module that is linked against it
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("conf_new", pointer, ()),
        ("conf_set", ctypes.c_int, (pointer, text, text, text, size)),
        ("new", pointer, (ctypes.c_int, pointer, text, size)),
        ("flush", ctypes.c_int, (pointer, ctypes.c_int)),
        ("destroy", None, (pointer,)),
        ("headers_new", pointer, (size,)),
        ("header_add", ctypes.c_int, (pointer, text, ctypes.c_ssize_t, text, ctypes.c_ssize_t)),
        ("produceva", pointer, (pointer, ctypes.POINTER(_Argument), size)),
        ("error_string", text, (pointer,)),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library
