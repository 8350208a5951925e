"""`tallygraph registry`, as a person uses it: what it says, and what is served after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from components.model_registry import open_registry
from components.model_registry.pushed import note_pushed, pushed_versions
from components.promoter.promotion import Candidate, aliases_of, consider
from components.promoter.rules import Rules
from components.pusher.publish import publish_version
from pipelines.champion import moved_by_hand
from pipelines.cli import app
from pipelines.config import load_config
from pipelines.layout import OutputLayout
from serving.engines import RunningServer, ServerFiles
from tests.support.empty_registry import lay_registry
from tests.support.warm_model_server import WarmEngine

ROOT = Path(__file__).parents[3]
NAME = "summarizer"
MANUAL = Rules("rouge_l_f1", manual=True)


def tallygraph(output: Path, *arguments: str) -> tuple[int, str]:
    """Exit status, and what was printed with line breaks made spaces."""
    command = ["registry", *arguments, "--output", str(output)]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, command)
    return result.exit_code, " ".join(result.output.split())


def consider_model(output: Path, model: Path, rules: Rules = MANUAL, **tags: str) -> None:
    known = {"tokenizer_fingerprint": "aa", "contract_version": "1", "spans": "3"}
    consider(
        open_registry(f"sqlite:///{output}/registry.sqlite"),
        NAME,
        Candidate(str(model), model.name, {"rouge_l_f1": 0.25}, {**known, **tags}),
        rules,
        lambda champion: {"rouge_l_f1": 0.2},
    )


def newest_version(output: Path) -> Path:
    versions = (path for path in (output / "serving" / NAME).iterdir())
    return max((path for path in versions if path.name.isdecimal()), key=lambda p: int(p.name))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The champion a, which was pushed, and the challenger b, which waits for approval."""
    lay_registry(tmp_path / "registry.sqlite")
    for name in ("a", "b"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "saved_model.pb").write_text(name)
    consider_model(tmp_path, tmp_path / "models" / "a", Rules("rouge_l_f1"))
    pushed = publish_version(tmp_path / "models" / "a", tmp_path / "serving" / NAME)
    registry = open_registry(f"sqlite:///{tmp_path}/registry.sqlite")
    note_pushed(registry, NAME, 1, int(pushed.name))
    consider_model(tmp_path, tmp_path / "models" / "b")
    return tmp_path


def served(output: Path) -> str:
    return (newest_version(output) / "saved_model.pb").read_text()


def test_listing_and_showing(output: Path) -> None:
    status, table = tallygraph(output, "list")
    assert status == 0
    pushed = newest_version(output).name
    assert table == (
        "version aliases rouge_l_f1 decision pushed spans tokenizer "
        f"2 challenger 0.2500 challenger 3 aa 1 champion 0.2500 champion {pushed} 3 aa"
    )
    result = CliRunner().invoke(app, ["registry", "list", "--json", "--output", str(output)])
    listed = json.loads(result.stdout)
    assert [(each["number"], each["aliases"]) for each in listed] == [
        (2, ["challenger"]),
        (1, ["champion"]),
    ]
    for asked in ("1", "champion", pushed):
        status, shown = tallygraph(output, "show", asked)
        assert status == 0
        assert shown.startswith(f"summarizer 1 (champion), pushed as {pushed} model: {output}")
    assert tallygraph(output, "show", "7") == (
        2,
        "error: summarizer has no version 7. The registry has: 2, 1.",
    )


def test_promoting_and_rolling_back_changes_what_is_served(output: Path) -> None:
    first = newest_version(output)
    status, said = tallygraph(output, "promote", "challenger")
    assert status == 0, said
    assert said == (
        "challenger: 2 -> none champion: 1 -> 2 previous: none -> 1 "
        f"served: {newest_version(output)}"
    )
    assert served(output) == "b"
    second = newest_version(output)
    # Once more is no change.
    assert tallygraph(output, "promote", "2") == (
        0,
        f"the registry was not changed served: {second}",
    )

    status, said = tallygraph(output, "rollback")
    assert status == 0, said
    assert "champion: 2 -> 1 previous: 1 -> none" in said
    # Servers take the highest number: a is pushed again.
    assert served(output) == "a"
    third = newest_version(output)
    registry = open_registry(f"sqlite:///{output}/registry.sqlite")
    assert pushed_versions(registry.version(NAME, 1)) == (int(first.name), int(third.name))
    status, shown = tallygraph(output, "show", third.name)
    assert shown.startswith("summarizer 1 (champion)")

    status, said = tallygraph(output, "rollback")
    assert (status, said[:45]) == (1, "error: There is no previous version to roll b")
    assert newest_version(output) == third
    # The next run does not bring b back, a person may.
    consider_model(output, output / "models" / "b", Rules("rouge_l_f1"))
    assert aliases_of(registry, NAME) == {"champion": 1}
    assert tallygraph(output, "promote", "2")[0] == 0
    assert served(output) == "b"


