"""Which of this project's code each node runs: an edit of it makes the node run again."""

from __future__ import annotations

from collections.abc import Sequence

from tfx.dsl.components.base.base_component import BaseComponent

from pipelines.code_version import code_version

# Whose edit makes a node run again. TFX's own nodes change with the lock file only.
_NODE_CODE: dict[str, Sequence[str]] = {
    "CorpusExampleGen": ("components.corpus_example_gen",),
    "TestExampleGen": ("components.corpus_example_gen",),
    "TokenizerTrainer": (
        "components.tokenizer_trainer",
        "components.example_records",
        "components.example_texts",
        "tokenizer",
    ),
    "Transform": ("pipelines.preprocessing", "tokenizer"),
    "Trainer": ("pipelines.training", "pipelines.models", "pipelines.checkpoints", "tokenizer"),
    "Exporter": (
        "components.exporter",
        "pipelines.exporting",
        "pipelines.models",
        "pipelines.checkpoints",
        "tokenizer",
    ),
    "Meter": (
        "components.meter",
        "components.example_records",
        "components.example_texts",
        "tokenizer",
    ),
    "Evaluator": ("pipelines.evaluation",),
    "SpanEvaluator": ("pipelines.evaluation",),
    "MeterValidator": (
        "components.meter_validator",
        "components.example_records",
        "components.example_texts",
        "serving.model_server.stock_ops",
        "tokenizer",
    ),
    "ServingValidator": ("components.serving_validator", "serving"),
    "Promoter": ("components.promoter", "components.model_registry", "serving.succession"),
    "Pusher": ("components.pusher",),
}


def node_code_version(node_id: str) -> str:
    """Return the version of a node's code.

    Raises:
      KeyError: the node runs no code of this project.
    """
    return code_version(_NODE_CODE[node_id])


def model_code_version() -> str:
    """Return the version of the code that makes a model, as `metering.json` records it."""
    makers = ("Transform", "Trainer", "Exporter", "Meter")
    return code_version({name for node_id in makers for name in _NODE_CODE[node_id]})


def put_code_into_cache_keys(nodes: Sequence[object]) -> None:
    """Put each node's code version into its cache key, as a flag of its executor that no
    executor reads."""
    for node in nodes:
        if isinstance(node, BaseComponent) and node.id in _NODE_CODE:
            node.executor_spec.add_extra_flags(
                [f"--tallygraph_code_version={node_code_version(node.id)}"]
            )
