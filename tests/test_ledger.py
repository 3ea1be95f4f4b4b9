"""Trees that are signed while they grow: keys that change, crashes, and notes that are none."""

import dataclasses
import json
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.config import load
from flows.connectors.archive_source import Came
from flows.errors import InputError, Refused
from flows.formats.raw import raw_batch
from flows.parts import reading_of
from flows.trail.checkpoints import CHECKPOINT, KEY, Checkpoint, KeyChange, Place
from flows.trail.heard import Findings, Heard
from flows.trail.keys import KeyStore
from flows.trail.leaves import leaf_files
from flows.trail.ledger import Ledger
from flows.trail.merkle import Range
from flows.trail.note_table import Note, NoteTable, Witness, read_notes
from flows.trail.notes import LONGEST, BadNote, Verifier, sign, signers, text_of
from flows.trail.signing import believed
from flows.trail.tables import RAW, Tables
from tests.command import command
from tests.tampering import BEGIN, COUNTS, alone, event, found, rewrite, store_of, verified, with_leaf
from tests.trails import archived

NAME = "lapwing/7"
POINT = Checkpoint(NAME, Place("events", "acme", "a b/c"), 5, bytes(32), 10, 2, 3, 4)


def some(first: int, end: int) -> list[bytes]:
    return [json.dumps(event(number)).encode() for number in range(first, end)]


def grown(folder: Path, parts: list[tuple[int, int]], *, every_s: float = 60.0, finish: bool = False) -> Ledger:
    """A trail that gets parts of events, a commit each, and is left as a crash leaves it."""
    keys = KeyStore.open(folder / "keys", create=True)
    trail = str(folder / "trail")
    ledger = Ledger(trail, folder / "keys", keys.identity, folder / "witness.ndjson", every_s)
    config = load(None)
    tables = Tables(trail, keys, reading_of(config), config.output.dead_letter_body, ledger=ledger)
    for first, end in parts:
        raw = raw_batch("events.ndjson", some(first, end))
        raw = dataclasses.replace(raw, offset=raw.offset + first)
        tables.take(Came(RAW, "events.ndjson", "events.ndjson", raw))
        tables.commit()
        ledger.look()
    if finish:
        ledger.finish()
    (folder / "public-keys.txt").write_bytes((folder / "keys" / "public-keys.txt").read_bytes())
    return ledger


def sizes(folder: Path) -> dict[str, list[int]]:
    """The sizes of the checkpoints that the trail has, by tenant."""
    table = NoteTable.open(str(folder / "trail"))
    assert table is not None
    points: dict[str, list[int]] = {}
    for note in table.notes():
        said = note.read()
        if isinstance(said, Checkpoint):
            points.setdefault(said.place.tree, []).append(said.size)
    return {tree: sorted(of) for tree, of in points.items()}


def test_what_is_new_is_signed_at_once_and_then_by_the_minute(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30), (30, 60), (60, 90)])
    assert sizes(tmp_path) == {"acme": [20], "globex": [10]}
    report = verified(tmp_path)
    assert (report.findings, [one.leaves for one in report.proven]) == ([], [20, 10])
    assert len([text for text in report.not_proven if "after the last checkpoint" in text]) == 2


def test_signed_as_often_as_asked(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30), (30, 60), (60, 90)], every_s=0.0)
    assert sizes(tmp_path) == {"acme": [20, 40, 60], "globex": [10, 20, 30]}
    assert verified(tmp_path).not_proven == [COUNTS]


def test_after_a_crash_a_tree_goes_on_with_what_was_committed(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30), (30, 60)])
    grown(tmp_path, [(60, 90)], finish=True)
    assert sizes(tmp_path) == {"acme": [20, 60], "globex": [10, 30]}
    report = verified(tmp_path)
    assert (report.findings, report.not_proven) == ([], [COUNTS])


