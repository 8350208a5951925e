"""The manager of versions, with models that load, fail, or take their time."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.lifecycle import LifecycleOptions
from serving.model_server.manager import ModelManager
from serving.model_server.model_version import State
from serving.model_server.saved_model import LoadedModel, LoadOptions
from serving.model_server.versions import VersionOnDisk
from serving.protocol.statuses import Code
from tests.support.waiting import wait_until

QUICK = LifecycleOptions(poll_s=0.05, max_retries=2, retry_interval_s=0.05)
Make = Callable[..., ModelManager]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes managers, and stops them at the end."""
    made: list[ModelManager] = []

    def make(
        loader: Callable[[str, VersionOnDisk], LoadedModel], labels: bool = False
    ) -> ModelManager:
        made.append(ModelManager(loader, QUICK, labels))
        return made[-1]

    yield make
    for manager in made:
        manager.stop()


def load(name: str, version: VersionOnDisk) -> LoadedModel:
    return LoadedModel(version.path, LoadOptions())


def config(base: Path, more: str = "") -> ModelServerConfig:
    text = f'config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" {more} }}'
    return text_format.Parse(f"model_config_list {{ {text} }}", ModelServerConfig())


def state_of(manager: ModelManager, version: int | None = None) -> State:
    return manager.status("m", version)[0].state


def test_a_version_is_served(make: Make, fixture_base: Path) -> None:
    manager = make(load)
    manager.start(config(fixture_base))
    with manager.acquire("m") as servable:
        assert (servable.name, servable.version) == ("m", 2)
    assert [(s.version, s.state) for s in manager.status("m")] == [(2, State.AVAILABLE)]


def test_a_version_that_fails_is_tried_again_and_then_told(
    make: Make, fixture_base: Path
) -> None:
    attempts: list[int] = []

    def fail(name: str, version: VersionOnDisk) -> LoadedModel:
        attempts.append(version.number)
        raise invalid_argument("no such op")

    manager = make(fail)
    with pytest.raises(ServingError) as failed:
        manager.start(config(fixture_base))
    assert failed.value.code is Code.UNKNOWN
    assert failed.value.message == (
        "1 servable(s) did not become available: {{{name: m version: 2} due to error: "
        "INVALID_ARGUMENT: no such op}, }"
    )
    assert attempts == [2, 2, 2]  # once, and two retries
    (status,) = manager.status("m")
    assert (status.state, str(status.error)) == (State.END, "INVALID_ARGUMENT: no such op")


def test_a_failure_that_passes(make: Make, fixture_base: Path) -> None:
    attempts: list[int] = []

    def fail_once(name: str, version: VersionOnDisk) -> LoadedModel:
        attempts.append(version.number)
        if len(attempts) == 1:
            raise RuntimeError("the disk hiccuped")
        return load(name, version)

    manager = make(fail_once)
    manager.start(config(fixture_base))
    (status,) = manager.status("m")
    assert (status.state, status.error, attempts) == (State.AVAILABLE, None, [2, 2])


def test_a_model_in_use_is_not_closed(make: Make, fixture_base: Path) -> None:
    one = "model_version_policy { specific { versions: 1 } }"
    manager = make(load)
    manager.start(config(fixture_base, one))
    with manager.acquire("m") as servable:
        manager.reload(config(fixture_base))
        wait_until(lambda: state_of(manager, 1) is State.UNLOADING, "the unloading")
        with manager.acquire("m") as newer:
            assert newer.version == 2
        with pytest.raises(ServingError, match="Specific\\(m, 1\\)"), manager.acquire("m", 1):
            pass
        time.sleep(0.2)
        assert manager.status("m", 1)[0].state is State.UNLOADING
        assert servable.version == 1
    wait_until(lambda: state_of(manager, 1) is State.END, "its end")


def test_a_model_that_is_no_longer_asked_for_goes(make: Make, fixture_base: Path) -> None:
    manager = make(load)
    manager.start(config(fixture_base))
    manager.reload(text_format.Parse("model_config_list {}", ModelServerConfig()))
    wait_until(lambda: state_of(manager) is State.END, "its end")
    with pytest.raises(ServingError, match="Latest\\(m\\)"), manager.acquire("m"):
        pass


def test_it_waits_for_a_version_as_long_as_there_is_none(
    make: Make, tmp_path: Path, fixture_base: Path
) -> None:
    manager = make(load)
    started = threading.Thread(target=manager.start, args=(config(tmp_path),))
    started.start()
    time.sleep(0.3)
    assert started.is_alive()
    (tmp_path / "5").symlink_to(fixture_base / "2")
    started.join(120)
    assert [s.version for s in manager.status("m")] == [5]


def test_a_base_path_that_vanishes_unloads_nothing(
    make: Make, tmp_path: Path, fixture_base: Path
) -> None:
    base = tmp_path / "base"
    base.symlink_to(fixture_base)
    manager = make(load)
    manager.start(config(base))
    base.unlink()
    time.sleep(0.3)
    assert manager.status("m")[0].state is State.AVAILABLE


def test_labels(make: Make, fixture_base: Path) -> None:
    def labelled(number: int) -> ModelServerConfig:
        return config(
            fixture_base,
            "model_version_policy { all {} } "
            f'version_labels {{ key: "stable" value: {number} }}',
        )

    manager = make(load)
    with pytest.raises(ServingError) as refused:
        manager.start(labelled(1))
    assert refused.value.code is Code.FAILED_PRECONDITION

    manager = make(load, labels=True)
    manager.start(labelled(1))
    with manager.acquire("m", label="stable") as servable:
        assert servable.version == 1
    manager.reload(labelled(2))
    with manager.acquire("m", label="stable") as servable:
        assert servable.version == 2
    with pytest.raises(ServingError, match="which is not currently available"):
        manager.reload(labelled(9))  # a label in use never moves to what cannot answer
    with manager.acquire("m", label="stable") as servable:
        assert servable.version == 2


def test_stopping_does_not_wait_for_a_load_that_takes_long(fixture_base: Path) -> None:
    loading, released = threading.Event(), threading.Event()

    def take_long(name: str, version: VersionOnDisk) -> LoadedModel:
        loading.set()
        released.wait()
        raise invalid_argument("it was released")

    manager = ModelManager(take_long, dataclasses.replace(QUICK, stop_waits_s=0.05))
    failures: list[ServingError] = []

    def start() -> None:
        try:
            manager.start(config(fixture_base))
        except ServingError as failure:
            failures.append(failure)

    started = threading.Thread(target=start)
    started.start()
    assert loading.wait(120)
    manager.stop()
    started.join(120)
    assert "stopped before the models were AVAILABLE" in failures[0].message
    released.set()
