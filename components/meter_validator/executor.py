"""The work of MeterValidator: check, write the reports, give or withhold the blessing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.meter_validator.reference import reference_counts
from components.meter_validator.report import is_blessed, write_reports
from components.meter_validator.texts import held_out_documents
from components.meter_validator.validation import Material, validate
from tokenizer.loading import TokenizerDescriptor, load_tokenizer

MODEL_KEY: Final = "model"
TOKENIZER_KEY: Final = "tokenizer"
EXAMPLES_KEY: Final = "examples"
BLESSING_KEY: Final = "blessing"
DOCUMENTS_KEY: Final = "documents"
GENERATED_STRINGS_KEY: Final = "generated_strings"
SEED_KEY: Final = "seed"
DECODED_IDS_KEY: Final = "decoded_ids"
XLA_KEY: Final = "xla"

# As TFX's Evaluator leaves them.
BLESSED_FILE: Final = "BLESSED"
NOT_BLESSED_FILE: Final = "NOT_BLESSED"


class Executor(BaseExecutor):
    """Checks a metered model against the counting contract."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Check a model and write the findings.

        Args:
          input_dict: `model`: a metered Model; `tokenizer`: the Tokenizer that it must count
            with; `examples`: Examples with the feature `document` and the split `eval`.
          output_dict: `blessing`: an empty MeterBlessing. Its property `blessed` becomes 1
            or 0; its folder gets the file `BLESSED` or `NOT_BLESSED` and both reports.
          exec_properties: `documents`, `generated_strings`, `seed`, `decoded_ids`, `xla`
            (0 or 1).

        Raises:
          UnreadableModelError: there is no SavedModel.
          TokenizerError, UnknownTokenizerError: the tokenizer cannot be read.
          ExampleError: the examples cannot be read. A model that counts wrongly is not an
            error: it is not blessed.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        tokenizer_dir = artifact_utils.get_single_uri(input_dict[TOKENIZER_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])
        descriptor = TokenizerDescriptor.of(load_tokenizer(tokenizer_dir))
        material = Material(
            tokenizer=descriptor,
            reference=reference_counts(descriptor.kind, tokenizer_dir),
            documents=held_out_documents(
                input_dict[EXAMPLES_KEY], exec_properties[DOCUMENTS_KEY]
            ),
            generated_strings=exec_properties[GENERATED_STRINGS_KEY],
            seed=exec_properties[SEED_KEY],
            decoded_ids=exec_properties[DECODED_IDS_KEY],
            xla=bool(exec_properties.get(XLA_KEY)),
        )
        started = time.monotonic()
        checks = validate(Path(path_utils.serving_model_path(model.uri)), material)
        facts = {
            "model": model.uri,
            "tokenizer_kind": descriptor.kind,
            "tokenizer_fingerprint": descriptor.fingerprint,
            "vocabulary_size": descriptor.vocabulary_size,
            "documents": len(material.documents),
            "generated_strings": material.generated_strings,
            "seed": material.seed,
            "decoded_ids_at_most": material.decoded_ids,
            "duration_s": round(time.monotonic() - started, 1),
        }
        blessed = is_blessed(checks)
        directory = Path(blessing.uri)
        directory.mkdir(parents=True, exist_ok=True)
        write_reports(checks, facts, directory)
        (directory / (BLESSED_FILE if blessed else NOT_BLESSED_FILE)).touch()
        blessing.blessed = int(blessed)
        for check in checks:
            if not check.passed:
                logging.error(
                    "MeterValidator: '%s' did not pass: %s",
                    check.name,
                    check.not_run or f"{check.mismatch_count} mismatches in {directory}",
                )
