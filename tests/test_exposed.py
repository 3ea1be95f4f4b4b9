"""Records that hold a secret, anywhere and however it is written, are blanked as if each were walked for it."""

import copy
import json
import random
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from flows.formats.blank import ANY, Blanking, Paths
from flows.formats.exposed import watched
from flows.formats.limits import Limits
from flows.formats.mapped import Choice, Mapped
from flows.formats.raw import raw_batch
from flows.formats.reads import Path
from flows.formats.source_format import SourceFormat
from flows.formats.templates import Templates
from tests.test_format_reads import READ, mapping, put, samples

MARK: Final = "Marked"
VALUES: Final[tuple[Any, ...]] = (
    MARK, "", "[7]", None, 7, 12345, {}, [], {"deep": MARK}, [MARK], {"secret": [MARK, {"a": MARK}]}, 'say "Marked"',
)  # fmt: skip
OWN: Final = """
[[format]]
type = "mapping"
id = "own"
secrets = [{ paths }]
[format.member]
time = [{ path = "at", format = "rfc3339" }]
user = "who.names[0].text"
device = "tags[0].id"
app = "tags.name.text"
"""
OWN_PATHS: Final = (
    '"who.pin"', '"who.more.*"', '"tags[*].pin"', '"more.pin"', '"more.*"', '"more.*.pin"', '"more"', '"who.*.pin"',
)  # fmt: skip
FORMS: Final = [one for one in READ if one.secrets]


def own(paths: str) -> SourceFormat:
    return mapping(OWN.replace("{ paths }", paths))


def hidden(records: list[dict[str, Any]], secrets: Paths, seed: int) -> list[bytes]:
    """Each record as it is, and with a few secrets in it: under any member and in any place of lists, in JSON in a
    string, under names with escapes, twice, and behind containers of another kind."""
    drawn = random.Random(seed)
    lines = []
    for record in records:
        lines.append(json.dumps(record))
        for _ in range(25):
            one = copy.deepcopy(record)
            for secret in drawn.sample(secrets, min(len(secrets), drawn.randint(1, 3))):
                way = [drawn.choice((0, 0, 1, 2, "some")) if step == ANY else step for step in secret]
                put(one, tuple(way), drawn.choice(VALUES))
                if len(way) > 1 and drawn.random() < 0.2:
                    inner: Any = {}
                    put(inner, tuple(way[1:]) if isinstance(way[1], str) else ("x",), MARK)
                    put(one, tuple(way[:1]), drawn.choice((json.dumps(inner), inner, [inner], [inner, inner])))
            text = json.dumps(
                one, ensure_ascii=drawn.random() < 0.5, separators=drawn.choice(((",", ":"), (" , ", " : ")))
            )
            if drawn.random() < 0.2:
                name = str(drawn.choice([step for secret in secrets for step in secret if step != ANY]))
                text = text.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"')
            if drawn.random() < 0.2:
                text = text[:-1] + ("," if len(text) > 2 else "") + text[1:]
            lines.append(text)
    return [line.encode() for line in lines]


def blanked(form: SourceFormat, lines: list[bytes]) -> tuple[list[bytes], float]:
    """The messages after templates have been asked to write them, and the share of those that they wrote: what they
    wrote is what the format makes of each, so no record has a word of another."""
    assert form.reads is not None
    templates, blanking = Templates(form, form.reads), Blanking(form.secrets)
    raw = raw_batch("", lines)
    done = 0.0
    for _ in range(3):
        buffer = raw.buffer.copy()
        found = templates.write(buffer, raw.start, raw.length.astype(np.int32), np.arange(len(lines)), blanking)
        done = float(found.done.mean())
        begins = np.concatenate(([0], found.ends[:-1]))
        ends = [*zip(raw.start.tolist(), raw.length.tolist(), strict=True)]
        out = [buffer[at : at + size].tobytes() for at, size in ends]
        for line, signature in zip(out, found.signatures, strict=True):
            record = msgspec.json.decode(line)
            templates.learn(signature, record, form.event(record))
        for row in np.flatnonzero(found.done).tolist():
            text = found.lines[begins[row] : found.ends[row]].tobytes()
            assert text == msgspec.json.encode(form.event(msgspec.json.decode(out[row]))), lines[row]
    return out, done


@pytest.mark.parametrize("form", FORMS, ids=lambda one: one.type)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_secret_of_a_platform_is_blanked(form: SourceFormat, seed: int) -> None:
    lines = hidden(samples(form)[:40], form.secrets, seed)
    walk = Blanking(form.secrets)
    out, done = blanked(form, lines)
    assert out == [walk.of(line) for line in lines]
    assert sum(MARK.encode() in line for line in lines) > len(lines) / 10
    assert done > 0


@pytest.mark.parametrize("paths", [*OWN_PATHS, ", ".join(OWN_PATHS[:4])])
def test_every_secret_of_a_declared_mapping_is_blanked(paths: str) -> None:
    form = own(paths)
    least = {"at": "2026-11-23T05:00:00Z", "who": {"id": "u", "names": [{"text": "sam"}]}}
    tags: list[Any] = [[{"id": "a"}, {"id": "b"}], {"name": {"text": "a"}}]
    lines = hidden([least, *({**least, "tags": each} for each in tags)] * 4, form.secrets, seed=3)
    walk = Blanking(form.secrets)
    assert blanked(form, lines)[0] == [walk.of(line) for line in lines]


@pytest.mark.parametrize(
    ("secret", "read", "rules"),
    [
        (("*", "pin"), [()], None),
        (("a",), [(), ("a",), ("a", "b")], None),
        (("a", "*"), [(), ("a",), ("a", "b")], None),
        (("a", "*", "pin"), [(), ("a",), ("a", "b")], {(): 0, ("a",): 2}),
        (("a", "pin"), [(), ("a",)], {(): 0, ("a",): 2}),
        (("a", "*", "pin"), [(), ("a",), ("a", "[0]")], {(): 0, ("a",): 1, ("a", "[0]"): 2}),
        (("a", "b", "*"), [(), ("a",), ("a", "c")], {(): 0, ("a",): 0, ("a", "b"): 3}),
    ],
)
def test_what_is_read_itself_is_blanked_first(secret: Path, read: list[Path], rules: dict[Path, int] | None) -> None:
    found = watched((secret,), read)
    assert (None if found is None else {path: watch.rule for path, watch in found.items()}) == rules


def test_a_list_or_object_that_decides_is_no_other_records() -> None:
    """Auth0's bodies are read as a whole, and have secrets in them: three administrators' calls, each its own."""
    (form,) = (one for one in READ if one.type == "auth0")
    bodies = [{"email": f"{name}@example.com"} for name in ("ada", "ben", "cleo")] + [{"password": "hunter2"}]
    call = {"method": "patch", "path": "/api/v2/users/auth0%7C64f1", "auth": {"user": {"user_id": "auth0|1"}}}
    records = [
        {"log_id": "1", "date": "2026-11-23T05:00:00Z", "type": "sapi", "client_id": "c",
         "details": {"request": {**call, "body": body}, "response": {"statusCode": 200, "body": {}}}}
        for body in bodies
    ]  # fmt: skip
    mapped = Mapped(Choice((form,), fixed=True), Limits())
    for record in records:
        decoded = mapped.decode(raw_batch("", [json.dumps(record).encode()]))
        at, size = int(decoded.shown_start[0]), int(decoded.shown_length[0])
        shown = msgspec.json.decode(decoded.buffer[at : at + size].tobytes())
        assert shown == msgspec.json.decode(msgspec.json.encode(form.event(record)))
