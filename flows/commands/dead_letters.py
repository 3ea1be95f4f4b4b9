"""`lapwing dead-letters`: what could not be read, why, and back again after a fix."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import dead_letters as letters_
from flows.commands.console import columns, plain, result, say
from flows.commands.moments import millis
from flows.commands.options import ConfigFile, Json
from flows.commands.results import KAFKA, noted, who
from flows.commands.shift import utc
from flows.config import Config, load
from flows.dead_letters import Letter, Replayed, Wanted
from flows.errors import Refused, UsageError
from flows.verdicts import Operation, read_operations

app = typer.Typer(
    help="List, show and put back messages that were no events.", no_args_is_help=True, rich_markup_mode=None
)
_SHOWN = 40
_DUMPED = 4096
_Reason = Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Of one reason, such as bad_time.")]
_From = Annotated[
    str | None, typer.Option("--from", metavar="2h|TIME", help="Whose record came then or later; topics only.")
]
_To = Annotated[str | None, typer.Option("--to", metavar="2h|TIME", help="Whose record came before; topics only.")]
_Source = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="Of one file, topic, or partition (TOPIC/3).")
]
_Input = Annotated[
    str | None, typer.Option("--input", metavar="DIR|kafka", help="The results; else the configuration's output.")
]


@app.command("list")
def list_letters(
    reason: _Reason = None,
    since: _From = None,
    until: _To = None,
    source: _Source = None,
    where: _Input = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Count dead letters by reason, source and hour, each with an example.

    \b
    Examples:
      lapwing dead-letters list --input out
      lapwing dead-letters list --from 2h --input kafka --config config.toml
    """
    place, chosen = _place(where, config)
    wanted = _wanted(place, reason, since, until, source)
    found = letters_.groups((one for one in _letters(place, chosen) if wanted.has(one)), _marks(place, chosen))
    if json:
        result({"letters": sum(one.letters for one in found), "groups": found})
        return
    total, back = sum(one.letters for one in found), sum(one.put_back for one in found)
    print(f"dead letters  {total:,}, of which {back:,} were put back")
    if found:
        rows = [("letters", "put back", "reason", "source", "hour", "example", "detail")]
        rows += [
            (f"{one.letters:,}", f"{one.put_back:,}", one.reason, one.source, one.hour or "-", one.example,
             one.detail[:80])
            for one in found[:_SHOWN]
        ]  # fmt: skip
        print(f"\n{columns(rows)}")
        if len(found) > _SHOWN:
            print(f"  ... {len(found) - _SHOWN:,} more groups: --reason, --source, --from")


