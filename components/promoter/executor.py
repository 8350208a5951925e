"""The work of Promoter: gather the facts about a model, decide, and record the decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.model_registry import open_registry
from components.model_registry.digest import digest_of
from components.model_registry.port import RegisteredVersion
from components.promoter.measuring import champion_metrics, metrics_in
from components.promoter.promotion import DIGEST_TAG, Candidate, consider
from components.promoter.reasons import (
    REPORT_FILE,
    reasons_of_evaluator,
    reasons_of_meter_validator,
    reasons_of_serving_validator,
)
from components.promoter.rules import CONTRACT_TAG, FINGERPRINT_TAG, Decision, Rules
from tokenizer.contract import MeteringRecord

MODEL_KEY: Final = "model"
EXAMPLES_KEY: Final = "examples"
EVALUATION_KEY: Final = "evaluation"
MODEL_BLESSING_KEY: Final = "model_blessing"
METER_BLESSING_KEY: Final = "meter_blessing"
INFRA_BLESSING_KEY: Final = "infra_blessing"
BASELINE_KEY: Final = "baseline_model"
BLESSING_KEY: Final = "blessing"
REGISTRY_KEY: Final = "registry"
MODEL_NAME_KEY: Final = "model_name"
RULES_KEY: Final = "rules"
NOTES_KEY: Final = "notes"
EVALUATOR_MODULE_KEY: Final = "evaluator_module"
MOVED_BY_HAND_KEY: Final = "moved_by_hand"

_MAX_REASON: Final = 1000  # characters
NOT_BLESSED: Final = "not_blessed"
TEST_SPLIT: Final = "eval"


class Executor(BaseBeamExecutor):
    """Executor of Promoter."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Register a model, decide on it, and record the decision.

        Args:
          input_dict: `model`, the metered one; `examples` and `evaluation`, the Evaluator's
            input and output; `model_blessing`, `meter_blessing`, `infra_blessing`;
            `baseline_model`, the Evaluator's, left out where it had none.
          output_dict: `blessing`, one PromotionBlessing; gets its properties and
            `report.json`.
          exec_properties: `registry`, a URI; `model_name`; `rules`, a JSON object of `Rules`;
            `notes`, a JSON object of further tags; `evaluator_module`, the Evaluator's
            module path; `moved_by_hand`, which only the cache goes by.

        Raises:
          RegistryError: the registry cannot be used. Worth a retry if it is on a server.
          ContractError: the model is not metered.
          MetricsError: it was blessed without metrics.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        blessing.registry = exec_properties[REGISTRY_KEY]
        blessing.model_name = exec_properties[MODEL_NAME_KEY]
        if refused := _refused(input_dict):
            reason = f"It is not registered because {', '.join(refused)} did not bless it."
            reasons = [f"{who}: {why}" for who, found in refused.items() for why in found]
            facts = {"refused_by": list(refused), "reasons": reasons}
            leave_report(blessing, NOT_BLESSED, " ".join([reason, *reasons]), None, facts)
            return
        version, decision = self._consider(input_dict, exec_properties)
        leave_report(blessing, decision.outcome, decision.reason, version, facts_of(decision))

    def _consider(
        self, input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> tuple[RegisteredVersion, Decision]:
        model = _one(input_dict, MODEL_KEY)
        evaluation = _one(input_dict, EVALUATION_KEY)
        directory = Path(path_utils.serving_model_path(model.uri))
        candidate = Candidate(
            uri=str(directory),
            digest=digest_of(directory),
            metrics=metrics_in(evaluation.uri),
            tags={
                **_tags_of(MeteringRecord.load(directory)),
                "mlmd_model_id": str(model.id),
                "mlmd_evaluation_id": str(evaluation.id),
                **json.loads(exec_properties[NOTES_KEY]),
            },
        )

        def measure(champion: RegisteredVersion) -> dict[str, float]:
            return dict(
                champion_metrics(
                    champion.uri,
                    evaluation.uri,
                    _is_baseline(champion, input_dict.get(BASELINE_KEY, [])),
                    input_dict[EXAMPLES_KEY],
                    TEST_SPLIT,
                    exec_properties[EVALUATOR_MODULE_KEY],
                    self._context,
                )
            )

        return consider(
            open_registry(exec_properties[REGISTRY_KEY]),
            exec_properties[MODEL_NAME_KEY],
            candidate,
            Rules(**json.loads(exec_properties[RULES_KEY])),
            measure,
        )


def _tags_of(record: MeteringRecord) -> dict[str, str]:
    return {
        CONTRACT_TAG: str(record.contract_version),
        FINGERPRINT_TAG: record.tokenizer_fingerprint,
        "tokenizer_kind": record.tokenizer_kind,
        "model_family": record.model_family,
        "pipeline_run": record.pipeline_run,
        "spans": " ".join(str(span) for span in record.spans),
        "code_version": record.code_version,
    }


def facts_of(decision: Decision) -> dict[str, Any]:
    """Return the facts that a decision was based on, as in `report.json`."""
    facts = asdict(decision)
    return {name: facts[name] for name in ("refused_by", "comparison", "champion_before")}


def leave_report(
    blessing: types.Artifact,
    outcome: str,
    reason: str,
    version: RegisteredVersion | None,
    facts: Mapping[str, Any],
) -> None:
    """Write a decision to a PromotionBlessing and to `report.json` beside it.

    Args:
      blessing: has `model_name`.
      version: the registered version; None if the model was not registered.
      facts: what the decision was based on, at least `refused_by`.
    """
    blessing.blessed = int(outcome == "champion")
    blessing.version = version.number if version else 0
    blessing.outcome = outcome
    # For who looks at the artifact where its files are far away, as in Kubeflow's own pages.
    blessing.set_string_custom_property("reason", reason[:_MAX_REASON])
    report = {
        "outcome": outcome,
        "reason": reason,
        "model_name": blessing.model_name,
        "version": asdict(version) if version else None,
        **facts,
    }
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(
        json.dumps(report, indent=2, sort_keys=True, default=sorted) + "\n", encoding="utf-8"
    )
    which = f"version {version.number}" if version else "the model"
    logging.info("Promoter: %s: %s. %s", which, outcome, reason)


def _one(input_dict: dict[str, list[types.Artifact]], key: str) -> types.Artifact:
    return artifact_utils.get_single_instance(input_dict[key])


def _refused(input_dict: dict[str, list[types.Artifact]]) -> dict[str, list[str]]:
    """The validators that did not bless the model, and why not."""
    meter = _one(input_dict, METER_BLESSING_KEY)
    infra = _one(input_dict, INFRA_BLESSING_KEY)
    refused = {}
    if not _model_blessed(input_dict):
        refused["Evaluator"] = reasons_of_evaluator(_one(input_dict, EVALUATION_KEY).uri)
    if not meter.blessed:
        refused["MeterValidator"] = reasons_of_meter_validator(meter.uri)
    if not model_utils.is_infra_validated(infra):
        refused["ServingValidator"] = reasons_of_serving_validator(infra.uri)
    return refused


def _is_baseline(champion: RegisteredVersion, baseline: list[types.Artifact]) -> bool:
    """Whether a version is what the Evaluator compared with: by its bytes, because a runner
    may hand the same model to each node in another place."""
    if not baseline:
        return False
    (model,) = baseline
    directory = Path(path_utils.serving_model_path(model.uri))
    return digest_of(directory) == champion.tags.get(DIGEST_TAG)


def _model_blessed(input_dict: dict[str, list[types.Artifact]]) -> bool:
    return bool(model_utils.is_model_blessed(_one(input_dict, MODEL_BLESSING_KEY)))
