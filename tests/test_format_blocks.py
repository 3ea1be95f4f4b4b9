"""Which format an input has: by configuration, by flag, by message."""

import json
from pathlib import Path

import pytest

from flows.config import config_hash, load
from flows.errors import ConfigError
from flows.format_block import BLOCKS, by_topic, choice, read_as
from flows.formats.raw import raw_batch
from flows.formats.source_formats import FORMATS
from flows.parts import reading_of, unwrap_of
from flows.state_shape import state_identity
from tests.command import command
from tests.test_unwrap import okta, text

PLAIN = text({"time": "2026-11-23T05:00:00Z", "user": "u-1", "ip": "203.0.113.7"})


def config(folder: Path, toml: str) -> str:
    path = folder / "config.toml"
    path.write_text(toml)
    return str(path)


def faults(folder: Path, toml: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(config(folder, toml))
    return [fault.partition(": ")[2] for fault in caught.value.faults]


def test_an_unknown_format_is_one_fault_that_names_all_there_are(tmp_path: Path) -> None:
    known = ", ".join(("lapwing", "auto", *(one.type for one in FORMATS)))
    assert faults(tmp_path, '[input]\nformat = "octa"') == [
        f'Expected a format (known: {known}), got "octa" - at $.input.format'
    ]
    assert faults(tmp_path, '[[format]]\ntype = "octa"\n[[format]]\n') == [
        'Unknown type "octa", did you mean "okta"? - at $.format[0].type',
        f"Missing key type (known: {', '.join(BLOCKS)}) - at $.format[1]",
    ]


def test_every_fault_of_blocks_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path, "format = 5") == ["Expected a list of tables, written [[format]], got 5 - at $.format"]
    twice = '[[format]]\ntype = "okta"\ntopics = ["audit.events"]\n' * 2
    assert faults(tmp_path, twice) == [
        '"okta" is also the id of $.format[0] - at $.format[1].id',
        '"audit.events" has the format of $.format[0] - at $.format[1].topics',
    ]
    odd = '[[format]]\ntype = "okta"\nid = "auto"\ntopics = ["audit.scored", "a b", "elsewhere"]\nnoise = 1\n'
    found = faults(tmp_path, odd)
    assert found[0].startswith('Unknown key "noise"')
    assert found[1] == '"auto" is a name of Lapwing\'s own - at $.format[0].id'
    assert found[2:] == [
        '"audit.scored" is the topic of scored - at $.format[0].topics',
        'Expected a topic\'s name of letters, digits, ., _ and -, got "a b" - at $.format[0].topics',
    ]


def test_a_block_may_be_named_and_a_topic_has_its_own_format(tmp_path: Path) -> None:
    toml = '[input]\nformat = "ours"\n[[format]]\ntype = "okta"\nid = "ours"\n'
    assert (found := choice("ours", load(config(tmp_path, toml)).format)) is not None
    assert found.fixed
    assert [one.type for one in found.formats] == ["okta"]
    chosen = load(config(tmp_path, '[[format]]\ntype = "okta"\ntopics = ["audit.events"]\n'))
    assert [*by_topic(chosen.format)] == ["audit.events"]
    assert read_as("lapwing", chosen.format) == {
        "format": "lapwing", "reads": ["lapwing"], "topics": {"audit.events": "okta"},
    }  # fmt: skip
    wrapped = raw_batch("audit.events/0", [text([okta(1), okta(2)])])
    for topics, rows in ((True, 2), (False, 0)):
        unwrap, read = unwrap_of(chosen, topics), reading_of(chosen, topics)
        assert len(read(unwrap(wrapped, 0)[0] if unwrap else wrapped)) == rows


def test_auto_reads_each_message_as_what_it_is() -> None:
    chosen = load(flags={"input.format": "auto"})
    raw = raw_batch("mixed", [PLAIN, text(okta(1)), b'{"user":"nobody"}', PLAIN.replace(b"u-1", b"u\\u002d1")])
    unwrap = unwrap_of(chosen)
    assert unwrap is not None
    decoded = reading_of(chosen)(unwrap(raw, 0)[0])
    assert decoded.row.tolist() == [0, 1, 3]
    assert [letter.reason for letter in decoded.dead] == ["missing_time"]
    sent = [decoded.buffer[at : at + size].tobytes() for at, size in zip(decoded.start, decoded.length, strict=True)]
    assert sent[0] == PLAIN
    assert json.loads(sent[1])["eventType"] == "user.session.start"


def test_a_configuration_without_formats_keeps_its_hash_and_its_state(tmp_path: Path) -> None:
    block = load(config(tmp_path, '[[format]]\ntype = "okta"\n'))
    assert config_hash(load()) != config_hash(block)
    assert state_identity(load()) == state_identity(block)
    assert state_identity(load(flags={"input.format": "auto"})) != state_identity(load())


def test_check_says_what_is_read_as_what(tmp_path: Path) -> None:
    toml = '[input]\npath = "kafka"\nformat = "auto"\n[[format]]\ntype = "okta"\ntopics = ["audit.events"]\n'
    code, shown, _ = command("check", config(tmp_path, toml))
    assert code == 0
    assert "format auto: okta" in shown
    assert "or lapwing, message by message" in shown
    assert "topic audit.events, format okta" in shown
    assert "nothing is read as it" not in shown
    code, shown, _ = command("check", "--format", "okta", "--json")
    assert json.loads(shown)["input"]["reads"] == ["okta"]


def test_a_block_that_nothing_is_read_as_is_told(tmp_path: Path) -> None:
    mapping = '[[format]]\ntype = "mapping"\nid = "idp"\n[format.member]\ntime = "t"\nuser = "u"\n'
    unnamed = "format idp: declared, but nothing is read as it; name it with --format or in [input] format, or give"
    code, shown, _ = command("check", config(tmp_path, mapping))
    assert code == 0
    assert f"{unnamed} it topics" in shown
    code, shown, _ = command("check", config(tmp_path, mapping), "--format", "auto", "--json")
    assert json.loads(shown)["input"]["unread"] == [
        "format idp: auto does not choose it; say in its when what auto recognises it by"
    ]
    code, shown, _ = command("check", config(tmp_path, mapping), "--format", "idp", "--json")
    assert json.loads(shown)["input"]["unread"] == []
    (tmp_path / "in.ndjson").write_text('{"t": "2026-11-23T05:00:00Z", "u": "sam"}\n')
    run = (
        "detect",
        "--config",
        tmp_path / "config.toml",
        "--input",
        tmp_path / "in.ndjson",
        "--output",
        tmp_path / "o",
    )
    code, _, said = command(*run)
    assert code == 0
    assert any(line.endswith(f"{unnamed} it topics") for line in said)
    assert "no message became an event" in said[-1]
    code, _, said = command(*run, "--format", "idp")
    assert not any("nothing is read as it" in line or "became" in line for line in said)
