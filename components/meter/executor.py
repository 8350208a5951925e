"""The work of Meter: wrap the base model, save it, and record what it counts with."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops before the model is loaded)
from absl import logging
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.example_texts import example_texts
from components.meter.graph import MeteredModel
from components.meter.shape_texts import texts_by_width
from components.meter.warmup import texts_within_budget, write_warmup_requests
from tokenizer import contract
from tokenizer.contract import BaseModelSpec, MeteringRecord

MODEL_KEY: Final = "model"
EXAMPLES_KEY: Final = "examples"
METERED_MODEL_KEY: Final = "metered_model"
MODEL_NAME_KEY: Final = "model_name"
WARMUP_DOCUMENTS_KEY: Final = "warmup_documents"
WARMUP_IDS_KEY: Final = "warmup_ids"
SPANS_KEY: Final = "spans"
CODE_VERSION_KEY: Final = "code_version"

WARMUP_SPLIT: Final = "eval"
DOCUMENT_FEATURE: Final = "document"

_BASE_FUNCTIONS: Final = ("tokenize", "generate", "detokenize")


class MeterError(ValueError):
    """The model cannot be metered, or a setting cannot be used. Never worth a retry."""


class Executor(BaseExecutor):
    """Adds the counting contract to a base model."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the metered model.

        Args:
          input_dict: `model`: a Model with a base SavedModel; `examples`: Examples with
            the feature `document` and the split `eval`.
          output_dict: `metered_model`: an empty Model.
          exec_properties: `model_name`; `warmup_documents`; `warmup_ids`; `spans`, a JSON
            list; `code_version`.

        Raises:
          MeterError: the model lacks functions of a base model, or there is no warm-up
              document.
          ContractError: the model does not describe itself.
          ExampleError: the examples cannot be read.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        base = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        metered = artifact_utils.get_single_instance(output_dict[METERED_MODEL_KEY])
        examples = input_dict[EXAMPLES_KEY]
        base_dir = Path(path_utils.serving_model_path(base.uri))
        model_dir = Path(path_utils.serving_model_dir(metered.uri))
        spec = BaseModelSpec.load(base_dir)
        documents = texts_within_budget(
            _documents(examples, exec_properties[WARMUP_DOCUMENTS_KEY]),
            budget=exec_properties[WARMUP_IDS_KEY],
            max_output_tokens=spec.max_output_tokens,
            num_beams=spec.num_beams,
        )

        save_metered_model(base_dir, model_dir, spec)
        self._record(spec, examples, exec_properties).save(model_dir)
        write_warmup_requests(
            model_dir,
            exec_properties[MODEL_NAME_KEY],
            documents,
            spec.max_output_tokens,
            _compiled_texts(model_dir, spec, documents),
        )
        logging.info("Metered model written to %s.", model_dir)

    def _record(
        self,
        spec: BaseModelSpec,
        examples: Sequence[types.Artifact],
        exec_properties: dict[str, Any],
    ) -> MeteringRecord:
        run = self._context.pipeline_run_id if self._context else None
        spans = json.loads(exec_properties.get(SPANS_KEY) or "[]") or _spans(examples)
        return MeteringRecord(
            contract_version=contract.CONTRACT_VERSION,
            model_family=spec.model_family,
            tokenizer_kind=spec.tokenizer_kind,
            tokenizer_fingerprint=spec.tokenizer_fingerprint,
            vocabulary_size=spec.vocabulary_size,
            max_input_tokens=spec.max_input_tokens,
            max_output_tokens=spec.max_output_tokens,
            task_prefix=spec.task_prefix,
            pipeline_run=run or "",
            spans=tuple(spans),
            code_version=exec_properties.get(CODE_VERSION_KEY) or "",
            xla_rows=spec.xla_rows,
            xla_widths=spec.xla_widths,
        )


def save_metered_model(base_dir: Path, model_dir: Path, spec: BaseModelSpec) -> None:
    """Wrap the SavedModel in `base_dir` and save the result, including `assets.extra`.

    Raises:
      MeterError: it lacks a function of a base model.
    """
    base = tf.saved_model.load(str(base_dir))
    missing = [name for name in _BASE_FUNCTIONS if not callable(getattr(base, name, None))]
    if missing:
        raise MeterError(
            f"the model in {base_dir} lacks {', '.join(missing)}. Expected: a base model with "
            f"the functions {', '.join(_BASE_FUNCTIONS)} (see tokenizer.contract)"
        )
    metered = MeteredModel(base, spec)
    tf.saved_model.save(
        metered,
        str(model_dir),
        signatures={
            contract.SIGNATURE_DEFAULT: metered.serving_default,
            contract.SIGNATURE_SUMMARIZE: metered.summarize,
            contract.SIGNATURE_COUNT_TOKENS: metered.count_tokens,
        },
        # Nothing is trained any more, and a restored model has no gradients to save.
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )
    extra = Path(contract.BASE_FILE).parent
    shutil.copytree(base_dir / extra, model_dir / extra, dirs_exist_ok=True)


def _compiled_texts(
    model_dir: Path, spec: BaseModelSpec, documents: Sequence[str]
) -> dict[tuple[int, int], str]:
    """A text for each shape that XLA compiles; none for a model that is not compiled."""
    if not spec.xla_rows:
        return {}
    loaded = tf.saved_model.load(str(model_dir))
    signature = loaded.signatures[contract.SIGNATURE_COUNT_TOKENS]

    def count(text: str) -> int:
        counts = signature(text=tf.constant([text]))
        return int(sum(counts[name][0] for name in contract.COUNT_OUTPUTS))

    added = spec.xla_widths[-1] - spec.max_input_tokens
    texts = texts_by_width(documents, spec.xla_widths, added, count)
    return {(rows, width): text for rows in spec.xla_rows for width, text in texts.items()}


def _documents(examples: Sequence[types.Artifact], count: int) -> list[str]:
    read = example_texts(examples, WARMUP_SPLIT, [DOCUMENT_FEATURE])
    documents = [document for (document,) in itertools.islice(read, count)]
    if not documents:
        raise MeterError(
            f"there are no texts for warm-up requests. Expected: {WARMUP_DOCUMENTS_KEY} of "
            f"1 or more, and an example in the split '{WARMUP_SPLIT}'. Received: "
            f"{WARMUP_DOCUMENTS_KEY} {count}"
        )
    return documents


def _spans(examples: Sequence[types.Artifact]) -> list[int]:
    """ExampleGen notes each artifact's span as a custom property, of several all as `3,4`."""
    spans: set[int] = set()
    for artifact in examples:
        if artifact.has_custom_property("spans"):
            spans.update(map(int, artifact.get_string_custom_property("spans").split(",")))
        elif artifact.has_custom_property("span"):
            spans.add(artifact.get_int_custom_property("span"))
    return sorted(spans)
