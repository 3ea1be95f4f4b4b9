"""`lapwing map`: what becomes of samples of a log, and a first mapping for one that nobody has described."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import kernels_cache
from flows.commands.console import columns, plain, result, say
from flows.commands.options import ConfigFile, InputFormat, Json
from flows.config import Config, load
from flows.errors import InputError, UsageError
from flows.format_block import choice
from flows.formats.source_formats import AUTO
from flows.mapping_block import CLOSED

if TYPE_CHECKING:
    from flows.coverage import Coverage, Seen
    from flows.samples import Samples

_SHOWN_PATHS = 3
_SHOWN_DEAD = 10


def map_samples(
    sample: Annotated[
        str, typer.Option("--sample", metavar="FILE", help="Lines of JSON, or one JSON text; - is stdin.")
    ],
    config: ConfigFile = None,
    input_format: InputFormat = None,
    suggest: Annotated[bool, typer.Option("--suggest", help="Write a first [[format]] block, guessed.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Messages to read.")] = 100,
    json: Json = False,
) -> None:
    """Show what samples of a log become: each member with its source, what is left over, what is off by what lacks.

    The values are shown as they are, those at secret paths never. Nothing is run or kept. With --suggest a
    configuration is written to stdout instead, guessed from the names and the shapes of the values: read it, put it
    right, then look at it again with --config; lapwing detect --config runs with the same file. Without --format it is
    the configuration's, else its only [[format]], else auto.

    \b
    Examples:
      lapwing map --sample audit.ndjson --suggest > idp.toml
      lapwing map --sample audit.ndjson --config idp.toml
      lapwing map --sample okta.json --format okta
      lapwing map --sample mixed.ndjson --format auto --json

    \b
    Exit codes: 0 shown, 1 no such file or nothing in it, 2 a wrong configuration or format.
    """
    if suggest and json:
        raise UsageError("--suggest writes TOML: leave --json out")
    settings = load(config)
    name = input_format or _format(settings)
    if name != settings.input.format:
        settings = load(config, {"input.format": name})
    from flows.parts import limits_of
    from flows.samples import read

    limits = limits_of(settings)
    found = read(sample, limits, limit)
    if suggest:
        if not found.records:
            raise InputError(f"{plain(sample)}: no JSON object in it to guess from")
        _suggest(found, sample)
        return
    kernels_cache.announce(say)  # not all of them are needed here: whether all are compiled, a run will say
    from flows.coverage import cover

    formats = choice(name, settings.format)
    covered = cover(
        found.records, (lambda record: None) if formats is None else formats.of, settings.detection, limits, CLOSED
    )
    if json:
        result(_plain(found, covered, name))
    else:
        print(_text(found, covered, name, sample))
        if name == AUTO and covered.events and covered.dead_letters == covered.events:
            say("no format knows these messages: name one with --format, or begin with --suggest")


def _format(settings: Config) -> str:
    """What the configuration says; else its only block, else whatever each message looks like."""
    if "input.format" in settings.given:
        return settings.input.format
    return settings.format[0].id if len(settings.format) == 1 else AUTO


def _suggest(found: "Samples", sample: str) -> None:
    from flows.suggest import suggest

    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in Path(sample).stem).strip("-")[:64]
    text, lacking = suggest(found.records, name or "samples")
    print(text)
    for one in lacking:
        say(f"nothing in the samples looks like {one}: every event needs it")
    events = "1 event" if len(found.records) == 1 else f"{len(found.records)} events"
    say(f"guessed from {events}; read every line, then: lapwing map --sample {plain(sample)} --config FILE")


def _dead(found: "Samples", covered: "Coverage") -> list[tuple[int, str, str]]:
    return sorted([*found.dead, *((found.of[at - 1], reason, detail) for at, reason, detail in covered.dead)])


def _groups(groups: tuple[tuple[str, ...], ...]) -> str:
    return ", ".join(" or ".join(group) for group in groups)


def _seen(one: "Seen") -> dict[str, Any]:
    return {"member": one.name, "paths": _ranked(one), "events": one.events, "example": one.example}


def _ranked(one: "Seen") -> list[str]:
    """The paths that a member comes from, those where its value itself stands first."""
    return sorted(one.paths, key=lambda path: one.paths[path])


def _plain(found: "Samples", covered: "Coverage", name: str) -> dict[str, Any]:
    return {
        "format": name,
        "messages": found.messages,
        "events": covered.events,
        "formats": covered.formats,
        "members": [_seen(one) for one in covered.members.values()],
        "left": [{"path": one.name, "events": one.events, "example": one.example} for one in covered.left.values()],
        "secrets": [*covered.secrets],
        "empty": covered.empty,
        "off": [{"detection": rule, "needs": groups} for rule, groups in covered.off.items()],
        "ignored": [
            {"member": one.name, "events": one.events, "example": one.example} for one in covered.ignored.values()
        ],
        "unlisted": [
            {"member": member, "path": path, "value": word, "events": count}
            for (member, path, word), count in covered.unlisted.items()
        ],
        "dead_letters": [
            {"message": number, "reason": reason, "detail": detail} for number, reason, detail in _dead(found, covered)
        ],
    }


def _text(found: "Samples", covered: "Coverage", name: str, sample: str) -> str:
    dead = _dead(found, covered)
    kinds = ", ".join(f"{count} {kind}" for kind, count in covered.formats.items())
    total = len(found.dead) + covered.dead_letters
    lines = [
        f"{plain(sample)}: {_many(found.messages, 'message')}, "
        f"{_many(covered.events - covered.dead_letters, 'event')}, {_many(total, 'dead letter')}; format {name}"
        + (f" ({kinds})" if name == AUTO and kinds else "")
    ]
    rows = [("member", "from", "events", "value")]
    for one in covered.members.values():
        paths = _ranked(one)
        more = " ..." if len(paths) > _SHOWN_PATHS else ""
        come = ", ".join(paths[:_SHOWN_PATHS]) + more if paths else "(the same for all)"
        rows.append((one.name, come, str(one.events), one.example))
    lines += ["", columns(rows, "")]
    if covered.ignored:
        told = [("ignored", "events", "value")]
        told += [(one.name, str(one.events), one.example) for one in covered.ignored.values()]
        lines += ["", columns(told, "")]
    if covered.unlisted:
        words = [("not in a list", "from", "events", "value")]
        words += [(member, path, str(n), f'"{word[:60]}"') for (member, path, word), n in covered.unlisted.items()]
        lines += ["", columns(words, "")]
    if covered.left:
        left = [("left over", "events", "value")]
        left += [(one.name, str(one.events), one.example) for one in covered.left.values()]
        lines += ["", columns(left, "")]
    if covered.secrets:
        lines += ["", f"secret, blanked: {plain(', '.join(covered.secrets))}"]
    if covered.empty:
        lines += ["", f"empty: {', '.join(covered.empty)}"]
    if covered.off:
        off = [("off", "for want of"), *((rule, _groups(groups)) for rule, groups in covered.off.items())]
        lines += ["", columns(off, "")]
    if dead:
        why = [("dead letter", "reason", "why")]
        why += [(f"message {number}", reason, detail) for number, reason, detail in dead[:_SHOWN_DEAD]]
        lines += ["", columns(why, "")]
        if total > _SHOWN_DEAD:
            lines.append(f"and {total - _SHOWN_DEAD} more")
    return "\n".join(lines)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
