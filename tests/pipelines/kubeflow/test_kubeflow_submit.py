"""`tallygraph kfp submit|schedule|unschedule|status` against Kubeflow's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.cli import app
from pipelines.kubeflow.cron import CronError, check_cron
from tests.pipelines.kubeflow.kubeflow_api import Api, kubeflow_api

PIPELINE = Path(__file__).parents[3] / "kfp" / "pipeline.yaml"
CORPUS = "corpus=/mnt/tallygraph/corpus/*.jsonl"
DAYS = "corpus=/mnt/tallygraph/corpus/{YYYY}-{MM}-{DD}/*.jsonl"
EVERY_NIGHT = "0 0 3 * * *"


@pytest.fixture
def api() -> Iterator[Api]:
    with kubeflow_api() as running:
        yield running


def kfp(api: Api, command: str, *arguments: str, token: str = "") -> Result:
    file = [str(PIPELINE)] if command in ("submit", "schedule") else []
    return CliRunner().invoke(
        app,
        ["kfp", command, *file, f"--host={api.host}", *arguments],
        env={"TALLYGRAPH_KFP_TOKEN": token},
    )


def test_a_run_is_started_with_its_parameters(api: Api) -> None:
    result = kfp(api, "submit", f"--parameter={CORPUS}", "--parameter=span=7", "--name=first")

    assert result.exit_code == 0, result.output
    (run,) = api.runs.values()
    assert run["run_id"] in result.output
    assert run["display_name"] == "first"
    assert run["runtime_config"]["parameters"] == {
        "corpus": "/mnt/tallygraph/corpus/*.jsonl",
        "span": "7",
    }


def test_the_same_pipeline_is_uploaded_once(api: Api) -> None:
    assert "uploaded" in kfp(api, "submit", f"--parameter={CORPUS}").output
    versions = set(api.versions)
    assert "was there already" in kfp(api, "submit", f"--parameter={CORPUS}").output
    assert set(api.versions) == versions
    assert len(api.runs) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "this parameter is required: corpus"),
        ([f"--parameter={CORPUS}", "--parameter=spam=1"], "no such parameter: spam"),
        (["--parameter=corpus"], "--parameter expects name=value"),
    ],
)
def test_parameters_that_are_not_the_pipelines_are_refused_before_the_upload(
    api: Api, arguments: list[str], expected: str
) -> None:
    result = kfp(api, "submit", *arguments)
    assert result.exit_code == 2
    assert expected in result.output
    assert api.pipelines == {}


def test_a_schedule_runs_one_at_a_time_and_reads_the_span_of_its_day(api: Api) -> None:
    result = kfp(api, "schedule", f"--cron={EVERY_NIGHT}", f"--parameter={DAYS}")

    assert result.exit_code == 0, result.output
    (made,) = api.recurring_runs.values()
    assert made["trigger"]["cron_schedule"]["cron"] == EVERY_NIGHT
    assert (int(made["max_concurrency"]), made["no_catchup"]) == (1, True)
    assert made["runtime_config"]["parameters"]["span"] == "[[ScheduledTime]]"


@pytest.mark.parametrize("corpus", [CORPUS, "corpus=/mnt/span-{SPAN}/*.jsonl"])
def test_a_corpus_without_days_is_not_given_one(api: Api, corpus: str) -> None:
    assert kfp(api, "schedule", f"--cron={EVERY_NIGHT}", f"--parameter={corpus}").exit_code == 0
    (made,) = api.recurring_runs.values()
    assert "span" not in made["runtime_config"]["parameters"]


def test_a_schedule_of_the_same_name_is_kept_or_replaced(api: Api) -> None:
    def schedule(cron: str, *further: str) -> str:
        result = kfp(api, "schedule", f"--cron={cron}", f"--parameter={DAYS}", *further)
        assert result.exit_code == 0, result.output
        (made,) = api.recurring_runs
        return made

    first = schedule(EVERY_NIGHT)
    assert schedule(EVERY_NIGHT) == first
    second = schedule("0 30 4 * * *")
    assert second != first
    third = schedule("0 30 4 * * *", "--pipeline-root=s3://bucket/runs")
    assert third != second
    assert schedule("0 30 4 * * *", "--pipeline-root=s3://bucket/runs") == third
    assert schedule("0 30 4 * * *", "--parameter=span=7") != third


def test_schedules_of_other_names_are_left_alone(api: Api) -> None:
    # More than fit on one of the server's pages.
    for name in ("a", "b", "c"):
        kfp(api, "schedule", f"--cron={EVERY_NIGHT}", f"--parameter={DAYS}", f"--name={name}")

    result = kfp(api, "unschedule", "--name=c")

    assert "schedule c deleted" in result.output
    assert {made["display_name"] for made in api.recurring_runs.values()} == {"a", "b"}
    assert "was not there" in kfp(api, "unschedule", "--name=c").output


def test_status_names_schedules_and_runs(api: Api) -> None:
    kfp(api, "submit", f"--parameter={CORPUS}", "--name=first")
    kfp(api, "schedule", f"--cron={EVERY_NIGHT}", f"--parameter={DAYS}", "--name=nightly")

    result = kfp(api, "status")

    assert result.exit_code == 0, result.output
    assert "nightly" in result.output and EVERY_NIGHT in result.output
    assert "first" in result.output and "RUNNING" in result.output


def test_status_of_an_experiment_that_is_not_there_is_empty(api: Api) -> None:
    result = kfp(api, "status", "--experiment=other")
    assert result.exit_code == 0, result.output
    assert api.experiments == {}


def test_no_server_is_an_error_in_plain_words() -> None:
    with kubeflow_api() as api:
        pass  # now nothing listens there
    result = kfp(api, "status")
    assert result.exit_code == 1
    assert f"no Kubeflow Pipelines server responds at {api.host}" in result.output
    assert "Traceback" not in result.output


def test_a_token_is_asked_for_and_taken() -> None:
    with kubeflow_api(token="secret-of-the-test") as api:
        refused = kfp(api, "status")
        assert refused.exit_code == 1
        assert "denied access (HTTP 401)" in refused.output
        assert "TALLYGRAPH_KFP_TOKEN" in refused.output
        assert api.requests == ["GET /apis/v2beta1/healthz"]
        assert kfp(api, "status", token="secret-of-the-test").exit_code == 0


def test_what_the_server_refuses_is_said_in_its_words(api: Api) -> None:
    kfp(api, "submit", f"--parameter={CORPUS}")
    for version in api.versions.values():
        declared = version["_pipeline"].spec.root.input_definitions.parameters
        declared["extra"].CopyFrom(declared["corpus"])

    result = kfp(api, "submit", f"--parameter={CORPUS}")

    assert result.exit_code == 1
    assert "refused the request (HTTP 400): parameter extra is not optional" in result.output
    assert len(api.runs) == 1


def test_a_schedule_that_is_refused_leaves_the_old_one(api: Api) -> None:
    kfp(api, "schedule", f"--cron={EVERY_NIGHT}", f"--parameter={DAYS}")
    before = dict(api.recurring_runs)
    for version in api.versions.values():
        declared = version["_pipeline"].spec.root.input_definitions.parameters
        declared["extra"].CopyFrom(declared["corpus"])

    result = kfp(api, "schedule", "--cron=0 30 4 * * *", f"--parameter={DAYS}")

    assert result.exit_code == 1
    assert api.recurring_runs == before


@pytest.mark.parametrize(
    "cron", ["0 0 3 * * *", "*/10 0 9-17 ? * mon-fri", "0 15,45 0 1 jan,jul *", "@daily"]
)
def test_cron_expressions_of_six_fields_are_taken(cron: str) -> None:
    check_cron(cron)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * *", "Did you mean '0 0 3 * * *'"),
        ("", "Received 0"),
        ("0 0 24 * * *", "hours must be"),
        ("0 0 3 * * 7", "day of the week must be"),
        ("0 0 5-3 * * *", "hours must be"),
        ("0 */0 * * * *", "minutes must be"),
        ("0 0 3 0 * *", "day of the month must be"),
        ("0 0 3 * foo *", "month must be"),
    ],
)
def test_other_cron_expressions_are_refused(api: Api, cron: str, expected: str) -> None:
    with pytest.raises(CronError) as caught:
        check_cron(cron)
    assert expected in str(caught.value)
    result = kfp(api, "schedule", f"--cron={cron}", f"--parameter={CORPUS}")
    assert result.exit_code == 2
    assert api.requests == []
