"""What each part of the flow needs of the configuration: sources, decoding, shards."""

import os
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows import log
from flows.config import Config
from flows.connectors.files import ClockParams, FileSource
from flows.connectors.kafka import KafkaSource, Starts
from flows.connectors.partition import Partition
from flows.connectors.replay_source import ReplaySource
from flows.connectors.synthetic import SyntheticSource
from flows.connectors.unwrapping import Unwrap
from flows.detector_block import accept_after, behaviour_of, learned_shape, levels_of, mix_of
from flows.durations import microseconds
from flows.errors import LapwingError
from flows.format_block import by_topic, choice
from flows.formats.canonical import canonical
from flows.formats.lapwing import Decoded, decode
from flows.formats.limits import Limits
from flows.formats.mapped import Choice, Mapped
from flows.formats.ocsf import SHOWN_AGAIN
from flows.formats.raw import RawBatch
from flows.formats.rehearsal import rehearsal_events
from flows.formats.scored import encode
from flows.formats.simulated import simulate
from flows.formats.unwrap import unwrap
from flows.formats.user_agent import families
from flows.geo_block import geography
from flows.state_shape import learned_by, most_hours, table_limits
from flows.steps.gather import gather
from flows.steps.split import split
from models.base import DIMENSIONS, WATCHED
from models.detectors.ewma import EwmaParams
from models.kernels.arrive import Learned
from models.rules import of_entities, of_sources, of_tenants, threshold
from models.rules import program as program_of
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.rules.program import Program
from models.windows.behaviour import BehaviourSettings
from models.windows.delta import Changes
from models.windows.joint import joints
from models.windows.rehearsal import rehearse_rest
from models.windows.saved import changes, replayed
from models.windows.shard import Shard, ShardSettings
from models.windows.tenants import TenantSettings

SYNTHETIC_EVENTS, SYNTHETIC_SEED = 300_000, 1
KAFKA = "kafka"
Source = FileSource | SyntheticSource | KafkaSource | ReplaySource


def make_source(
    config: Config,
    path: str,
    stop: threading.Event,
    *,
    close_at_end: bool,
    known: tuple[str, ...] = (),
    starts: Starts | None = None,
    only: tuple[str, ...] | None = None,
    renewed: bool = False,
    on_grown: Callable[[str], None] | None = None,
    alone: bool = True,
    on_failure: Callable[[LapwingError], None] | None = None,
) -> Source:
    """The source that an `--input` names. `starts` are the first offsets of earlier runs over a topic.

    `only` are its partitions where another process has found them, and has told what was passed over.
    `renewed`: another run follows when a topic has grown; `on_grown` is told instead where another process ends all.
    """
    clock, rows = clock_params(config), config.input.batch_rows
    reading, unwrap = reading_of(config, path == KAFKA), unwrap_of(config, path == KAFKA)
    if path == KAFKA:
        return KafkaSource(
            config.kafka,
            reading,
            clock,
            stop,
            close_at_end,
            rows,
            config.input.max_message_bytes,
            known=known,
            starts=starts,
            only=only,
            until=config.kafka.until,
            renewed=renewed,
            on_grown=on_grown,
            alone=alone,
            on_note=log.say,
            on_failure=on_failure,
            unwrap=unwrap,
            more=config.topics_beside,
        )
    if path == "synthetic":
        chunks = partial(simulate, SYNTHETIC_EVENTS, SYNTHETIC_SEED)
        return SyntheticSource(chunks, plain_reading(config), clock, stop, close_at_end, rows)
    return FileSource(
        path,
        reading,
        clock,
        stop,
        close_at_end,
        rows,
        config.input.max_message_bytes,
        known=known,
        only=only,
        alone=alone,
        on_failure=on_failure,
        on_ignored=_passed_over if only is None else None,
        unwrap=unwrap,
    )


def _passed_over(names: tuple[str, ...]) -> None:
    log.say(f"passed over {', '.join(names)}")


def clock_params(config: Config) -> ClockParams:
    """What a source's clock needs of the configuration."""
    times = config.time
    return ClockParams(
        lateness=times.lateness_us,
        late_count_max=times.late_count_max_us,
        max_jump=times.max_jump_us,
        max_skew=times.max_skew_us,
        idle_after_s=times.idle_after_us / 1e6,
    )


def limits_of(config: Config) -> Limits:
    """How much of a message is believed."""
    return Limits(
        max_message_bytes=config.input.max_message_bytes,
        max_depth=config.input.max_depth,
        max_future_us=config.time.max_future_us,
        timezone=config.input.timezone or None,
        ipv6_prefix=config.input.ipv6_prefix,
    )


def plain_reading(config: Config) -> Callable[[RawBatch], Decoded]:
    """What makes columns of messages of format `lapwing`."""
    known = geography(config.input.geo)
    return partial(decode, limits=limits_of(config), program=program_of(config.detection), geography=known)


def shown_of(config: Config) -> Callable[[bytes], dict[str, Any]]:
    """What an alert shows of an event: its canonical members, where its address is, what its user agent says.

    An incident's alerts show the same few events again and again: what was made of the last ones is shared.
    """
    known = geography(config.input.geo)

    def shown(message: bytes) -> dict[str, Any]:
        members = canonical(message)
        if known:
            members = known.completed(members)
        agent = members.get("user_agent") if config.input.user_agents else None
        return members | {"client": families(agent)} if isinstance(agent, str) else members

    return lru_cache(SHOWN_AGAIN)(canonical if known is None and not config.input.user_agents else shown)


