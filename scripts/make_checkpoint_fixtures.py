"""Small random checkpoints and what transformers makes of them, for the parity tests.

    scripts/peers.sh
    .toolchain/peers/bin/python scripts/make_checkpoint_fixtures.py

Each folder of ``tests/pipelines/checkpoints/fixtures`` is a Hugging Face folder as
transformers writes it, with the tokenizer's original files beside it, and ``answers.npz``:

- ``ids`` [rows, longest], ``length`` [rows]: the caller's ids, without special ones;
- ``decoder`` [few, steps], ``logits`` [few, steps, vocabulary]: what the decoder was given for
  the first rows, and its logits, float32;
- ``greedy`` [rows, steps], ``beams_<i>`` [some rows, steps]: ids written up to EOS, -1 behind
  it, without the decoder start and without a forced BOS. ``beams.json`` has the settings.

The counting contract never lets a model write padding, so transformers is told the same
(``suppress_tokens``); nor is EOS forced at the limit (``forced_eos_token_id``).
"""

from __future__ import annotations

import copy
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

FIXTURES = Path(__file__).parent.parent / "tests" / "pipelines" / "checkpoints" / "fixtures"
ROWS, BEAM_ROWS, FEW = 64, 32, 4
STEPS = 24  # of generation
LOGIT_STEPS = 40  # past 32, where T5's buckets of the decoder's distances grow
LONGEST = {"t5": 150, "bart": 60}  # past 128, where T5's last bucket of distances begins
BEAMS = [
    {"num_beams": 3, "length_penalty": 1.0, "early_stopping": False, "no_repeat_ngram_size": 0},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "no_repeat_ngram_size": 0},
    {"num_beams": 4, "length_penalty": 0.6, "early_stopping": False, "no_repeat_ngram_size": 3},
    {"num_beams": 3, "length_penalty": -0.5, "early_stopping": True, "no_repeat_ngram_size": 2},
]
MOST_ROUNDING = 4e-5  # of float32 alone, in logits that are compared to 1e-4
TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "Return the name of a file, and close it when the last reader has gone.",
    "Counts that can be billed are counts that can be trusted.",
    "Looks the record up first. Then its value is returned, and nothing else is done.",
    "Ask for the prices by quantity: 1 or 2, 30 or 45, 678 or 90.",
]


class UnsuitableError(Exception):
    """Weights that say too little: too sensitive to rounding, or one answer for every row."""


