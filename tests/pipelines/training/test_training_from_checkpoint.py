"""Training that starts from a checkpoint: a Hugging Face folder, and a model of ours."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_hub
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.hugging_face_t5 import tensor_shapes
from pipelines.checkpoints.opening import CHECKPOINT_DIR, open_checkpoint
from pipelines.exporting.base_model import export_base_model
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from pipelines.training.dataset import validation_batches
from pipelines.training.loss import masked_cross_entropy
from pipelines.training.run import run_fn
from tests.pipelines.training.training_runs import TransformedCorpus, export, weights
from tokenizer.contract import TOKENIZER_DIR, BaseModelSpec
from tokenizer.loading import load_tokenizer

pytestmark = pytest.mark.long

LIMITS = {"max_input_tokens": 40, "max_output_tokens": 24, "task_prefix": "Return "}
TRAINING = {
    "steps": 30,
    "batch_size": 8,
    "optimizer": "adafactor",
    "learning_rate": 0.02,
    "warmup_steps": 5,
    "eval_every_steps": 15,
}
T5_CONFIG: dict[str, Any] = {
    "model_type": "t5",
    "vocab_size": 400,  # more than the tokenizer has, as in T5's own checkpoints
    "d_model": 32,
    "d_kv": 12,
    "d_ff": 48,
    "num_layers": 1,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}


def arguments(
    corpus: TransformedCorpus, root: Path, init_from: Path, **training: Any
) -> SimpleNamespace:
    return SimpleNamespace(
        train_files=corpus.train_files,
        eval_files=corpus.eval_files,
        serving_model_dir=str(root / "Format-Serving"),
        model_run_dir=str(root / "model_run"),
        base_model=None,
        custom_config={
            "model": LIMITS | {"init_from": str(init_from)},
            "training": TRAINING | training,
            "tokenizer_dir": str(corpus.tokenizer_dir),
            "checkpoint_identity": open_checkpoint(init_from).identity(),
            "working_dir": str(root / "working"),
            "user_code_hash": "0",
        },
    )


@pytest.fixture(scope="module")
def hugging_face_folder(
    corpus: TransformedCorpus, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An untrained T5 v1.1 with the corpus's tokenizer, as transformers would keep it."""
    folder = tmp_path_factory.mktemp("hugging_face")
    (folder / "config.json").write_text(json.dumps(T5_CONFIG))
    tokenizer = load_tokenizer(corpus.tokenizer_dir)
    (folder / "spiece.model").write_bytes(tokenizer.files()["tokenizer.model"])
    embedding = (T5_CONFIG["vocab_size"], T5_CONFIG["d_model"])
    random = np.random.default_rng(7)
    tensors = {"shared.weight": random.normal(0, 1.0, embedding)}
    tensors["lm_head.weight"] = random.normal(0, 0.1, embedding)
    safetensors.numpy.save_file(_float32(tensors), folder / "model.safetensors")
    # What else there must be, the first opening says.
    with pytest.raises(CheckpointError, match=r"lacks tensors that its config requires"):
        open_checkpoint(folder)
    description = _description_of(T5_CONFIG)
    for name, shape in tensor_shapes(description).items():
        norm = name.endswith("norm.weight")
        tensors[name] = np.ones(shape) if norm else random.normal(0, 0.1, shape)
    safetensors.numpy.save_file(_float32(tensors), folder / "model.safetensors")
    return folder


def _float32(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype("float32") for name, value in tensors.items()}


def _description_of(config: dict[str, Any]) -> Any:
    sizes = {"head_dim": config["d_kv"], "decoder_layers": config["num_layers"]}
    return SimpleNamespace(**config, **sizes, gated=True, bias_each_layer=False)


