"""Their side: a plain PyTorch loop over the same batches, asked as `engine` is.

Runs in an environment with torch and transformers; of this project it imports the worker's
loop alone.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.worker_loop import serve


def build(shape: dict[str, Any], vocabulary_size: int) -> torch.nn.Module:
    if shape["family"] == "t5":
        config = transformers.T5Config(
            vocab_size=vocabulary_size,
            d_model=shape["d_model"],
            d_kv=shape["d_model"] // shape["num_heads"],
            d_ff=shape["d_ff"],
            num_layers=shape["num_layers"],
            num_heads=shape["num_heads"],
            dropout_rate=0.1,
            feed_forward_proj="relu",
            tie_word_embeddings=True,
            use_cache=False,
        )
        return transformers.T5ForConditionalGeneration(config)
    config = transformers.BartConfig(
        vocab_size=vocabulary_size,
        max_position_embeddings=65,
        d_model=shape["d_model"],
        encoder_layers=shape["num_layers"],
        decoder_layers=shape["num_layers"],
        encoder_ffn_dim=shape["d_ff"],
        decoder_ffn_dim=shape["d_ff"],
        encoder_attention_heads=shape["num_heads"],
        decoder_attention_heads=shape["num_heads"],
        dropout=0.1,
        attention_dropout=0.1,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=1,
    )
    return transformers.BartForConditionalGeneration(config)


def prepare(
    job: dict[str, Any],
) -> tuple[dict[str, Any], Callable[[int], dict[str, Any]]]:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(20)
    model = build(job["shape"], job["vocabulary_size"])
    model.train()
    optimizer = torch.optim.Adafactor(model.parameters(), lr=0.01)
    batches = itertools.cycle(read_batches(job["batches"]))
    in_bfloat16 = job["precision"] == "bfloat16"

    def make_steps(count: int) -> dict[str, Any]:
        nats = labels = 0.0
        started = time.perf_counter()
        for batch in itertools.islice(batches, count):
            mask = batch["decoder_padding_mask"]
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bfloat16):
                loss = model(
                    input_ids=batch["encoder_token_ids"],
                    attention_mask=batch["encoder_padding_mask"],
                    decoder_input_ids=batch["decoder_token_ids"],
                    decoder_attention_mask=mask,
                    labels=batch["labels"].masked_fill(mask == 0, -100),
                ).loss
            loss.backward()
            optimizer.step()
            of_batch = int(mask.sum())
            nats += loss.item() * of_batch
            labels += of_batch
        return {"seconds": time.perf_counter() - started, "loss": nats / labels}

    return {"parameters": sum(p.numel() for p in model.parameters())}, make_steps


def read_batches(path: str) -> list[dict[str, torch.Tensor]]:
    arrays = np.load(path)
    return [
        {
            name: torch.from_numpy(arrays[f"{i}/{name}"]).long()
            for name in (
                "encoder_token_ids",
                "encoder_padding_mask",
                "decoder_token_ids",
                "decoder_padding_mask",
                "labels",
            )
        }
        for i in range(len(arrays.files) // 5)
    ]


if __name__ == "__main__":
    serve(lambda: prepare(json.loads(sys.argv[1])))
