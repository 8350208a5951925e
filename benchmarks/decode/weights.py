"""Random weights of a shape that write as a trained model does; runs in the peers' environment.

    python -m benchmarks.decode.weights SHAPE DIRECTORY

Plain random weights are no fair subject. Their answers repeat one id (its embedding is what
the tied output layer meets again), and what scores best leads by next to nothing, again and
again: a trained model's decisions are clear, but for one row in some hundreds. So every id is
given a successor, and the last feed-forward of the decoder moves a state towards the successor
of what it was: embeddings are the orbits of a random rotation, and that feed-forward is the
rotation (for both activations f, f(x) - f(-x) = x). All else is random. What an answer begins
with depends on the input, which the decoder's attention is made to hear. Special ids have an
embedding of zeros and are never written, so every engine writes as many ids as it is asked
for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import transformers

from benchmarks.decode.cases import (
    FIRST_ID,
    LARGEST_BATCH,
    LONGEST_OUTPUT,
    SHAPES,
    Case,
    Shape,
    inputs,
)

ORBITS = 16
SEEDS = 20
# A decision is clear when the best logit leads the second by this share of itself: twice what
# the project's own decoder calls in doubt. A row's first decision seldom leads by much more.
CLEAR_LEAD = 0.002


def main(shape: Shape, directory: Path) -> None:
    transformers.logging.set_verbosity_error()
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = build(shape)
        problem = unsuitable(model, shape)
        if not problem:
            model.save_pretrained(directory)
            print(f"{shape.name}: weights of seed {seed}")
            return
        print(f"{shape.name}: seed {seed} is not suitable: {problem}")
    raise SystemExit(f"{shape.name}: no suitable weights among {SEEDS} seeds")


@torch.no_grad()
def build(shape: Shape) -> transformers.PreTrainedModel:
    """A model with transformers' own random weights, changed as the head of this file says."""
    width: int = shape.config["d_model"]
    rotation, orbits = rotated(shape.vocabulary_size - FIRST_ID, width)
    if shape.family == "t5":
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(**shape.config))
        last = model.decoder.block[-1].layer[-1].DenseReluDense
        into, out, gain = last.wi, last.wo, 16.0
        for block in model.decoder.block:
            cross = block.layer[1].EncDecAttention
            cross.q.weight.mul_(4.0)
            cross.v.weight.mul_(1.5)
            cross.o.weight.mul_(1.5)
        embeddings = model.shared.weight
        orbits = orbits * 3.0
    else:
        model = transformers.BartForConditionalGeneration(
            transformers.BartConfig(**shape.config)
        )
        model.generation_config.forced_bos_token_id = None
        model.generation_config.forced_eos_token_id = None
        layers = model.model.decoder.layers
        into, out, gain = layers[-1].fc1, layers[-1].fc2, 4.0
        for layer in layers:
            layer.encoder_attn.q_proj.weight.mul_(4.0)
            layer.encoder_attn.k_proj.weight.mul_(4.0)
            layer.encoder_attn.v_proj.weight.mul_(1.2)
            layer.encoder_attn.out_proj.weight.mul_(2.4)
        embeddings = model.model.shared.weight
        orbits = orbits * 0.05
    into.weight[: 2 * width] = torch.cat([rotation, -rotation])
    identity = torch.eye(width) * gain
    out.weight[:, : 2 * width] = torch.cat([identity, -identity], dim=1)
    embeddings[:FIRST_ID] = 0.0
    embeddings[FIRST_ID:] = orbits[torch.randperm(len(orbits))]
    return model.eval()


def rotated(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A rotation ``[width, width]`` and vectors ``[count, width]`` that it moves along."""
    rotation, _ = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))
    blocks = [torch.randn(ORBITS, width, dtype=torch.float64)]
    while len(blocks) * ORBITS < count:
        blocks.append(blocks[-1] @ rotation.T)
    return rotation.float(), torch.cat(blocks)[:count].float()


@torch.inference_mode()
def unsuitable(model: transformers.PreTrainedModel, shape: Shape) -> str:
    """Why these weights are no fair subject; empty if they are one."""
    for ids_in in (128, 512):
        case = Case(LARGEST_BATCH, ids_in, LONGEST_OUTPUT)
        rows = torch.from_numpy(inputs(shape, case).copy())
        answer = model.generate(
            rows,
            attention_mask=torch.ones_like(rows),
            max_new_tokens=case.ids_out,
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        written = answer.sequences[:, 1:]
        if written.shape[1] != case.ids_out or bool((written < FIRST_ID).any()):
            return "a special id is written"
        different = len({tuple(row) for row in written.tolist()})
        if different < case.batch // 2:
            return f"only {different} different answers to {case.batch} inputs"
        distinct = min(len(set(row)) for row in written.tolist())
        if distinct < case.ids_out // 2:
            return f"an answer has only {distinct} different ids"
        best = torch.stack(answer.logits).topk(2).values
        lead = ((best[..., 0] - best[..., 1]) / best[..., 0].abs().clamp(min=1.0)).min()
        if float(lead) < CLEAR_LEAD:
            return f"a decision leads by {float(lead):.5f} only"
        print(
            f"{shape.name}, {ids_in} in: {different} different answers of {distinct} different "
            f"ids or more, least lead {float(lead):.4f}"
        )
    return ""


if __name__ == "__main__":
    main(SHAPES[sys.argv[1]], Path(sys.argv[2]))
