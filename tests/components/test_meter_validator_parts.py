from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_text
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.python.framework import op_def_registry
from tfx.types.standard_artifacts import Examples

from components.meter_validator import reference as reference_module
from components.meter_validator.check import AnswerError, Check
from components.meter_validator.reference import (
    UnknownTokenizerError,
    library_name,
    reference_counts,
)
from components.meter_validator.report import is_blessed, write_reports
from components.meter_validator.stock_server import TF_TEXT_OPS, refused_by_stock_server
from components.meter_validator.texts import held_out_documents, text_of_tokens
from tests.components.fixture_examples import ROWS
from tests.support.sizes import sized
from tokenizer.base import Tokenizer
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.loading import TokenizerDescriptor, save_tokenizer
from tokenizer.training import train_sentencepiece

WORDS = ["This", "call", "opens", "naïvely", "socket.", "x"]

Count = Callable[[bytes], int]


def _sentencepiece_count(directory: str) -> Count:
    library = sentencepiece.SentencePieceProcessor(model_file=f"{directory}/tokenizer.model")
    return lambda text: len(library.encode(text))


def _byte_level_bpe_count(directory: str) -> Count:
    files = f"{directory}/vocab.json", f"{directory}/merges.txt"
    library = tokenizers.ByteLevelBPETokenizer.from_file(*files)
    return lambda text: len(library.encode(text.decode("utf-8", "replace")).ids)


# How each kind is trained for the tests, and how its own library counts.
KINDS: dict[str, tuple[Callable[[list[str], int], Tokenizer], Callable[[str], Count]]] = {
    "sentencepiece": (train_sentencepiece, _sentencepiece_count),
    "byte_level_bpe": (train_byte_level_bpe, _byte_level_bpe_count),
}


@pytest.fixture(scope="module", params=list(KINDS))
def tokenizer_dir(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    train, _ = KINDS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    save_tokenizer(train([text for row in ROWS for text in row], 400), directory)
    return str(directory)


@pytest.fixture(scope="module")
def kind(tokenizer_dir: str) -> str:
    return TokenizerDescriptor.load(tokenizer_dir).kind


@pytest.fixture(scope="module")
def counts(kind: str, tokenizer_dir: str) -> Callable[[Sequence[bytes]], list[int]]:
    return reference_counts(kind, tokenizer_dir)


@settings(max_examples=sized(20, 200))
@given(tokens=st.integers(0, 700), words=st.lists(st.sampled_from(WORDS), max_size=6))
def test_a_text_of_any_number_of_ids_is_found(
    counts: Callable[[Sequence[bytes]], list[int]], tokens: int, words: list[str]
) -> None:
    text = text_of_tokens(tokens, words, counts)
    assert text is not None
    assert counts([text]) == [tokens]


def test_the_reference_is_the_library_alone(
    counts: Callable[[Sequence[bytes]], list[int]], kind: str, tokenizer_dir: str
) -> None:
    count = KINDS[kind][1](tokenizer_dir)
    texts = [b"This call", b"\xff\0", b""]
    assert counts(texts) == [count(text) for text in texts]
    assert library_name(kind) == {"byte_level_bpe": "tokenizers"}.get(kind, kind)
    assert "from tokenizer" not in inspect.getsource(reference_module)


def test_a_kind_without_a_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownTokenizerError, match=r"one of sentencepiece, byte_level_bpe, hugging_face\. R"
    ):
        reference_counts("bpe", tmp_path)


def test_documents_are_spread_over_the_split(examples: Examples) -> None:
    names = [item.name for item in held_out_documents([examples], 4)]
    assert names == ["document 0", "document 4", "document 8", "document 12"]
    assert len(held_out_documents([examples], 1000)) == 16


def test_the_text_ops_are_ops_that_tf_text_registers() -> None:
    assert tensorflow_text.__version__.startswith("2.21.")
    for op in TF_TEXT_OPS:
        assert op_def_registry.get(op) is not None, op
        assert not hasattr(tf.raw_ops, op), op