def reading_of(config: Config, topics: bool = False) -> Callable[[RawBatch], Decoded]:
    """What makes columns of messages, each in its format; with `topics` a topic may have one of its own."""
    plain, limits, program = plain_reading(config), limits_of(config), program_of(config.detection)
    known = geography(config.input.geo)

    def made(formats: Choice | None) -> Callable[[RawBatch], Decoded]:
        return plain if formats is None else Mapped(formats, limits, program, known).decode

    usual = made(choice(config.input.format, config.format))
    own = {topic: made(formats) for topic, formats in by_topic(config.format).items()} if topics else {}
    return (lambda raw: own.get(_topic(raw), usual)(raw)) if own else usual


def unwrap_of(config: Config, topics: bool = False) -> Unwrap | None:
    """What takes events out of messages that carry several; None where all are of format `lapwing`.

    A message of that format is an event as it stands.
    """
    whole = choice(config.input.format, config.format) is None
    own = {*by_topic(config.format)} if topics else set()
    if whole and not own:
        return None
    limits = limits_of(config)

    def opened(raw: RawBatch, first: int) -> tuple[RawBatch, int]:
        return (raw, len(raw)) if whole and _topic(raw) not in own else unwrap(raw, first, limits)

    return opened


def _topic(raw: RawBatch) -> str:
    return raw.source.rpartition("/")[0]


def rehearse(config: Config) -> None:
    """Pass a few events through all compiled code, so that no real one waits until that is compiled or loaded."""
    program = program_of(config.detection)
    joint = joints(program)
    partition = Partition("rehearsal", ("rehearsal",), plain_reading(config), clock_params(config))
    partition.feed(rehearsal_events(), ended=True)
    batches = []
    while partition.pending:
        batches.append(partition.take())
    shards = {
        at: Shard(at, shard_settings(config, WATCHED[at], program), table_secret(config), shown_of(config))
        for at in (*range(len(DIMENSIONS)), *joint)
    }
    for batch in (*batches, partition.last_item(close=True)):
        slices = [piece for _, piece in split(batch, 1, joint)]
        encode(gather([shards[piece.dimension].assess(piece) for piece in slices]).scored)
        for piece in slices:
            rehearse_rest(shards[piece.dimension], piece)
    for shard in shards.values():
        replayed([changes(shard, Changes())])


def shard_settings(config: Config, name: str, program: Program) -> ShardSettings:
    """What the shards of a dimension need of the configuration."""
    detector = next(row for row in config.detector if isinstance(row, EwmaParams))
    rules = of_entities(config.detection, name)
    records, rings = table_limits(config, name)
    return ShardSettings(
        rules=rules,
        source_rules=of_sources(config.detection),
        quiet_us=tuple(found.quiet_us if (found := threshold(rule)) else microseconds(rule.quiet) for rule in rules),
        program=program,
        detector=detector.id,
        learned=Learned(
            alpha=detector.alpha,
            pool_alpha=detector.alpha / 10,
            warm_up=detector.warm_up,
            entity_warm_up=detector.entity_warm_up,
            guard=detector.guard,
            accept_after=microseconds(detector.accept_after) // 60_000_000,
            floor_failures=detector.floor_failures,
            floor_targets=detector.floor_targets,
        ),
        half_life_minutes=max(1, microseconds(detector.half_life) // 60_000_000),
        lateness_us=config.time.lateness_us,
        keep_quantile=config.output.window_quantile,
        keep_share=config.output.window_sample,
        max_records=records,
        max_rings=rings,
        max_hours=most_hours(config, name),
        behaviour=_behaviour(config, name),
        learned_by=learned_by(config, name),
        tenants=_tenants(config) if name == "tenant" else None,
    )


def _tenants(config: Config) -> TenantSettings | None:
    levels, mix = levels_of(config.detector), mix_of(config.detector)
    if levels is None and mix is None:
        return None
    asked = of_tenants(config.detection)
    return TenantSettings(
        levels=levels,
        mix=mix,
        level_rules=tuple(rule for rule in asked if isinstance(rule, LevelAnomaly)),
        mix_rules=tuple(rule for rule in asked if isinstance(rule, MixAnomaly)),
        lateness_us=config.time.lateness_us,
        keep_quantile=config.output.window_quantile,
        keep_share=config.output.window_sample,
        learned="; ".join(f"{row.id} {learned_shape(row)}" for row in (levels, mix) if row is not None),
    )


def _behaviour(config: Config, name: str) -> BehaviourSettings | None:
    params = behaviour_of(config.detector, name)
    if params is None:
        return None
    return BehaviourSettings(
        params=params,
        half_life_minutes=max(1, microseconds(params.half_life) // 60_000_000),
        accept_after_minutes=microseconds(accept_after(params)) // 60_000_000,
    )


def table_secret(config: Config) -> NDArray[np.uint64]:
    """The secret that says where things lie in tables: from the environment, else drawn anew; no result hangs on it."""
    seed = os.environ.get(config.state.hash_seed_env)
    if seed is None:
        return np.frombuffer(os.urandom(16), np.uint64).copy()
    return np.frombuffer(blake2b(seed.encode(), digest_size=16).digest(), np.uint64).copy()
