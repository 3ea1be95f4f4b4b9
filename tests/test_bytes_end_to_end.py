"""Any bytes in a file: the command ends well, and each line is one scored event or one dead letter."""

import json
import os
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flows.formats.dead_letter import REASONS
from tests.command import ROOT, lapwing, said
from tests.odd_lines import lines, mutated, ordinary
from tests.test_fuzz_bytes import CASES, OK

COUNT = int(os.environ.get("LAPWING_MUTATED_LINES", "60000"))
"""The promise is for a million; that many take a minute and a half more."""
MOST_ADDED = 800
BOM = b"\xef\xbb\xbf"

MORE: dict[str, tuple[bytes, str]] = {
    "CRLF": (OK + b"\r", ""),
    "two CR": (OK + b"\r\r", ""),
    "CR inside": (OK.replace(b",", b",\r"), ""),
    "own lapwing member of an earlier run": (OK[:-1] + b',"lapwing":{"v":1,"risk":0,"scores":{}}}', "reserved_member"),
    "an array of events": (b"[" + OK + b"," + OK + b"]", "not_an_object"),
    "a number": (b"5", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "ahead of its record": (OK[:-1] + b',"received":1763873000}', "future_time"),
    "before 2000": (b'{"time":946684799,"user":"u"}', "bad_time"),
    "a time of no zone": (b'{"time":"2026-11-23T05:00:00","user":"u"}', "bad_time"),
    "NUL, escaped, in the entity": (OK[:-2] + b'\\u0000"}', ""),
    "line separators in the entity": (OK[:-2] + "\u2028\u0085".encode() + b'"}', ""),
    "a million spaces": (OK[:-1] + b" " * 1_000_000 + b"}", ""),
    "just too large": (OK[:-1] + b" " * (1 << 20) + b"}", "too_large"),
    "huge integer as status": (OK[:-1] + b',"status":' + b"9" * 400 + b"}", '["status"]'),
    "half an escape": (OK[:-2] + b'\\u12"}', "malformed_json"),
    "a comment": (OK + b" // x", "malformed_json"),
    "single quotes": (OK.replace(b'"', b"'"), "malformed_json"),
    "trailing comma": (OK[:-1] + b",}", "malformed_json"),
    "a member without a name": (OK[:-1] + b',"":1}', ""),
    "600 members": (OK[:-1] + b"".join(b',"m%d":%d' % (i, i) for i in range(600)) + b"}", ""),
}  # fmt: skip


def nudged(random_: random.Random, line: bytes) -> bytes:
    """A line with one byte changed: often still an event, and a strange one."""
    at = random_.randrange(len(line))
    return line[:at] + bytes([random_.randrange(256)]) + line[at + 1 :]


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def strict(line: bytes) -> Any:
    """A line as JSON to the letter: UTF-8, no NaN; numbers stay text, since a number of any size is JSON."""
    return json.loads(line.decode("utf-8"), parse_int=str, parse_float=str, parse_constant=no_constant)


def detect(source: Path, out: Path) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The scored lines and the dead letters of a file, after the command has ended well."""
    done = lapwing("detect", "--input", source, "--output", out)
    assert done.returncode == 0, done.stderr.decode()
    assert len(said(done.stderr)) == 1
    scored, dead, alerts = (
        (out / f"{name}.ndjson").read_bytes().split(b"\n") for name in ("scored", "dead-letters", "alerts")
    )
    assert scored.pop() == dead.pop() == alerts.pop() == b""
    for line in alerts:
        strict(line)
    return scored, [json.loads(letter.decode("utf-8"), parse_constant=no_constant) for letter in dead]


def events_of(source: list[bytes], dead: list[dict[str, Any]]) -> list[bytes]:
    """The input's lines without the dead ones, which name their line."""
    gone = {letter["offset"] for letter in dead}
    assert len(gone) == len(dead)
    assert all(a["offset"] < b["offset"] for a, b in pairwise(dead))
    return [line for number, line in enumerate(source) if number not in gone]


def was_clean(line: bytes) -> bool:
    """Whether nothing in a line had to be repaired: UTF-8 throughout, and no half of a surrogate pair."""
    try:
        pairs = json.loads(line.decode("utf-8-sig"), object_pairs_hook=list)  # a duplicate's first value is there too
        json.dumps(pairs, ensure_ascii=False).encode()
    except UnicodeError:
        return False
    return True


def check(event: bytes, scored: bytes) -> bool:
    """Hold a scored line against its event; whether it is the event's own bytes."""
    assert len(scored) - scored.rindex(b',"lapwing":{"v":1,') - 1 <= MOST_ADDED
    found = strict(scored)
    member = found["lapwing"]
    assert next(reversed(found)) == "lapwing"
    assert member["risk"] is None or 0 <= int(member["risk"]) <= 100
    own = event.removeprefix(BOM).strip(b" \t\r").replace(b"\r", b" ")
    if scored.startswith(own[:-1] + b',"lapwing":{"v":1,'):
        return True
    assert member["ignored"], event
    assert not was_clean(event), event
    return False


def test_every_named_case(tmp_path: Path) -> None:
    cases = {name: case for name, case in (CASES | MORE).items() if b"\n" not in case[0]}
    source = [line for message, _ in cases.values() for line in (message, OK)]
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(source) + b"\n")
    scored, dead = detect(tmp_path / "in.ndjson", tmp_path / "out")
    assert len(scored) + len(dead) == len(source)
    reasons = {letter["offset"]: letter["reason"] for letter in dead}
    rows = iter(zip(events_of(source, dead), scored, strict=True))
    for number, (name, (message, want)) in enumerate(cases.items()):
        if want in REASONS:
            assert reasons[2 * number] == want, name
        else:
            event, line = next(rows)
            assert event is message, name
            check(event, line)
            assert strict(line)["lapwing"].get("ignored", []) == json.loads(want or "[]"), name
        event, line = next(rows)
        assert check(OK, line), name


