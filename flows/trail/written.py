"""How a table's files are written: what is coded, what is filtered, how much a reader opens at least."""

from typing import Final

from deltalake import BloomFilterProperties, ColumnProperties, WriterProperties

from flows.trail.schema import schema_of

ROW_GROUP: Final = 4_096
"""Rows of a row group: what is read for one event."""
FOUND_BY: Final = ("user_id", "actor_id", "target_id", "ip_token", "session_token", "request_token")
"""Columns by which rows are found; each row group has a bloom filter of them."""
_UNIQUE: Final = (
    "id", "lapwing", "uid", "sealed", "raw", "leaf_hash", "user_sealed", "actor_sealed", "target_sealed",
)  # fmt: skip
"""Columns whose values hardly ever come twice: a dictionary, or their least and greatest, would only cost."""


AS_IT_CAME: Final = "LZ4"
"""The codec of files whose rows lie as they came, which are rewritten when their day is over."""


def writing(kind: str, *, found: bool) -> WriterProperties:
    """How files are written; `found` if they stay as they are."""
    names = schema_of(kind).names
    columns: dict[str, ColumnProperties] = {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE") for name in _UNIQUE if name in names
    }
    bloom = BloomFilterProperties(True, 0.001, ROW_GROUP)
    columns |= {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK", bloom_filter_properties=bloom)
        for name in FOUND_BY
        if name in names
    }
    if "raw_hash" in names:  # a footer then says how many raw messages there are
        columns["raw_hash"] = ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK")
    if not found:  # a third less work for a few percent more bytes
        return WriterProperties(compression="LZ4_RAW", max_row_group_size=ROW_GROUP, column_properties=columns)
    return WriterProperties(
        compression="ZSTD", compression_level=1, max_row_group_size=ROW_GROUP, column_properties=columns
    )
