"""Lines to forward: alerts of several incidents, as a run writes them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ONE: dict[str, Any] = json.loads((Path(__file__).parent / "alert.json").read_bytes())
_GIVE_UP_S = 60.0


def alert(incident: int, seq: int, **members: Any) -> dict[str, Any]:
    """An alert that differs from others in its incident and its number."""
    uid = f"{incident:032x}"
    about = _ONE["metadata"] | {"uid": f"{uid}-{seq}", "sequence": seq}
    return _ONE | {"metadata": about, "finding_info": _ONE["finding_info"] | {"uid": uid}} | members


def alerts(count: int, incidents: int = 7) -> list[dict[str, Any]]:
    """So many alerts of several incidents, the numbers of each rising."""
    return [alert(at % incidents, at // incidents) for at in range(count)]


def ids(found: list[dict[str, Any]]) -> list[str]:
    """The ids that they are sent with."""
    return [one["metadata"]["uid"] for one in found]


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    """A file of them, or more at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in found)
    return path


def eventually(holds: Callable[[], Any], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + _GIVE_UP_S
    while not holds():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.005)
