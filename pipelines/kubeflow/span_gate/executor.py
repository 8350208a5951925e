"""The work of SpanGate: read the registry, decide, and write the decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils

from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.spans import LATEST, has_spans
from components.model_registry import open_registry
from components.model_registry.port import CHAMPION, RegisteredVersion
from pipelines.continuous import Decision, Question, Todo, decide
from pipelines.drift.config import DriftConfig
from pipelines.kubeflow.span_gate.asked import asked_span

REPORT_KEY: Final = "report"
CORPUS_KEY: Final = "corpus"
SPAN_KEY: Final = "span"
REGISTRY_URI_KEY: Final = "registry_uri"
MODEL_NAME_KEY: Final = "model_name"
OPTIONS_KEY: Final = "options"
DRIFT_KEY: Final = "drift"
REPORTS_DIR_KEY: Final = "reports_dir"

DECISION_FILE: Final = "decision.json"
DRIFT_FILE: Final = "drift.json"


class DriftStopError(RuntimeError):
    """The new texts differ too much from the champion's. Never worth a retry."""


class Executor(BaseExecutor):
    """Decides whether to train, and on which spans."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Decide, and write the decision to the report and the volume.

        Args:
          input_dict: empty.
          output_dict: `report`: an empty GateReport; its files and properties are set.
          exec_properties: `corpus`, `span`, `registry_uri`, `model_name`; `options` and
            `drift`, the settings as JSON; `reports_dir`.

        Raises:
          CorpusInputError: the corpus or span does not exist.
          RegistryError: the registry cannot be read.
          DriftStopError: the texts have drifted, and `drift.action` is ``stop``.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        champion = open_registry(exec_properties[REGISTRY_URI_KEY]).by_alias(
            exec_properties[MODEL_NAME_KEY], CHAMPION
        )
        decision = _decision(exec_properties, champion)
        report = artifact_utils.get_single_instance(output_dict[REPORT_KEY])
        trains = decision.todo in (Todo.TRAIN, Todo.RETRAIN)
        report.todo = str(Todo.TRAIN if trains else decision.todo)
        report.spans = ",".join(map(str, decision.spans))
        report.start_from = CHAMPION if champion and decision.todo is Todo.TRAIN else ""
        folders = [Path(report.uri), Path(exec_properties[REPORTS_DIR_KEY])]
        for folder in folders:
            _write(decision, champion, folder)
        logging.info("SpanGate: %s. %s", decision.todo, decision.reason)
        for finding in decision.findings:
            logging.warning("SpanGate: drift: %s", finding)
        if decision.drift:
            logging.info("SpanGate: %s", decision.drift.summary)
        if decision.todo is Todo.STOP:
            raise DriftStopError(f"{decision.reason} See {folders[-1]}.")


def _decision(exec_properties: dict[str, Any], champion: RegisteredVersion | None) -> Decision:
    corpus, span = exec_properties[CORPUS_KEY], asked_span(exec_properties[SPAN_KEY])
    if not has_spans(corpus):
        if span != LATEST:
            raise CorpusInputError(
                f"The corpus {corpus} has no span {span}. Expected: {{SPAN}}, or {{YYYY}}, "
                "{MM} and {DD}, in its path; or no span for a corpus without."
            )
        return Decision(Todo.TRAIN, (), "Training on the whole corpus: it has no spans.")
    options = CorpusOptions.from_dict(json.loads(exec_properties[OPTIONS_KEY]))
    drift = DriftConfig(**json.loads(exec_properties[DRIFT_KEY]))
    return decide(Question(corpus, options, span, drift), champion)


def _write(decision: Decision, champion: RegisteredVersion | None, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "todo": str(decision.todo),
        "spans": list(decision.spans),
        "reason": decision.reason,
        "champion": champion.number if champion else None,
        "findings": list(decision.findings),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (folder / DECISION_FILE).write_text(text, encoding="utf-8")
    if decision.drift:
        decision.drift.save(folder / DRIFT_FILE)
    else:  # what an earlier run has left is not this decision's
        (folder / DRIFT_FILE).unlink(missing_ok=True)