@pytest.fixture(scope="module")
def fine_tuned(
    corpus: TransformedCorpus,
    hugging_face_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> SimpleNamespace:
    args = arguments(corpus, tmp_path_factory.mktemp("fine_tuned"), hugging_face_folder)
    run_fn(args)
    args.base_model_dir = str(export(args, corpus))
    return args


def history(args: SimpleNamespace) -> list[dict[str, Any]]:
    lines = (Path(args.model_run_dir) / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def loss_at_the_start(checkpoint: Checkpoint, corpus: TransformedCorpus) -> float:
    """Mean validation loss, nats a label, before a step is done."""
    architecture = checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    model = build_model(architecture)
    checkpoint.load_into(model)
    nats = labels = 0.0
    for batch in validation_batches(corpus.eval_files, architecture, 8, 100):
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        batch_nats, batch_labels = masked_cross_entropy(
            batch["labels"], batch["decoder_padding_mask"], model(inputs)
        )
        nats, labels = nats + float(batch_nats), labels + float(batch_labels)
    return nats / labels


def test_a_hugging_face_folder_is_fine_tuned_and_answers(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus
) -> None:
    rows = history(fine_tuned)
    untrained = open_checkpoint(fine_tuned.custom_config["model"]["init_from"])
    assert rows[-1]["val_loss"] < loss_at_the_start(untrained, corpus) - 1
    loaded = tf.saved_model.load(fine_tuned.base_model_dir)
    answer = loaded.signatures["serving_default"](text=tf.constant(["Then the size.", ""]))
    assert answer["input_length"].numpy().tolist()[1] == 0
    assert answer["output_ids"].shape[0] == 2


def test_a_warm_start_begins_where_the_pushed_model_ended(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus
) -> None:
    pushed = open_checkpoint(fine_tuned.base_model_dir)
    best = min(row["val_loss"] for row in history(fine_tuned))
    assert loss_at_the_start(pushed, corpus) == pytest.approx(best, abs=2e-5)
    assert pushed.tokenizer.fingerprint == load_tokenizer(corpus.tokenizer_dir).fingerprint


def test_the_checkpoint_holds_the_very_weights_that_are_served(
    fine_tuned: SimpleNamespace,
) -> None:
    pushed = open_checkpoint(fine_tuned.base_model_dir)
    architecture = pushed.description.architecture(LIMITS, pushed.tokenizer)
    model = build_model(architecture)
    pushed.load_into(model)
    again = Decoder(serving_graph(model, architecture), architecture)
    served = tf.saved_model.load(fine_tuned.base_model_dir)
    random = np.random.default_rng(1)
    ids = random.integers(3, pushed.tokenizer.vocabulary_size, (24, 20)).astype("int32")
    length = random.integers(1, 21, 24).astype("int32")
    no_limit = np.zeros(24, "int32")
    expected = served.generate(ids, length, no_limit).numpy().tolist()
    assert again.generate(ids, length, no_limit).numpy().tolist() == expected


def test_an_id_beyond_the_vocabulary_is_written_and_has_no_text(
    corpus: TransformedCorpus, hugging_face_folder: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(hugging_face_folder)
    architecture = checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    model = build_model(architecture)
    checkpoint.load_into(model)
    head = model.backbone.token_embedding.reverse_embeddings
    values = np.zeros(head.shape, "float32")
    values[:, -1], values[:, -2] = 1.0, -1.0  # whatever the state, one of them is above 0
    head.assign(values)
    tokenizer = checkpoint.tokenizer
    export_base_model(
        tmp_path,
        transform_graph_dir=str(corpus.transform_output / "transform_fn"),
        decoder=Decoder(serving_graph(model, architecture), architecture),
        detokenizer=tokenizer.graph_tokenizer(),
        spec=BaseModelSpec(
            model_family="t5",
            tokenizer_kind=tokenizer.kind,
            tokenizer_fingerprint=tokenizer.fingerprint,
            vocabulary_size=tokenizer.vocabulary_size,
            pad_id=0,
            eos_id=1,
            max_input_tokens=40,
            max_output_tokens=24,
            task_prefix="Return ",
        ),
    )
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    answer = serve(text=tf.constant(["Then the size."]))
    assert set(answer["output_ids"].numpy()[0].tolist()) <= {398, 399}
    assert answer["summary"].numpy().tolist() == [b""]


def test_a_pushed_model_trains_on(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus, tmp_path: Path
) -> None:
    args = arguments(corpus, tmp_path, Path(fine_tuned.base_model_dir), learning_rate=0.005)
    run_fn(args)
    best = min(row["val_loss"] for row in history(fine_tuned))
    assert min(row["val_loss"] for row in history(args)) < best


def test_a_model_that_is_found_in_the_run_trains_on_whatever_sizes_the_settings_have(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus, tmp_path: Path
) -> None:
    args = arguments(
        corpus,
        tmp_path,
        Path(fine_tuned.base_model_dir),
        learning_rate=0.005,
        start_copying=True,
    )
    args.base_model = fine_tuned.base_model_dir
    args.custom_config["checkpoint_identity"] = ""
    args.custom_config["model"] |= {"init_from": "champion", "family": "bart", "d_model": 64}
    run_fn(args)
    best = min(row["val_loss"] for row in history(fine_tuned))
    assert min(row["val_loss"] for row in history(args)) < best
    assert open_checkpoint(args.serving_model_dir).description.d_model == 32


def test_keras_hub_reads_the_checkpoint_too(fine_tuned: SimpleNamespace) -> None:
    folder = Path(fine_tuned.base_model_dir) / CHECKPOINT_DIR
    backbone = keras_hub.models.T5Backbone.from_preset(str(folder))
    pushed = open_checkpoint(fine_tuned.base_model_dir)
    model = build_model(pushed.description.architecture(LIMITS, pushed.tokenizer))
    pushed.load_into(model)
    for ours, theirs in zip(model.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


def test_another_checkpoint_in_the_folder_is_refused(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus, tmp_path: Path
) -> None:
    args = arguments(corpus, tmp_path, Path(fine_tuned.base_model_dir))
    args.custom_config["checkpoint_identity"] = "feed"
    with pytest.raises(CheckpointError, match=r"changed since the pipeline was defined"):
        run_fn(args)
    args.custom_config["checkpoint_identity"] = ""
    args.custom_config["model"]["d_model"] = 64
    with pytest.raises(CheckpointError, match=r"d_model is 32 in the checkpoint"):
        run_fn(args)
    assert (Path(fine_tuned.base_model_dir) / TOKENIZER_DIR).is_dir()


def test_lora_changes_what_it_adapts_and_is_exported_as_a_plain_model(
    fine_tuned: SimpleNamespace, corpus: TransformedCorpus, tmp_path: Path
) -> None:
    start = Path(fine_tuned.base_model_dir)
    args = arguments(corpus, tmp_path, start, learning_rate=0.01, lora_rank=2)
    run_fn(args)
    rows = history(args)
    assert rows[-1]["val_loss"] < loss_at_the_start(open_checkpoint(start), corpus)
    before, after = weights(fine_tuned), weights(args)
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    # Queries and values of the encoder's block, and of the decoder's two attentions.
    assert len(changed) == 6
    for name in changed:
        difference = (after[name] - before[name]).reshape(-1, after[name].shape[-1])
        assert np.linalg.matrix_rank(difference, tol=1e-5) <= 2
    loaded = tf.saved_model.load(str(export(args, corpus)))
    answer = loaded.signatures["serving_default"](text=tf.constant(["Then the size."]))
    assert answer["output_ids"].shape[0] == 1
