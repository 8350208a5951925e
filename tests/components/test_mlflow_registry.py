"""MLflow as the registry, for real: in a file, killed on the way, raced for."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from components.model_registry import RegistryError, open_registry
from components.model_registry.locks import file_lock, server_lock
from components.model_registry.mlflow_registry import MlflowRegistry
from components.model_registry.port import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion
from components.promoter.promotion import Candidate, aliases_of, consider
from components.promoter.rules import Rules
from tests.support.empty_registry import lay_registry
from tests.support.warm_process import warm_context

NAME = "summarizer"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return lay_registry(tmp_path / "registry.sqlite")


@pytest.fixture
def registry(uri: str) -> MlflowRegistry:
    opened = open_registry(uri)
    assert isinstance(opened, MlflowRegistry)
    return opened


def test_versions_come_back_as_they_were_registered(registry: MlflowRegistry) -> None:
    assert registry.versions(NAME) == []
    assert registry.by_alias(NAME, CHAMPION) is None
    registry.register(NAME, "/models/a", {"rouge_l_f1": 1 / 3}, {"spans": "1 2"})
    registry.register(NAME, "s3://models/b", {}, {})
    registry.set_tags(NAME, 1, {"spans": "3", "reason": ""})
    newest, oldest = registry.versions(NAME)
    assert (newest.number, newest.uri) == (2, "s3://models/b")
    assert (oldest.number, oldest.uri) == (1, "/models/a")
    assert oldest.metrics == {"rouge_l_f1": 1 / 3}
    assert oldest.tags == {"spans": "3", "reason": ""}
    assert oldest.aliases == frozenset()
    assert registry.version(NAME, 1) == oldest


def test_aliases_move_together(registry: MlflowRegistry) -> None:
    for name in "ab":
        registry.register(NAME, f"/models/{name}", {}, {})
    registry.set_aliases(NAME, {CHAMPION: 1, CHALLENGER: 2})
    assert registry.version(NAME, 2).aliases == {CHALLENGER}
    registry.set_aliases(NAME, {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: None})
    assert aliases_of(registry, NAME) == {CHAMPION: 2, PREVIOUS: 1}
    with pytest.raises(RegistryError, match="version=7"):
        registry.set_aliases(NAME, {CHAMPION: 7, PREVIOUS: None})
    assert aliases_of(registry, NAME) == {CHAMPION: 2, PREVIOUS: 1}


def test_who_is_overtaken_in_spite_of_the_lock_is_told(
    registry: MlflowRegistry, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        registry.register(NAME, f"/models/{name}", {}, {})
    other = open_registry(uri)
    assert isinstance(other, MlflowRegistry)
    move = registry._move

    def be_overtaken(name: str, aliases: dict[str, int | None]) -> None:
        move(name, aliases)
        other._move(name, {CHAMPION: 2})

    monkeypatch.setattr(registry, "_move", be_overtaken)
    with pytest.raises(RegistryError, match="Another process moved the aliases"):
        registry.set_aliases(NAME, {CHAMPION: 1})
    with registry.exclusive(NAME):
        assert aliases_of(registry, NAME) == {CHAMPION: 2}


@pytest.mark.parametrize("uri", ["", "file:///tmp/x", "sqlite:///", "/tmp/registry.sqlite"])
def test_what_is_no_registry_is_refused(uri: str) -> None:
    with pytest.raises(RegistryError, match="The URI of a model registry is not valid"):
        open_registry(uri)


def test_a_server_that_is_not_there_and_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:9 cannot be opened"):
        open_registry("http://127.0.0.1:9")
    (tmp_path / "notes.sqlite").write_text("what is this" * 100)
    with pytest.raises(RegistryError, match="file is not a database"):
        open_registry(f"sqlite:///{tmp_path}/notes.sqlite")


def test_tags_of_another_program(uri: str) -> None:
    registry = open_registry(uri)
    tags = {"metric.of-somebody": "n/a", "spans": "day one", "pushed_versions": "7 8"}
    version = registry.register(NAME, "/models/1", {"rouge_l_f1": 0.5}, tags)
    assert (version.metrics, version.tags["metric.of-somebody"]) == ({"rouge_l_f1": 0.5}, "n/a")
    assert version.numbers("pushed_versions") == (7, 8)
    assert version.numbers("nothing") == ()
    with pytest.raises(RegistryError, match=r"The tag spans of version 1 .* 'day one'"):
        version.numbers("spans")


@pytest.mark.parametrize("folder", ["a%20b", "w%2Fx", "50% [1]{2}?#&", "模型 ü"])
def test_a_folder_of_any_name_is_that_folder(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "registry.sqlite"
    open_registry(f"sqlite:///{path}").register(NAME, "/models/1", {}, {})
    assert [each.name for each in tmp_path.iterdir()] == [folder]
    assert path.exists()
    assert len(open_registry(f"sqlite:///{path}").versions(NAME)) == 1


def test_a_lock_that_is_held_is_waited_for_and_named(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock"),
        pytest.raises(RegistryError, match="Another process"),
        file_lock(tmp_path / "lock", wait_s=0.2),
    ):
        raise AssertionError("both hold it")
    with file_lock(tmp_path / "lock", wait_s=0):
        pass


def test_a_servers_lock_excludes_others_until_it_is_freed_or_too_old(
    registry: MlflowRegistry,
) -> None:
    client = registry._client
    with server_lock(client, NAME):
        with (
            pytest.raises(RegistryError, match=f"process {os.getpid()} on"),
            server_lock(client, NAME, wait_s=0.2),
        ):
            raise AssertionError("both hold it")
        # One that is too old is taken over, and not freed by its late holder.
        with server_lock(client, NAME, lease_s=0):
            token = client.get_registered_model(f"{NAME}.lock").tags["token"]
        assert token
    with server_lock(client, NAME, wait_s=0):
        pass
    assert [model.name for model in client.search_registered_models()] == []


def move_and_die(uri: str, point: int) -> None:
    """Moves the aliases, and is killed before the `point`-th change of the file, from 1 on."""
    registry = open_registry(uri)
    points = itertools.count(1)
    written = False

    @event.listens_for(Engine, "before_cursor_execute")
    def before_statement(
        connection: object, cursor: object, statement: str, *others: object
    ) -> None:
        nonlocal written
        written = written or not statement.lstrip().upper().startswith(("SELECT", "PRAGMA"))

    @event.listens_for(Engine, "commit")
    def before_commit(connection: object) -> None:
        nonlocal written
        if written and next(points) == point:
            os.kill(os.getpid(), signal.SIGKILL)
        written = False

    registry.set_aliases(NAME, {CHAMPION: 1, PREVIOUS: 2, CHALLENGER: 3})


def test_a_move_killed_at_any_point_is_completed_by_the_next_call(
    registry: MlflowRegistry, uri: str
) -> None:
    for name in "abc":
        registry.register(NAME, f"/models/{name}", {}, {})
    before = {CHAMPION: 2, PREVIOUS: 1}
    after = {CHAMPION: 1, PREVIOUS: 2, CHALLENGER: 3}
    processes = warm_context()
    half_done = 0
    for point in itertools.count(1):
        registry.set_aliases(NAME, {**before, CHALLENGER: None})
        process = processes.Process(target=move_and_die, args=(uri, point), daemon=True)
        process.start()
        process.join()
        # Before anybody repairs it: there is a champion.
        assert aliases_of(registry, NAME)[CHAMPION] in (1, 2)
        was_noted = registry._note(NAME) is not None
        half_done += was_noted
        with registry.exclusive(NAME):
            repaired = aliases_of(registry, NAME)
        assert repaired == after if was_noted else repaired in (before, after)
        assert registry._note(NAME) is None
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert repaired == after  # the last one was not killed
    assert half_done >= 3  # at each alias, at least


def race(uri: str, rouge: float, start: Barrier) -> None:
    registry = open_registry(uri)
    start.wait()
    consider(
        registry,
        NAME,
        Candidate(f"/models/{rouge}", f"digest-{rouge}", {"rouge_l_f1": rouge}, {}),
        Rules("rouge_l_f1"),
        lambda champion: champion.metrics,
    )


def test_racing_promotions_leave_the_best_as_the_one_champion(uri: str) -> None:
    rouges = [0.3, 0.1, 0.5, 0.2, 0.5]  # the last two of them are the same model
    processes = warm_context()
    start = processes.Barrier(len(rouges))
    run_all(
        [
            processes.Process(target=race, args=(uri, rouge, start), daemon=True)
            for rouge in rouges
        ]
    )
    registry = open_registry(uri)
    versions = {version.number: version for version in registry.versions(NAME)}
    assert sorted(version.metrics["rouge_l_f1"] for version in versions.values()) == [
        0.1,
        0.2,
        0.3,
        0.5,
    ]
    aliases = aliases_of(registry, NAME)
    assert versions[aliases[CHAMPION]].metrics["rouge_l_f1"] == 0.5
    if PREVIOUS in aliases:  # how many were champion before, the race decides
        assert versions[aliases[PREVIOUS]].metrics["rouge_l_f1"] < 0.5
    if CHALLENGER in aliases:
        assert aliases[CHALLENGER] > aliases[CHAMPION]


def open_new(uri: str, index: int) -> None:
    open_registry(uri).register(NAME, f"/models/{index}", {}, {})


def run_all(processes: Sequence[BaseProcess]) -> None:
    """Run processes at the same time, to their end."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_a_new_file_may_be_opened_by_several_at_a_time(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/registry.sqlite"
    run_all(
        [
            warm_context().Process(target=open_new, args=(uri, index), daemon=True)
            for index in range(3)
        ]
    )
    assert {version.uri for version in open_registry(uri).versions(NAME)} == {
        "/models/0",
        "/models/1",
        "/models/2",
    }


def test_the_champion_is_measured_again_if_it_changed_meanwhile(
    registry: MlflowRegistry,
) -> None:
    def candidate(rouge: float) -> Candidate:
        return Candidate(f"/{rouge}", f"digest-{rouge}", {"rouge_l_f1": rouge}, {})

    rules = Rules("rouge_l_f1")
    consider(registry, NAME, candidate(0.1), rules, lambda champion: {})
    measured = []

    def measure(champion: RegisteredVersion) -> Mapping[str, float]:
        measured.append(champion.number)
        if len(measured) == 1:  # somebody else is quicker
            registry.register(NAME, "/other", {"rouge_l_f1": 0.9}, {})
            registry.set_aliases(NAME, {CHAMPION: 2, PREVIOUS: 1})
        return champion.metrics

    version, decision = consider(registry, NAME, candidate(0.5), rules, measure)
    assert measured == [1, 2]
    assert (version.number, decision.outcome) == (3, "challenger")
    assert aliases_of(registry, NAME) == {CHAMPION: 2, PREVIOUS: 1, CHALLENGER: 3}
    # The same again registers nothing.
    again, _ = consider(registry, NAME, candidate(0.5), rules, measure)
    assert again.number == 3
    assert len(registry.versions(NAME)) == 3
