"""The configuration: every block's type with its defaults, and `load`, which finds all faults at once."""

import math
import tomllib
import zoneinfo
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from flows import durations
from flows.canary_block import Canary, canary_faults
from flows.detection_block import WINDOW_OF, detection_faults, program_faults
from flows.detector_block import (
    DEFAULT_DETECTORS,
    Detector,
    default_detections,
    detector_faults,
    scaled,
    unread_faults,
)
from flows.errors import ConfigError
from flows.example_block import Example, examples, without_examples
from flows.exception_block import exceptions
from flows.format_block import FormatBlock, format_faults, formats
from flows.forward_block import Destination, destinations
from flows.geo_block import geography_faults
from flows.input_block import Input, unset
from flows.kafka_block import Kafka, kafka, moment_ms
from flows.metrics_block import Metrics, metrics_faults
from flows.run_block import Run
from flows.structure import is_duration_field, meant, shown, structure, tagged
from flows.time_block import NOW, Time
from flows.trail_block import TrailBlock, trail_block
from models import rules
from models.exceptions import AlertException, network

MOST_PANES: Final = 64
BATCH_SPAN_US: Final = 30_000_000
"""Event time after which a batch is cut; every ring has room for one."""
PANES: Final = {"1m": "5s", "10m": "30s", "15m": "30s"}
"""The pane of each window."""
LOOKED_BACK: Final = {"1m": 23, "10m": 20, "15m": 30}
"""Closed panes that a ring still needs: the window; for a minute's largest sliding value, one pane less than two."""
_MOST_DETECTIONS: Final = 64
_MOST_BYTES: Final = 1 << 20
_AS_BEFORE: Final = (("mode", "live"), ("share", 0.0))
"""Keys of detections that stand for what was before there were such keys."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Where results go, and how much of them is kept."""

    path: str = ""
    dead_letter_body: Literal["redacted", "raw", "none"] = "redacted"
    window_quantile: Annotated[float, Meta(ge=0, le=1)] = 0.9
    window_sample: Annotated[float, Meta(ge=0, le=1)] = 0.01
    max_incidents_per_hour: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    block_ttl: str = "1h"
    block_inner: bool = False
    never_block: tuple[str, ...] = ()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered, and how much of it at most."""

    path: str = ""
    shards: Annotated[int, Meta(ge=1, le=64)] = 4
    max_entities: Annotated[int, Meta(ge=1_000, le=100_000_000)] = 1_000_000
    max_active: Annotated[int, Meta(ge=100, le=10_000_000)] = 100_000
    hash_seed_env: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = "LAPWING_HASH_SEED"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole, valid configuration.

    `given` says of each key that is not at its default where it came from: `file` or `flag`.
    """

    input: Input = Input()
    output: Output = Output()
    time: Time = Time()
    state: State = State()
    run: Run = Run()
    kafka: Kafka = Kafka()
    metrics: Metrics = Metrics()
    trail: TrailBlock = TrailBlock()
    canary: Canary = Canary()
    detector: tuple[Detector, ...] = DEFAULT_DETECTORS
    detection: tuple[rules.Rule, ...] = default_detections(DEFAULT_DETECTORS)
    exception: tuple[AlertException, ...] = ()
    destination: tuple[Destination, ...] = ()
    format: tuple[FormatBlock, ...] = ()
    example: tuple[Example, ...] = ()
    given: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def topics_beside(self) -> tuple[str, ...]:
        """The topics that are read beside that of events, because a format is theirs."""
        return tuple(sorted({topic for block in self.format for topic in block.topics} - {self.kafka.topics.events}))


_BLOCKS: Final[dict[str, type[msgspec.Struct]]] = {
    "input": Input, "output": Output, "time": Time, "state": State, "run": Run, "kafka": Kafka, "metrics": Metrics,
    "trail": TrailBlock,
    "canary": Canary,
}  # fmt: skip
_NESTED: Final[dict[str, Callable[[object, str, list[str]], msgspec.Struct]]] = {"kafka": kafka, "trail": trail_block}
_LISTS: Final = ("detector", "detection")
_BESIDE: Final = ("exception", "format", "destination")
"""Lists whose rows have checks of their own."""


