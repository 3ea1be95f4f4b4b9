"""What was done to a trail is found, and what was not done is not."""

import random
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.errors import InputError, Refused
from flows.trail.checkpoints import Place
from flows.trail.leaves import leaf_files
from flows.trail.ledger import Ledger
from flows.trail.merkle import Range
from flows.trail.verify import Verifying
from tests.tampering import (
    BEGIN,
    COUNT,
    COUNTS,
    FIRST,
    Rows,
    alone,
    as_json,
    delete,
    every,
    forget_file,
    found,
    made,
    rewrite,
    said,
    store_of,
    verified,
    with_leaf,
)
from tests.trails import archived, keys

ACME = COUNT * 2 // 3
"""Leaves of the tenant acme."""
SIGNED = FIRST * 2 // 3
"""Those under the first checkpoint."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def trail(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_what_nobody_touched_is_proven(trail: Path) -> None:
    report = verified(trail)
    assert (report.findings, report.not_proven, report.rows) == ([], [COUNTS], COUNT)
    assert {(one.table, one.tenant, one.leaves) for one in report.proven} == {
        ("events", "acme", ACME), ("events", "globex", COUNT - ACME),
    }  # fmt: skip
    shutil.rmtree(trail / "keys")
    code, out, err = said(trail)
    assert (code, err) == (0, [])
    assert "findings: none" in out
    assert "the keys are the trail's own" in out
    assert COUNTS in out
    assert "second place" in out


def test_a_changed_value(trail: Path) -> None:
    def change(rows: Rows) -> Rows:
        with_leaf(rows, 20)["outcome"] = "failure"
        return rows

    rewrite(trail, change)
    assert found(verified(trail)) == [("changed", "events", "acme", 20, None)]
    code, out, err = said(trail, "--json")
    assert code == 3
    assert "1 finding" in err[0]
    one = as_json(out)["findings"][0]
    assert one["file"].startswith("tree=acme/day=2026-11-02/")
    assert one["log"] == "events.ndjson"


def test_a_changed_value_with_its_hash(trail: Path) -> None:
    def change(rows: Rows) -> Rows:
        with_leaf(rows, 20)["outcome"] = "failure"
        return rows

    rewrite(trail, change, rehash=True)
    report = verified(trail)
    assert found(report) == [("exchanged", "events", "acme", 0, 63)]
    assert {one.tenant: one.leaves for one in report.proven} == {"acme": ACME - 64, "globex": COUNT - ACME}


def test_any_changed_byte_of_a_file(trail: Path) -> None:
    store, draw = store_of(trail), random.Random(4)
    file = leaf_files(store)[0]
    path = trail / "trail" / "events" / file.path
    good, before = path.read_bytes(), every(store, file)
    missed = 0
    for _ in range(40):
        at = draw.randrange(len(good))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :])
        if not alone(trail).findings_in_all:
            missed += 1  # in a statistic, say: then no row is another
            assert [some.values for some in every(store, file)] == [some.values for some in before]
    assert missed < 20


def test_a_removed_row(trail: Path) -> None:
    rewrite(trail, lambda rows: [row for row in rows if row["leaf"] not in (30, 31, 50)])
    report = verified(trail)
    assert found(report) == [("removed", "events", "acme", 30, 31), ("removed", "events", "acme", 50, None)]
    assert {one.tenant: one.leaves for one in report.proven} == {"acme": ACME - 64, "globex": COUNT - ACME}


def test_a_file_left_out_of_the_log(trail: Path) -> None:
    forget_file(trail, "globex")
    assert {what for what, *_ in found(verified(trail))} <= {"removed", "truncated"}
    assert {tenant for _, _, tenant, *_ in found(verified(trail))} == {"globex"}


def test_a_lost_file(trail: Path) -> None:
    file = leaf_files(store_of(trail))[0]
    (trail / "trail" / "events" / file.path).unlink()
    findings = found(verified(trail))
    assert findings[0][0] == "file"
    assert {what for what, *_ in findings[1:]} <= {"removed", "truncated"}


def test_a_row_put_in_twice(trail: Path) -> None:
    def change(rows: Rows) -> Rows:
        return [*rows, with_leaf(rows, 7) | {"outcome": "failure"}]

    rewrite(trail, change, rehash=True)
    assert ("inserted", "events", "acme", 7, None) in found(verified(trail))


def test_a_row_put_in_behind_the_end(trail: Path) -> None:
    def change(rows: Rows) -> Rows:
        return [*rows, with_leaf(rows, 7) | {"leaf": ACME}]

    rewrite(trail, change, rehash=True)
    assert found(verified(trail)) == [("inserted", "events", "acme", ACME, None)]


def test_a_row_of_another_log(trail: Path) -> None:
    def change(rows: Rows) -> Rows:
        return [*rows, with_leaf(rows, 7) | {"log": "other.ndjson", "leaf": 0}]

    rewrite(trail, change, rehash=True)
    assert found(verified(trail)) == [("inserted", "events", "acme", 0, None)]


@pytest.mark.parametrize("rehash", [False, True])
def test_two_rows_exchanged(trail: Path, rehash: bool) -> None:
    def change(rows: Rows) -> Rows:
        one, other = with_leaf(rows, 11), with_leaf(rows, 40)
        one["leaf"], other["leaf"] = 40, 11
        return rows

    rewrite(trail, change, rehash=rehash)
    findings = found(verified(trail))
    if rehash:
        assert findings == [("exchanged", "events", "acme", 0, 63)]
    else:
        assert sorted(findings)[:2] == [
            ("changed", "events", "acme", 11, None),
            ("changed", "events", "acme", 40, None),
        ]


def test_an_end_cut_off(trail: Path) -> None:
    delete(trail, f"tree = 'acme' and leaf >= {ACME - 10}")
    assert found(verified(trail)) == [("truncated", "events", "acme", ACME - 10, ACME - 1)]


def test_a_trail_put_back_to_what_it_was_before(trail: Path, tmp_path: Path) -> None:
    """Nothing in the trail itself can tell: it is what it was. The second place knows more."""
    shutil.rmtree(trail / "trail")
    shutil.rmtree(trail / "keys")
    (trail / "events.ndjson").write_bytes(b"".join((trail / "events.ndjson").read_bytes().splitlines(True)[:FIRST]))
    kept = tmp_path / "kept"
    shutil.copytree(trail, kept)
    made_first = made_until(kept)
    assert alone(made_first).findings == []
    with (kept / "events.ndjson").open("ab") as file:
        file.write(b'{"time": "2026-11-04T00:00:00Z", "user": "u-1", "tenant": "acme"}\n')
    old = Path(shutil.copytree(kept / "trail", tmp_path / "old"))
    archived(kept / "events.ndjson", kept, witness=kept / "witness.ndjson")
    assert verified(kept).findings == []
    shutil.rmtree(kept / "trail")
    shutil.move(old, kept / "trail")
    assert alone(kept).findings == []
    assert [(one.what, one.leaf) for one in verified(kept).findings] == [("checkpoint", None), ("truncated", SIGNED)]


def made_until(folder: Path) -> Path:
    """The trail of what the folder's events are now, its second place begun anew."""
    (folder / "witness.ndjson").unlink()
    archived(folder / "events.ndjson", folder, witness=folder / "witness.ndjson")
    (folder / "public-keys.txt").write_bytes((folder / "keys" / "public-keys.txt").read_bytes())
    return folder


