"""A real OpenSearch takes what Lapwing publishes: as ECS, through the ingest pipeline, and as the dashboards ask."""

import json
from pathlib import Path

import pytest

from flows.formats import ecs
from flows.formats.ocsf import encode_alert
from models.rules import about, default_rules, dimension
from tests.command import ROOT, lapwing, simulate
from tests.kafka.jars import listed
from tests.opensearch import home
from tests.test_ocsf import EVENT, alert_of

ELASTICSEARCH = ROOT / "deploy" / "siem" / "elasticsearch"
KIBANA = ROOT / "deploy" / "siem" / "kibana" / "lapwing.ndjson"
PIPELINE = "lapwing-ocsf-to-ecs"


def test_the_lists_name_each_jar_once_with_a_whole_checksum():
    lists = [home.SERVER, *(home.LISTS / f"{name}.txt" for name in home.MODULES)]
    jars = [jar for path in lists for jar in listed(path.read_text())]
    assert len({(jar.group, jar.name) for jar in jars}) == len(jars)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in jars)
    assert {jar.version for jar in jars if jar.group.startswith("org.opensearch")} == {home.version()}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The results of a small run with attacks in it."""
    folder = tmp_path_factory.mktemp("small")
    done = lapwing("detect", "--input", simulate(folder / "events.ndjson", 20_000, 3), "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def alerts(results) -> list[bytes]:
    found = (results / "alerts.ndjson").read_bytes().splitlines()
    assert len({json.loads(line)["activity_id"] for line in found}) == 3
    return found


@pytest.fixture(scope="module")
def pipeline(opensearch) -> str:
    opensearch.ask("PUT", f"/_ingest/pipeline/{PIPELINE}", json.loads((ELASTICSEARCH / "ocsf-to-ecs.json").read_text()))
    return PIPELINE


@pytest.fixture(scope="module")
def templates(opensearch) -> None:
    """The mappings of indices by name; that of ECS, stricter than given, refuses a field that it does not name."""
    for path in ELASTICSEARCH.glob("*.index-template.json"):
        template = json.loads(path.read_text())
        if path.name.startswith("lapwing-ecs"):
            template["template"]["mappings"]["dynamic"] = "strict"
        opensearch.ask("PUT", f"/_index_template/{path.name.partition('.')[0]}", template)


def through(opensearch, pipeline, records):
    """The documents that the pipeline makes."""
    docs = [{"_source": json.loads(record)} for record in records]
    made = opensearch.ask("POST", f"/_ingest/pipeline/{pipeline}/_simulate", {"docs": docs})
    return [one["doc"]["_source"] for one in made["docs"]]


def test_the_pipeline_makes_of_an_alert_what_the_encoder_makes(opensearch, pipeline, alerts):
    for record, document in zip(alerts, through(opensearch, pipeline, alerts), strict=True):
        assert document == json.loads(ecs.encode(record, "alert"))


HOSTILE = (
    '"},{"index":{}}\n',
    "{{{metadata.uid}}}",
    "{{ctx}}",
    "\u202egnp.exe",
    "a@",
    "@b",
    "é" * 120,
    "a\\b",
    "a b@c",
)
"""What an attacker may call himself; an address is what he has."""
ADDRESSES = ("203.0.113.7", "2001:db8::/64")


def test_the_pipeline_takes_names_for_names(opensearch, pipeline):
    """Whatever entity, address or network it is; two dimensions at once; no template in a value is filled in."""
    by_dimension = {dimension(rule): rule for rule in default_rules()}
    records = [
        encode_alert(alert_of(rule, entity=entity, tenant=name), about(rule), rule, 1_795_410_070_000, "0.1.0")
        for name in HOSTILE
        for rule in by_dimension.values()
        for entity in (ADDRESSES if dimension(rule) == "ip" else (name,))
    ]
    for record, document in zip(records, through(opensearch, pipeline, records), strict=True):
        assert document == json.loads(ecs.encode(record, "alert"))


def test_what_is_no_alert_is_stored_and_says_why(opensearch, pipeline):
    other = b'{"class_uid":2004,"metadata":{"product":{"name":"X"}}}'
    records = [b'{"class_uid":3002,"time":1}', b'{"a":{"b":[]}}', other]
    for record, document in zip(records, through(opensearch, pipeline, records), strict=True):
        assert document.pop("error")["message"].startswith("no alert of Lapwing: class_uid ")
        assert document.pop("event") == {"kind": "pipeline_error"}
        assert document == json.loads(record)


DESTINATIONS = """
[[destination]]
type = "elasticsearch"
id = "encoded"
url = "{url}"
index = "logs-lapwing.alert-encoded"
action = "create"
form = "ecs"

[[destination]]
type = "elasticsearch"
id = "piped"
url = "{url}"
index = "logs-lapwing.alert-piped"
action = "create"
pipeline = "{pipeline}"

[[destination]]
type = "elasticsearch"
id = "scored"
from = "scored"
url = "{url}"
index = "logs-lapwing.scored-all"
action = "create"
form = "ecs"

[[destination]]
type = "elasticsearch"
id = "plain-alerts"
url = "{url}"
index = "lapwing-alert-plain"

