"""`lapwing config`: the effective configuration, and where each key comes from."""

from typing import Annotated, Any

import msgspec
import typer

from flows.commands.console import columns, result
from flows.commands.options import ConfigFile, Json
from flows.config import Config, config_hash, load, origins


def config(
    file: ConfigFile = None,
    every: Annotated[bool, typer.Option("--all", help="Every key, also those at their defaults.")] = False,
    json: Json = False,
) -> None:
    """Print the effective configuration with the origin of each key.

    \b
    With --all the output is itself a valid configuration.

    \b
    Examples:
      lapwing config --all
      lapwing config --config config.toml
      lapwing config --config config.toml --json
    """
    found = load(file)
    rows = origins(found)
    shown = rows if every else [row for row in rows if row[2] != "default"]
    if json:
        keys = [{"key": key, "value": value, "origin": origin} for key, value, origin in shown]
        result({"config_hash": config_hash(found), "keys": keys})
        return
    if shown:
        print(as_toml(found, every))
    print(f"# config_hash {config_hash(found)}; {len(rows) - len(shown)} more keys at their defaults")


def toml_value(value: Any) -> str:
    """A value on one line of TOML; a block inside a block is an inline table, without what is empty in it.

    >>> toml_value(("a", 1.5)), toml_value({"enable.ssl": False})
    ('["a", 1.5]', '{ "enable.ssl" = false }')
    """
    empty: tuple[Any, ...] = (None,) if isinstance(value, dict) else (None, "", False, [])
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        cells = [f"{_key(key)} = {toml_value(inner)}" for key, inner in plain.items() if inner not in empty]
        return "{ " + ", ".join(cells) + " }" if cells else "{}"
    if isinstance(plain, list | tuple):
        return "[" + ", ".join(toml_value(inner) for inner in plain) + "]"
    return msgspec.json.encode(plain).decode()


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else msgspec.json.encode(key).decode()


def as_toml(config: Config, every: bool) -> str:
    """The configuration as TOML, each key's origin behind it as a comment."""
    blocks: dict[str, list[tuple[str, str]]] = {}
    kept = {key.rpartition(".")[0] for key, _, origin in origins(config) if origin != "default"}
    for key, value, origin in origins(config):
        block, _, name = key.rpartition(".")
        # A row of a list needs its type and id even where only another key was given.
        if every or origin != "default" or (block in kept and "[" in block and name in ("type", "id")):
            blocks.setdefault(block, []).append((f"{name} = {toml_value(value)}", f"# {origin}"))
    titles = {block: f"[[{block.partition('[')[0]}]]" if "[" in block else f"[{block}]" for block in blocks}
    return "\n\n".join(f"{titles[block]}\n{columns(rows, '')}" for block, rows in blocks.items())
