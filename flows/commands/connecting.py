"""What `lapwing check --connect` says of the brokers."""

from typing import Any

import msgspec

from flows.commands.console import plain
from flows.config import Config
from flows.errors import UsageError

_KAFKA = "kafka"


def tried(config: Config) -> dict[str, Any]:
    """What the brokers have and allow of what this configuration needs; both directions where it names none."""
    ends = config.input.path, config.output.path
    if _KAFKA not in ends and all(ends):
        raise UsageError("nothing to connect to: neither the input nor the output of this configuration is kafka")
    from flows.connectors.forward_kafka import group
    from flows.connectors.kafka_check import try_out

    reading, writing = (end in ("", _KAFKA) for end in ends)
    found = try_out(
        config.kafka, config.input.max_message_bytes, reading=reading, writing=writing, more=config.topics_beside,
        destinations={group(config.kafka, one.id): one.kind for one in config.destination},
        canary=bool(config.canary.tenant),
    )  # fmt: skip
    return dict(msgspec.to_builtins(found))


def text(found: dict[str, Any]) -> str:
    """Lines for a person, to be pasted into a shell as they are: what is missing stands in comments."""
    topics = ", ".join(f"{name} ({count})" for name, count in found["topics"].items())
    lines = ["", f"# Kafka at {plain(found['bootstrap'])} answers; topics (partitions): {topics or 'none'}"]
    for title, lacks in (("missing", found["missing"]), ("advice", found["advice"])):
        for lack in lacks:
            lines.append(f"# {title}: {plain(lack['what'])}")
            lines += [lack["command"]] if lack["command"] else []
    if not found["missing"]:
        lines.append("# nothing is missing")
    return "\n".join(lines)
