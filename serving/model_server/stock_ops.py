"""Finds what a stock ``tensorflow_model_server`` refuses to run: XLA, unless it is enabled.

TensorFlow in Python runs such a graph anyway, so only an inspection of the graph shows the
problem before a real server does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_MUST_COMPILE = "_XlaMustCompile"


def refused_nodes(graph_def: Any, fetches: Iterable[str]) -> list[str]:
    """Return the nodes needed for ``fetches`` that a stock server refuses.

    Args:
      graph_def: a ``tf.compat.v1.GraphDef``.
      fetches: tensor names such as ``PartitionedCall:0``; empty: check every node.

    Returns:
      One ``function/node (op)`` for each ``Xla...`` op and each function that was saved
      with ``jit_compile=True``, sorted; empty if a stock server runs the graph.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    refused: set[str] = set()
    pending: list[str] = []
    seen: set[str] = set()

    def visit(node: Any, where: str) -> None:
        if node.op.startswith("Xla") or _must_compile(node.attr):
            refused.add(f"{where}{node.name} ({node.op})")
        pending.extend(name for name in _called(node) if name in functions)

    for node in _needed(graph_def, list(fetches)):
        visit(node, "")
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if _must_compile(functions[name].attr):
            refused.add(f"{name} (jit_compile)")
        for node in functions[name].node_def:
            visit(node, f"{name}/")
    return sorted(refused)


def _must_compile(attributes: Any) -> bool:
    return _MUST_COMPILE in attributes and bool(attributes[_MUST_COMPILE].b)


def _called(node: Any) -> Iterator[str]:
    """Functions that a node calls, by its op's name or by an attribute."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _node_name(tensor_name: str) -> str:
    return tensor_name.removeprefix("^").split(":", 1)[0]


def _needed(graph_def: Any, fetches: list[str]) -> Iterator[Any]:
    if not fetches:
        yield from graph_def.node
        return
    nodes = {node.name: node for node in graph_def.node}
    pending = [_node_name(fetch) for fetch in fetches]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        yield nodes[name]
        pending.extend(_node_name(source) for source in nodes[name].input)
