"""Kubeflow's API over HTTP, as far as `tallygraph kfp` asks for it.

What the client sends is read with the client library's own models, and unknown fields are
refused; what is stored is held to the rules of backend/src/apiserver (pipelines, parameters,
schedules). Nothing is run.
"""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import itertools
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import kfp_server_api

from tests.pipelines.kubeflow.kubeflow_server import (
    RefusedError,
    UploadedPipeline,
    parameters_of_a_run,
    upload,
)

_API = "/apis/v2beta1"
_JSON = kfp_server_api.ApiClient()


@dataclass
class Api:
    """What the server has, and what it was asked."""

    token: str = ""
    pipelines: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    host: str = ""
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def new_id(self, kind: str) -> str:
        return f"{kind}-{next(self._ids)}"

    def check_reference(self, body: dict[str, Any]) -> None:
        """The pipeline version and the parameters of a run or a schedule."""
        reference = body["pipeline_version_reference"]
        version = self.versions.get(reference["pipeline_version_id"])
        if version is None or version["pipeline_id"] != reference["pipeline_id"]:
            raise RefusedError(f"no such pipeline version: {reference}")
        if body.get("experiment_id") not in self.experiments:
            raise RefusedError(f"no such experiment: {body.get('experiment_id')}")
        given = (body.get("runtime_config") or {}).get("parameters") or {}
        pipeline: UploadedPipeline = version["_pipeline"]
        parameters_of_a_run(pipeline, given)


@contextlib.contextmanager
def kubeflow_api(token: str = "") -> Iterator[Api]:
    """A server on a free port, for as long as the block runs."""
    api = Api(token=token)

    class Handler(_Handler):
        state = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.host = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _model(name: str, body: bytes) -> dict[str, Any]:
    """A body as the library's model of this name reads it."""
    fields = json.loads(body)
    known = set(getattr(kfp_server_api, name).attribute_map.values())
    if unknown := sorted(set(fields) - known):
        raise RefusedError(f"{name} has no {unknown}")
    parsed = _JSON.deserialize(SimpleNamespace(data=body.decode()), name)
    return {key: value for key, value in parsed.to_dict().items() if value is not None}


