"""What a stock server would refuse is found in the graph, and refused here as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.model_server.errors import ServingError
from serving.model_server.saved_model import LoadedModel, LoadOptions
from serving.model_server.stock_ops import refused_nodes

NUMBERS = tf.TensorSpec([None], tf.float32, name="x")


class Jitted(tf.Module):
    @tf.function(input_signature=[NUMBERS], jit_compile=True)
    def inner(self, x: tf.Tensor) -> tf.Tensor:
        return x * 2

    @tf.function(input_signature=[NUMBERS])
    def jitted(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.inner(x)}

    @tf.function(input_signature=[NUMBERS])
    def plain(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jitted") / "1"
    module = Jitted()
    tf.saved_model.save(
        module,
        str(path),
        signatures={"serving_default": module.plain, "jitted": module.jitted},
    )
    return path


def test_only_the_signature_that_needs_it_is_refused(path: Path) -> None:
    model = LoadedModel(path, LoadOptions())
    inputs = {"x": np.array([1.5], np.float32)}
    assert model.run("", inputs)["y"].tolist() == [3.0]
    with pytest.raises(ServingError, match="XLA compilation disabled") as refused:
        model.run("jitted", inputs)
    assert refused.value.http_status == 400
    model.close()


def test_a_server_started_for_it_runs_it(path: Path) -> None:
    model = LoadedModel(path, LoadOptions(allow_xla=True))
    assert model.run("jitted", {"x": np.array([1.5], np.float32)})["y"].tolist() == [3.0]
    model.close()


def test_ops_are_named() -> None:
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="update", op="XlaDynamicUpdateSlice")
    graph.node.add(name="out", op="Identity", input=["update:0"])
    graph.node.add(name="other", op="Identity")
    assert refused_nodes(graph, ["out:0"]) == ["update (XlaDynamicUpdateSlice)"]
    assert refused_nodes(graph, ["other:0"]) == []
    assert refused_nodes(graph, []) == ["update (XlaDynamicUpdateSlice)"]
