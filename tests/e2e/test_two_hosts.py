"""Two training workers on two hosts, as a TFJob starts them: one is killed, both go on.

The hosts are namespaces of this machine (`hosts.py`); commands and addresses are those of
`kfp/tfjob.yaml`, and `TF_CONFIG` is what the training operator makes of it.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
import yaml

from pipelines.config import load_config
from pipelines.exporting.settings import training_part
from pipelines.training.run import run_fn
from tests.e2e.hosts import Container, Host, is_apart, refusal, two_hosts
from tests.e2e.pipeline_commands import CONFIGS, TALLYGRAPH, nodes_of, versions_in
from tests.e2e.training_operator import container_of, replica_names, tf_config
from tests.pipelines.training.training_runs import history, weights
from tests.support.waiting import wait_until

CONFIG: Final = CONFIGS / "tiny.toml"
TFJOB: Final = CONFIGS.parent / "kfp" / "tfjob.yaml"
MOST_RESTARTS: Final = 6

pytestmark = [pytest.mark.long, pytest.mark.in_order, pytest.mark.timeout(1800)]


@dataclass
class Pod:
    """A replica of the job: its container is started again after a failure (OnFailure)."""

    host: Host
    command: list[str]
    variable: str
    folder: Path
    attempts: list[Container] = field(default_factory=list)

    def start(self) -> Container:
        log = self.folder / f"attempt-{len(self.attempts)}.log"
        self.folder.mkdir(exist_ok=True)
        self.attempts.append(self.host.start(self.command, {"TF_CONFIG": self.variable}, log))
        return self.attempts[-1]

    def is_complete(self) -> bool:
        """Whether its last attempt has succeeded; a failed one is followed by another."""
        status = self.attempts[-1].status()
        if status:
            assert len(self.attempts) <= MOST_RESTARTS, self.attempts[-1].printed
            self.start()
        return status == 0


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TFJOB.read_text())
    return loaded


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def hosts(job: dict[str, Any], root: Path) -> Iterator[tuple[Host, Host]]:
    if reason := refusal():
        pytest.skip(f"no two hosts here: {reason}")
    names = [name for names in replica_names(job).values() for name in names]
    with two_hosts(root, names) as made:
        yield made


@pytest.fixture(scope="module")
def pods(
    job: dict[str, Any], hosts: tuple[Host, Host], root: Path, corpus_file: Path
) -> Iterator[tuple[Pod, Pod]]:
    """The chief and the worker, each with the manifest's command on this machine's paths."""
    shared = root / "shared"
    shutil.copy(corpus_file, shared / "pairs.jsonl")
    paths = {"config": CONFIG, "corpus": shared / "pairs.jsonl", "output": shared / "output"}
    made = []
    for kind, host in zip(("chief", "worker"), hosts, strict=True):
        program, *arguments = container_of(job, kind)["command"]
        assert program == "tallygraph"
        command = [
            f"--{name}={paths[name]}" if name in paths else argument
            for argument in arguments
            for name in [argument.removeprefix("--").partition("=")[0]]
        ]
        made.append(
            Pod(host, [str(TALLYGRAPH), *command], tf_config(job, kind, 0), root / kind)
        )
    chief, worker = made
    yield chief, worker
    for pod in made:
        if pod.attempts and pod.attempts[-1].status() is None:
            pod.attempts[-1].kill()


def test_1_hosts_share_only_a_folder(hosts: tuple[Host, Host], root: Path) -> None:
    first, second = hosts
    assert is_apart(first, second)
    for host in hosts:
        assert host.shell(f"touch {root}/private/own {root}/shared/common").returncode == 0
        refused = host.shell(f"touch {root}/elsewhere")
        assert "Read-only file system" in refused.stderr
    assert not (root / "private" / "own").exists()
    assert (root / "shared" / "common").exists()


def test_2_a_killed_worker_ends_the_attempt_of_both(pods: tuple[Pod, Pod], root: Path) -> None:
    chief, worker = pods
    running, other = chief.start(), worker.start()
    validated = "validation loss"
    wait_until(lambda: running.printed.count(validated) >= 2, "two validations", running.status)

    # A firewall between hosts has to let through the port of TF_CONFIG, and no other.
    connected = chief.host.shell("ss --tcp --numeric --no-header state established").stdout
    ends = re.findall(r"10\.77\.0\.\d\]?:(\d+)", connected)
    assert ends, connected
    assert all("2222" in pair for pair in zip(ends[::2], ends[1::2], strict=True)), connected

    other.kill()
    wait_until(lambda: running.status() is not None, "the end of the chief's attempt")

    assert other.status() == -signal.SIGKILL
    assert running.status() == 1, running.printed
    assert "Trainer: WorkerLostError: worker 0 of 2" in running.printed
    assert re.search(
        r"another worker of .*-worker-0.*can no longer be reached", running.printed
    )
    assert "worker 1 of 2: trains with it" in other.printed
    assert nodes_of(running.printed)["Transform"] == "done"
    assert versions_in(root / "shared" / "output") == []


def test_3_started_again_both_go_on_from_the_checkpoint(
    pods: tuple[Pod, Pod], root: Path
) -> None:
    chief, worker = pods
    first = len(chief.attempts)

    def is_over() -> bool:
        complete = [pod.is_complete() for pod in pods]  # each is restarted, not only one
        return all(complete)

    wait_until(is_over, "the end of the job")

    said = "".join(attempt.printed for attempt in chief.attempts[first:])
    assert re.search(r"training continues after step (40|80) of 120", said), said
    assert nodes_of(said)["Transform"] == "cached"
    assert "worker 1 of 2: training is complete" in worker.attempts[-1].printed
    assert len(versions_in(root / "shared" / "output")) == 1


def test_4_the_weights_are_those_of_a_training_that_nothing_ended(
    root: Path, tmp_path: Path
) -> None:
    """Losses and weights, to the rounding that the sums of several threads leave open."""
    artifacts = root / "shared" / "output" / "pipelines" / "tiny" / "root"
    (resumed,) = (artifacts / "Trainer" / "model").iterdir()
    (logs,) = (path.parent for path in (artifacts / "Trainer").rglob("history.jsonl"))
    (examples,) = (artifacts / "Transform" / "transformed_examples").iterdir()
    (tokenizer,) = (artifacts / "TokenizerTrainer" / "tokenizer").iterdir()
    settings = load_config(CONFIG, ["training.workers=2"]).as_dict()
    unharmed = SimpleNamespace(
        train_files=[str(examples / "Split-train" / "*")],
        eval_files=[str(examples / "Split-eval" / "*")],
        serving_model_dir=str(tmp_path / "Format-Serving"),
        model_run_dir=str(tmp_path / "run"),
        base_model=None,
        custom_config={
            "model": training_part(settings["model"]),
            "training": settings["training"],
            "tokenizer_dir": str(tokenizer),
            "working_dir": str(tmp_path / "working"),
            "user_code_hash": "",
        },
    )

    run_fn(unharmed)

    keys = ("step", "examples", "train_loss", "val_loss")
    found = [json.loads(line) for line in (logs / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in found] == [40, 80, 120]
    for row, other in zip(found, history(unharmed), strict=True):
        assert [row[key] for key in keys] == [
            pytest.approx(other[key], rel=1e-3) for key in keys
        ]
    one = weights(SimpleNamespace(serving_model_dir=str(resumed / "Format-Serving")))
    two = weights(unharmed)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-3, err_msg=name)
