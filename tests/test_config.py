"""The configuration: defaults, every fault at once with its path, origins, and what changes the hash."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows import durations
from flows.commands.config import as_toml
from flows.config import (
    LOOKED_BACK,
    MOST_PANES,
    PANES,
    WINDOW_OF,
    Config,
    config_hash,
    load,
    origins,
    ring_panes,
)
from flows.errors import ConfigError
from flows.state_shape import state_identity
from models import rules
from models.kernels import layout
from models.rules.base_detection import BaseDetection
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.source_silence import SourceSilence

ROOT = Path(__file__).parent.parent


def faults(tmp_path: Path, text: str, flags: dict[str, object] | None = None) -> list[str]:
    """What `load` finds wrong, without the file's folder."""
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(str(path), flags)
    return [fault.replace(f"{tmp_path}/", "") for fault in caught.value.faults]


TENANTS = (
    "[[detector]]\ntype = 'return_levels'\n[[detector]]\ntype = 'reservoir_ensemble'\nid = 'mix'\nover = 'tenants'\n"
)
BOTH = "[[detector]]\ntype = 'ewma'\n[[detector]]\ntype = 'half_space_trees'\n"


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path))


def test_defaults_need_no_file() -> None:
    config = load()
    assert [row.id for row in config.detector] == ["rates", "levels", "mix"]
    assert config.detection == tuple(rule for rule in rules.default_rules() if not isinstance(rule, BehaviourAnomaly))
    assert {origin for _, _, origin in origins(config)} == {"default"}


def test_whoever_learns_behaviour_is_told_of_it(tmp_path: Path) -> None:
    config = read(tmp_path, BOTH + TENANTS)
    assert config.detection == rules.default_rules()


def test_whoever_learns_no_tenants_is_not_told_of_them(tmp_path: Path) -> None:
    left = tuple(rule for rule in load().detection if not isinstance(rule, rules.TenantRule))
    assert read(tmp_path, "[[detector]]\ntype = 'ewma'\n").detection == left
    assert len(left) == len(load().detection) - 3


def test_a_score_is_on_the_scale_of_what_learns_behaviour(tmp_path: Path) -> None:
    ensemble = BOTH.replace("half_space_trees", "reservoir_ensemble")
    told = [rule for rule in read(tmp_path, ensemble).detection if isinstance(rule, BehaviourAnomaly)]
    assert [rule.least_score for rule in told] == [20.0, 20.0, 20.0]
    ids = [rule.id for rule in read(tmp_path, ensemble + TENANTS).detection]
    assert ids == [rule.id for rule in rules.default_rules()]
    own = f"{ensemble}[[detection]]\ntype = 'behaviour_anomaly'\n"
    (rule,) = read(tmp_path, own).detection
    assert (rule.score, rule.quantile) == (20.0, 0.999)  # type: ignore[union-attr]
    (rule,) = read(tmp_path, f"{own}score = 7.5\n").detection
    assert rule.score == 7.5  # type: ignore[union-attr]
    (rule,) = read(tmp_path, own.replace("reservoir_ensemble", "half_space_trees")).detection
    assert rule.least_score == 0.97  # type: ignore[union-attr]


def test_config_in_the_working_directory_is_not_read_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("[state]\nshards = 8\n")
    monkeypatch.chdir(tmp_path)
    assert load().state.shards == 4


def test_a_constraint_reads_as_promised(tmp_path: Path) -> None:
    assert faults(tmp_path, '[[detector]]\ntype = "ewma"\nalpha = 1.0\n') == [
        "config.toml: Expected float < 1.0 - at $.detector[0].alpha"
    ]