def test_a_trail_signed_again_with_other_keys(trail: Path) -> None:
    """Changed, and all signed anew: whoever has the public keys, or the second place, sees it."""

    def change(rows: Rows) -> Rows:
        with_leaf(rows, 20)["outcome"] = "failure"
        return rows

    rewrite(trail, change, rehash=True)
    shutil.rmtree(trail / "trail" / "checkpoints")
    for name in ("signing.pem", "public-keys.txt"):
        (trail / "keys" / name).unlink()
    archived(trail / "events.ndjson", trail)
    assert alone(trail).findings == []
    assert alone(trail).proven
    report = verified(trail)
    assert {one.what for one in report.findings} >= {"key", "checkpoint", "exchanged"}


def test_only_a_range_of_time(trail: Path) -> None:
    second = int((BEGIN + timedelta(minutes=FIRST)).timestamp()) * 1_000_000
    late = verified(trail, start=second)
    assert (late.rows, late.findings) == (COUNT - FIRST, [])

    def change(rows: Rows) -> Rows:
        with_leaf(rows, 20)["outcome"] = "failure"
        return rows

    rewrite(trail, change)
    assert found(verified(trail, start=second)) == []
    assert found(verified(trail, end=second, tenant="acme")) == [("changed", "events", "acme", 20, None)]
    assert found(verified(trail, end=second, tenant="globex")) == []