@app.command("show")
def show(
    number: Annotated[str, typer.Argument(metavar="ID", help="A letter's id, as `list` shows it: SOURCE:OFFSET.")],
    where: _Input = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Show one dead letter: why, where from, its key and headers, and what is kept of its body, else in hex.

    \b
    Examples:
      lapwing dead-letters show events.ndjson:17 --input out
      lapwing dead-letters show audit.events/3:812 --input kafka --config config.toml
    """
    place, chosen = _place(where, config)
    found = next((one for one in _letters(place, chosen) if number in (one.id, one.mark)), None)
    if found is None:
        raise Refused(f"no dead letter {plain(number[:100])} in {place}; `lapwing dead-letters list` has examples")
    if json:
        result(found)
    else:
        print(_text(found))


@app.command("replay")
def replay(
    reason: _Reason = None,
    since: _From = None,
    until: _To = None,
    source: _Source = None,
    where: _Input = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="A new file for `detect --input`, from files.")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What was mended.")] = "",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who does it; else who runs this.")] = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Put messages back after a fix, each once: a second call passes over what was put back.

    From topics each record is read again where it stood, and produced anew into its partition, with its key and
    headers. What retention has removed, and in files all, must be whole in the letter itself, which
    `dead_letter_body = "raw"` keeps up to 64 KiB of. What cannot be restored is counted, and is exit code 3.

    \b
    Examples:
      lapwing dead-letters replay --reason bad_time --input kafka --config config.toml --note "release 7.3"
      lapwing dead-letters replay --input out --output again.ndjson
      lapwing detect --input again.ndjson --output out2
    """
    place, chosen = _place(where, config)
    wanted = _wanted(place, reason, since, until, source)
    note, by = noted(note), who(by)

    def said(uid: str, marks: tuple[str, ...], file: str = "") -> Operation:
        now = int(time.time() * 1000)
        return Operation(uid=uid, time=now, operation="replay", note=note, by=by, letters=marks, file=file)

    if place == KAFKA:
        if output is not None:
            raise UsageError("--output is for letters in files: those of topics go back to their topic")
        from flows.replayed_letters import replay as replay_topic

        done = replay_topic(chosen.kafka, wanted, said)
    else:
        if output is None:
            raise UsageError("give --output FILE: a new file, which `lapwing detect --input FILE` reads then")
        done = letters_.replay_files(place, wanted, Path(output), said)
    if json:
        result(done)
    say(_done(done))
    if done.lost:
        raise Refused(
            f"{done.lost:,} cannot be restored: their bodies are redacted, cut or not kept"
            + (", and their records are gone from the topic" if place == KAFKA else "")
            + '; dead_letter_body = "raw" under [output] keeps them whole'
        )


def _done(done: Replayed) -> str:
    text = f"{done.put_back:,} put back into {plain(done.where)}"
    beside = [f"{done.before:,} were before"] if done.before else []
    beside += [f"{done.scored:,} are scored already, and would count twice"] if done.scored else []
    beside += [f"{done.more:,} wait for another call"] if done.more else []
    return "; ".join([text, *beside])


def _place(where: str | None, config: str | None) -> tuple[str, Config]:
    chosen = load(config)
    return where or chosen.output.path or ".", chosen


def _letters(place: str, config: Config) -> Iterator[Letter]:
    if place != KAFKA:
        return letters_.of_directory(place)
    from flows.replayed_letters import letters_of

    return letters_of(config.kafka)


def _marks(place: str, config: Config) -> set[str]:
    if place != KAFKA:
        return letters_.marks_of(read_operations(place))
    from flows.commands.results import Topics

    return letters_.marks_of(Topics(config.kafka).said()[1])


def _wanted(place: str, reason: str | None, since: str | None, until: str | None, source: str | None) -> Wanted:
    if place != KAFKA and (since or until):
        raise UsageError("--from and --to go by the time of the record: letters in files have none")
    now = time.time()
    return Wanted(reason=reason, source=source, since=millis(since, "--from", now), until=millis(until, "--to", now))


def _text(one: Letter) -> str:
    rows: list[tuple[str, Any]] = [
        ("letter", one.id),
        ("reason", f"{one.reason}{f': {one.detail}' if one.detail else ''} (in {one.stage})"),
        ("came", utc(one.at) if one.at is not None else "not known: files have no times of records"),
        ("size", f"{one.size:,} bytes, sha256 {one.sha256}"),
        ("key", "-" if (key := one.kept_key()) is None else _short(key)),
    ]
    rows += [
        ("header", f"{name}: {'not kept' if value is None else _short(value)}") for name, value in one.kept_headers()
    ]
    kept = one.kept()
    whole = "whole" if one.original() is not None else "redacted or cut"
    rows += [("body", "not kept" if one.body is None else f"{len(kept):,} bytes, {whole}")]
    return "\n".join([columns(rows, ""), *([f"\n{_dump(kept)}"] if kept else [])])


def _short(value: bytes) -> str:
    return repr(value[:200])[2:-1]


def _dump(body: bytes) -> str:
    """Text as it is, line by line, other bytes in hex: nothing of it moves a cursor."""
    cut = body[:_DUMPED]
    more = [f"... {len(body) - _DUMPED:,} bytes more: --json has all that is kept"] if len(body) > _DUMPED else []
    try:
        text = cut.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(char.isprintable() or char in "\t\r\n" for char in text):
        return "\n".join([*(plain(line) for line in text.splitlines()), *more])
    rows = []
    for at in range(0, len(cut), 16):
        piece = cut[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        rows.append(f"{at:08x}  {piece.hex(' '):47}  {shown}")
    return "\n".join([*rows, *more])
