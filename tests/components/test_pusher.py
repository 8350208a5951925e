"""A version is pushed whole or not at all, once, and only with four blessings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.artifacts import MeterBlessing, PromotionBlessing
from components.model_registry import open_registry
from components.model_registry.pushed import pushed_versions
from components.pusher.executor import Executor
from components.pusher.publish import PushError, publish_version
from serving.model_config import ModelConfigFile
from serving.rollout import ModelServers, Rollout
from tests.support.empty_registry import lay_registry

# A message, as every saved_model.pb is.
GRAPH = b"\x08\x01"


def make_model(path: Path, content: bytes = GRAPH) -> Path:
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(content)
    (path / "variables" / "variables.data-00000-of-00001").write_bytes(content * 1000)
    (path / "variables" / "variables.index").touch()
    return path


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def versions_in(base: Path) -> list[Path]:
    return sorted(p for p in base.iterdir() if p.name.isdecimal())


def test_a_version_holds_exactly_the_models_bytes(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")

    version = publish_version(model, tmp_path / "served")

    assert files_of(version) == files_of(model)
    assert abs(int(version.name) - time.time()) < 60


def test_the_same_model_is_not_pushed_twice_and_another_gets_a_higher_number(
    tmp_path: Path,
) -> None:
    base = tmp_path / "served"
    first = publish_version(make_model(tmp_path / "a", b"a"), base)
    assert publish_version(tmp_path / "a", base) == first

    second = publish_version(make_model(tmp_path / "b", b"b"), base)

    assert int(second.name) > int(first.name)
    assert versions_in(base) == [first, second]


def test_a_new_version_is_above_one_from_a_clock_that_ran_ahead(tmp_path: Path) -> None:
    ahead = tmp_path / "served" / "99999999999"
    ahead.mkdir(parents=True)

    version = publish_version(make_model(tmp_path / "a"), tmp_path / "served")

    assert version.name == "100000000000"


def test_what_else_lies_in_the_folder_makes_no_version(tmp_path: Path) -> None:
    base = tmp_path / "served"
    (base / "20261127071755777050").mkdir(parents=True)  # more than an int64 holds
    first = publish_version(make_model(tmp_path / "a", b"a"), base)
    assert int(first.name) < 2**33

    zero_padded = first.rename(base / f"000{first.name}")
    assert publish_version(tmp_path / "a", base) == zero_padded

    (base / str(2**63 - 1)).mkdir()
    with pytest.raises(PushError, match="the highest version that a model server takes"):
        publish_version(make_model(tmp_path / "b", b"b"), base)
    assert not list(base.glob(".staging-*"))


def test_what_is_no_saved_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PushError, match=r"has no saved_model\.pb"):
        publish_version(tmp_path / "empty", tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_a_destination_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "served").write_text("a file, no folder")
    with pytest.raises(PushError, match="Nothing was published"):
        publish_version(make_model(tmp_path / "model"), tmp_path / "served")


def test_a_push_killed_at_any_point_leaves_no_part_of_a_version(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    for index in range(200):
        (model / "variables" / f"shard-{index}").write_bytes(os.urandom(20_000))
    wanted = files_of(model)
    program = (
        "import sys; from pathlib import Path; from components.pusher.publish import "
        "publish_version; print('ready', flush=True); "
        "publish_version(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    unfinished = 0
    # Killed when so many files have been copied: after the last they are synced and named.
    for copied in range(0, len(wanted) + 1, 10):
        base = tmp_path / f"served-{copied}"
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(model), str(base)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        while process.poll() is None and files_below(base) < copied:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        versions = versions_in(base) if base.exists() else []
        for version in versions:
            assert files_of(version) == wanted
        unfinished += not versions

        version = publish_version(model, base)

        assert files_of(version) == wanted
        assert versions_in(base) == [version]
    assert unfinished, "no push was hit by a kill: the test showed nothing"


def files_below(root: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(root))


def registered(tmp_path: Path) -> PromotionBlessing:
    """What Promoter leaves of a new version in a registry of its own."""
    blessing = PromotionBlessing()
    blessing.uri = str(tmp_path / "promotion")
    blessing.registry = lay_registry(tmp_path / "registry.sqlite")
    blessing.model_name = "summarizer"
    registry = open_registry(blessing.registry)
    blessing.version = registry.register("summarizer", str(tmp_path), {}, {}).number
    return blessing


def push(
    tmp_path: Path, refused_by: str | None = None, keep_versions: int = 0
) -> standard_artifacts.PushedModel:
    """Run the executor on ``tmp_path/model``; returns its PushedModel."""
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    model_blessing = standard_artifacts.ModelBlessing()
    infra_blessing = standard_artifacts.InfraBlessing()
    meter_blessing = MeterBlessing()
    model_blessing.set_int_custom_property("blessed", int(refused_by != "model"))
    infra_blessing.set_int_custom_property("blessed", int(refused_by != "infra"))
    meter_blessing.blessed = int(refused_by != "meter")
    promotion_blessing = registered(tmp_path)
    promotion_blessing.blessed = int(refused_by != "promotion")
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    served = tmp_path / "served" / "summarizer"
    Executor().Do(
        {
            "model": [model],
            "model_blessing": [model_blessing],
            "meter_blessing": [meter_blessing],
            "infra_blessing": [infra_blessing],
            "promotion_blessing": [promotion_blessing],
        },
        {"pushed_model": [pushed]},
        {
            "push_destination": json.dumps({"filesystem": {"base_directory": str(served)}}),
            "keep_versions": keep_versions,
        },
    )
    return pushed


@pytest.mark.parametrize("refused_by", [None, "model", "meter", "infra", "promotion"])
def test_it_pushes_only_what_every_validator_blessed(
    tmp_path: Path, refused_by: str | None
) -> None:
    make_model(tmp_path / "model" / "Format-Serving")
    pushed = push(tmp_path, refused_by)
    if refused_by is None:
        (version,) = versions_in(tmp_path / "served" / "summarizer")
        assert pushed.get_int_custom_property("pushed") == 1
        assert pushed.get_string_custom_property("pushed_version") == version.name
        assert pushed.get_string_custom_property("pushed_destination") == str(version)
        registry = open_registry(f"sqlite:///{tmp_path}/registry.sqlite")
        assert pushed_versions(registry.version("summarizer", 1)) == (int(version.name),)
    else:
        assert pushed.get_int_custom_property("pushed") == 0
        assert not (tmp_path / "served").exists()


def test_old_versions_are_deleted_but_no_labelled_one(tmp_path: Path) -> None:
    served = tmp_path / "served" / "summarizer"
    for version in ("1", "2", "3", "4"):
        make_model(served / version, bytes([8, int(version)]))
    config = ModelConfigFile(served.parent / "models.config")
    config.add_model("summarizer", served)
    Rollout(config, "summarizer", ModelServers([])).promote(2)
    make_model(tmp_path / "model" / "Format-Serving")
    pushed = push(tmp_path, keep_versions=2)
    new = pushed.get_string_custom_property("pushed_version")
    assert [path.name for path in versions_in(served)] == [new, "2", "4"]
    # Rules that cannot be read stop no push, and delete nothing.
    config.path.write_text("what is this")
    make_model(tmp_path / "other" / "Format-Serving", b"other")
    (tmp_path / "model").rename(tmp_path / "old")
    (tmp_path / "other").rename(tmp_path / "model")
    pushed = push(tmp_path, keep_versions=1)
    assert pushed.get_int_custom_property("pushed") == 1
    assert len(versions_in(served)) == 4
