"""A proof is checked by a script that shares nothing with Lapwing."""

import base64
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from flows.trail.checkpoints import CHECKPOINT, KEY
from flows.trail.note_table import Note, NoteTable
from flows.trail.schema import schema_of
from tests.command import ROOT, command, run
from tests.tampering import COUNT, FIRST, delete, made, rewrite, with_leaf
from tests.trails import archived

SCRIPT = ROOT / "docs" / "verify_proof.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


def proof(folder: Path, *which: str) -> dict[str, Any]:
    code, out, err = command("prove", *which, "--trail", folder / "trail")
    assert (code, err) == (0, []), err
    decoded: dict[str, Any] = json.loads(out)
    return decoded


def checked(folder: Path, one: dict[str, Any], keys: str = "public-keys.txt") -> str:
    """What the script says of a proof."""
    (folder / "proof.json").write_text(json.dumps(one))
    done = run(sys.executable, "-I", SCRIPT, folder / "proof.json", folder / keys)
    said = (done.stdout + done.stderr).decode().strip()
    assert "Traceback" not in said
    assert (done.returncode == 0) == said.startswith("proven: ")
    assert (done.returncode == 1) == said.startswith("NOT PROVEN: ")
    return said


def test_the_script_is_short_and_independent() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 70
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


@pytest.mark.parametrize("number", [0, 1, FIRST - 1, FIRST, COUNT - 1])
def test_every_event_has_a_proof(whole: Path, number: int) -> None:
    one = proof(whole, f"evt-{number}")
    assert one["row"]["id"] == f"evt-{number}"
    said = checked(whole, one)
    assert f"leaf {one['leaf']} of" in said
    assert f"/events/{one['tree']}/events.ndjson" in said
    by_leaf = proof(whole, "--log", one["log"], "--leaf", str(one["leaf"]), "--tenant", one["tree"])
    assert by_leaf == one


def test_what_was_changed_is_not_proven(whole: Path) -> None:
    one = proof(whole, "evt-77")
    assert "row" in checked(whole, one | {"row": one["row"] | {"outcome": "failure"}})
    sealed = bytearray(base64.b64decode(one["row"]["user_sealed"]["base64"]))
    sealed[5] ^= 1
    other = {"base64": base64.b64encode(sealed).decode()}
    assert "row" in checked(whole, one | {"row": one["row"] | {"user_sealed": other}})
    leaf = one["leaf_bytes"]
    assert "row" in checked(whole, one | {"leaf_bytes": leaf[:20] + ("A" if leaf[20] != "A" else "B") + leaf[21:]})
    swapped = {"action": "outcome", "outcome": "action"}
    renamed = {swapped.get(name, name): value for name, value in one["row"].items()}
    assert "columns" in checked(whole, one | {"row": renamed})
    assert "path" in checked(whole, one | {"path": one["path"][::-1]})
    assert "path" in checked(whole, one | {"path": one["path"][:-1]})
    assert "signed" in checked(whole, one | {"checkpoint": one["checkpoint"].replace("since 0", "since 1")})
    assert "columns" in checked(whole, one | {"table": "alerts"})
    elsewhere = one["checkpoint"].replace(f"/{one['tree']}/", "/other/")
    assert "another log" in checked(whole, one | {"checkpoint": elsewhere})
    another = proof(whole, "evt-80")
    assert "path" in checked(whole, one | {name: another[name] for name in ("row", "leaf_bytes")})
    (whole / "others.txt").write_text("lapwing/7+ef901484+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
    assert "no key that you believe" in checked(whole, one, "others.txt")


def test_values_of_every_kind_are_packed_alike_and_columns_are_the_tables() -> None:
    """The script's MessagePack is msgspec's."""
    import msgspec

    values = [
        None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, -1, -32, -33, -128, -129,
        -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**62), 1.5, -0.0, "", "a" * 31, "a" * 32, "é" * 127,
        "é" * 128,
        "a" * 65536, b"", b"a" * 255, b"a" * 256, b"a" * 65536, [b"x"] * 15, [b"x"] * 16,
    ]  # fmt: skip
    space: dict[str, Any] = {}
    exec(SCRIPT.read_text().split("\nproof = ")[0], space)

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"base64": base64.b64encode(value).decode()}
        return [plain(one) for one in value] if isinstance(value, list) else value

    for kind, columns in (("events", "EVENT"), ("access", "OTHER")):
        assert [*space["PLACE"].split(), *space[columns].split(), "leaf_hash"] == schema_of(kind).names
    for value in values:
        assert space["packed"](plain(value)) == msgspec.msgpack.encode(value), str(value)[:40]


def test_notes_that_are_damaged_are_passed_over_or_said(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "copy"))
    table = NoteTable.open(str(folder / "trail"))
    assert table is not None
    table.append([Note(CHECKPOINT, "damaged")])
    assert proof(folder, "evt-1") == proof(whole, "evt-1")
    notes = [note if note.what == KEY else replace(note, note="damaged") for note in table.notes()]
    shutil.rmtree(folder / "trail" / "checkpoints")
    again = NoteTable.open(str(folder / "trail"), create=True)
    assert again is not None
    again.append(notes)
    code, out, err = command("prove", "evt-1", "--trail", folder / "trail")
    assert (code, out, len(err)) == (3, "", 1)
    assert "not a signed note" in err[0]
    for path in (folder / "trail" / "events").rglob("*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["id"]), path)
    code, out, err = command("prove", "evt-1", "--trail", folder / "trail")
    assert (code, out, len(err)) == (1, "", 1)
    assert "it has no column id" in err[0]


def test_what_has_no_proof(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "copy"))

    def refused(*which: str) -> tuple[int, str]:
        code, out, err = command("prove", *which, "--trail", folder / "trail")
        assert (out, len(err)) == ("", 1), err
        return code, err[0]

    code, said = refused("evt-none")
    assert (code, "there is no row with id evt-none" in said) == (3, True)
    assert refused()[0] == 2
    assert refused("evt-1", "--log", "events.ndjson", "--leaf", "1")[0] == 2
    assert refused("evt-1", "--table", "nothing")[0] == 2
    assert refused("uid", "--table", "alerts")[0] == 1
    with (folder / "events.ndjson").open("a") as file:
        file.write('{"time": "2026-11-04T00:00:00Z", "user": "u-1", "tenant": "globex", "id": "evt-1"}\n')
    archived(folder / "events.ndjson", folder)
    code, said = refused("evt-1")
    assert (code, "--leaf" in said) == (2, True)
    delete(folder, "tree = 'acme' and leaf = 9")
    assert "not what was signed" in refused("evt-0")[1]

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with_leaf(rows, 4)["status"] = 500
        return rows

    rewrite(folder, change)
    code, said = refused("--log", "events.ndjson", "--leaf", "4", "--tenant", "acme")
    assert (code, "not what was signed" in said) == (3, True)