def test_a_row_put_into_a_range_of_time(trail: Path) -> None:
    second = int((BEGIN + timedelta(minutes=FIRST)).timestamp()) * 1_000_000

    def change(rows: Rows) -> Rows:
        return [*rows, rows[-1] | {"leaf": 7, "time": BEGIN + timedelta(minutes=FIRST + 3)}]

    rewrite(trail, change, rehash=True, at=-1)
    assert found(verified(trail, start=second)) == [("inserted", "events", "acme", 7, None)]


def test_retention_takes_away_and_says_so(trail: Path) -> None:
    store = store_of(trail)
    hashes: dict[str, dict[int, bytes]] = {}
    for file in leaf_files(store):
        if file.day == "2026-11-02":
            for rows in every(store, file):
                hashes.setdefault(file.tree, {}).update(zip(rows.leaf.tolist(), rows.found, strict=True))
    with keys(trail) as own:
        ledger = Ledger(str(trail / "trail"), trail / "keys", own.identity, trail / "witness.ndjson")
    for tree, of in hashes.items():
        run = Range(min(of))
        run.extend([of[leaf] for leaf in sorted(of)])
        assert sorted(of) == list(range(run.begin, run.end))
        ledger.expire(Place("events", tree, "events.ndjson"), "security: 13 months", (run,))
    delete(trail, "day = '2026-11-02'")
    report = verified(trail)
    assert report.findings == []
    gone = sum(map(len, hashes.values()))
    assert sum(one.leaves for one in report.proven) == COUNT - gone
    assert [text for text in report.not_proven if "retention" in text and "13 months" in text]
    delete(trail, "leaf = 100")
    assert ("removed", "events", "acme", 100, None) in found(verified(trail))


def test_messages_that_have_expired(trail: Path) -> None:
    import hashlib

    def change(rows: Rows) -> Rows:
        return [row | {"raw": None, "raw_hash": hashlib.sha256(row["raw"]).digest()} for row in rows]

    rewrite(trail, change)
    report = verified(trail)
    assert report.findings == []
    assert sum(one.leaves for one in report.proven) == COUNT
    assert "have expired" in report.not_proven[0]


def test_a_column_more(trail: Path) -> None:
    path = trail / "trail" / "events" / leaf_files(store_of(trail))[0].path
    table = pq.ParquetFile(path).read()
    pq.write_table(table.append_column("note", table.column("log")), path)
    assert found(verified(trail))[0][0] == "file"


def test_what_cannot_be_verified(trail: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trail"):
        Verifying(str(tmp_path / "nothing"))
    for option, content, line in (
        ("--public-key", "", "there is no key in it"),
        ("--public-key", "lapwing/7+00000000+AAAA", "public key"),
        ("--checkpoint", "hello", "not a signed note"),
    ):
        file = tmp_path / "given"
        file.write_text(content)
        code, _, err = said(trail, option, str(file))
        assert (code, len(err)) == (1, 1)
        assert line in err[0]
    code, _, err = said(trail, "--from", "yesterday")
    assert code == 2
    for table, where in (("events", "file: events"), ("checkpoints", "file: ")):
        (trail / "trail" / table / "_delta_log" / "00000000000000000001.json").write_text("{half")
        code, out, err = said(trail)
        assert (code, len(err)) == (3, 1)
        assert where in out


def test_a_trail_that_was_changed_is_not_signed_again(trail: Path) -> None:
    delete(trail, f"tree = 'acme' and leaf >= {ACME - 10}")
    shutil.rmtree(trail / "trail" / "checkpoints")
    with (trail / "events.ndjson").open("a") as file:
        file.write('{"time": "2026-11-04T00:00:00Z", "user": "u-1", "tenant": "acme"}\n')
    with pytest.raises(Refused, match="lapwing verify"):
        archived(trail / "events.ndjson", trail)
