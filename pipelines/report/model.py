"""What a report shows, as values: no reading and no HTML in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from components.corpus_example_gen.report import CorpusCounts
from components.promoter.rules import Comparison
from pipelines.evaluation.verdict import MetricSlice, Verdict
from pipelines.exporting.quantising import QuantisingCost
from pipelines.price_quote import PriceQuote
from pipelines.report.lineage import Lineage
from tokenizer.contract import MeteringRecord


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of the report that has no data, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the run came to.

    Attributes:
      state: ``pushed``; ``not_pushed``, then `reasons` say why; ``incomplete`` where a node
        failed or the run never came to the Pusher.
      version, destination: of the pushed model; empty where there is none.
      reasons: plain sentences, in the order of the pipeline.
    """

    state: Literal["pushed", "not_pushed", "incomplete"]
    version: str
    destination: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """One validation. Losses are in nats a label.

    `train_loss` is the mean since the point before.
    """

    step: int
    train_loss: float
    val_loss: float
    examples_per_s: float


@dataclass(frozen=True, slots=True)
class Training:
    """The learning curve.

    Attributes:
      points: at least one, in the order of steps.
      lead_steps: of the settings; 0 where they are not known or there were none.
      log_dir: folder of TensorBoard's events; empty where it is not known.
    """

    points: tuple[TrainingPoint, ...]
    lead_steps: int = 0
    log_dir: str = ""

    @property
    def has_lead(self) -> bool:
        """Whether a part of the curve is of the lead steps."""
        return 0 < self.lead_steps < self.points[-1].step

    @property
    def best(self) -> TrainingPoint:
        """The point whose weights were exported."""
        return min(self.points, key=lambda point: point.val_loss)


@dataclass(frozen=True, slots=True)
class MeterCheck:
    """One line of MeterValidator's report.

    Attributes:
      proves: what holds where the check passed.
      cases, mismatches: how many things were compared, and how many were not as they must be.
      examples: the first of those, in words.
      not_run: why nothing was compared; empty where something was.
    """

    name: str
    proves: str
    passed: bool
    cases: int
    mismatches: int
    examples: tuple[str, ...]
    not_run: str


@dataclass(frozen=True, slots=True)
class MeterValidation:
    """What MeterValidator found.

    Attributes:
      facts: what it compared and with what: name and value, as it says them.
    """

    blessed: bool
    checks: tuple[MeterCheck, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ServingValidation:
    """What ServingValidator found.

    Attributes:
      reason: one sentence: why it blessed the model, or why not.
      engine: the server that was started.
      startup_s: seconds until it was AVAILABLE; None where it never was.
      requests, rows: warm-up requests that were replayed, and their rows.
      mismatches: the first answers that differ, in words; `mismatches_total` counts all.
      server_log: the end of the server's log where it failed, else empty.
    """

    blessed: bool
    reason: str
    engine: str
    startup_s: float | None
    requests: int
    rows: int
    mismatches: tuple[str, ...]
    mismatches_total: int
    server_log: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """What Promoter decided.

    Attributes:
      outcome: ``champion``, ``challenger``, ``refused`` or ``not_blessed``.
      reason: one or more sentences: why.
      refused_by: what kept it from being the champion: validators, or Promoter's own checks.
      model_name: in the registry.
      version: its number there; 0 where it was not registered.
      champion_before: number of the champion when it was decided; None where there was none,
        or where Promoter did not look because the model was not blessed.
      comparison: with that champion; None where there was nothing to compare.
    """

    outcome: str
    reason: str
    refused_by: tuple[str, ...]
    model_name: str
    version: int
    champion_before: int | None
    comparison: Comparison | None

    @property
    def blessed(self) -> bool:
        """Whether every validator had blessed it, so that there was something to decide."""
        return self.outcome != "not_blessed"

    @property
    def promoted(self) -> bool:
        return self.outcome == "champion"

    @property
    def champion_after(self) -> int | None:
        return self.version if self.promoted else self.champion_before


@dataclass(frozen=True, slots=True)
class NodeTime:
    """A node of the run.

    Attributes:
      state: as ML Metadata has it: ``complete``, ``cached``, ``failed``, ...
      seconds: its time in this run; close to 0 where its result was reused.
      made_seconds: where it was reused, the time of the execution that made the result.
    """

    node_id: str
    execution_id: int
    state: str
    seconds: float
    made_seconds: float | None

    @property
    def longest_seconds(self) -> float:
        return max(self.seconds, self.made_seconds or 0.0)


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything on the page, top to bottom.

    Attributes:
      span_quality: of the held-out documents of the spans, where `evaluation` is of a test set
        that stays as it is; None where both are the same.
      checkpoint_notes: how the checkpoint that training started from is followed.
      quote: the price of the model, where the run was given a price book.
      quantising: what int8 cost; None where the export is in float32.
    """

    pipeline_name: str
    run_id: str
    started: datetime | None
    outcome: Outcome
    corpus: CorpusCounts | Missing
    training: Training | Missing
    evaluation: Verdict | Missing
    metering: MeteringRecord | Missing
    meter_validation: MeterValidation | Missing
    serving_validation: ServingValidation | Missing
    promotion: Promotion | Missing
    lineage: Lineage | Missing
    nodes: tuple[NodeTime, ...]
    settings: Mapping[str, Mapping[str, Any]]
    span_quality: MetricSlice | None = None
    checkpoint_notes: tuple[str, ...] = ()
    quote: PriceQuote | None = None
    quantising: QuantisingCost | Missing | None = None
