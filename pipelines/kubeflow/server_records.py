"""Records of a Kubeflow Pipelines server that `tallygraph kfp` uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline on the server."""

    pipeline_id: str
    version_id: str
    name: str
    created: bool


@dataclass(frozen=True)
class Schedule:
    """A recurring run on the server. `changed` is False if it was already as requested."""

    recurring_run_id: str
    name: str
    cron: str
    version_id: str
    parameters: Mapping[str, str]
    pipeline_root: str
    enabled: bool
    changed: bool = False

    @classmethod
    def read(cls, listed: Any) -> Schedule:
        """One that the server has listed."""
        trigger, reference = listed.trigger, listed.pipeline_version_reference
        runtime = listed.runtime_config
        return cls(
            recurring_run_id=listed.recurring_run_id,
            name=listed.display_name,
            cron=trigger.cron_schedule.cron if trigger and trigger.cron_schedule else "",
            version_id=reference.pipeline_version_id if reference else "",
            parameters=dict(runtime.parameters or {}) if runtime else {},
            pipeline_root=(runtime.pipeline_root or "") if runtime else "",
            enabled=listed.status == kfp_server_api.V2beta1RecurringRunStatus.ENABLED,
        )


@dataclass(frozen=True)
class RunStatus:
    """A run on the server; times as the server writes them."""

    run_id: str
    name: str
    state: str
    created_at: str
    error: str

    @classmethod
    def read(cls, listed: Any) -> RunStatus:
        """One that the server has listed."""
        return cls(
            listed.run_id,
            listed.display_name,
            listed.state or "PENDING",
            str(listed.created_at or ""),
            listed.error.message if listed.error else "",
        )
