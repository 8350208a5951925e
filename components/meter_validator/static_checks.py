"""Checks of a metered model's description of itself and of its graph; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components.meter_validator.check import Check
from components.meter_validator.stock_server import refused_by_stock_server
from tokenizer import contract
from tokenizer.base import TokenizerError
from tokenizer.contract import BaseModelSpec, ContractError, MeteringRecord
from tokenizer.loading import TokenizerDescriptor, load_tokenizer

_SERVE_TAG: Final = "serve"
_INIT_SIGNATURE: Final = "__saved_model_init_op"  # TensorFlow's own, in every SavedModel

_INPUTS: Final = {
    contract.SIGNATURE_DEFAULT: (contract.INPUT_TEXT,),
    contract.SIGNATURE_SUMMARIZE: (contract.INPUT_TEXT, contract.INPUT_MAX_OUTPUT_TOKENS),
    contract.SIGNATURE_COUNT_TOKENS: (contract.INPUT_TEXT,),
}
_INPUT_DTYPES: Final = {
    contract.INPUT_TEXT: "string",
    contract.INPUT_MAX_OUTPUT_TOKENS: "int32",
}
_OUTPUTS: Final = {
    contract.SIGNATURE_DEFAULT: tuple(contract.OUTPUT_DTYPES),
    contract.SIGNATURE_SUMMARIZE: tuple(contract.OUTPUT_DTYPES),
    contract.SIGNATURE_COUNT_TOKENS: contract.COUNT_OUTPUTS,
}


class UnreadableModelError(ValueError):
    """The model does not exist, or is not a SavedModel. Never worth a retry."""


def read_meta_graph(directory: Path) -> Any:
    """Read the MetaGraphDef that a model server loads.

    Raises:
      UnreadableModelError: there is none.
    """
    path = directory / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise UnreadableModelError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # protobuf's DecodeError, of whichever implementation
        raise UnreadableModelError(f"{path} is not a SavedModel: {error}") from None
    for meta_graph in saved_model.meta_graphs:
        if _SERVE_TAG in meta_graph.meta_info_def.tags:
            return meta_graph
    raise UnreadableModelError(f"{path} has no graph with the tag '{_SERVE_TAG}'")


def check_record(
    directory: Path, descriptor: TokenizerDescriptor, check: Check
) -> MeteringRecord | None:
    """Compare `metering.json` with the tokenizer and with the base model's own description.

    Returns:
      The record, or None if it cannot be read, which is a mismatch of `check`.
    """
    try:
        record = MeteringRecord.load(directory)
        base = BaseModelSpec.load(directory)
    except ContractError as error:
        check.that("description of the model", False, "metering.json, base.json", str(error))
        return None
    for name, expected in (
        ("tokenizer_kind", descriptor.kind),
        ("tokenizer_fingerprint", descriptor.fingerprint),
        ("vocabulary_size", descriptor.vocabulary_size),
    ):
        check.equal(f"{name} of metering.json", expected, getattr(record, name))
        check.equal(f"{name} of base.json", expected, getattr(base, name))
    for name in (
        "model_family",
        "max_input_tokens",
        "max_output_tokens",
        "task_prefix",
        "xla_rows",
        "xla_widths",
    ):
        check.equal(f"{name} of metering.json", getattr(base, name), getattr(record, name))
    for name in ("max_input_tokens", "max_output_tokens"):
        value = getattr(record, name)
        check.that(name, isinstance(value, int) and value >= 1, "1 or more", value)
    for name in ("pad_id", "eos_id"):
        check.equal(f"{name} of base.json", getattr(descriptor, name), getattr(base, name))
    if (directory / contract.TOKENIZER_DIR).exists():
        _check_carried_tokenizer(directory / contract.TOKENIZER_DIR, descriptor, check)
    return record


def _check_carried_tokenizer(
    carried: Path, descriptor: TokenizerDescriptor, check: Check
) -> None:
    try:
        received: object = load_tokenizer(carried).fingerprint
    except TokenizerError as error:
        received = str(error)
    check.equal(f"fingerprint of {contract.TOKENIZER_DIR}", descriptor.fingerprint, received)


def check_signatures(meta_graph: Any, check: Check) -> None:
    """Compare names, dtypes and shapes of all signatures with the contract."""
    signatures = dict(meta_graph.signature_def)
    signatures.pop(_INIT_SIGNATURE, None)
    check.equal("signatures", sorted(_INPUTS), sorted(signatures))
    for name in sorted(_INPUTS.keys() & signatures.keys()):
        expected = {key: (_INPUT_DTYPES[key], [-1]) for key in _INPUTS[name]}
        check.equal(f"inputs of {name}", expected, _tensors(signatures[name].inputs))
        expected = {key: (contract.OUTPUT_DTYPES[key], [-1]) for key in _OUTPUTS[name]}
        check.equal(f"outputs of {name}", expected, _tensors(signatures[name].outputs))


def _tensors(infos: Any) -> dict[str, tuple[str, list[int] | str]]:
    """Name → dtype and shape, where -1 is any size."""
    return {
        name: (
            tf.as_dtype(info.dtype).name,
            "unknown rank"
            if info.tensor_shape.unknown_rank
            else [dimension.size for dimension in info.tensor_shape.dim],
        )
        for name, info in sorted(infos.items())
    }


def check_graph(meta_graph: Any, check: Check, xla: bool = False) -> None:
    """Find everything that a stock model server would refuse, in the graph and its functions.

    With ``xla``, the server is one that was started with XLA compilation enabled.
    """
    graph = meta_graph.graph_def
    refused = refused_by_stock_server(graph, xla)
    nodes = len(graph.node) + sum(len(f.node_def) for f in graph.library.function)
    check.cases += max(0, nodes - len(refused))
    for node, reason in refused:
        check.that(node, False, "an op of a stock model server", reason)
