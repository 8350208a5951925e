"""What a LiteRT file says of itself: how its counts are made, and of what.

Nothing but the standard library and the counting contract is imported.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Final, Self

from tokenizer.contract import CONTRACT_VERSION, ContractError

# Members of the archive behind the model.
RECORD_FILE: Final = "metering.json"
TOKENIZER_FOLDER: Final = "tokenizer/"

# The signature, its inputs and its outputs.
SIGNATURE: Final = "generate"
INPUT_IDS: Final = "input_ids"
MAX_OUTPUT_TOKENS: Final = "max_output_tokens"
OUTPUT_IDS: Final = "output_ids"
IN_DOUBT: Final = "in_doubt"

FLOAT32: Final = "float32"
DYNAMIC_RANGE: Final = "dynamic-range"


@dataclass(frozen=True, slots=True)
class EdgeRecord:
    """``metering.json`` of a LiteRT file.

    Attributes:
      version: name of the folder of the version that it was made of.
      weights: ``float32`` or ``dynamic-range``.
      num_beams_of_version: of the version's own search; the file's is greedy. Above 1 the file
        writes other summaries than the version.
      pad_id, eos_id: of the tokenizer.
      tensorflow: release whose converter wrote the model.

    The others are those of `tokenizer.contract.MeteringRecord`.
    """

    contract_version: int
    version: str
    weights: str
    num_beams_of_version: int
    model_family: str
    tokenizer_kind: str
    tokenizer_fingerprint: str
    vocabulary_size: int
    pad_id: int
    eos_id: int
    max_input_tokens: int
    max_output_tokens: int
    task_prefix: str
    pipeline_run: str
    spans: tuple[int, ...]
    code_version: str
    tensorflow: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Self:
        """Read a record.

        Args:
          text: what `to_json` wrote.
          source: where it was found, for errors.

        Raises:
          ContractError: it lacks a field, or states a contract version that this code does not
            know.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise ContractError(f"{RECORD_FILE} in {source} is not JSON: {error}") from None
        names = [field.name for field in fields(cls) if field.default is MISSING]
        missing = [name for name in names if not isinstance(values, dict) or name not in values]
        if missing:
            raise ContractError(f"{RECORD_FILE} in {source} lacks {', '.join(missing)}.")
        if values["contract_version"] != CONTRACT_VERSION:
            raise ContractError(
                f"{source} follows counting contract {values['contract_version']}. Expected: "
                f"{CONTRACT_VERSION}. Use the release of Tallygraph that made the file."
            )
        own = {name: values[name] for name in names}
        return cls(**own | {"spans": tuple(own["spans"])})
