"""The plan of a predict request for a graph: tensors to feed and tensors to fetch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from serving.model_server.errors import invalid_argument


@dataclass(frozen=True)
class RunPlan:
    """A signature, or a part of its outputs, in terms of the graph's tensors.

    Attributes:
      feeds: the tensors to feed, in order.
      fetches: the tensors to fetch, each once, in order.
      aliases: the input alias of each feed.
      outputs: the index in the fetches of each output alias.
    """

    feeds: tuple[str, ...]
    fetches: tuple[str, ...]
    aliases: tuple[str, ...]
    outputs: tuple[tuple[str, int], ...]

    def arrays(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return a request's inputs in the order of the feeds."""
        return [inputs[alias] for alias in self.aliases]

    def named(self, values: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return what was fetched, by output alias."""
        return {alias: values[place] for alias, place in self.outputs}


def type_name(dtype: int) -> str:
    """Return TensorFlow's name of a ``DataType`` in messages: 7 -> ``string``, 1 ->
    ``float``."""
    if dtype == 0:
        return "INVALID"
    name = str(tf.dtypes.as_dtype(dtype).name)
    return {"float32": "float", "float64": "double", "float16": "half"}.get(name, name)


def make_plan(signature: Any, aliases: Sequence[str]) -> RunPlan:
    """Make the plan for some outputs of a ``SignatureDef``."""
    # In the order of names, so that signatures of the same tensors share a queue.
    feeds = sorted((info.name, alias) for alias, info in signature.inputs.items())
    fetches = sorted({signature.outputs[alias].name for alias in aliases})
    return RunPlan(
        feeds=tuple(name for name, _ in feeds),
        fetches=tuple(fetches),
        aliases=tuple(alias for _, alias in feeds),
        outputs=tuple(
            (alias, fetches.index(signature.outputs[alias].name)) for alias in aliases
        ),
    )


def check_inputs(signature: Any, inputs: Mapping[str, np.ndarray]) -> None:
    """Reject inputs that do not match the signature, with TensorFlow Serving's messages.

    Raises:
      ServingError: an input is missing, unknown or of another type.
    """
    expected = signature.inputs
    if len(inputs) != len(expected):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{_names(inputs)}}}) != len({{{_names(expected)}}}). "
            f"Sent extra: {{{_names(set(inputs) - set(expected))}}}. "
            f"Missing but required: {{{_names(set(expected) - set(inputs))}}}."
        )
    for alias, info in expected.items():
        if alias not in inputs:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in "
                "request and no default value provided. Inputs expected to be in the "
                f"request {{{_names(inputs)}}}, or default input alias set: "
            )
    # TensorFlow numbers the arguments by the feeds' names.
    for index, alias in enumerate(sorted(expected, key=lambda alias: expected[alias].name)):
        given = tf.dtypes.as_dtype(inputs[alias].dtype).as_datatype_enum
        if given != expected[alias].dtype:
            raise invalid_argument(
                f"Expects arg[{index}] to be {type_name(expected[alias].dtype)} but "
                f"{type_name(given)} is provided"
            )


def wanted_outputs(signature: Any, output_filter: Sequence[str]) -> list[str]:
    """Return the output aliases that a request wants; all if it names none.

    Raises:
      ServingError: one is unknown or named twice.
    """
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to "
                f"be in the set {{{_names(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return sorted(seen or signature.outputs)


def _names(names: Any) -> str:
    return ",".join(sorted(names))