def test_of_many_the_block_is_named(tmp_path: Path) -> None:
    """Two checkpoints of acme, of 1,000 and 2,100 leaves; what is wrong in either is found to the block."""
    grown(tmp_path, [(0, 1_500)])
    grown(tmp_path, [(1_500, 3_150)], finish=True)
    assert sizes(tmp_path) == {"acme": [1_000, 2_100], "globex": [500, 1_050]}
    assert verified(tmp_path).findings == []
    wrong = (300, 1_001, 2_095)

    def change(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [row | {"outcome": "failure"} if row["leaf"] in wrong else row for row in rows]

    for at in range(len([file for file in leaf_files(store_of(tmp_path)) if file.tree == "acme"])):
        rewrite(tmp_path, change, rehash=True, at=at)
    report = verified(tmp_path)
    assert found(report) == [
        ("exchanged", "events", "acme", 256, 511), ("exchanged", "events", "acme", 1_000, 1_023),
        ("exchanged", "events", "acme", 2_080, 2_095),
    ]  # fmt: skip
    assert [one.leaves for one in report.proven] == [2_100 - 256 - 24 - 16, 1_050]
    late = verified(tmp_path, start=int((BEGIN + timedelta(minutes=1_500)).timestamp()) * 1_000_000)
    assert found(late) == found(report)[1:]
    assert [one.leaves for one in late.proven] == [1_100 - 24 - 16, 550]
    table = NoteTable.open(str(tmp_path / "trail"))
    assert table is not None
    notes = [replace(one, blocks=bytes(len(one.blocks or b""))) for one in table.notes(blocks=True)]
    shutil.rmtree(tmp_path / "trail" / "checkpoints")
    again = NoteTable.open(str(tmp_path / "trail"), create=True)
    assert again is not None
    again.append(notes)  # with blocks that lead nowhere, the leaves are named that could be wrong
    assert found(verified(tmp_path))[0] == ("exchanged", "events", "acme", 0, 767)


def test_after_a_crash_before_the_first_checkpoint(tmp_path: Path) -> None:
    source = tmp_path / "events.ndjson"
    source.write_bytes(b"\n".join(some(0, 30)) + b"\n")
    told: list[str] = []
    archived(source, tmp_path, tell=told.append)
    assert [line.partition(":")[0] for line in told] == ["no second place (--witness)"]
    shutil.rmtree(tmp_path / "trail" / "checkpoints")
    archived(source, tmp_path, witness=tmp_path / "witness.ndjson", tell=told.append)
    assert len(told) == 1
    (tmp_path / "public-keys.txt").write_bytes((tmp_path / "keys" / "public-keys.txt").read_bytes())
    assert (verified(tmp_path).findings, verified(tmp_path).not_proven) == ([], [COUNTS])
    assert sizes(tmp_path) == {"acme": [20], "globex": [10]}


def test_what_was_committed_is_not_believed_unseen(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30), (30, 60)])

    def change(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        with_leaf(rows, 35)["outcome"] = "failure"
        return rows

    for at in (0, 1):
        try:
            rewrite(tmp_path, change, at=at)
        except StopIteration:
            continue
    with pytest.raises(Refused, match="lapwing verify"):
        grown(tmp_path, [(60, 90)])


def test_a_new_key_is_believed_for_the_old_ones_sake(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(some(0, 30)) + b"\n")
    archived(tmp_path / "events.ndjson", tmp_path, witness=tmp_path / "witness.ndjson")
    old = (tmp_path / "keys" / "public-keys.txt").read_bytes()
    (tmp_path / "public-keys.txt").write_bytes(old)
    secret = (tmp_path / "keys" / "signing.pem").read_bytes()
    where = ("--trail", tmp_path / "trail", "--keys", tmp_path / "keys")
    code, out, err = command("trail", "rotate-key", *where, "--witness", tmp_path / "witness.ndjson", "--json")
    assert (code, len(err)) == (0, 1)
    code, keys, _ = command("trail", "public-key", "--keys", tmp_path / "keys")
    assert (code, keys.splitlines()) == (0, [old.decode().strip(), json.loads(out)["public_key"]])
    assert (tmp_path / "keys" / "signing.pem").read_bytes() != secret
    for path in (tmp_path / "keys").glob("signing*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with (tmp_path / "events.ndjson").open("ab") as file:
        file.write(b"\n".join(some(30, 60)) + b"\n")
    archived(tmp_path / "events.ndjson", tmp_path, witness=tmp_path / "witness.ndjson")
    report = verified(tmp_path)
    assert (report.findings, report.not_proven, len(report.keys)) == ([], [COUNTS], 2)
    # The old key, stolen: what it signs after its time is believed by nobody.
    (tmp_path / "keys" / "signing.pem").write_bytes(secret)
    with (tmp_path / "events.ndjson").open("ab") as file:
        file.write(b"\n".join(some(60, 90)) + b"\n")
    archived(tmp_path / "events.ndjson", tmp_path, witness=tmp_path / "witness.ndjson")
    findings = alone(tmp_path).findings
    assert {one.what for one in findings} == {"checkpoint"}
    assert "had been replaced" in findings[0].said


def test_a_key_signs_nothing_of_before_it_was_there(tmp_path: Path) -> None:
    """Whoever has a new key cannot sign an older end of the trail with it."""
    ledger = grown(tmp_path, [(0, 30)])
    ledger.rotate()
    table = NoteTable.open(str(tmp_path / "trail"))
    assert table is not None
    point = next(
        said for note in table.notes() if isinstance(said := note.read(), Checkpoint) and said.place.tree == "acme"
    )
    key = load_pem_private_key((tmp_path / "keys" / "signing.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    forged = point._replace(size=point.size + 1, since=point.size, time=point.time + 1)
    table.append([Note(CHECKPOINT, sign(forged.text(), ledger.trail, [key]), list(forged.frontier or ()))])
    (tmp_path / "public-keys.txt").write_bytes((tmp_path / "keys" / "public-keys.txt").read_bytes())
    (finding,) = verified(tmp_path).findings
    assert (finding.what, "was not there yet" in finding.said) == ("checkpoint", True)


def test_a_change_of_keys_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    ledger = grown(tmp_path, [(0, 30)])
    new = ledger.rotate()
    keys = tmp_path / "keys"
    following = keys / "signing.next.pem"
    (keys / "signing.pem").rename(following)  # as if the last step had not come: both are there again
    (keys / "signing.pem").write_bytes(following.read_bytes())
    grown(tmp_path, [(30, 60)], finish=True)
    assert not following.exists()
    report = verified(tmp_path)
    assert report.findings == []
    assert new.text in report.keys


def test_a_run_that_goes_on_finishes_a_change_of_keys_that_was_interrupted(tmp_path: Path) -> None:
    running = grown(tmp_path, [(0, 30), (30, 60)], every_s=1e6)
    keys = tmp_path / "keys"
    old = (keys / "signing.pem").read_bytes()
    other = Ledger(str(tmp_path / "trail"), keys, KeyStore.open(keys).identity, tmp_path / "witness.ndjson")
    other.rotate()
    (keys / "signing.pem").rename(keys / "signing.next.pem")  # killed before it was put in the old one's place
    (keys / "signing.pem").write_bytes(old)
    running.finish()
    assert not (keys / "signing.next.pem").exists()
    (tmp_path / "public-keys.txt").write_bytes((keys / "public-keys.txt").read_bytes())
    assert verified(tmp_path).findings == []


def test_keys_of_another_trail(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30)])
    other = tmp_path / "other"
    other.mkdir()
    grown(other, [(0, 30)])
    (tmp_path / "keys" / "signing.pem").write_bytes((other / "keys" / "signing.pem").read_bytes())
    with pytest.raises(InputError, match="not the key that signs this trail"):
        grown(tmp_path, [(30, 60)])


def test_a_forged_checkpoint(tmp_path: Path) -> None:
    ledger = grown(tmp_path, [(0, 30)])
    table = NoteTable.open(str(tmp_path / "trail"))
    assert table is not None
    key = Ed25519PrivateKey.generate()
    forged = POINT._replace(trail=ledger.trail, place=Place("events", "acme", "events.ndjson"), size=40, since=20)
    table.append([Note(CHECKPOINT, sign(forged.text(), ledger.trail, [key]), [bytes(32)] * 2)])
    change = KeyChange(ledger.trail, Verifier.of(ledger.trail, key), 1 << 50)
    table.append([Note(KEY, sign(change.text(), ledger.trail, [key]))])
    assert [what for what, *_ in found(verified(tmp_path))] == ["key", "checkpoint"]


def test_a_frontier_that_is_not_the_checkpoints(tmp_path: Path) -> None:
    grown(tmp_path, [(0, 30)])
    witness = tmp_path / "witness.ndjson"
    notes = [one for one in read_notes(witness) if one is not None]
    wrong = [replace(one, frontier=[bytes(32)] * len(one.frontier or [])) for one in notes]
    witness.write_bytes(b"")
    Witness(witness, "").append(wrong)
    report = verified(tmp_path)
    assert report.findings == []  # the trail's own is right
    table = NoteTable.open(str(tmp_path / "trail"))
    assert table is not None
    (tmp_path / "trail" / "checkpoints").rename(tmp_path / "gone")
    again = NoteTable.open(str(tmp_path / "trail"), create=True)
    assert again is not None
    again.append(wrong)
    assert [one.what for one in verified(tmp_path).findings][:2] == ["checkpoint", "checkpoint"]


def test_a_day_of_very_many_runs_is_signed_so_that_it_can_be_read(tmp_path: Path) -> None:
    ledger, place = grown(tmp_path, [(0, 30)]), Place("events", "acme", "events.ndjson")
    begins = [number << 41 for number in range(1_300)]
    runs = tuple(Range(at + 1, at + (1 << 40) - 1, [bytes(32)] * 78) for at in begins)  # in one note 4.6 MB
    ledger.expire(place, "security: 2026-11-02", runs)
    findings = Findings()
    heard = Heard(NoteTable.open(str(tmp_path / "trail")), tmp_path / "witness.ndjson", (), findings)
    assert (findings.kept, len(heard.expired[place])) == ([], len(runs))
    grown(tmp_path, [(30, 60)], finish=True)
    with pytest.raises(ValueError, match="nobody would read"):
        sign("a" * LONGEST, NAME, [Ed25519PrivateKey.generate()])


def test_a_line_that_a_crash_has_cut_is_left_behind(tmp_path: Path) -> None:
    witness = Witness(tmp_path, NAME)
    note = Note(CHECKPOINT, sign(POINT.text(), NAME, [Ed25519PrivateKey.generate()]), [bytes(32)])
    witness.append([note])
    with witness.path.open("ab") as file:
        file.write(b'{"what": "check')
    witness.append([note, note])
    assert list(read_notes(witness.path)) == [note, None, note, note]
    assert witness.path.name == "lapwing-7.ndjson"


def test_one_checkpoint_as_text(tmp_path: Path) -> None:
    note = sign(POINT.text(), NAME, [Ed25519PrivateKey.generate()])
    (tmp_path / "kept.txt").write_text(note)
    assert list(read_notes(tmp_path / "kept.txt")) == [Note(CHECKPOINT, note)]


@given(st.text(), st.binary(max_size=200))
def test_notes_of_any_text(text: str, raw: bytes) -> None:
    for tried in (text, raw.decode("utf-8", "replace"), f"{text}\n\n\u2014 {text} {text}\n", POINT.text() + text):
        for parse in (text_of, Checkpoint.parse, KeyChange.parse, Verifier.parse):
            try:
                parse(tried)
            except BadNote:
                continue


@given(
    st.text(), st.text(), st.text(), st.integers(1, 2**62), st.integers(0, 2**61), st.integers(-(2**62), 2**62),
    st.binary(min_size=32, max_size=32),
)  # fmt: skip
def test_a_checkpoint_says_what_it_was_given(
    kind: str, tree: str, log: str, size: int, since: int, time: int, root: bytes
) -> None:
    point = Checkpoint(NAME, Place(kind, tree, log), size, root, 0, since % size, time, time)
    try:
        text = point.text()
        text.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is no text that is stored
    assert Checkpoint.parse(text)[:6] == point[:6]


def test_signatures() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    mine = Verifier.of(NAME, key)
    note = sign("hello\n", NAME, [other, key])
    assert text_of(note) == "hello\n"
    assert signers(note, {mine.id: mine}) == [mine]
    with pytest.raises(BadNote, match="no trusted key"):
        signers(note, {})
    with pytest.raises(BadNote, match="false"):
        signers(note.replace("hello", "hallo"), {mine.id: mine})
    assert Verifier.parse(mine.text) == mine
    with pytest.raises(BadNote, match="id"):
        Verifier.parse(mine.text.replace("+" + mine.id.hex(), "+00000000"))


def test_who_is_believed() -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(4)]
    one, two, three, stranger = (Verifier.of(NAME, key) for key in keys)

    def change(to: int, time: int, *by: int) -> Note:
        text = KeyChange(NAME, Verifier.of(NAME, keys[to]), time).text()
        return Note(KEY, sign(text, NAME, [keys[at] for at in by]))

    chain = [change(2, 30, 1, 2), change(0, 10, 0), change(1, 20, 0, 1)]
    trusted, wrong = believed(chain, [one])
    assert wrong == []
    assert {of.key: (of.begin, of.end) for of in trusted.values()} == {
        one: (10, 20), two: (20, 30), three: (30, None),
    }  # fmt: skip
    assert believed(chain, [])[0].keys() == trusted.keys()
    # Signed by the first key after its time, by nobody, or not by the new key itself.
    for bad in (change(3, 40, 0, 3), change(3, 40, 3), change(3, 40, 2)):
        trusted, wrong = believed([*chain, bad], [one])
        assert (stranger.id in trusted, len(wrong)) == (False, 1)


def test_a_frontier_is_believed_if_it_gives_the_root() -> None:
    tree = Range()
    tree.extend([bytes([number]) * 32 for number in range(5)])
    point = POINT._replace(root=tree.root())
    assert point.range() is None
    known = point._replace(frontier=tuple(tree.nodes)).range()
    assert known is not None
    assert known.root() == tree.root()
    assert point._replace(frontier=tuple(tree.nodes[::-1])).range() is None
    assert point._replace(frontier=tuple(tree.nodes[1:])).range() is None
