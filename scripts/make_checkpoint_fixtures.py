"""Small random checkpoints and what transformers makes of them, for the parity tests.

    scripts/peers.sh
    .toolchain/peers/bin/python -m scripts.make_checkpoint_fixtures [NAME ...]

Each folder of ``tests/pipelines/checkpoints/fixtures`` is a Hugging Face folder as
transformers writes it, with the tokenizer's original files beside it or, where it says so, as
transformers 5 saves it, and ``answers.npz``:

- ``ids`` [rows, longest], ``length`` [rows]: the caller's ids, without special ones;
- ``decoder`` [few, steps], ``logits`` [few, steps, vocabulary]: what the decoder was given for
  the first rows, and its logits, float32;
- ``greedy`` [rows, steps], ``beams_<i>`` [some rows, steps]: ids written up to EOS, -1 behind
  it, without the decoder start and without a forced BOS. ``beams.json`` has the settings;
- ``recipe`` [some rows, steps], where the folder has a recipe in ``generation_config.json``:
  all ids behind the decoder start.

Folders saved as transformers 5 does it also have ``texts.json``, see `answer_texts`.

The counting contract never lets a model write padding, so transformers is told the same
(``suppress_tokens``); nor, but by a recipe, is EOS forced at the limit.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BartTokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    PegasusConfig,
    PegasusForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from scripts.checkpoint_fixture_parts import (
    FIXTURES,
    UnsuitableError,
    answer,
    answer_texts,
    bpe_files,
    make_torch_files,
    randomise,
    save,
    save_tokenizer,
    sentencepiece_model,
)

T5 = {
    "vocab_size": 112,
    "d_model": 24,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 3,
    "decoder_start_token_id": 0,
}
V1_1 = {"d_kv": 6, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
BART = {
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
PEGASUS = BART | {
    "vocab_size": 112,
    "activation_function": "relu",
    "scale_embedding": True,
    "normalize_before": True,
    "normalize_embedding": False,
    "add_final_layer_norm": True,
    "static_position_embeddings": True,
}
# bart-large-cnn's, with lengths for small models.
CNN_RECIPE = {
    "num_beams": 4,
    "length_penalty": 2.0,
    "early_stopping": True,
    "no_repeat_ngram_size": 3,
    "min_length": 12,
    "max_length": 30,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
}
GREEDY_RECIPE = {
    "repetition_penalty": 1.3,
    "bad_words_ids": [[5], [7, 9], [11, 12, 13], [20], [21], [40]],
    "min_new_tokens": 4,
    "max_new_tokens": 20,
}
BEAM_RECIPE = {
    "num_beams": 3,
    "length_penalty": 0.8,
    "repetition_penalty": 1.2,
    "bad_words_ids": [[6], [8, 10], [30]],
    "min_length": 6,
    "max_length": 22,
    "forced_eos_token_id": 1,
}


def main() -> None:
    transformers.logging.set_verbosity_error()
    makers: dict[str, Callable[[str], None]] = {
        "t5": lambda name: first_suitable(make_t5, name, lambda: T5Config(**T5, d_kv=8)),
        "t5_v1_1": lambda name: first_suitable(make_t5, name, lambda: T5Config(**T5, **V1_1)),
        "bart": lambda name: first_suitable(
            make_bart, name, lambda: BartConfig(**BART), forced_bos_id=0
        ),
        "bart_scaled": lambda name: first_suitable(
            make_bart,
            name,
            lambda: BartConfig(**BART, scale_embedding=True),
            forced_bos_id=None,
            logits_bias=True,
        ),
        # As transformers 5 saves them, tokenizer.json alone.
        "distilbart": lambda name: first_suitable(
            make_bart,
            name,
            lambda: BartConfig(**BART | {"encoder_layers": 3, "decoder_layers": 1}),
            forced_bos_id=0,
            saved_anew=True,
            recipe=CNN_RECIPE,
        ),
        "t5_uneven": lambda name: first_suitable(
            make_t5,
            name,
            lambda: T5Config(**T5, d_kv=8, num_decoder_layers=1),
            saved_anew=True,
            recipe=GREEDY_RECIPE,
        ),
        "mt5": lambda name: first_suitable(
            make_t5,
            name,
            lambda: MT5Config(**T5, **V1_1),
            recipe=BEAM_RECIPE,
        ),
        "umt5": lambda name: first_suitable(
            make_t5, name, lambda: UMT5Config(**T5, **V1_1, num_decoder_layers=1)
        ),
        "pegasus": lambda name: first_suitable(
            make_pegasus, name, lambda: PegasusConfig(**PEGASUS), recipe=BEAM_RECIPE
        ),
        # The weights of t5 as PyTorch keeps them.
        "torch": lambda name: make_torch_files(FIXTURES / "t5", FIXTURES / name),
    }
    for name in sys.argv[1:] or makers:
        shutil.rmtree(FIXTURES / name, ignore_errors=True)
        makers[name](name)
    size = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())
    print(f"{size / 1e6:.2f} MB in {FIXTURES}")


def first_suitable(
    make: Callable[..., None], name: str, config: Callable[[], Any], **settings: Any
) -> None:
    """Make a fixture from the first seed whose weights are worth comparing."""
    for seed in range(200):
        try:
            return make(name, config(), seed=seed, **settings)
        except UnsuitableError:
            continue
    raise SystemExit(f"{name}: no suitable weights among 200 seeds")


def make_t5(
    name: str,
    config: Any,
    seed: int,
    saved_anew: bool = False,
    recipe: dict[str, Any] | None = None,
) -> None:
    torch.manual_seed(seed)
    kind = {
        "t5": T5ForConditionalGeneration,
        "mt5": MT5ForConditionalGeneration,
        "umt5": UMT5ForConditionalGeneration,
    }[config.model_type]
    model = kind(config).eval()
    tied = getattr(config, "scale_decoder_outputs", False)
    if not tied:  # transformers 5 ties every fresh T5
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    with torch.no_grad():
        randomise(model)
        head = model.shared if tied else model.lm_head
        head.weight[config.eos_token_id] *= 8.0 if tied else 2.5
    directory = save(name, model)
    if saved_anew:
        save_tokenizer(directory, "t5")
    else:
        (directory / "spiece.model").write_bytes(sentencepiece_model())
    answer(directory, model, "t5", [], None, seed, recipe)
    if saved_anew:
        answer_texts(directory)


def make_bart(
    name: str,
    config: BartConfig,
    seed: int,
    forced_bos_id: int | None,
    logits_bias: bool = False,
    saved_anew: bool = False,
    recipe: dict[str, Any] | None = None,
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
    files = bpe_files(config.vocab_size)
    if saved_anew:
        merges = [tuple(line.split()) for line in files["merges.txt"].splitlines()[1:]]
        vocabulary = json.loads(files["vocab.json"])
        BartTokenizer(vocab=vocabulary, merges=merges).save_pretrained(directory)
    else:
        for file, content in files.items():
            (directory / file).write_text(content, encoding="utf-8")
    start = [config.bos_token_id]
    answer(directory, model, "bart", start, forced_bos_id, seed, recipe)
    if saved_anew:
        answer_texts(directory)


def make_pegasus(
    name: str, config: PegasusConfig, seed: int, recipe: dict[str, Any] | None = None
) -> None:
    torch.manual_seed(seed)
    model = PegasusForConditionalGeneration(config).eval()
    model.generation_config.forced_eos_token_id = None
    with torch.no_grad():
        randomise(model)
        model.model.shared.weight *= 0.5
        last = model.model.decoder.layer_norm.bias
        model.model.shared.weight[config.eos_token_id] = (0.5 + 0.25 * (seed % 8)) * last
    directory = save(name, model)
    save_tokenizer(directory, "pegasus")
    answer(directory, model, "pegasus", [], None, seed, recipe)
    answer_texts(directory)


if __name__ == "__main__":
    main()
