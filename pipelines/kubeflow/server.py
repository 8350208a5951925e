"""A Kubeflow Pipelines server, through its own client: upload, run, schedule."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import kfp_server_api
from kfp.client import Client

from pipelines.kubeflow.cron import check_cron
from pipelines.kubeflow.server_errors import plain_errors
from pipelines.kubeflow.server_records import PipelineVersion, RunStatus, Schedule

_PAGE: Final = 100
_ANSWER_WITHIN_S: Final = 20
# Of a name that is not found these say so; the client gives no error class of its own.
_NO_EXPERIMENT: Final = "No experiment is found"


class KubeflowServer:
    """The operations of `tallygraph kfp` on a server. Every method may raise
    ``KubeflowError``."""

    def __init__(self, host: str, namespace: str = "", token: str = "", ca_file: str = ""):
        """Connect.

        Args:
          host: URL, such as ``http://localhost:8080`` or ``https://kubeflow.example/pipeline``.
          namespace: in a multi-user installation; empty for others.
          token: bearer token; empty if the server needs none.
          ca_file: certificates to trust, in addition to the system's.
        """
        self._host = host
        self._namespace = namespace or None
        self._check_door(token, ca_file)
        with plain_errors(self._host, "connect"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._client = Client(
                host=host,
                namespace=namespace or "kubeflow",
                existing_token=token or None,
                ssl_ca_cert=ca_file or None,
            )

    def _check_door(self, token: str, ca_file: str) -> None:
        """Ask for the server's health once: the client would ask five times in 25 seconds and
        then say nothing of why."""
        configuration = kfp_server_api.Configuration(host=self._host.rstrip("/"))
        configuration.ssl_ca_cert = ca_file or None
        configuration.retries = False
        if token:
            configuration.api_key["authorization"] = token
            configuration.api_key_prefix["authorization"] = "Bearer"
        with (
            plain_errors(self._host, "connect"),
            kfp_server_api.ApiClient(configuration) as client,
        ):
            kfp_server_api.HealthzServiceApi(client).healthz_service_get_healthz(
                _request_timeout=_ANSWER_WITHIN_S
            )

    def upload(self, file: Path, pipeline_name: str) -> PipelineVersion:
        """Upload a compiled pipeline; the same text is the same version and is uploaded only
        once."""
        version_name = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        with plain_errors(self._host, f"upload {file}"):
            pipeline_id = self._client.get_pipeline_id(pipeline_name)
            if pipeline_id is None:
                # The first upload makes a version too, under the pipeline's name.
                pipeline_id = self._client.upload_pipeline(
                    str(file), pipeline_name=pipeline_name, namespace=self._namespace
                ).pipeline_id
            for version in self._versions(pipeline_id):
                if version.display_name == version_name:
                    return PipelineVersion(
                        pipeline_id, version.pipeline_version_id, version_name, created=False
                    )
            version = self._client.upload_pipeline_version(
                str(file), pipeline_version_name=version_name, pipeline_id=pipeline_id
            )
            return PipelineVersion(
                pipeline_id, version.pipeline_version_id, version_name, created=True
            )

    def start_run(
        self,
        name: str,
        experiment: str,
        version: PipelineVersion,
        parameters: Mapping[str, str],
        pipeline_root: str = "",
    ) -> str:
        """Start a run and return its id."""
        with plain_errors(self._host, f"start the run {name}"):
            return str(
                self._client.run_pipeline(
                    self._experiment(experiment),
                    job_name=name,
                    pipeline_id=version.pipeline_id,
                    version_id=version.version_id,
                    params=dict(parameters),
                    pipeline_root=pipeline_root or None,
                ).run_id
            )

    def schedule(
        self,
        name: str,
        experiment: str,
        cron: str,
        version: PipelineVersion,
        parameters: Mapping[str, str],
        pipeline_root: str = "",
    ) -> Schedule:
        """Create or replace the recurring run of this name.

        Only one run is active at a time, and runs that were missed while the server was down
        are not made up for. If the schedule is already as requested, nothing changes; otherwise
        the new one is created before the old ones are deleted, so that an error leaves the old
        ones in place.

        Raises:
          CronError: `cron` is not a cron expression of six fields.
        """
        check_cron(cron)
        with plain_errors(self._host, f"schedule {name}"):
            experiment_id = self._experiment(experiment)
            before = self._schedules(experiment_id, name)
            wanted = Schedule(
                "", name, cron, version.version_id, dict(parameters), pipeline_root, True
            )
            for old in before:
                if replace(old, recurring_run_id="") == wanted:
                    self._delete(other for other in before if other is not old)
                    return old
            made = self._client.create_recurring_run(
                experiment_id,
                job_name=name,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                params=dict(parameters),
                pipeline_root=pipeline_root or None,
            )
            self._delete(before)
        return replace(wanted, recurring_run_id=made.recurring_run_id, changed=True)

    def unschedule(self, name: str, experiment: str) -> int:
        """Delete the recurring runs with a name, and return their number."""
        with plain_errors(self._host, f"unschedule {name}"):
            experiment_id = self._experiment_id(experiment)
            found = self._schedules(experiment_id, name) if experiment_id else []
            self._delete(found)
        return len(found)

    def schedules(self, experiment: str) -> list[Schedule]:
        """Return all recurring runs of an experiment."""
        with plain_errors(self._host, "list the schedules"):
            experiment_id = self._experiment_id(experiment)
            return self._schedules(experiment_id) if experiment_id else []

    def runs(self, experiment: str, limit: int = 10) -> list[RunStatus]:
        """Return the newest runs of an experiment."""
        with plain_errors(self._host, "list the runs"):
            experiment_id = self._experiment_id(experiment)
            if not experiment_id:
                return []
            listed = self._client.list_runs(
                page_size=limit, sort_by="created_at desc", experiment_id=experiment_id
            )
        return [RunStatus.read(run) for run in listed.runs or []]

    def _versions(self, pipeline_id: str) -> Iterator[Any]:
        token = ""
        while True:
            page = self._client.list_pipeline_versions(
                pipeline_id, page_token=token, page_size=_PAGE
            )
            yield from page.pipeline_versions or []
            token = page.next_page_token or ""
            if not token:
                return

    def _experiment_id(self, name: str) -> str | None:
        try:
            found = self._client.get_experiment(experiment_name=name, namespace=self._namespace)
        except ValueError as error:
            if str(error).startswith(_NO_EXPERIMENT):
                return None
            raise
        return str(found.experiment_id)

    def _experiment(self, name: str) -> str:
        """An experiment's id; it is made if there is none."""
        return (
            self._experiment_id(name)
            or self._client.create_experiment(name, namespace=self._namespace).experiment_id
        )

    def _schedules(self, experiment_id: str, name: str | None = None) -> list[Schedule]:
        found: list[Schedule] = []
        token = ""
        while True:
            page = self._client.list_recurring_runs(
                page_token=token, page_size=_PAGE, experiment_id=experiment_id
            )
            found += [
                Schedule.read(listed)
                for listed in page.recurring_runs or []
                if name is None or listed.display_name == name
            ]
            token = page.next_page_token or ""
            if not token:
                return found

    def _delete(self, schedules: Any) -> None:
        for schedule in schedules:
            self._client.delete_recurring_run(schedule.recurring_run_id)
