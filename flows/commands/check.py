"""`lapwing check`: is the configuration sound, and what would a run do? It runs nothing."""

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flows import durations
from flows.commands import connecting
from flows.commands.console import columns, plain, result
from flows.commands.options import InputFormat, Json
from flows.commands.shift import mutes_told
from flows.config import PANES, Config, config_hash, load, ring_panes
from flows.detection_block import WINDOW_OF
from flows.detector_block import behaviour_of, default_detections, levels_of, mix_of
from flows.errors import InputError, Refused
from flows.exception_block import warnings
from flows.format_block import read_as, unread
from flows.formats.explain import described, filled
from flows.geo_block import silenced
from flows.kafka_block import RESULTS
from flows.state_shape import state_identity, table_limits
from models import rules
from models.base import WATCHED
from models.exceptions import MATCH_KEYS, AlertException
from models.rules.base_detection import BaseDetection
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.dead_letter_surge import DeadLetterSurge
from models.rules.describe import describe
from models.rules.source_silence import SourceSilence
from models.rules.success_after_attack import SuccessAfterAttack
from models.rules.threshold import Threshold

_SHOWN = 20


def check(
    file: Annotated[str | None, typer.Argument(metavar="CONFIG", help="config.toml; the defaults if left out.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="DIR", help="Could a run go on from this state?")
    ] = None,
    input_format: InputFormat = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask Kafka too: topics, permissions, a transaction that is aborted.")
    ] = False,
    json: Json = False,
) -> None:
    """Check a configuration and say what would run: input, outputs, detectors, detections, memory.

    Nothing is run, made or changed. Every fault is listed, then the exit code is 2; a state directory that a run would
    refuse is exit code 3. With --connect what the brokers lack is printed as commands that make it, and is exit code 3
    too; brokers that do not answer are exit code 1.

    \b
    Examples:
      lapwing check
      lapwing check config.toml
      lapwing check config.toml --state state --json
      lapwing check config.toml --connect
    """
    flags = {"state.path": state, "input.format": input_format}
    config = load(file, {key: value for key, value in flags.items() if value is not None})
    found = plan(config)
    asked = connecting.tried(config) if connect else None
    if json:
        result(found if asked is None else found | {"connect": asked})
    else:
        print(_text(found, file) + ("" if asked is None else f"\n{connecting.text(asked)}"))
    if asked is not None and (missing := len(asked["missing"])):
        raise Refused(f"{missing} {'thing is' if missing == 1 else 'things are'} missing at {asked['bootstrap']}")
    if found["state"]["refused"]:
        raise Refused(f"{config.state.path}: {'; '.join(found['state']['refused'])}")