def load(path: str | None = None, flags: Mapping[str, object] | None = None) -> Config:
    """The configuration of a TOML file, or the defaults, with the command line's values on top.

    `flags` maps a key such as `input.path` to its value; flags reach the plain blocks only. No file is read
    unless it is named.

    Raises
    ------
    ConfigError
        With one line for every fault, each with the file and the key's path.

    >>> load(flags={"time.lateness": "10s"}).time.lateness_us
    10000000
    >>> load(flags={"state.shards": 12})
    Traceback (most recent call last):
    flows.errors.ConfigError: command line: Expected a power of two from 1 to 64, got 12 - at $.state.shards
    """
    label = path or "command line"
    tables = dict(_read(path)) if path else {}
    faults: list[str] = []
    for key in tables:
        if key not in (*_BLOCKS, *_LISTS, *_BESIDE):
            faults.append(f"Unknown key {shown(key)}{meant(key, (*_BLOCKS, *_LISTS, *_BESIDE))} - at $")
    given = {f"{block}.{key}": "file" for block in _BLOCKS for key in _keys(tables.get(block))}
    flag_faults: list[str] = []
    for key, value in (flags or {}).items():
        block, name = key.split(".")
        _block(block, {name: value}, flag_faults)
        below = tables.get(block, {})
        tables[block] = {**below, name: value} if isinstance(below, Mapping) else below
        given[key] = "flag"
    blocks = {name: _block(name, tables.get(name, {}), faults) for name in _BLOCKS}
    beside: list[Example] = []
    lists: dict[str, tuple[Any, ...]] = {
        name: _list(name, tables[name], faults, given, beside) for name in _LISTS if name in tables
    }
    if "exception" in tables:
        known = lists.get("detection", rules.default_rules())
        lists["exception"] = exceptions(tables["exception"], known, faults)
    if "destination" in tables:
        lists["destination"] = destinations(tables["destination"], faults)
    if "format" in tables:
        lists["format"] = formats(tables["format"], faults)
    for name in _BESIDE:
        rows = tables.get(name, ())
        for at, row in enumerate(rows if isinstance(rows, list) else ()):
            given |= {f"{name}[{at}].{key}": "file" for key in _keys(row)}
    detectors = lists.get("detector", DEFAULT_DETECTORS)
    lists["detection"] = scaled(detectors, lists.get("detection", default_detections(detectors)))
    config = Config(**blocks, **lists, example=tuple(beside), given=given)  # type: ignore[arg-type]
    faults += _cross_faults(config)
    lines = [f"command line: {fault}" for fault in flag_faults]
    lines += [f"{label}: {fault}" for fault in faults if fault not in flag_faults]
    if lines:
        raise ConfigError(lines)
    return config


def config_hash(config: Config) -> str:
    """Sixteen hex digits that change when, and only when, something changes that shapes results.

    Where events come from, how they are batched and where results go is left out, and so is that a detection is live,
    or asks for no share, as all were before there were either; a duration counts by its length.

    >>> config_hash(load(flags={"time.lateness": "5000ms"})) == config_hash(load()) != config_hash(
    ...     load(flags={"time.lateness": "6s"}))
    True
    """
    left_out = {
        "input": ("path", "batch_rows"),
        "time": ("learn_until",),
        "output": ("path", "dead_letter_body", "block_ttl", "block_inner", "never_block"),
        "state": ("path", "hash_seed_env"),
    }
    shape: dict[str, Any] = {}
    for name in _BLOCKS.keys() - {"run", "kafka", "metrics", "trail", "canary"}:
        block = canonical(getattr(config, name))
        shape[name] = {key: value for key, value in block.items() if key not in left_out.get(name, ())}
    if config.canary.tenant:
        shape["canary"] = config.canary.tenant
    for key in unset(config.input):
        del shape["input"][key]
    for name in (*_LISTS, "exception", "format"):
        rows = [canonical(row).items() for row in getattr(config, name)]
        if name == "format" and not rows:
            continue
        shape[name] = [{key: value for key, value in row if (key, value) not in _AS_BEFORE} for row in rows]
    return blake2b(msgspec.json.encode(shape, order="deterministic"), digest_size=8).hexdigest()


