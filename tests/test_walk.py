"""docs/walk.md, as it stands: a takeover is found, looked into, kept and proven, and a neighbour is forgotten."""

import shlex
from pathlib import Path

from tests.command import lapwing

WALK = Path(__file__).parent.parent / "docs" / "walk.md"


def steps() -> list[tuple[list[str], int, list[str]]]:
    """Each command's words, the exit code it must have, and the lines that must be in what it says."""
    found: list[tuple[list[str], int, list[str]]] = []
    inside = False
    for line in WALK.read_text().splitlines():
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ lapwing "):
            command, _, code = line.removeprefix("$ lapwing ").partition("  # exit ")
            found.append((shlex.split(command), int(code or 0), []))
        elif inside and line != "...":
            found[-1][2].append(line)
    return found


def test_the_walk_is_what_it_says(tmp_path: Path) -> None:
    victims = []
    for words, code, lines in steps():
        done = lapwing(*words, cwd=tmp_path)
        said = " ".join((done.stdout + done.stderr).decode().split())
        assert done.returncode == code, (words, said[-500:])
        for line in lines:
            assert " ".join(line.split()) in said, (words, line)
        if words[0] == "timeline" and code == 0:
            victims.append(said)
    assert len(steps()) == 12
    assert len(victims) == 2
    assert "lea.w4134" not in "".join(victims)
