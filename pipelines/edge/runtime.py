"""Runs a LiteRT file, with the counts of the contract: a reference for whoever writes an app.

It imports NumPy, LiteRT (``ai-edge-litert``) and the tokenizers' libraries; neither TensorFlow
nor anything that trains.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.edge.record import (
    IN_DOUBT,
    INPUT_IDS,
    MAX_OUTPUT_TOKENS,
    OUTPUT_IDS,
    RECORD_FILE,
    SIGNATURE,
    TOKENIZER_FOLDER,
    EdgeRecord,
)
from tokenizer.base import Tokenizer
from tokenizer.contract import FINISH_LENGTH, FINISH_STOP, ContractError, MeteredSummary
from tokenizer.loading import make_tokenizer

Ids = npt.NDArray[np.int32]

_THREADS: Final = 1


class EdgeSummarizer:
    """A LiteRT file that `tallygraph export litert` wrote, ready to summarise.

    Example::

        summarizer = EdgeSummarizer("model.tflite")
        answer = summarizer.summarize("A long text.")
        print(answer.summary, answer.total_tokens)
    """

    def __init__(self, path: str | Path, threads: int = _THREADS) -> None:
        """Load the model, its tokenizer and its record.

        Args:
          path: of the file.
          threads: that LiteRT computes with.

        Raises:
          ContractError: the file is not one of ours, or its tokenizer is not the one that its
            record names.
        """
        # Here, so that the counts can be read, and tested, where there is no LiteRT.
        from ai_edge_litert.interpreter import Interpreter

        self.record, self.tokenizer = read_parts(Path(path))
        self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
        self._generate: Any = self._interpreter.get_signature_runner(SIGNATURE)

    def summarize(self, text: str | bytes, max_output_tokens: int = 0) -> MeteredSummary:
        """Summarise a text.

        Args:
          text: any text; bytes need not be valid UTF-8.
          max_output_tokens: a limit on the ids that are written; 0 for only the model's own;
            below 0 the summary is empty.
        """
        ids = self.tokenizer.encode(text)
        output_ids, _ = self.generate(ids, max_output_tokens)
        return self.count(ids, output_ids, max_output_tokens)

    def generate(self, ids: list[int], max_output_tokens: int = 0) -> tuple[Ids, bool]:
        """Run the model.

        Args:
          ids: of the whole text, without prefix and EOS.
          max_output_tokens: as in `summarize`.

        Returns:
          int32 ``[max_output_tokens of the model]``: the ids written up to and including the
          first EOS, then padding; and whether a decision was too close for all machines to
          decide it alike.
        """
        if max_output_tokens < 0:
            return np.full(self.record.max_output_tokens, self.record.pad_id, np.int32), False
        limit = min(max_output_tokens, self.record.max_output_tokens)
        read = ids[: self.record.max_input_tokens]
        outputs = self._generate(
            **{
                INPUT_IDS: np.array([read], np.int32).reshape(1, len(read)),
                MAX_OUTPUT_TOKENS: np.array([limit], np.int32),
            }
        )
        return outputs[OUTPUT_IDS][0], bool(outputs[IN_DOUBT][0])

    def count(self, ids: list[int], output_ids: Ids, max_output_tokens: int) -> MeteredSummary:
        """Return the contract's outputs.

        Args:
          ids: of the whole text, without prefix and EOS.
          output_ids: what `generate` returned.
          max_output_tokens: as in `summarize`.
        """
        record = self.record
        most = record.max_output_tokens
        limit = 0 if max_output_tokens < 0 else min(max_output_tokens or most, most)
        within = output_ids[:limit].tolist()
        stopped = record.eos_id in within
        before_eos = within[: within.index(record.eos_id)] if stopped else within
        counted = [value for value in before_eos if value != record.pad_id]
        # An embedding may have more rows than the tokenizer has ids: those have no text.
        known = [value for value in counted if 0 <= value < record.vocabulary_size]
        read = min(len(ids), record.max_input_tokens)
        return MeteredSummary(
            summary=self.tokenizer.decode(known),
            input_tokens=read,
            output_tokens=len(counted),
            total_tokens=read + len(counted),
            truncated_tokens=len(ids) - read,
            finish_reason=FINISH_STOP if stopped else FINISH_LENGTH,
        )


def read_parts(path: Path) -> tuple[EdgeRecord, Tokenizer]:
    """Read what is stored behind a model: its record, and the tokenizer that it counts with.

    Raises:
      ContractError: see `EdgeSummarizer`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        record = EdgeRecord.from_json(members[RECORD_FILE], str(path))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ContractError(
            f"{path} cannot be used: {error}. Expected: a file that `tallygraph export litert` "
            f"wrote, with {RECORD_FILE} and the tokenizer behind the model"
        ) from None
    files = {
        name.removeprefix(TOKENIZER_FOLDER): content
        for name, content in members.items()
        if name.startswith(TOKENIZER_FOLDER)
    }
    tokenizer = make_tokenizer(record.tokenizer_kind, files)
    if tokenizer.fingerprint != record.tokenizer_fingerprint:
        raise ContractError(
            f"the tokenizer in {path} is not the one that its counts are made with. Expected "
            f"fingerprint: {record.tokenizer_fingerprint}. Received: {tokenizer.fingerprint}. "
            "Export the version again"
        )
    return record, tokenizer
