"""A small trail of people who are attacked, changed, erased and held, and the search for what is left of one."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.command import command
from tests.trails import archived

START = datetime(2026, 11, 2, 8, tzinfo=UTC)
ATTACKER = "203.0.113.66"
NINA = {
    "user": "u-nina-4711", "username": "Nina.Nyström@Acme.example", "session": "s-ninas-own",
    "request_id": "r-ninas-own",
    "ip": "198.51.100.177", "device": "d-ninas-phone", "user_agent": "NinaPhone/9", "city": "Ninaville",
}  # fmt: skip
"""Whoever is erased, with what only she has."""
SECRETS = (*NINA.values(), "nina.nyström@acme.example", "nina.neu@acme.example", "4711 is locked")
"""What must be nowhere afterwards."""


def event(second: float, action: str, outcome: str = "success", **more: Any) -> dict[str, Any]:
    """One event of tenant acme."""
    time = (START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return {
        "time": time,
        "id": f"e-{second:g}-{action}",
        "tenant": "acme",
        "action": action,
        "outcome": outcome,
        **more,
    }


def stream() -> list[dict[str, Any]]:
    """Ordinary people, a takeover of Vera by guessing, Nina, and an administrator who changes both."""
    vera = {"user": "u-vera", "username": "vera@acme.example"}
    admin = {"actor": "adm-1", "actor_type": "admin", "ip": "192.0.2.9", "session": "s-admin"}
    found = [
        event(10 * n, "login", user=f"u-{n % 30}", username=f"user{n % 30}@acme.example", ip=f"192.0.2.{n % 30 + 20}")
        for n in range(300)
    ]
    found += [event(60 * n, "login", **NINA) for n in range(40)]
    found.append(event(61, "login", "failure", error="account u-nina-4711 is locked", **NINA))
    change = {"path": "email", "old": NINA["username"], "new": "nina.neu@acme.example"}
    found.append(event(62, "email_change", changes=[change], endpoint="/users/u-nina-4711/email", **NINA))
    found.append(event(63, "role_change", user="adm-1", target=NINA["user"], **admin))
    found.append(event(64, "profile_update", user=NINA["user"], username=NINA["username"], changes=[change], **admin))
    found.append(event(65, "data_read", target="u-3", **(NINA | {"actor": NINA["user"]})))
    guessed = [
        event(1000 + 8 * n, "login", "failure", reason="bad_credentials", ip=ATTACKER, **vera) for n in range(16)
    ]
    found += [*guessed, event(1130, "login", ip=ATTACKER, **vera)]
    old_and_new = [{"path": "email", "old": "vera@acme.example", "new": "evil@example.net"}]
    found.append(event(1140, "email_change", ip=ATTACKER, changes=old_and_new, **vera))
    found.append(event(1150, "data_export", ip=ATTACKER, **vera))
    return sorted(found, key=lambda one: str(one["time"]))


def write(path: Path, events: Iterable[dict[str, Any]]) -> Path:
    """Events, one a line."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in events), encoding="utf-8")
    return path


def watched(folder: Path) -> Path:
    """A trail of the stream as `lapwing detect` has seen it, in parts, so that there are old versions of its tables."""
    source = write(folder / "events.ndjson", stream())
    code, _, said = command("detect", "--input", source, "--output", folder / "out", "--quiet")
    assert code == 0, said
    archived(folder / "out", folder)
    return folder


def files(*roots: Path) -> Iterator[Path]:
    """Every file below some directories."""
    for root in roots:
        yield from (path for path in sorted(root.rglob("*")) if path.is_file())


def found_in(path: Path, secrets: Iterable[str]) -> list[str]:
    """Which of some strings a file has: in its bytes, and of a Parquet file in its values, statistics and footer."""
    texts = [path.read_bytes()]
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        texts.append(repr(file.metadata.to_dict()).encode())
        table = file.read()
        texts += [_values(table.column(name).combine_chunks()) for name in table.column_names]
    return [one for one in secrets if any(one.encode() in text or repr(one)[1:-1].encode() in text for text in texts)]


def _values(column: pa.Array) -> bytes:
    """All values of a column, one after another: text and bytes as they are."""
    whole = b""
    for value in column.to_pylist():
        whole += b"\0" + (
            value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else repr(value).encode()
        )
    return whole
