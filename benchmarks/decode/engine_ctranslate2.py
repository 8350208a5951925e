"""CTranslate2; runs in the peers' environment. The variant is the type it computes in."""

from __future__ import annotations

import ctranslate2
import numpy as np

from benchmarks.decode.conversion import piece
from benchmarks.decode.engine_loop import Generate, Ids, Job, run_engine


def load(job: Job) -> tuple[str, Generate]:
    translator = ctranslate2.Translator(
        str(job.directory / "ctranslate2"),
        device="cpu",
        compute_type=job.variant,
        inter_threads=1,
        intra_threads=job.threads,
    )
    pieces = [piece(i) for i in range(job.shape.vocabulary_size)]
    ids_of = {each: i for i, each in enumerate(pieces)}

    def generate(rows: Ids, ids_out: int) -> Ids:
        results = translator.translate_batch(
            [[pieces[each] for each in row] for row in rows.tolist()],
            beam_size=1,
            max_decoding_length=ids_out,
            max_input_length=0,
            max_batch_size=len(rows),
        )
        return np.array([[ids_of[each] for each in one.hypotheses[0]] for one in results])

    about = (
        f"CTranslate2 {ctranslate2.__version__}: `translate_batch`, beam size 1, computing in "
        f"{translator.compute_type}"
    )
    return about, generate


if __name__ == "__main__":
    run_engine(load)
