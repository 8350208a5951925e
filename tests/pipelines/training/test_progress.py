"""What training says of itself while it goes on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pipelines.training.progress import Progress
from pipelines.training.settings import TrainingSettings
from pipelines.training.standing import LineFormatter, Standing, log_again, standing_in

LOGGER = "tallygraph.training"


def records_of(
    caplog: pytest.LogCaptureFixture, folder: Path, **training: object
) -> list[logging.LogRecord]:
    """The records of a training of four steps that made steps 2 to 4 of them."""
    settings = TrainingSettings.from_config({"steps": 4, "warmup_steps": 0, **training})
    with caplog.at_level(logging.DEBUG, LOGGER):
        progress = Progress(folder, settings, 1, [])
        for step in (2, 3, 4):
            progress.stepped(step, nats=6.0, labels=2.0, examples=8)
        progress.close()
    return caplog.records


def test_the_end_of_the_lead_is_explained_at_its_step(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    records = records_of(caplog, tmp_path, lead_steps=3)
    told = [record.getMessage() for record in records if record.levelno == logging.INFO]
    assert told[0] == "training continues after step 1 of 4"
    assert told[1].startswith("step 3/4  training.lead_steps end here.")
    explained = " ".join(told[1:])
    assert "the loss rises as that share falls, although the model gets better" in explained
    assert "From here on all ask for the summary" in explained


def test_a_share_that_stays_is_named(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    records_of(caplog, tmp_path, lead_steps=3, lead_share=0.1)
    assert "From here on all but 10% ask for the summary" in caplog.text


@pytest.mark.parametrize("lead_steps", [0, 1])
def test_a_lead_that_is_over_or_was_never_there_is_not_mentioned(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, lead_steps: int
) -> None:
    records_of(caplog, tmp_path, lead_steps=lead_steps)
    assert "lead_steps" not in caplog.text


def test_its_standing_is_told_at_the_last_step_and_at_the_end(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    standings = [standing_in(record) for record in records_of(caplog, tmp_path)]
    *_, last, over = [each for each in standings if each]
    assert (last.step, last.steps, last.loss, last.over) == (4, 4, 3.0, False)
    assert (over.step, over.over) == (4, True)


def test_another_process_logs_it_again(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    first = list(records_of(caplog, tmp_path))
    lines = [LineFormatter("mark: ").format(record) for record in first]
    caplog.clear()
    with caplog.at_level(logging.DEBUG, LOGGER):
        for line in lines:
            log_again(line.removeprefix("mark: "))
        log_again('{"level": 20, "mess')  # killed while it wrote
    *again, rest = caplog.records
    assert [(each.levelno, each.getMessage()) for each in again] == [
        (each.levelno, each.getMessage()) for each in first
    ]
    assert [standing_in(each) for each in again] == [standing_in(each) for each in first]
    assert isinstance(standing_in(again[-1]), Standing)
    assert rest.getMessage() == '{"level": 20, "mess'
    assert json.loads(lines[0].removeprefix("mark: "))["standing"] is None