def canonical(block: msgspec.Struct) -> dict[str, Any]:
    """A block as plain values, its type first where it has one, durations as microseconds."""
    tag = block.__struct_config__.tag
    values: dict[str, Any] = {} if tag is None else {"type": tag}
    for field in msgspec.structs.fields(block):
        value = getattr(block, field.name)
        values[field.name] = durations.microseconds(value) if is_duration_field(field) else value
    return values


def origins(config: Config) -> list[tuple[str, str | int | float, str]]:
    """Every key with its effective value and where that came from: `default`, `file` or `flag`.

    >>> [row for row in origins(load(flags={"time.lateness": "10s"})) if row[2] != "default"]
    [('time.lateness', '10s', 'flag')]
    """
    rows: list[tuple[str, str | int | float, str]] = []
    for name in _BLOCKS:
        block = getattr(config, name)
        for field in msgspec.structs.fields(block):
            key = f"{name}.{field.name}"
            rows.append((key, getattr(block, field.name), config.given.get(key, "default")))
    for name in (*_LISTS, *_BESIDE):
        for at, row in enumerate(getattr(config, name)):
            place = f"{name}[{at}]"
            if (tag := row.__struct_config__.tag) is not None:
                rows.append((f"{place}.type", tag, config.given.get(f"{place}.type", "default")))
            for field in msgspec.structs.fields(row):
                key = f"{place}.{field.encode_name}"
                rows.append((key, getattr(row, field.name), config.given.get(key, "default")))
    return rows


def ring_panes(config: Config, window: str) -> int:
    """The panes of an entity's ring for a window: what a closing pane looks back on, and all that may still move.

    >>> [ring_panes(load(), window) for window in PANES]
    [49, 26, 36]
    """
    time, pane = config.time, durations.microseconds(PANES[window])
    moving = time.lateness_us + time.max_skew_us + time.max_future_us + BATCH_SPAN_US
    return LOOKED_BACK[window] + math.ceil(moving / pane) + 1


def _block(name: str, table: object, faults: list[str]) -> msgspec.Struct:
    at = f"$.{name}"
    nested = _NESTED.get(name)
    return nested(table, at, faults) if nested else structure(_BLOCKS[name], table, at, faults)