def plan(config: Config) -> dict[str, Any]:
    """What a run with this configuration would be, as plain values."""
    return {
        "config_hash": config_hash(config),
        "input": _input(config),
        "output": _output(config),
        "state": _state(config),
        "windows": {window: {"pane": pane, "panes": ring_panes(config, window)} for window, pane in PANES.items()},
        "detectors": [{"id": row.id, "type": row.__struct_config__.tag, **_settings(row)} for row in config.detector],
        "detections": [_detection(rule) for rule in config.detection],
        "exceptions": [_exception(one) for one in config.exception],
        "defaults_left_out": _left_out(config),
        "destinations": [
            {"id": one.id, "type": one.__struct_config__.tag, "from": one.kind} for one in config.destination
        ],
        "warnings": [
            *warnings(config.exception, time.time_ns() // 1000),
            *silenced(config.input.geo, config.detection),
        ],
        "mutes": mutes_told(Path(config.state.path), time.time()) if config.state.path else [],
        "max_incidents_per_hour": config.output.max_incidents_per_hour,
        "memory_bytes": _memory_bytes(config),
    }


def _left_out(config: Config) -> list[str]:
    """Which default detections the configuration does without: its own list replaces theirs."""
    there = {rule.id for rule in config.detection}
    return [rule.id for rule in default_detections(config.detector) if rule.id not in there]


def _input(config: Config) -> dict[str, Any]:
    path = config.input.path
    about: dict[str, Any] = {"path": path, "partitions": [], "problem": ""}
    about |= read_as(config.input.format, config.format)
    about["unread"] = unread(config.input.format, config.format)
    if path == "kafka":
        about["topic"] = config.kafka.topics.events
    elif path and path != "-" and path != "synthetic":
        from flows.connectors.file_tree import find_files

        try:
            about["partitions"] = list(find_files(path).partitions)
        except InputError as error:
            about["problem"] = str(error)
    elif path:
        about["partitions"] = [path]
    return about


def _output(config: Config) -> dict[str, Any]:
    path = config.output.path
    if path == "kafka":
        topics = {key: getattr(config.kafka.topics, key) for key in (*RESULTS, "markers")}
        return {"path": path, "files": [], "existing": [], "topics": topics}
    if path in ("", "-"):
        return {"path": path, "files": [], "existing": []}
    from flows.connectors.output_directory import TEXTS, WINDOWS, existing_results

    return {"path": path, "files": [*TEXTS, WINDOWS], "existing": existing_results(path)}


def _state(config: Config) -> dict[str, Any]:
    path = config.state.path
    found: dict[str, Any] = {"path": path, "known": False, "refused": [], "anew": [], "kept": [], "upgraded": False}
    if not path:
        return found
    from flows.state_identity import changes, read_identity

    try:
        known = read_identity(path)
    except Refused as error:
        return found | {"known": True, "refused": [str(error)]}
    if known is None:
        return found
    wanted = state_identity(config, config.output.path)
    fate = changes(known, wanted)
    told = {
        "known": True,
        "anew": list(fate.anew),
        "kept": [f"{key} {wanted.get(key, known.get(key))}" for key in fate.kept],
    }
    return found | told | {"refused": list(fate.refused), "upgraded": fate.upgraded}


def _settings(row: msgspec.Struct) -> dict[str, Any]:
    told = ("id", "dimension", "severity", "mode", "at_least")
    return {field.name: getattr(row, field.name) for field in msgspec.structs.fields(row) if field.name not in told}


def _detection(rule: rules.Rule) -> dict[str, Any]:
    kind = str(rule.__struct_config__.tag)
    if isinstance(rule, Threshold | BaseDetection) and (found := rules.threshold(rule)):
        when = [" ".join(line.split()) for line in describe(found) if line.startswith(("when", "and", "unless"))]
        return {
            "id": rule.id,
            "type": kind,
            "dimension": rules.dimension(rule),
            "window": found.window,
            "severity": found.severity,
            "mode": rule.mode,
            "limit": "; ".join(when),
            "quiet": durations.spell(found.quiet_us),
            "compiled": describe(found),
        }
    if isinstance(rule, SuccessAfterAttack | rules.WholeRule):
        return {
            "id": rule.id,
            "type": kind,
            "dimension": rules.dimension(rule),
            "window": rule.history if isinstance(rule, SourceSilence) else WINDOW_OF[kind],
            "severity": rule.severity,
            "mode": rule.mode,
            "limit": _limit(rule),
            "quiet": "0s" if isinstance(rule, SourceSilence) else rule.quiet,
        }
    if isinstance(rule, BehaviourAnomaly):
        strange = f"minutes at a quantile of {rule.quantile} and a score of {rule.least_score}"
        return {
            "id": rule.id,
            "type": kind,
            "dimension": rule.dimension,
            "window": f"{rule.windows}m",
            "severity": rule.severity,
            "mode": rule.mode,
            "limit": f"at least {rule.hits} {strange}, {rule.at_least} events in them",
            "quiet": rule.quiet,
        }
    settings = _settings(rule)
    limit = f"{rule.at_least} {rules.about(rule).measure}"
    further = ", ".join(f"{name} {value}" for name, value in settings.items() if name != "quiet")
    return {
        "id": rule.id,
        "type": kind,
        "dimension": rules.dimension(rule),
        "window": WINDOW_OF[kind],
        "severity": rule.severity,
        "mode": rule.mode,
        "limit": f"at least {limit}" + (f", {further}" if further else ""),
        "quiet": rule.quiet,
    }


def _limit(rule: rules.Rule) -> str:
    if isinstance(rule, SuccessAfterAttack):  # its two dimensions are two detections
        about = rules.about(rule)
        return f"{about.measure}, {filled(about.not_at, rule)}"
    if isinstance(rule, DeadLetterSurge) and rule.share:
        return filled("At least `at_least` dead letters of a source in 5 minutes, and `share` of its messages.", rule)
    return described(rule)


def _exception(one: AlertException) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.structs.asdict(one)
    return {key: value for key, value in found.items() if value}


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    matches = ", ".join(f"{key} {one[key]}" for key in MATCH_KEYS if key in one)
    return one["id"], one["expiry"], one["owner"], matches, one["reason"]


def _memory_bytes(config: Config) -> int:
    """The most that entities can take once every table has grown to its limit: records, rings and pairs."""
    from models.kernels.layout import allocate_pairs, allocate_records, allocate_rings
    from models.windows.arrays import pair_limit, places
    from models.windows.behaviour import behaviour_bytes
    from models.windows.behaviour_scores import score_bytes
    from models.windows.rules import rule_arrays
    from models.windows.tenants import tenant_bytes

    program = rules.program(config.detection)
    total = 0
    for dimension in rules.watched(config.detection):
        mine = rules.of_entities(config.detection, dimension)
        arrays = rule_arrays(mine, (0,) * len(mine), program, WATCHED.index(dimension))
        pools = allocate_rings(1, len(mine), len(arrays.in_cells))
        one_ring = sum(column.nbytes for column in pools.values())
        records, rings = table_limits(config, dimension)
        total += places(records) * allocate_records(1).nbytes
        total += pair_limit(rings) * allocate_pairs(1).nbytes
        total += rings * one_ring
        if learns := behaviour_of(config.detector, dimension):
            record_bytes, ring_bytes = behaviour_bytes()
            total += places(records) * record_bytes + rings * ring_bytes
            total += score_bytes(learns, WATCHED.index(dimension))
    total += tenant_bytes(levels_of(config.detector), mix_of(config.detector))
    return config.state.shards * total


def _text(found: dict[str, Any], file: str | None) -> str:
    source, output, state = found["input"], found["output"], found["state"]
    lines = [f"configuration  {plain(file or 'the defaults')} (config_hash {found['config_hash']}): no faults"]
    names = [plain(name) for name in source["partitions"]]
    where = plain(source["path"]) or "to be given with --input"
    where += f", topic {source['topic']}" if "topic" in source else ""
    lines.append(f"input          {where}, format {source['format']}{_meaning(source)}")
    lines += [f"               topic {topic}, format {name}" for topic, name in source["topics"].items()]
    lines += [f"               {plain(line)}" for line in source["unread"]]
    if source["problem"]:
        lines.append(f"               {plain(source['problem'])}")
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"partitions     {len(names)}: {', '.join(names[:_SHOWN])}{more}")
    match output["path"]:
        case "":
            lines.append("output         to be given with --output")
        case "-":
            lines.append("output         alerts to stdout")
        case "kafka":
            lines.append(f"output         topics {', '.join(output['topics'].values())}")
        case path:
            becomes = "continued" if state["path"] else "replaced"
            lines.append(f"output         {', '.join(output['files'])} in {plain(path)}")
            if output["existing"]:
                lines.append(f"               {len(output['existing'])} of them exist and will be {becomes}")
    fate = _state_text(state)
    lines += [f"state          {fate[0]}", *(f"               {line}" for line in fate[1:])]
    lines.append(
        f"alerts         at most {found['max_incidents_per_hour']} incidents an hour of a detection, then a digest"
    )
    lines.append(f"memory         entities take at most {found['memory_bytes'] / 2**20:,.0f} MiB")
    panes = [f"{window} of {row['panes']} panes of {row['pane']}" for window, row in found["windows"].items()]
    lines.append(f"windows        {', '.join(panes)}")
    rows = [("detector", "type", "settings")]
    rows += [
        (row["id"], row["type"], ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("id", "type")))
        for row in found["detectors"]
    ]
    lines += ["", columns(rows)]
    heads = ("id", "dimension", "window", "severity", "mode", "limit")
    table = [("detection", *heads[1:]), *(tuple(row[head] for head in heads) for row in found["detections"])]
    lines += ["", columns(table)]
    if out := found["defaults_left_out"]:
        named = f"{', '.join(out[:_SHOWN])}{', ...' if len(out) > _SHOWN else ''}"
        lines += ["", f"{len(out)} default detections are not in this configuration: {named}"]
    if found["exceptions"]:
        lines += ["", columns([("exception", "until", "owner", "matches", "reason"), *map(_row, found["exceptions"])])]
    lines += ["", *(f"mute           {plain(one['text'])}" for one in found["mutes"])] if found["mutes"] else []
    if found["destinations"]:
        rows = [(row["id"], row["type"], row["from"]) for row in found["destinations"]]
        lines += ["", columns([("destination", "type", "from"), *rows])]
    return "\n".join([*lines, *(f"warning: {plain(warning)}" for warning in found["warnings"])])


def _meaning(source: dict[str, Any]) -> str:
    """What a format's name does not say itself."""
    if len(source["reads"]) == 1 and source["reads"][0] in (source["format"], "lapwing"):
        return ""
    return f": {', '.join(source['reads'])}{' or lapwing, message by message' if source['format'] == 'auto' else ''}"


def _state_text(state: dict[str, Any]) -> list[str]:
    if not state["path"]:
        return ["none: windows and incidents end with the input"]
    path = plain(state["path"])
    if state["refused"]:
        return [f"{path}: refused"]
    if not state["known"]:
        return [f"{path}: new"]
    if not state["anew"]:
        first = "everything is kept, the run goes on"
    else:
        first = "kept, but for detectors that begin anew, which a run does only with --accept-rewarm"
    older = ["written by an earlier version: as it is it will be kept below previous"] if state["upgraded"] else []
    return [f"{path}: {first}", *older, *(f"begins anew: {plain(one)}" for one in state["anew"])]
