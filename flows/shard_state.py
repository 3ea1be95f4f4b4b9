"""A shard's snapshot as it is saved: compressed in the recovery store, or in the log that a pointer there leads to."""

from pathlib import Path

import zstandard

from flows.errors import Refused
from flows.shard_log import frames, is_pointer
from models.windows.saved import replayed


def state_of(saved: bytes, log: Path | None) -> bytes:
    """The snapshot that was saved or is pointed to.

    Raises
    ------
    Refused
        The log is damaged, or there is none.
    """
    if not is_pointer(saved):
        return zstandard.ZstdDecompressor().decompress(saved)
    if log is None:
        raise Refused("this state is that of `lapwing detect --state DIR`: only with DIR/log can it be gone on with")
    return replayed(frames(log, saved))


def packed(state: bytes) -> bytes:
    """A snapshot as the recovery store has it."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(state)
