"""What a run says of the changes since the last one."""

from __future__ import annotations

from pathlib import Path

from pipelines.config import parse_config
from pipelines.last_run import StartedRun, changes_since, shown_settings

UPSTREAM = {
    "Reader": (),
    "Trainer": ("Reader",),
    "Exporter": ("Trainer", "Reader"),
    "Evaluator": ("Exporter",),
    "Checker": ("Exporter",),
}
NODES = dict.fromkeys(UPSTREAM, "a")
BEFORE = StartedRun({"model.num_beams": "1", "training.steps": "9"}, NODES, tuple(NODES))


def test_a_change_names_the_first_nodes_that_read_it() -> None:
    now = StartedRun(
        {"model.num_beams": "2", "training.steps": "9"},
        NODES | {"Exporter": "b", "Checker": "b"},
    )
    assert changes_since(BEFORE, now, UPSTREAM) == (
        "changed since the last run: model.num_beams 1 -> 2: Exporter and what follows it run "
        "again, unless an earlier run was the same; training stays cached"
    )


def test_training_is_only_said_to_be_cached_where_it_was_complete() -> None:
    killed = StartedRun(BEFORE.settings, NODES, ("Reader",))
    now = StartedRun(BEFORE.settings, NODES | {"Evaluator": "b", "Checker": "b"})
    assert changes_since(killed, now, UPSTREAM) == (
        "changed since the last run: no setting, but code or files: Evaluator and Checker and "
        "what follows them run again, unless an earlier run was the same"
    )


def test_a_change_of_training_says_nothing_of_a_cache() -> None:
    now = StartedRun({"model.num_beams": "1", "training.steps": "10"}, NODES | {"Trainer": "b"})
    line = changes_since(BEFORE, now, UPSTREAM)
    assert "training.steps 9 -> 10: Trainer and what follows it run again" in line
    assert "stays cached" not in line


def test_a_setting_that_no_node_reads() -> None:
    now = StartedRun({"model.num_beams": "1", "drift.limit": "3"}, NODES)
    assert changes_since(BEFORE, now, UPSTREAM) == (
        "changed since the last run: drift.limit not set -> 3, training.steps 9 -> not set: no "
        "node reads that"
    )


def test_nothing_has_changed() -> None:
    line = changes_since(BEFORE, BEFORE, UPSTREAM)
    assert line == "settings and code are those of the last run"


def test_long_values_are_cut() -> None:
    now = StartedRun({**BEFORE.settings, "model.num_beams": "x" * 500}, NODES)
    assert f"{'x' * 60}…" in changes_since(BEFORE, now, UPSTREAM)
    assert "x" * 61 not in changes_since(BEFORE, now, UPSTREAM)


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "last-run.json"
    assert StartedRun.load(file) is None
    run = StartedRun({"a.b": "1"}, {"Trainer": "x"}).with_complete("Trainer")
    run.save(file)
    assert StartedRun.load(file) == run
    file.write_text("[]")
    assert StartedRun.load(file) is None


def test_settings_are_kept_without_secrets() -> None:
    config = parse_config(
        {
            "registry": {"uri": "https://ann:s3cret@models.example"},
            "pipeline": {"beam_args": ["--key=s3cret"]},
            "model": {"banned_ids": [[5], [7, 9]]},
        }
    )
    shown = shown_settings(config, "pairs/span-{SPAN}.jsonl", (3, 4))
    assert "s3cret" not in "".join(shown.values())
    assert shown["registry.uri"] == '"https://***@models.example"'
    assert shown["model.banned_ids"] == "[[5], [7, 9]]"
    assert shown["corpus.path"] == '"pairs/span-{SPAN}.jsonl"'
    assert shown["corpus.spans"] == "[3, 4]"
    assert not [name for name in shown if name.startswith("kubeflow.")]
