"""transformers on PyTorch; runs in the peers' environment."""

from __future__ import annotations

import torch
import transformers

from benchmarks.decode.engine_loop import Generate, Ids, Job, run_engine


def load(job: Job) -> tuple[str, Generate]:
    torch.set_num_threads(job.threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        job.directory / "hugging_face", dtype=torch.float32
    ).eval()

    def generate(rows: Ids, ids_out: int) -> Ids:
        ids = torch.from_numpy(rows)
        with torch.inference_mode():
            written = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=ids_out,
                do_sample=False,
                num_beams=1,
                use_cache=True,
            )
        without_start: Ids = written[:, 1:].numpy()
        return without_start

    about = (
        f"transformers {transformers.__version__} on PyTorch {torch.__version__}: "
        f"`generate`, greedy, with its cache, attention {model.config._attn_implementation}, "
        "in inference mode"
    )
    return about, generate


if __name__ == "__main__":
    run_engine(load)