def test_mutated_lines(tmp_path: Path) -> None:
    """Sums match and every line that leaves is JSON, whatever was done to the bytes; ordinary events lie between."""
    random_ = random.Random(11)
    source: list[bytes] = []
    while len(source) < COUNT:
        usual = [json.dumps(ordinary(random_)).encode() for _ in range(1_000)]
        made = lines(len(source), 4_000) + usual
        made += [mutated(random_, random_.choice(usual)) for _ in range(4_000)]
        made += [nudged(random_, random_.choice(usual)) for _ in range(4_000)]
        random_.shuffle(made)
        # A line break inside an event makes two lines of it: some of that, and most as a space.
        source += b"\n".join(m if i % 50 == 0 else m.replace(b"\n", b" ") for i, m in enumerate(made)).split(b"\n")
    source = [line + b"\r" if i % 10 == 0 else line for i, line in enumerate(source)]
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(source) + b"\n")
    scored, dead = detect(tmp_path / "in.ndjson", tmp_path / "out")
    assert len(scored) + len(dead) == len(source)
    reasons = Counter(letter["reason"] for letter in dead)
    assert set(reasons) <= set(REASONS)
    whole = sum(check(event, line) for event, line in zip(events_of(source, dead), scored, strict=True))
    print(f"{len(source):,} lines: {len(scored):,} scored ({whole:,} byte for byte), {dict(reasons.most_common())}")
    assert len(scored) > 0.2 * len(source)
    assert whole > 0.6 * len(scored)
    assert len(reasons) > 7


@pytest.mark.parametrize("kind", ["scored", "dead-letters"])
def test_samples(kind: str, tmp_path: Path, golden: Any) -> None:
    """The samples' results, byte for byte: `pytest --update-golden` rewrites them, and the diff is to be read."""
    detect(ROOT / "tests" / "samples" / "events.ndjson", tmp_path)
    golden(f"{kind}.ndjson", (tmp_path / f"{kind}.ndjson").read_bytes())