class TestStockServer:
    """Graphs built node by node."""

    @staticmethod
    def graph(*ops: str, function: str | None = None) -> tf.compat.v1.GraphDef:
        graph = tf.compat.v1.GraphDef()
        for place, op in enumerate(ops):
            graph.node.add(name=f"node_{place}", op=op)
        if function is not None:
            definition = graph.library.function.add()
            definition.signature.name = "unreached"
            definition.node_def.add(name="inner", op=function)
        return graph

    def test_core_and_text_ops_and_functions_are_run(self) -> None:
        graph = self.graph("MatMul", "SentencepieceTokenizeOp", "unreached", function="While")
        assert refused_by_stock_server(graph) == []

    @pytest.mark.parametrize(
        ("op", "reason"),
        [
            ("XlaDynamicSlice", "needs XLA"),
            ("EagerPyFunc", "calls Python"),
            ("PyFunc", "calls Python"),
            ("Struct2TensorDecode", "not an op of TensorFlow"),
        ],
    )
    def test_others_are_not_even_where_no_signature_reaches_them(
        self, op: str, reason: str
    ) -> None:
        ((node, why),) = refused_by_stock_server(self.graph(op))
        assert node == f"node_0 ({op})"
        assert why.startswith(reason)
        ((node, why),) = refused_by_stock_server(self.graph("MatMul", function=op))
        assert node == f"unreached/inner ({op})"
        assert why.startswith(reason)

    def test_a_jitted_function_is_not(self) -> None:
        graph = self.graph("MatMul", function="MatMul")
        graph.library.function[0].attr["_XlaMustCompile"].b = True
        assert [node for node, _ in refused_by_stock_server(graph)] == [
            "unreached (jit_compile)"
        ]


class TestCheck:
    def test_nothing_proves_nothing(self) -> None:
        assert not Check("name", "proves").passed

    def test_equal_things_pass(self) -> None:
        check = Check("name", "proves")
        check.equal("case", {"a": 1}, {"a": 1})
        check.that("case", True, "so", None)
        assert check.passed
        assert (check.cases, check.mismatch_count) == (2, 0)

    def test_a_difference_is_kept_with_both_sides(self) -> None:
        check = Check("name", "proves")
        check.equal(b"case\xff", 1, 2)
        (mismatch,) = check.mismatches
        assert (mismatch.case, mismatch.expected, mismatch.received) == (
            "b'case\\xff'",
            "1",
            "2",
        )
        assert not check.passed

    def test_long_values_are_cut_and_many_mismatches_only_counted(self) -> None:
        check = Check("name", "proves")
        for case in range(100):
            check.equal(case, "x" * 10_000, "y")
        assert (check.cases, check.mismatch_count, len(check.mismatches)) == (100, 100, 20)
        assert len(check.mismatches[0].expected) < 250

    def test_a_model_that_fails_is_a_finding_but_a_mistake_of_ours_is_not(self) -> None:
        check = Check("name", "proves")
        with check.answered("a batch"):
            raise tf.errors.InvalidArgumentError(None, None, "the model's words")
        with check.answered("a batch"):
            raise AnswerError("no rows")
        assert [m.received for m in check.mismatches] == [
            "InvalidArgumentError: the model's words",
            "AnswerError: no rows",
        ]
        with pytest.raises(KeyError), check.answered("a batch"):
            raise KeyError("ours")


def test_reports_say_what_failed_in_one_line_each(tmp_path: Path) -> None:
    good, bad, skipped = (Check(name, "proves it") for name in ("good", "bad", "skipped"))
    good.equal("case", 1, 1)
    bad.equal("pipe | tick ` new\nline \x1b[31m", "a", "b")
    skipped.not_run = "no reason"
    assert not is_blessed([good, bad, skipped])
    assert is_blessed([good])
    write_reports([good, bad, skipped], {"model": "m", "documents": 3}, tmp_path)
    assert (tmp_path / "report.md").read_text() == (
        "# Meter validation: not blessed\n"
        "\n"
        "- model: `m`\n"
        "- documents: `3`\n"
        "\n"
        "| check | what it proves | cases | mismatches | result |\n"
        "| --- | --- | ---: | ---: | --- |\n"
        "| good | proves it | 1 | 0 | passed |\n"
        "| bad | proves it | 1 | 1 | **failed** |\n"
        "| skipped | proves it | 0 | 0 | **not run**: no reason |\n"
        "\n"
        "## bad\n"
        "\n"
        "Mismatches:\n"
        "\n"
        "| case | expected | received |\n"
        "| --- | --- | --- |\n"
        "| `pipe \\| tick ' new\\nline \\x1b[31m` | `'a'` | `'b'` |\n"
    )
