"""Finds the nodes of a graph that a stock `tensorflow_model_server` does not run.

Such a server links TensorFlow's core, TensorFlow Text and the inference ops of TensorFlow
Decision Forests, and nothing else (`tensorflow_serving/model_servers/BUILD`). Python registers
more ops, so a model can work there but not on the server: the ops of other libraries in this
process, ops that call back into Python, and XLA, which a server compiles only if it was started
with that option.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from serving.model_server.stock_ops import refused_nodes

# The ops of tensorflow_text:ops_lib, 2.20 and 2.21.
TF_TEXT_OPS: Final = frozenset(
    {
        "CaseFoldUTF8",
        "ConstrainedSequence",
        "FastBertNormalize",
        "FastWordpieceTokenizeWithOffsets",
        "FindSourceOffsets",
        "MaxSpanningTree",
        "NormalizeUTF8",
        "NormalizeUTF8WithOffsetsMap",
        "PhraseTokenize",
        "RegexSplitWithOffsets",
        "RougeL",
        "SentenceFragments",
        "SentenceFragmentsV2",
        "SentencepieceDetokenizeOp",
        "SentencepieceIdToStringOp",
        "SentencepieceOp",
        "SentencepieceStringToIdOp",
        "SentencepieceTokenizeOp",
        "SentencepieceTokenizeWithOffsetsOp",
        "SentencepieceVocabSizeOp",
        "SplitMergeTokenizeWithOffsets",
        "TFText>BoiseTagsToOffsets",
        "TFText>ByteSplitByOffsets",
        "TFText>ByteSplitWithOffsets",
        "TFText>FastSentencepieceDetokenize",
        "TFText>FastSentencepieceTokenize",
        "TFText>FastWordpieceDetokenize",
        "TFText>NgramsStringJoin",
        "TFText>OffsetsToBoiseTags",
        "TFText>PhraseDetokenize",
        "TFText>RoundRobinGenerateMasks",
        "TFText>RoundRobinTrim",
        "TFText>Utf8Binarize",
        "TFText>WhitespaceTokenizeWithOffsetsV2",
        "TokenizerFromLogits",
        "UnicodeScriptTokenizeWithOffsets",
        "WhitespaceTokenizeWithOffsets",
        "WordpieceTokenizeWithOffsets",
    }
)

# Core ops whose kernels exist in Python only.
_PYTHON_OPS: Final = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})


def refused_by_stock_server(graph: Any, xla: bool = False) -> list[tuple[str, str]]:
    """Return the nodes that a stock server does not run, in the graph and in every function.

    Functions that no signature reaches are checked, too: they serve no purpose now, and a
    later signature may reach them.

    Args:
      graph: a GraphDef with its function library.
      xla: whether the server was started with ``--xla_cpu_compilation_enabled=true``.

    Returns:
      (node, why it is refused), sorted by node.
    """
    needs_xla = () if xla else refused_nodes(_all_functions_called(graph), ())
    refused = [(node, "needs XLA, which a stock server does not compile") for node in needs_xla]
    functions = {function.signature.name for function in graph.library.function}
    for where, node in _nodes(graph):
        if node.op in functions or node.op.startswith("Xla"):
            continue
        label = f"{where}{node.name} ({node.op})"
        if node.op in _PYTHON_OPS:
            refused.append((label, "calls Python, which a server does not have"))
        elif node.op not in TF_TEXT_OPS and not hasattr(tf.raw_ops, node.op):
            refused.append((label, "not an op of TensorFlow or TensorFlow Text"))
    return sorted(refused)


def _nodes(graph: Any) -> list[tuple[str, Any]]:
    in_functions = (
        (f"{function.signature.name}/", node)
        for function in graph.library.function
        for node in function.node_def
    )
    return [*(("", node) for node in graph.node), *in_functions]


def _all_functions_called(graph: Any) -> tf.compat.v1.GraphDef:
    """The same graph with a call of every function, so that none is out of reach."""
    called = tf.compat.v1.GraphDef()
    called.CopyFrom(graph)
    for function in graph.library.function:
        called.node.add(name=function.signature.name, op=function.signature.name)
    return called
