"""What a run of `lapwing forward` needs: destinations' blocks, their servers, and the run itself."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from flows import forward
from flows.config import load
from tests.destinations.elastic import KEY, Elastic
from tests.destinations.others import CLIENT_SECRET, SUMO_PATH, WEBHOOK_SECRET, Azure, Hook, Sumo
from tests.destinations.splunk import TOKEN, Splunk
from tests.destinations.syslog import SyslogServer
from tests.destinations.wire import Peer

FAST = {"flush": "20ms", "retry_first": "1ms", "retry_most": "4ms", "timeout": "2s"}
SERVERS: dict[str, type[Any]] = {
    "splunk_hec": Splunk, "sumo_logic": Sumo, "elasticsearch": Elastic, "syslog": SyslogServer, "sentinel": Azure,
    "webhook": Hook,
}  # fmt: skip


SECRETS = {
    "SPLUNK_TOKEN": TOKEN, "ES_KEY": KEY, "AZURE_CLIENT_SECRET": CLIENT_SECRET, "WEBHOOK_SECRET": WEBHOOK_SECRET,
}  # fmt: skip


def block(type: str, server: Peer, **keys: Any) -> dict[str, Any]:
    """The keys that a destination of this type needs to reach a server."""
    own: dict[str, dict[str, Any]] = {
        "splunk_hec": {"url": server.url, "ack_poll": "2ms"},
        "sumo_logic": {"category": "sec/lapwing", "host": "siem-1", "source": "lapwing", "fields": {"env": "prod"}},
        "elasticsearch": {"url": server.url, "index": "alerts", "api_key_env": "ES_KEY"},
        "syslog": {"address": f"localhost:{server.port}", "tls": server.context is not None},
        "sentinel": {
            "url": server.url, "authority": server.url, "rule_id": "dcr-1", "stream": "Custom-Lapwing",
            "directory_id": "7f0c", "client_id": "app-1",
        },
        "webhook": {"url": server.url + "/in"},
    }  # fmt: skip
    return {"type": type} | own[type] | FAST | keys


def toml(blocks: Iterable[Mapping[str, Any]]) -> str:
    """The text of destinations."""
    lines: list[str] = []
    for one in blocks:
        lines += ["[[destination]]", *(f"{key} = {_value(value)}" for key, value in one.items())]
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def config(folder: Path, *blocks: Mapping[str, Any]) -> Path:
    """A configuration of destinations."""
    path = folder / "forward.toml"
    path.write_text(toml(blocks))
    return path


def forwarded(path: Path, source: str | Path, **how: Any) -> dict[str, forward.Destined]:
    """A run to the end of a file, in this process."""
    done = forward.run(load(str(path)), str(source), **{"stop": threading.Event(), **how})
    return {one.id: one for one in done.destinations}


@contextmanager
def serving(type: str, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Iterator[Any]:
    """A strict server of this type."""
    with SERVERS[type](**how) as server:
        monkeypatch.setenv("SUMO_URL", server.url + SUMO_PATH)
        yield server


def delivered(server: Any) -> list[str]:
    """The ids at a server, each one once, in the order in which they first came."""
    return list(dict.fromkeys(server.ids))


class Running:
    """A run on a thread."""

    def __init__(self, path: Path, source: str | Path, **how: Any) -> None:
        self.stop, self.jobs, self.done = threading.Event(), False, None
        self.seen: dict[str, Any] = {}
        self._how = {"stop": self.stop, "follow": True, "on_progress": self._see, **how}
        self._thread = threading.Thread(target=self._run, args=(load(str(path)), str(source)))

    def _run(self, loaded: Any, source: str) -> None:
        self.done = forward.run(loaded, source, **self._how)  # type: ignore[assignment]

    def _see(self, seen: Any) -> None:
        self.jobs = True
        self.seen = {one.id: one for one in seen}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()
        assert self.done is not None


def running(path: Path, source: str | Path, **how: Any) -> Running:
    """A run that follows its input until it is left."""
    return Running(path, source, **how)
