"""What is made of the table of fields: a table for people, an Elasticsearch mapping, Splunk's properties."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from flows.formats.field_table import ALERT, JSON_TYPES, SCORED, Field
from flows.formats.splunk_hec import SOURCE_TYPES
from models.kernels.scan import KINDS

_ELASTIC: Final[dict[str, dict[str, Any]]] = {
    "keyword": {"type": "keyword", "ignore_above": 1024},
    "text": {"type": "match_only_text"},
    "ip": {"type": "ip", "ignore_malformed": True},
    "date": {"type": "date", "format": "epoch_millis"},
    "long": {"type": "long"},
    "float": {"type": "double"},
    "boolean": {"type": "boolean"},
}


def markdown(fields: Iterable[Field]) -> str:
    """The fields as a table of Markdown.

    >>> print(markdown([Field("count", "long", "10", "events counted")]))
    | member | JSON | unit | meaning | example |
    | --- | --- | --- | --- | --- |
    | `count` | integer | | events counted | `10` |
    """
    lines = ["| member | JSON | unit | meaning | example |", "| --- | --- | --- | --- | --- |"]
    for path, type_, example, meaning, unit in fields:
        cells = (f"`{path}`", JSON_TYPES[type_], unit, meaning, f"`{example}`")
        lines.append("| " + " | ".join(cells).replace("|  |", "| |") + " |")
    return "\n".join(lines)


def mapping(fields: Iterable[Field]) -> dict[str, Any]:
    """The properties of an Elasticsearch mapping.

    >>> mapping([Field("a.b[]", "long", "1", "")])
    {'a': {'properties': {'b': {'type': 'long'}}}}
    """
    whole: dict[str, Any] = {}
    for field in fields:
        *above, last = field.path.replace("[]", "").split(".")
        part = whole
        for step in above:
            part = part.setdefault(step, {"properties": {}})["properties"]
        part[last] = _ELASTIC[field.type]
    return whole


def index_template(kind: str) -> bytes:
    """An index template of Elasticsearch and OpenSearch for records as Lapwing publishes them.

    Of a scored event only `lapwing` is indexed. The source's own members are kept, but their names and types are the
    sender's, who could exhaust a mapping or contradict it; whoever searches them indexes the form `ecs`.
    """
    fields = ALERT if kind == "alert" else SCORED
    mappings: dict[str, Any] = {
        "dynamic": False,
        "_meta": {"made_by": "make docs"},
        "properties": mapping(fields),
    }
    template = {
        "index_patterns": [f"lapwing-{kind}-*"],
        "priority": 200,
        "template": {"settings": {"index.mapping.total_fields.limit": 400}, "mappings": mappings},
    }
    return msgspec.json.format(msgspec.json.encode(template), indent=2) + b"\n"


_PROPS: Final = """# Made by `make docs` from flows/formats/field_table.py; change that file, not this one.
# Copy to $SPLUNK_HOME/etc/apps/lapwing/local/props.conf on search heads, and on what first parses the records.

[{alert}]
SHOULD_LINEMERGE = false
LINE_BREAKER = ([\\r\\n]+)
TRUNCATE = 1200000
KV_MODE = json
TIME_PREFIX = ^\\{{"time":
TIME_FORMAT = %s%3N
MAX_TIMESTAMP_LOOKAHEAD = 13
{alert_aliases}

[{scored}]
SHOULD_LINEMERGE = false
LINE_BREAKER = ([\\r\\n]+)
TRUNCATE = 1200000
KV_MODE = json
TIME_PREFIX = ^.*,"lapwing":\\{{"v":1,"time":
TIME_FORMAT = %s%3N
MAX_TIMESTAMP_LOOKAHEAD = 13
{scored_aliases}
"""
_ALERT_ALIASES: Final = {
    "metadata.event_code": "signature_id",
    "finding_info.title": "signature",
    "metadata.tenant_uid": "tenant",
    "finding_info.uid": "incident",
    "unmapped.entity": "entity",
    "finding_info.attacks{}.technique.uid": "mitre_technique_id",
    "remediation.desc": "remediation",
}
_SCORED_ALIASES: Final = {
    "ip": "src",
    "username": "user_name",
    "user": "user_id",
    "user_agent": "http_user_agent",
    "method": "http_method",
    "endpoint": "uri_path",
    "lapwing.risk": "risk_score",
}


def props() -> str:
    """Splunk's props.conf for both source types: line breaks, times, and the Common Information Model's names."""
    known = {field.path.replace("[]", "{}") for field in (*ALERT, *SCORED)} | KINDS.keys()
    texts = []
    for aliases in (_ALERT_ALIASES, _SCORED_ALIASES):
        lost = aliases.keys() - known
        if lost:
            raise ValueError(f"no such member: {', '.join(sorted(lost))}")
        texts.append("\n".join(f'FIELDALIAS-{new} = "{old}" AS {new}' for old, new in aliases.items()))
    alert, scored = (SOURCE_TYPES[kind] for kind in ("alert", "scored"))
    return _PROPS.format(alert=alert, scored=scored, alert_aliases=texts[0], scored_aliases=texts[1])