[[destination]]
type = "elasticsearch"
id = "plain-scored"
from = "scored"
url = "{url}"
index = "lapwing-scored-plain"
"""
INDICES = ("lapwing-alert-plain", "lapwing-scored-plain")
STREAMS = ("logs-lapwing.alert-encoded", "logs-lapwing.alert-piped", "logs-lapwing.scored-all")


@pytest.fixture(scope="module")
def sent(results, tmp_path_factory) -> Path:
    """Results with few enough events to be searched one by one; hostile ones are among them."""
    folder = tmp_path_factory.mktemp("sent")
    (folder / "alerts.ndjson").write_bytes((results / "alerts.ndjson").read_bytes())
    lines = (results / "scored.ndjson").read_bytes().splitlines()
    own = json.loads(lines[-1])["lapwing"]
    hostile = [
        EVENT | {"id": f"h-{number}", "user_agent": text, "username": text, "endpoint": text, "lapwing": own}
        for number, text in enumerate((*HOSTILE, "x" * 200_000))
    ]
    (folder / "scored.ndjson").write_bytes(
        b"\n".join([*lines[-500:], *(json.dumps(event).encode() for event in hostile)]) + b"\n"
    )
    return folder


@pytest.fixture(scope="module")
def forwarded(opensearch, pipeline, templates, sent, tmp_path_factory) -> None:
    """What `lapwing forward` has sent, all of it twice."""
    config = tmp_path_factory.mktemp("forward") / "config.toml"
    config.write_text(DESTINATIONS.format(url=opensearch.url, pipeline=pipeline))
    for name in INDICES:
        opensearch.ask("PUT", f"/{name}", {})
    for name in STREAMS:
        opensearch.ask("PUT", f"/_data_stream/{name}")
    for _ in range(2):
        done = lapwing("forward", "--config", config, "--input", sent, "--json")
        assert done.returncode == 0, done.stderr
        assert {one["refused"] for one in json.loads(done.stdout)["destinations"]} == {0}
    opensearch.ask("POST", "/_refresh")


def encoded_by_id(alerts) -> dict[str, object]:
    return {json.loads(line)["metadata"]["uid"]: json.loads(ecs.encode(line, "alert")) for line in alerts}


def documents(opensearch, index) -> dict[str, object]:
    """All of a small index, by `_id`."""
    found = opensearch.ask("POST", f"/{index}/_search", {"size": 10_000, "query": {"match_all": {}}})
    return {hit["_id"]: hit["_source"] for hit in found["hits"]["hits"]}


@pytest.mark.parametrize("stream", STREAMS[:2])
def test_an_alert_is_one_document_under_its_own_id(opensearch, forwarded, alerts, stream):
    assert documents(opensearch, stream) == encoded_by_id(alerts)


def test_every_scored_event_is_there_once_as_the_encoder_makes_it(opensearch, forwarded, sent):
    lines = (sent / "scored.ndjson").read_bytes().splitlines()
    found = documents(opensearch, "logs-lapwing.scored-all")
    assert len(found) == len(lines)
    by_id = {document["event"]["id"]: document for document in found.values()}
    assert by_id == {json.loads(line)["id"]: json.loads(ecs.encode(line, "scored")) for line in lines}
    assert opensearch.count("logs-lapwing.scored-all", {"term": {"event.id": "h-0"}}) == 1
    assert opensearch.count("logs-lapwing.scored-all", {"term": {"source.ip": "203.0.113.7/32"}}) >= len(HOSTILE)


def test_records_are_kept_as_published_too_an_incident_as_its_last_alert_says(opensearch, forwarded, alerts, sent):
    last = {json.loads(line)["finding_info"]["uid"]: json.loads(line) for line in alerts}
    assert documents(opensearch, "lapwing-alert-plain") == last
    lines = (sent / "scored.ndjson").read_bytes().splitlines()
    found = {document["id"]: document for document in documents(opensearch, "lapwing-scored-plain").values()}
    assert found == {(event := json.loads(line))["id"]: event for line in lines}
    assert opensearch.count("lapwing-alert-plain", {"range": {"time": {"gte": "2020-01-01", "format": "date"}}})


def test_a_shipper_that_gives_no_ids_gets_the_messages_own(opensearch, pipeline, templates, alerts):
    """As Filebeat, Logstash, Vector and Fluent Bit send: through the pipeline, and again after a restart."""
    body = b"".join(b'{"create":{"_index":"logs-lapwing.alert-shipped"}}\n' + line + b"\n" for line in alerts)
    opensearch.ask("PUT", "/_data_stream/logs-lapwing.alert-shipped")
    for status in (201, 409):
        answer = opensearch.ask("POST", f"/_bulk?refresh=true&pipeline={pipeline}", body)
        assert {item["create"]["status"] for item in answer["items"]} == {status}
    assert documents(opensearch, "logs-lapwing.alert-shipped") == encoded_by_id(alerts)


def objects(kind) -> list[dict]:
    return [each for line in KIBANA.read_text().splitlines() if (each := json.loads(line))["type"] == kind]


def test_what_the_dashboard_asks_has_answers(opensearch, forwarded):
    """Each aggregation over real documents; the fields of its query and of the tables' columns are mapped."""
    index_of = {each["id"]: each["attributes"]["title"] for each in objects("index-pattern")}
    for each in objects("visualization"):
        index = index_of[each["references"][0]["id"]]
        metric, *buckets = json.loads(each["attributes"]["visState"])["aggs"]
        inner = {"metric": {"cardinality": {"field": "lapwing.incident"}}} if metric["type"] == "cardinality" else {}
        for bucket in buckets:
            how = {"fixed_interval": "1h", "min_doc_count": 1} if bucket["type"] == "date_histogram" else {}
            asked = {bucket["type"]: {"field": bucket["params"]["field"]} | how, "aggs": inner}
            answer = opensearch.ask("POST", f"/{index}/_search?size=0", {"aggs": {"asked": asked}})
            found = answer["aggregations"]["asked"]["buckets"]
            assert found, each["attributes"]["title"]
            assert all(one["metric"]["value"] for one in found if inner)
    for each in objects("search"):
        index = index_of[each["references"][0]["id"]]
        for field in each["attributes"]["columns"]:
            assert opensearch.ask("GET", f"/{index}/_field_caps?fields={field}")["fields"], field
