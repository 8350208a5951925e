"""transformers on PyTorch; runs in the peers' environment.

Variant: empty, or how many ids its prompt lookup drafts in each step.
"""

from __future__ import annotations

import torch
import transformers

from benchmarks.decode.cases import Rows
from benchmarks.decode.engine_loop import Generate, Ids, Job, run_engine


def load(job: Job) -> tuple[str, Generate]:
    torch.set_num_threads(job.threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        job.directory / "hugging_face", dtype=torch.float32
    ).eval()

    options = {"prompt_lookup_num_tokens": int(job.variant)} if job.variant else {}

    def generate(rows: Rows, ids_out: int) -> Ids:
        ids = torch.from_numpy(rows.ids)
        mask = torch.arange(ids.shape[1]) < torch.from_numpy(rows.length)[:, None]
        with torch.inference_mode():
            written = model.generate(
                ids,
                attention_mask=mask.long(),
                max_new_tokens=ids_out,
                do_sample=False,
                num_beams=1,
                use_cache=True,
                no_repeat_ngram_size=job.shape.no_repeat_ngram_size,
                **options,
            )
        without_start: Ids = written[:, 1:].numpy()
        return without_start

    about = (
        f"transformers {transformers.__version__} on PyTorch {torch.__version__}: "
        f"`generate`, greedy, with its cache, attention {model.config._attn_implementation}, "
        "in inference mode"
    )
    if job.variant:
        about += (
            f", `prompt_lookup_num_tokens={job.variant}`, which looks in what the decoder has "
            "written, not in the document, and takes one row"
        )
    return about, generate


if __name__ == "__main__":
    run_engine(load)
