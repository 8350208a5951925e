"""What `make_checkpoint_fixtures.py` makes of a model: weights, files and answers."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import sentencepiece
import tokenizers
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2
from transformers import PegasusTokenizer, T5Tokenizer

FIXTURES = Path(__file__).parent.parent / "tests" / "pipelines" / "checkpoints" / "fixtures"
ROWS, BEAM_ROWS, FEW = 64, 32, 4
STEPS = 24  # of generation
LOGIT_STEPS = 40  # past 32, where T5's buckets of the decoder's distances grow
# Past 128, where T5's last bucket of distances begins.
LONGEST = {"t5": 150, "bart": 60, "pegasus": 60}
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


# Without the names of special tokens, which are ids to transformers and text here.
ODD_TEXT = [
    "The<newtok>fox <newtok> jumps.",
    "  naïve  ﬁles,\ttabs\nand e\u0301 ™\u0301 ①½ >>> ..... ",
    "東京 shows 日本 ▁ ▁a",
]


class UnsuitableError(Exception):
    """Weights that say too little: too sensitive to rounding, or one answer for every row."""


def randomise(model: torch.nn.Module) -> None:
    """Weights so wide that answers differ from row to row, and not so wide that rounding
    alone moves logits by a third of what the tests allow (`answer` checks it)."""
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue  # a Pegasus's positions
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
    recipe: dict[str, Any] | None = None,
) -> None:
    """Write ``answers.npz`` and ``beams.json``, and ``generation_config.json`` of a recipe.

    Raises:
      UnsuitableError: the weights say too little.
    """
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
    if recipe:
        answers["recipe"] = by_recipe(directory, model, encoder, mask, recipe)
    np.savez_compressed(
        directory / "answers.npz",
        ids=ids.astype(np.int16),
        length=length.astype(np.int16),
        decoder=decoder.astype(np.int16),
        logits=logits.numpy().astype(np.float32),
        **cast(Any, answers),
    )
    (directory / "beams.json").write_text(json.dumps(BEAMS, indent=2) + "\n", encoding="utf-8")


def by_recipe(
    directory: Path, model: Any, encoder: Any, mask: Any, recipe: dict[str, Any]
) -> np.ndarray:
    """All ids behind the decoder start as ``generation_config.json`` alone says, -1 behind EOS.

    Raises:
      UnsuitableError: rows end too much alike.
    """
    for name, value in recipe.items():
        setattr(model.generation_config, name, value)
    model.generation_config.save_pretrained(directory)
    pad_id, eos_id = model.config.pad_token_id, model.config.eos_token_id
    with torch.no_grad():
        written = model.generate(
            encoder[:BEAM_ROWS],
            attention_mask=mask[:BEAM_ROWS],
            suppress_tokens=[pad_id],
        ).numpy()[:, 1:]
    is_eos = written == eos_id
    after = np.cumsum(is_eos, axis=1) - is_eos
    written = np.where((after > 0) | (written == pad_id), -1, written).astype(np.int16)
    steps = (written >= 0).sum(axis=1)
    print(f"{directory.name} recipe: steps {np.percentile(steps, [0, 25, 50, 75, 100])}")
    if len(set(steps.tolist())) < 4 or len({tuple(row) for row in written.tolist()}) < 16:
        raise UnsuitableError
    return written


def sentencepiece_model(normalization: str = "identity") -> bytes:
    """A vocabulary with T5's special ids and, as T5's, without bytes; below 112 pieces.

    The tables of any normalization but identity take 240 kB.
    """
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
        normalization_rule_name=normalization,
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


def save_tokenizer(directory: Path, kind: str) -> None:
    """Write a T5's or a Pegasus's tokenizer as transformers 5 saves it, with NFKC."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(sentencepiece_model("nmt_nfkc"))
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tables = model.normalizer_spec.precompiled_charsmap
    if kind == "t5":
        sentinels = [(f"<extra_id_{i}>", 0.0) for i in reversed(range(6))]
        tokenizer = T5Tokenizer(
            vocab=pieces + sentinels, extra_ids=6, _spm_precompiled_charsmap=tables
        )
        tokenizer.add_tokens(["<newtok>"])
    else:
        # As its converter does it: what is special in front, then the pieces from <unk> on.
        own = [("<pad>", 0.0), ("</s>", 0.0), ("<mask_1>", 0.0), ("<mask_2>", 0.0)]
        own += [(f"<unk_{i}>", -100.0) for i in range(2, 5)]
        tokenizer = PegasusTokenizer(
            vocab=own + pieces[2:], offset=5, _spm_precompiled_charsmap=tables
        )
    tokenizer.save_pretrained(directory)


def make_torch_files(source: Path, target: Path) -> None:
    """Write a folder's weights as ``torch.save`` does: whole, in shards of bfloat16, and old.

    Tied weights share their numbers, as in published files, and one is a transposed view.
    """
    target.mkdir(parents=True)
    weights = safetensors.torch.load_file(source / "model.safetensors")
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"]
    weights["lm_head.weight"] = torch.nn.Parameter(weights["shared.weight"])
    name = "decoder.block.0.layer.2.DenseReluDense.wi.weight"
    weights[name] = weights[name].T.contiguous().T
    state = torch.nn.Module().state_dict()  # an OrderedDict with metadata, as a model's is
    state.update(weights)
    torch.save(state, target / "pytorch_model.bin")
    places: dict[str, str] = {}
    for i in range(2):
        part = {name: weights[name].bfloat16() for name in sorted(weights)[i::2]}
        file = f"pytorch_model-{i + 1:05}-of-00002.bin"
        torch.save(part, target / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": places}
    (target / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    few = {"a": torch.ones(2)}
    torch.save(few, target / "before_1.6.bin", _use_new_zipfile_serialization=False)


def answer_texts(directory: Path) -> None:
    """Write ``texts.json``: what transformers makes of texts with the folder as it is.

    Of each text the ids without special ones, and the summary by the folder's own recipe.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(directory).eval()
    answers = []
    for text in (*TEXT, *ODD_TEXT):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            written = model.generate(
                **tokenizer(text, return_tensors="pt"),
                suppress_tokens=[model.config.pad_token_id],
            )
        summary = tokenizer.decode(written[0], skip_special_tokens=True)
        answers.append({"text": text, "ids": ids, "summary": summary})
    content = json.dumps(answers, indent=2, ensure_ascii=False) + "\n"
    (directory / "texts.json").write_text(content, encoding="utf-8")