def main() -> None:
    shutil.rmtree(FIXTURES, ignore_errors=True)
    transformers.logging.set_verbosity_error()
    t5 = {
        "vocab_size": 112,
        "d_model": 24,
        "d_ff": 40,
        "num_layers": 2,
        "num_heads": 3,
        "decoder_start_token_id": 0,
    }
    first_suitable(make_t5, "t5", lambda: T5Config(**t5, d_kv=8))
    v1_1 = {"d_kv": 6, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    first_suitable(make_t5, "t5_v1_1", lambda: T5Config(**t5, **v1_1))
    bart = {
        "vocab_size": 300,
        "d_model": 24,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 3,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 40,
        "max_position_embeddings": 72,
    }
    first_suitable(make_bart, "bart", lambda: BartConfig(**bart), forced_bos_id=0)
    first_suitable(
        make_bart,
        "bart_scaled",
        lambda: BartConfig(**bart, scale_embedding=True),
        forced_bos_id=None,
        logits_bias=True,
    )
    size = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB in {FIXTURES}")


def first_suitable(
    make: Callable[..., None], name: str, config: Callable[[], Any], **settings: Any
) -> None:
    """Make a fixture from the first seed whose weights are worth comparing."""
    for seed in range(100):
        try:
            return make(name, config(), seed=seed, **settings)
        except UnsuitableError:
            continue
    raise SystemExit(f"{name}: no suitable weights among 100 seeds")


def make_t5(name: str, config: T5Config, seed: int) -> None:
    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(config).eval()
    tied = config.scale_decoder_outputs
    if not tied:  # transformers 5 ties every fresh T5
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    with torch.no_grad():
        randomise(model)
        head = model.shared if tied else model.lm_head
        head.weight[config.eos_token_id] *= 8.0 if tied else 2.5
    directory = save(name, model)
    (directory / "spiece.model").write_bytes(sentencepiece_model())
    answer(directory, model, "t5", start=[], forced_bos_id=None, seed=seed)


def make_bart(
    name: str,
    config: BartConfig,
    seed: int,
    forced_bos_id: int | None,
    logits_bias: bool = False,
) -> None:
    torch.manual_seed(seed)
    model = BartForConditionalGeneration(config).eval()
    model.generation_config.forced_bos_token_id = forced_bos_id
    model.generation_config.forced_eos_token_id = None
    with torch.no_grad():
        randomise(model)
        # Along the bias of the last norm, so that EOS stands out in every row; how much is
        # right depends on the other weights, so the seeds try several.
        last = model.model.decoder.layers[-1].final_layer_norm.bias
        model.model.shared.weight[config.eos_token_id] = (2.0 + 0.5 * (seed % 8)) * last
        if logits_bias:
            model.final_logits_bias.normal_(0, 1.0)
    directory = save(name, model)
    for file, content in bpe_files(config.vocab_size).items():
        (directory / file).write_text(content, encoding="utf-8")
    answer(directory, model, "bart", [config.bos_token_id], forced_bos_id, seed)


def randomise(model: torch.nn.Module) -> None:
    """Weights so wide that answers differ from row to row, and not so wide that rounding
    alone moves logits by a third of what the tests allow (`answer` checks it)."""
    for name, weight in model.named_parameters():
        if name in ("shared.weight", "model.shared.weight"):
            weight.normal_(0, 0.6)
        elif name == "lm_head.weight":
            weight.normal_(0, 0.25)  # nothing is scaled before it
        elif name.endswith((".q.weight", ".q_proj.weight")):
            weight.normal_(
                0, 0.15 if name.endswith(".q.weight") else 0.35
            )  # T5's is not scaled
        elif name.endswith((".wi_0.weight", ".wi_1.weight")):
            weight.normal_(0, 0.33)  # they are multiplied
        elif weight.ndim == 2:
            # Of BART, what the decoder reads of the encoder and its place are heard more.
            loud = "encoder_attn" in name or "embed_positions" in name
            weight.normal_(0, 1.0 if loud else 0.5)
        else:
            weight.add_(torch.randn_like(weight) * 0.3)


def save(name: str, model: Any) -> Path:
    directory = FIXTURES / name
    model.save_pretrained(directory)
    return directory


def answer(
    directory: Path,
    model: Any,
    family: str,
    start: list[int],
    forced_bos_id: int | None,
    seed: int,
) -> None:
    config = model.config
    random = np.random.default_rng(seed)
    length = random.integers(1, 40, ROWS)
    length[:FEW] = (LONGEST[family], 1, 17, LONGEST[family] - 9)
    ids = random.integers(5, config.vocab_size, (ROWS, LONGEST[family]))
    rows = [[*start, *row[:n], config.eos_token_id] for row, n in zip(ids, length, strict=True)]
    width = max(map(len, rows))
    encoder = torch.tensor([row + [config.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])

    decoder = random.integers(5, config.vocab_size, (FEW, LOGIT_STEPS))
    decoder[:, 0] = config.decoder_start_token_id
    with torch.no_grad():
        logits = model(
            input_ids=encoder[:FEW],
            attention_mask=mask[:FEW],
            decoder_input_ids=torch.tensor(decoder),
        ).logits

        exact = (
            copy.deepcopy(model)
            .double()(
                input_ids=encoder[:FEW],
                attention_mask=mask[:FEW],
                decoder_input_ids=torch.tensor(decoder),
            )
            .logits
        )
    rounding = float((logits - exact).abs().max())
    print(
        f"{directory.name}: logits to {float(logits.abs().max()):.1f}, rounding {rounding:.1e}"
    )
    if rounding > MOST_ROUNDING:
        raise UnsuitableError

    def generate(rows: int, **settings: Any) -> np.ndarray:
        forced = forced_bos_id is not None
        with torch.no_grad():
            written = model.generate(
                encoder[:rows],
                attention_mask=mask[:rows],
                max_new_tokens=STEPS + forced,
                do_sample=False,
                suppress_tokens=[config.pad_token_id],
                **settings,
            ).numpy()
        written = written[:, 1 + forced :]  # without the start
        after = np.cumsum(written == config.eos_token_id, axis=1) - (
            written == config.eos_token_id
        )
        padded = np.full((rows, STEPS), -1, np.int16)
        padded[:, : written.shape[1]] = np.where(
            (after > 0) | (written == config.pad_token_id), -1, written
        )
        return padded

    answers = {"greedy": generate(ROWS, num_beams=1)}
    written = answers["greedy"]
    ended = (written == config.eos_token_id).any(axis=1).sum()
    if len({tuple(row) for row in written.tolist()}) < 32 or not 12 <= ended <= 56:
        raise UnsuitableError
    for i, settings in enumerate(BEAMS):
        used = {
            name: value
            for name, value in settings.items()
            if value or name != "no_repeat_ngram_size"
        }
        answers[f"beams_{i}"] = generate(BEAM_ROWS, **used)
    for name, written in answers.items():
        steps = (written >= 0).sum(axis=1)
        ended = (written == config.eos_token_id).any(axis=1)
        different = len({tuple(row) for row in written.tolist()})
        quartiles = np.percentile(steps, [0, 25, 50, 75, 100]).tolist()
        print(
            f"{directory.name} {name}: {different} different answers, {ended.sum()} of "
            f"{len(written)} with EOS, steps {quartiles}"
        )
    np.savez_compressed(
        directory / "answers.npz",
        ids=ids.astype(np.int16),
        length=length.astype(np.int16),
        decoder=decoder.astype(np.int16),
        logits=logits.numpy().astype(np.float32),
        **cast(Any, answers),
    )
    (directory / "beams.json").write_text(json.dumps(BEAMS, indent=2) + "\n", encoding="utf-8")


def sentencepiece_model() -> bytes:
    """A vocabulary with T5's special ids and, as T5's, without bytes; below 112 pieces."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=written,
        vocab_size=100,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="identity",  # its tables alone would be 240 kB
        minloglevel=2,
    )
    return written.getvalue()


def bpe_files(vocabulary_size: int) -> dict[str, str]:
    """``vocab.json`` and ``merges.txt`` with BART's special pieces; at most so many."""
    library = tokenizers.ByteLevelBPETokenizer()
    library.train_from_iterator(
        TEXT * 2,
        vocab_size=vocabulary_size - 4,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )
    model = json.loads(library.to_str())["model"]
    merges = "".join(f"{' '.join(pair)}\n" for pair in model["merges"])
    return {
        "vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + merges,
    }


if __name__ == "__main__":
    main()