def test_a_run_can_tell_that_a_person_has_moved_something(output: Path) -> None:
    settings = load_config(ROOT / "configs" / "tiny.toml", [])
    layout = OutputLayout(output, settings.pipeline.name)
    seen = [moved_by_hand(settings, layout)]
    # What a run decides is no such move.
    consider_model(output, output / "models" / "a")
    assert seen == [moved_by_hand(settings, layout)] == [""]

    for command in (["promote", "2"], ["rollback"]):
        assert tallygraph(output, *command)[0] == 0
        seen.append(moved_by_hand(settings, layout))

    assert len(set(seen)) == 3, seen
    assert moved_by_hand(settings, OutputLayout(output / "new", "tiny")) == ""


def test_a_roll_back_that_was_killed_before_the_registry_changed_is_completed(
    output: Path,
) -> None:
    tallygraph(output, "promote", "2")
    again = publish_version(output / "models" / "a", output / "serving" / NAME)
    status, said = tallygraph(output, "rollback")
    assert status == 0
    assert said.endswith(f"served: {again}")
    assert newest_version(output) == again


def test_a_version_with_other_counts_takes_a_name(output: Path) -> None:
    other = output / "models" / "other"
    other.mkdir()
    (other / "saved_model.pb").write_text("other")
    consider_model(output, other, tokenizer_fingerprint="bb")
    status, said = tallygraph(output, "promote", "3")
    assert status == 2
    assert "Its tokenizer is not the champion's" in said
    assert served(output) == "a"
    status, said = tallygraph(output, "promote", "3", "--allow-tokenizer", "bb")
    assert status == 0
    assert served(output) == "other"


def test_what_is_missing_is_said(output: Path, tmp_path: Path) -> None:
    (output / "models" / "b" / "saved_model.pb").unlink()
    status, said = tallygraph(output, "promote", "2")
    assert status == 1
    assert said.startswith("error: Version 2 of summarizer cannot be served because it")
    registry = open_registry(f"sqlite:///{output}/registry.sqlite")
    assert aliases_of(registry, NAME) == {"champion": 1, "challenger": 2}
    status, said = tallygraph(output, "lineage", "1")
    assert status == 0
    assert "tokenizer: aa" in said
    assert "What it was made of is not known" in said
    status, said = tallygraph(tmp_path / "nowhere", "list")
    assert status == 2
    assert "registry.sqlite does not exist" in said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the fixture model's versions 1 and 2, of which 1 is the stable one."""
    from tests.support.fixture_model import export

    output = tmp_path_factory.mktemp("labelled")
    base = output / "serving" / NAME
    for version in (1, 2):
        export(base, version)
        consider_model(output, base / str(version))
        note_pushed(
            open_registry(f"sqlite:///{output}/registry.sqlite"), NAME, version, version
        )
    files = ServerFiles.write(base.parent / "models.config", NAME, base)
    with WarmEngine().start(files.spec((NAME,))) as server:
        server.wait_until_available(120)
        where = ["--model-dir", str(base), "--server", server.grpc_address]
        result = CliRunner().invoke(app, ["versions", "promote", "1", *where])
        assert result.exit_code == 0, result.output
        yield server


def test_labels_of_running_servers_move_too(server: RunningServer) -> None:
    (base,) = {path for path in server.spec.paths if path.name == NAME}
    output = base.parents[1]

    def stable() -> str:
        url = f"{server.rest_url}/v1/models/{NAME}/labels/stable:predict"
        answer = httpx.post(url, json={"instances": ["text"]}, timeout=120)
        return str(answer.json()["predictions"][0]["version_tag"])

    where = ("--server", server.grpc_address)
    assert tallygraph(output, "promote", "1", *where)[0] == 0
    assert stable() == "v1"
    status, said = tallygraph(output, "promote", "2", *where)
    assert (status, said) == (
        0,
        f"challenger: 2 -> none champion: 1 -> 2 previous: none -> 1 served: {base / '2'}",
    )
    assert stable() == "v2"
    status, said = tallygraph(output, "rollback", "--server", "127.0.0.1:1")
    assert status == 1
    assert "127.0.0.1:1 did not accept the config" in said
    assert stable() == "v2"
    assert tallygraph(output, "rollback", *where)[0] == 0
    assert stable() == "v1"
    assert sorted(path.name for path in base.iterdir() if path.name.isdecimal()) == ["1", "2"]