def test_every_fault_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        surprise = 1
        [input]
        max_depth = "deep"
        timezone = "Mars/Base"
        [time]
        lateness = 5
        latness = "5s"
        [state]
        shards = 12
        [[detector]]
        type = "ewma"
        alpha = nan
        half_life = "0s"
        [[detection]]
        type = "brute_force"
        [[detection]]
        at_least = 3
        [[detection]]
        type = "deletion_surge"
        severity = "hihg"
        quiet = "1m"
        at_least = 0
        """,
        {"output.dead_letter_body": "rw"},
    )
    assert found == [
        'command line: Expected one of redacted, raw, none, got "rw", did you mean "raw"? '
        "- at $.output.dead_letter_body",
        'config.toml: Unknown key "surprise" (known: input, output, time, state, run, kafka, metrics, trail, canary, '
        "detector, detection, "
        "exception, format, destination) - at $",
        "config.toml: Expected int, got str - at $.input.max_depth",
        'config.toml: Expected a duration, got the bare number 5: write it as "5s" - at $.time.lateness',
        'config.toml: Unknown key "latness", did you mean "lateness"? - at $.time',
        "config.toml: Expected a finite number, got nan - at $.detector[0].alpha",
        "config.toml: Expected a duration above zero - at $.detector[0].half_life",
        'config.toml: Unknown type "brute_force", did you mean "brute_force_ip"? - at $.detection[0].type',
        "config.toml: Missing key type (known: threshold, base, brute_force_user, brute_force_ip, password_spray_ip, "
        "deletion_surge, traffic_spike, success_after_attack, behaviour_anomaly, dead_letter_surge, source_silence, "
        "level_anomaly, mix_anomaly) - at $.detection[1]",
        'config.toml: Expected one of low, medium, high, critical, got "hihg", did you mean "high"? '
        "- at $.detection[2].severity",
        "config.toml: Expected int >= 1 - at $.detection[2].at_least",
        "config.toml: Expected at least the rule's window (10m) - at $.detection[2].quiet",
        "config.toml: Expected a power of two from 1 to 64, got 12 - at $.state.shards",
        'config.toml: Expected an IANA time zone such as "Europe/Berlin", got "Mars/Base" - at $.input.timezone',
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[time\n", r"Not TOML: .*line 1"),
        ("[time]\nlateness = 1.5\n", r'bare number 1.5: write it as "1500ms" - at \$.time.lateness'),
        ("[time]\nlateness = -5\n", r'bare number -5: write it as "5s"'),
        ("[time]\nlateness = true\n", r'Expected a duration such as "500ms", .* got true'),
        ("[time]\nlateness = '99999d'\n", r"at most ten years"),
        ("[time]\nmax_jump = '0s'\n", r"above zero - at \$.time.max_jump"),
        ("[state]\nshards = true\n", r"Expected int, got bool - at \$.state.shards"),
        ("[state]\nshards = 128\n", r"Expected int <= 64 - at \$.state.shards"),
        (
            "[state]\nmax_entities = 1000\nmax_active = 2000\n",
            r"at most max_entities \(1000\) - at \$.state.max_active",
        ),
        ("[state]\nhash_seed_env = 'a=b'\n", r"at \$.state.hash_seed_env"),
        ("time = 5\n", r"Expected a table, got 5 - at \$.time"),
        ("[detection]\ntype = 'x'\n", r"written \[\[detection\]\], got a table - at \$.detection"),
        ("detection = [5]\n", r"Expected a table, got 5 - at \$.detection\[0\]"),
        ("detector = []\n", r"Expected one detector of type ewma, got 0"),
        (
            "[[detector]]\ntype = 'ewma'\n[[detector]]\ntype = 'half_space_trees'\n"
            "[[detector]]\ntype = 'half_space_trees'\nid = 'more'\n",
            r"at most one detector of type half_space_trees or reservoir_ensemble, got 2",
        ),
        (
            "[[detector]]\ntype = 'ewma'\n[[detection]]\ntype = 'behaviour_anomaly'\n",
            r"of type half_space_trees or reservoir_ensemble for it - at \$.detection\[0\].type",
        ),
        (
            f"{BOTH}[[detector]]\ntype = 'reservoir_ensemble'\nid = 'more'\n",
            r"at most one detector of type half_space_trees or reservoir_ensemble, got 2",
        ),
        (
            f"{BOTH}[[detection]]\ntype = 'level_anomaly'\n",
            r"Expected a \[\[detector\]\] of type return_levels for it - at \$.detection\[0\].type",
        ),
        (
            f"{BOTH}[[detection]]\ntype = 'mix_anomaly'\n",
            r'of type reservoir_ensemble with over = "tenants" for it - at \$.detection\[0\].type',
        ),
        (
            f"{BOTH}{TENANTS}[[detector]]\ntype = 'return_levels'\nid = 'more'\n",
            r"at most one detector of type return_levels, got 2",
        ),
        (
            f"{BOTH}[[detection]]\ntype = 'behaviour_anomaly'\nscore = 20.0\n",
            r"Expected less than 1, the most that half_space_trees gives - at \$.detection\[0\].score",
        ),
        (
            f"{BOTH}[[detection]]\ntype = 'behaviour_anomaly'\nhits = 4\nwindows = 3\n",
            r"at most windows \(3\), got 4 - at \$.detection\[0\].hits",
        ),
        (f"{BOTH}[[detection]]\ntype = 'behaviour_anomaly'\nwindows = 9\n", r"int <= 8 - at \$.detection\[0\].windows"),
        ("[[detection]]\ntype = ['x']\n", r"Unknown type a list"),
        ("[[detection]]\ntype = 'brute_force_ip'\nid = ''\n", r'got "" - at \$.detection\[0\].id'),
        ("[[detection]]\ntype = 'brute_force_ip'\nid = 'a b'\n", r'got "a b" - at \$.detection\[0\].id'),
        ('"\\u001b[31m" = 1\n', r'Unknown key "\\u001b\[31m"'),
        ("x = " + "1" * 5000, r"Not TOML: Exceeds the limit"),
        ("[state]\nshards = 0x" + "f" * 5000, r"\$.state.shards"),
        ("x = " + "[" * 5000, r"Nested too deeply|Not TOML"),
    ],
)
def test_a_fault_names_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, text)
    assert re.search(fault, found)
    assert found.isprintable()


def test_files_that_cannot_be_configurations(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9\n")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1 << 20) + b"#")
    wanted = {
        "absent.toml": "Cannot be read (No such file or directory)",
        ".": "Cannot be read (Is a directory)",
        "latin.toml": "Not UTF-8 at byte 5",
        "large.toml": "Larger than 1 MiB, so it is not a configuration",
    }
    for name, text in wanted.items():
        path = str(tmp_path / name)
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.faults == [f"{path}: {text}"]


def test_ids_follow_type_and_dimension_and_are_unique(tmp_path: Path) -> None:
    surge = '[[detection]]\ntype = "deletion_surge"\ndimension = "ip"\n'
    assert [rule.id for rule in read(tmp_path, surge).detection] == ["deletion_surge_ip"]
    assert faults(tmp_path, surge + surge) == [
        'config.toml: Duplicate id "deletion_surge_ip", first at $.detection[0] - at $.detection[1].id'
    ]
    assert [rule.id for rule in read(tmp_path, surge + surge + 'id = "strict"\n').detection][1] == "strict"


def test_no_detections_is_a_choice(tmp_path: Path) -> None:
    assert read(tmp_path, "detection = []\n").detection == ()


def test_too_many_detections(tmp_path: Path) -> None:
    rows = "".join(f'[[detection]]\ntype = "brute_force_ip"\nid = "r{at}"\n' for at in range(65))
    assert faults(tmp_path, rows) == ["config.toml: Expected at most 64 detections, got 65 - at $.detection"]


def test_rings_hold_what_the_configuration_lets_move(tmp_path: Path) -> None:
    widest = read(tmp_path, '[time]\nlateness = "80s"\n')
    assert max(ring_panes(widest, window) for window in PANES) == MOST_PANES
    (found,) = faults(tmp_path, '[time]\nlateness = "81s"\n')
    assert found.endswith("- at $.time.lateness")
    assert "may be 170s together" in found
    # The arrays as they are laid out have room for the widest that loads.
    moving = sum((widest.time.lateness_us, widest.time.max_skew_us, widest.time.max_future_us)) + 30_000_000
    assert moving <= layout.AHEAD5 * layout.PANE_US
    assert ring_panes(widest, "1m") <= layout.RING5
    assert LOOKED_BACK["10m"] + moving // 30_000_000 + 2 <= layout.RING30
    assert {window: durations.microseconds(pane) for window, pane in PANES.items()} == {
        "1m": layout.PANE_US,
        "10m": layout.PANE_US * layout.PER30,
        "15m": layout.PANE_US * layout.PER30,
    }


def test_the_fault_is_at_the_key_to_lower(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, '[time]\nlateness = "10s"\nmax_skew = "10m"\n')
    assert found.endswith("- at $.time.max_skew")


def test_every_rule_has_a_window() -> None:
    kinds = {str(member.__struct_config__.tag) for member in rules.Rule.__args__}
    assert set(WINDOW_OF) | {"threshold", "base", "source_silence"} == kinds
    for rule in rules.default_rules():
        if isinstance(rule, BaseDetection | SourceSilence):
            continue
        window = WINDOW_OF[str(rule.__struct_config__.tag)]
        assert durations.microseconds(rule.quiet) >= durations.microseconds(window)


def test_flags_go_before_the_file_which_goes_before_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[input]\npath = "a"\nmax_depth = 16\n')
    config = load(str(path), {"input.path": "b"})
    assert (config.input.path, config.input.max_depth, config.input.batch_rows) == ("b", 16, 4096)
    told = {key: origin for key, _, origin in origins(config)}
    assert (told["input.path"], told["input.max_depth"], told["input.batch_rows"]) == ("flag", "file", "default")


def test_a_flag_heals_no_fault_of_the_file(tmp_path: Path) -> None:
    assert len(faults(tmp_path, "[input]\nmax_depth = 1\n", {"input.path": "b"})) == 1


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('[input]\npath = "elsewhere"\nbatch_rows = 7\n', True),
        ('[output]\npath = "elsewhere"\ndead_letter_body = "none"\n', True),
        ('[time]\nlateness = "5000ms"\n', True),
        ('[time]\nlateness = "6s"\n', False),
        ("[input]\nipv6_prefix = 56\n", False),
        ("[output]\nwindow_sample = 0.5\n", False),
        ("[state]\nshards = 8\n", False),
        ('[[detector]]\ntype = "ewma"\nguard = 0.99\n', False),
        ('[[detection]]\ntype = "brute_force_ip"\n', False),
    ],
)
def test_the_hash_follows_what_shapes_results(tmp_path: Path, text: str, same: bool) -> None:
    assert (config_hash(read(tmp_path, text)) == config_hash(load())) is same
    assert re.fullmatch("[0-9a-f]{16}", config_hash(load()))


def test_thresholds_are_no_part_of_the_states_identity(tmp_path: Path) -> None:
    rule = '[[detection]]\ntype = "brute_force_ip"\nat_least = 99\n'
    assert state_identity(read(tmp_path, rule)) == state_identity(load())
    assert state_identity(read(tmp_path, "[state]\nshards = 8\n")) != state_identity(load())
    assert state_identity(read(tmp_path, '[[detector]]\ntype = "ewma"\nalpha = 0.1\n')) != state_identity(load())


def test_the_example_is_the_defaults_and_short() -> None:
    path = ROOT / "config.toml"
    assert len(path.read_text().splitlines()) < 140
    assert config_hash(load(str(path))) == config_hash(load())


def test_what_config_prints_is_a_configuration(tmp_path: Path) -> None:
    text = as_toml(load(str(ROOT / "config.toml")), every=True)
    assert config_hash(read(tmp_path, text)) == config_hash(load())
    changed = read(tmp_path, '[time]\nlateness = "7s"\n[[detection]]\ntype = "traffic_spike"\nz = 8.0\n')
    short = as_toml(changed, every=False)
    assert "max_skew" not in short
    assert config_hash(read(tmp_path, short)) == config_hash(changed)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("5s"),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=5,
)
_defaults = {key: value for key, value, _ in origins(load()) if "[" not in key}
_keys = st.sampled_from([*_defaults])


@given(st.dictionaries(_keys, _values, max_size=6))
@example({"time.lateness": 10**400, "state.shards": 10**400})
@example({"time.lateness": 1 << 20_000, "state.shards": 1 << 20_000, "input.path": 1 << 20_000})
@example({"input.path": "\ud800"})
@example({"output.never_block": []})
@example({"output.never_block": ["192.0.2.0/24"]})
@example({"kafka.topics": {}})
def test_any_values_load_or_are_named(flags: dict[str, object]) -> None:
    named: list[str] = []
    try:
        config = load(flags=flags)
    except ConfigError as error:
        named = error.faults
    assert all(re.fullmatch(r"command line: .+ - at \$[.\w\[\]]*", fault) for fault in named)
    if not named:
        # A list is held as a tuple, so that nobody can change a configuration; a block of nothing is its defaults.
        expected = {key: tuple(value) if isinstance(value, list) else value for key, value in flags.items()}
        expected = {key: _defaults[key] if value == {} else value for key, value in expected.items()}
        assert {key: value for key, value, _ in origins(config) if key in flags} == expected


@given(st.integers(0, durations.LONGEST))
def test_durations_spell_back(length: int) -> None:
    assert durations.microseconds(durations.spell(length)) == length


@given(st.text(max_size=12))
def test_only_number_and_unit_is_a_duration(text: str) -> None:
    if durations.is_duration(text):
        assert re.fullmatch(r"[0-9]+(us|ms|s|m|h|d)", text)
    else:
        with pytest.raises(ValueError, match="Expected a duration"):
            durations.microseconds(text)


def test_the_example_is_toml_for_other_readers_too() -> None:
    assert set(tomllib.loads((ROOT / "config.toml").read_text())) <= {
        "input", "output", "time", "state", "metrics", "detector", "detection",
    }  # fmt: skip


def test_faults_of_rules_on_order_and_on_sources(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        [[detection]]
        type = "success_after_attack"
        dimension = "endpoint"
        [[detection]]
        type = "success_after_attack"
        id = "another"
        at_least = 0
        quiet = "10m"
        [[detection]]
        type = "dead_letter_surge"
        times = 1.0
        quiet = "400000ms"
        [[detection]]
        type = "source_silence"
        after = "10s"
        history = "30d"
        at_least = 5
        """,
    )
    assert found == [
        'config.toml: Expected one of user, ip, got "endpoint" - at $.detection[0].dimension',
        "config.toml: Expected int >= 1 - at $.detection[1].at_least",
        "config.toml: Expected float > 1.0 - at $.detection[2].times",
        'config.toml: Unknown key "at_least" (known: id, dimension, after, times, history, severity, mode)'
        " - at $.detection[3]",
        "config.toml: Expected at least the rule's window (15m) - at $.detection[1].quiet",
        'config.toml: Expected whole seconds, got "400000ms" - at $.detection[2].quiet',
        'config.toml: Expected whole minutes, at least "1m", got "10s" - at $.detection[3].after',
        'config.toml: Expected whole minutes from "15m" to "7d", got "30d" - at $.detection[3].history',
    ]


def test_rules_on_order_take_marks_of_their_own(tmp_path: Path) -> None:
    """Together with the expressions they have 64."""
    rule = '[[detection]]\ntype = "threshold"\nid = "t{0}"\nwhere = "status == {0}"\ncount = true\nat_least = 5\n'
    order = '[[detection]]\ntype = "success_after_attack"\nid = "s{0}"\n'
    fits = [rule.format(k) for k in range(61)] + [order.format(k) for k in range(3)]
    assert len(read(tmp_path, "\n".join(fits)).detection) == 64
    fits[0] += 'also = {where = "status == 800", count = true, at_least = 1}\n'
    assert faults(tmp_path, "\n".join(fits)) == [
        "config.toml: 62 different expressions and 3 rules on order, at most 64 together - at $.detection"
    ]