class _Handler(BaseHTTPRequestHandler):
    state: Api

    def log_message(self, *arguments: Any) -> None:
        """The tests' output is for the tests."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, handle: Any) -> None:
        parts = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append(f"{self.command} {parts.path}")
        if self.state.token and self.headers.get("authorization") != (
            f"Bearer {self.state.token}"
        ):
            return self._send(401, {"error_message": "Unauthenticated"})
        try:
            answer = handle(parts.path.removeprefix(_API).strip("/").split("/"))
        except RefusedError as error:
            return self._send(400, {"error_message": str(error)})
        if answer is None:
            return self._send(404, {"error_message": f"not found: {self.path}"})
        return self._send(200, answer)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(_JSON.sanitize_for_serialization(_public(body))).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _get(self, path: list[str]) -> dict[str, Any] | None:
        state = self.state
        match path:
            case ["healthz"]:
                return {"multi_user": False}
            case ["pipelines"]:
                return self._page(
                    "pipelines",
                    [
                        {"pipeline_id": key, "display_name": name}
                        for key, name in state.pipelines.items()
                    ],
                )
            case ["pipelines", pipeline_id, "versions"]:
                return self._page(
                    "pipeline_versions",
                    [v for v in state.versions.values() if v["pipeline_id"] == pipeline_id],
                )
            case ["experiments"]:
                return self._page("experiments", list(state.experiments.values()))
            case ["runs"]:
                return self._page("runs", self._of_experiment(state.runs)[::-1])
            case ["recurringruns"]:
                return self._page("recurringRuns", self._of_experiment(state.recurring_runs))
        return None

    def _of_experiment(self, stored: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        wanted = self.query.get("experiment_id")
        return [one for one in stored.values() if one["experiment_id"] == wanted]

    def _page(self, key: str, found: list[dict[str, Any]]) -> dict[str, Any]:
        """A page of what the filter lets through: two at a time, so that pages are needed."""
        for predicate in json.loads(self.query.get("filter") or "{}").get("predicates", []):
            assert predicate["operation"] in ("EQUALS", 1), predicate
            found = [one for one in found if one[predicate["key"]] == predicate["stringValue"]]
        start = int(self.query.get("page_token") or 0)
        more = {"next_page_token": str(start + 2)} if len(found) > start + 2 else {}
        return {key: found[start : start + 2], **more}

    def _post(self, path: list[str]) -> dict[str, Any] | None:
        match path:
            case ["pipelines", "upload"]:
                return self._upload_pipeline()
            case ["pipelines", "upload_version"]:
                return self._add_version(self.query["pipelineid"], self.query["name"])
            case ["experiments"]:
                experiment = _model("V2beta1Experiment", self.body)
                return self._store("experiments", "experiment_id", experiment)
            case ["runs"]:
                run = _model("V2beta1Run", self.body)
                self.state.check_reference(run)
                run |= {"state": "RUNNING", "created_at": "2026-01-31T03:00:00Z"}
                return self._store("runs", "run_id", run)
            case ["recurringruns"]:
                recurring = _model("V2beta1RecurringRun", self.body)
                self._check_recurring(recurring)
                recurring["status"] = "ENABLED"
                return self._store("recurring_runs", "recurring_run_id", recurring)
        return None

    def _check_recurring(self, recurring: dict[str, Any]) -> None:
        self.state.check_reference(recurring)
        if not recurring.get("display_name"):
            raise RefusedError("Recurring run's name cannot be empty")
        if not 1 <= int(recurring.get("max_concurrency", 0)) <= 10:
            raise RefusedError("Max concurrency must be at least 1 and at most 10")
        # Five fields pass, too: the last one may be left out, not the seconds.
        if len(recurring["trigger"]["cron_schedule"]["cron"].split()) not in (5, 6):
            raise RefusedError("Schedule cron is not a supported format")
        if recurring["mode"] != "ENABLE":
            raise RefusedError(f"mode {recurring['mode']}")

    def _upload_pipeline(self) -> dict[str, Any]:
        name = self.query["name"]
        if name in self.state.pipelines.values():
            raise RefusedError(f"the name {name} already exists")
        pipeline_id = self.state.new_id("pipeline")
        self.state.pipelines[pipeline_id] = name
        self._add_version(pipeline_id, name)
        return {"pipeline_id": pipeline_id, "display_name": name}

    def _add_version(self, pipeline_id: str, name: str) -> dict[str, Any]:
        if pipeline_id not in self.state.pipelines:
            raise RefusedError(f"no such pipeline: {pipeline_id}")
        names = [
            version["display_name"]
            for version in self.state.versions.values()
            if version["pipeline_id"] == pipeline_id
        ]
        if name in names:
            raise RefusedError(f"the version {name} already exists")
        version = {
            "pipeline_id": pipeline_id,
            "display_name": name,
            "_pipeline": upload(self._uploaded_file()),
        }
        return self._store("versions", "pipeline_version_id", version)

    def _uploaded_file(self) -> str:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(
            head + self.body
        )
        (part,) = message.iter_parts()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        return part.get_payload(decode=True).decode()

    def _store(self, kind: str, id_field: str, thing: dict[str, Any]) -> dict[str, Any]:
        thing[id_field] = self.state.new_id(kind.removesuffix("s"))
        getattr(self.state, kind)[thing[id_field]] = thing
        return thing

    def _delete(self, path: list[str]) -> dict[str, Any] | None:
        match path:
            case ["recurringruns", recurring_run_id]:
                found = self.state.recurring_runs.pop(recurring_run_id, None)
                return None if found is None else {}
        return None


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items() if not k.startswith("_")}
    return [_public(one) for one in value] if isinstance(value, list) else value
