"""What is made of the table of fields and of the encoders: `make docs` writes it, a test compares it.

Between `<!-- NAME -->` and `<!-- end -->` in docs/outputs.md stands what this module makes, the rest is by hand.
"""

import json
import re
from pathlib import Path
from typing import Any

from flows.formats.field_docs import index_template, markdown, props
from flows.formats.field_table import ALERT, SCORED
from flows.formats.ocsf import encode_alert
from flows.formats.siem import ENCODERS, slim
from flows.formats.siem_event import Kind
from models.rules import about, default_rules
from tests import ecs_fields
from tests.command import ROOT
from tests.test_ocsf import EVENT, alert_of

OUTPUTS = ROOT / "docs" / "outputs.md"
OWN: dict[str, Any] = {
    "v": 1, "time": 1_795_410_000_123, "risk": 74, "late": False, "alerts": ["ab" * 16],
    "scores": {
        "ip": {
            "feature": "failures_1m", "score": 3.1, "quantile": 0.9998, "z": 12.0, "expected": 1.0, "observed": 40.0,
        },
        "user": {"feature": "events_1m", "score": 0.1, "quantile": None},
    },
}  # fmt: skip


def scored_record(members: dict[str, Any], **own: Any) -> bytes:
    """A scored event as `flows.formats.scored` writes it."""
    return json.dumps(members | {"lapwing": OWN | own}, ensure_ascii=False, separators=(",", ":")).encode()


def alert_record(rule_at: int = 1, **members: Any) -> bytes:
    """An alert as the flow publishes it."""
    rule = default_rules()[rule_at]
    return encode_alert(alert_of(rule, **members), about(rule), rule, 1_795_410_070_000, "0.1.0")


def _wrapped(line: bytes) -> str:
    return f"```text\n{line.decode()}\n```"


def pieces() -> dict[str, str]:
    """What stands between the marks of docs/outputs.md, by name."""
    records: dict[Kind, bytes] = {"alert": alert_record(evidences=(EVENT,)), "scored": scored_record(EVENT)}
    made = {"fields alert": markdown(ALERT), "fields scored": markdown(SCORED)}
    made["slim"] = _wrapped(slim(records["scored"]))
    for form, encode in ENCODERS.items():
        kind: Kind = "scored" if form in ("ocsf", "hec") else "alert"
        made[f"example {form}"] = _wrapped(encode(records[kind], kind))
    return made


def outputs(text: str) -> str:
    """docs/outputs.md with every piece as it is now."""
    for name, piece in pieces().items():
        text, found = re.subn(
            rf"<!-- {name} -->\n.*?<!-- end -->",
            lambda _, name=name, piece=piece: f"<!-- {name} -->\n{piece}\n<!-- end -->",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(f"docs/outputs.md has {found} places for {name}")
    return text


def ecs_template() -> bytes:
    """An index template for documents of the form `ecs`, on Elasticsearch and OpenSearch."""
    template = {
        "index_patterns": ["logs-lapwing.*-*"],
        "data_stream": {},
        "priority": 210,
        "template": {
            "mappings": {"dynamic": False, "_meta": {"made_by": "make docs"}, "properties": ecs_fields.properties()}
        },
    }
    return json.dumps(template, indent=2).encode() + b"\n"


def files() -> dict[Path, bytes]:
    """Every file that is made, with its bytes."""
    siem = ROOT / "deploy" / "siem"
    return {
        OUTPUTS: outputs(OUTPUTS.read_text()).encode(),
        siem / "elasticsearch" / "lapwing-alert.index-template.json": index_template("alert"),
        siem / "elasticsearch" / "lapwing-scored.index-template.json": index_template("scored"),
        siem / "elasticsearch" / "lapwing-ecs.index-template.json": ecs_template(),
        siem / "splunk" / "props.conf": props().encode(),
    }


if __name__ == "__main__":
    for path, made in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
        print(path.relative_to(ROOT))