def _keys(table: object) -> list[str]:
    return [str(key) for key in table] if isinstance(table, Mapping) else []


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise ConfigError([f"{path}: Larger than 1 MiB, so it is not a configuration"])
        return tomllib.loads(raw.decode().replace("\r\n", "\n"))
    except OSError as error:
        raise ConfigError([f"{path}: Cannot be read ({error.strerror or error})"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: Not UTF-8 at byte {error.start}"]) from None
    except ValueError as error:
        # Besides syntax errors, which name the line: a decimal number of more digits than Python converts.
        raise ConfigError([f"{path}: Not TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: Nested too deeply"]) from None


def _list(
    name: str, tables: object, faults: list[str], given: dict[str, str], beside: list[Example]
) -> tuple[Any, ...]:
    """A list block, its empty ids filled in; `given` gets the keys of the rows that are kept, `beside` the examples."""
    rows = without_examples(tables)
    union = Detector if name == "detector" else rules.Rule
    if name == "detection" and isinstance(rows, list) and len(rows) > _MOST_DETECTIONS:
        faults.append(f"Expected at most {_MOST_DETECTIONS} detections, got {len(rows)} - at $.{name}")
        return default_detections(DEFAULT_DETECTORS)
    kept: list[Any] = []
    first: dict[str, int] = {}
    for at, member in tagged(union, rows, f"$.{name}", faults):
        row, written = member, rows[at]  # type: ignore[index]
        if not row.id and "id" not in written:
            of = [getattr(row, key, "") for key in ("series", "dimension")]
            row = msgspec.structs.replace(row, id="_".join([written["type"], *filter(None, of)]) if any(of) else "")
        if not _is_id(row.id):
            faults.append(f"Expected 1 to 64 letters, digits, _, - or ., got {shown(row.id)} - at $.{name}[{at}].id")
        elif row.id in first:
            faults.append(f"Duplicate id {shown(row.id)}, first at $.{name}[{first[row.id]}] - at $.{name}[{at}].id")
        first.setdefault(row.id, at)
        if name == "detection":
            beside += examples(tables[at], row.id, f"$.{name}[{at}]", faults)  # type: ignore[index]
        if unsound := detection_faults(row, f"$.{name}[{at}]"):
            faults += unsound
            continue
        window = WINDOW_OF.get(written["type"])
        if window and durations.microseconds(row.quiet) < durations.microseconds(window):
            faults.append(f"Expected at least the rule's window ({window}) - at $.{name}[{at}].quiet")
        half_life = getattr(row, "half_life", "")
        if name == "detector" and half_life and durations.microseconds(half_life) == 0:
            faults.append(f"Expected a duration above zero - at $.{name}[{at}].half_life")
        given.update({f"{name}[{len(kept)}].{key}": "file" for key in _keys(written)})
        kept.append(row)
    if name == "detector" and isinstance(rows, list):
        faults += detector_faults(rows, f"$.{name}")
    return tuple(kept)


def _is_id(text: str) -> bool:
    return 1 <= len(text) <= 64 and text.isascii() and all(c.isalnum() or c in "_-." for c in text)


def _cross_faults(config: Config) -> list[str]:
    """What no single value shows: keys that do not fit each other."""
    results = msgspec.structs.asdict(config.kafka.topics)
    results.pop("events")
    faults = format_faults(config.input.format, config.format, results)
    if config.state.shards & (config.state.shards - 1):
        faults.append(f"Expected a power of two from 1 to 64, got {config.state.shards} - at $.state.shards")
    if config.state.max_active > config.state.max_entities:
        faults.append(f"Expected at most max_entities ({config.state.max_entities}) - at $.state.max_active")
    if config.input.timezone:
        try:
            zoneinfo.ZoneInfo(config.input.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            zone = shown(config.input.timezone)
            faults.append(f'Expected an IANA time zone such as "Europe/Berlin", got {zone} - at $.input.timezone')
    faults += program_faults(config.detection) + unread_faults(config.detector, config.detection)
    faults += metrics_faults(config.metrics) + geography_faults(config.input.geo) + canary_faults(config.canary)
    if config.time.learn_until not in ("", NOW):
        try:
            moment_ms(config.time.learn_until)
        except ValueError:
            given = shown(config.time.learn_until)
            faults.append(
                f'Expected "now" or a time such as "2026-11-23T05:00:00Z", got {given} - at $.time.learn_until'
            )
    for key in ("max_jump", "idle_after"):
        if durations.microseconds(getattr(config.time, key)) == 0:
            faults.append(f"Expected a duration above zero - at $.time.{key}")
    for at, text in enumerate(config.output.never_block):
        try:
            network(text)
        except ValueError:
            wrong = f'Expected a network such as "10.0.0.0/8", got {shown(text)}'
            faults.append(f"{wrong} - at $.output.never_block[{at}]")
    deepest = max(PANES, key=lambda window: ring_panes(config, window))
    if (panes := ring_panes(config, deepest)) > MOST_PANES:
        usual = Time()
        excess = {
            key: durations.microseconds(getattr(config.time, key)) - durations.microseconds(getattr(usual, key))
            for key in ("lateness", "max_skew", "max_future")
        }
        room = MOST_PANES - 1 - LOOKED_BACK[deepest]
        room_us = room * durations.microseconds(PANES[deepest]) - BATCH_SPAN_US
        faults.append(
            f"lateness + max_skew + max_future may be {durations.spell(room_us)} together: the {deepest} window needs "
            f"{panes} panes, {MOST_PANES} are the most - at $.time.{max(excess, key=lambda key: excess[key])}"
        )
    return faults
