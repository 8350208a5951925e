"""CTranslate2; runs in the peers' environment. The variant is the type it computes in."""

from __future__ import annotations

import ctranslate2

from benchmarks.decode.cases import Rows
from benchmarks.decode.conversion import piece
from benchmarks.decode.engine_loop import Generate, Job, run_engine


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

    def generate(rows: Rows, ids_out: int) -> list[list[int]]:
        own = zip(rows.ids.tolist(), rows.length.tolist(), strict=True)
        results = translator.translate_batch(
            [[pieces[each] for each in row[:length]] for row, length in own],
            beam_size=1,
            max_decoding_length=ids_out,
            max_input_length=0,
            max_batch_size=len(rows.ids),
            return_end_token=True,
            no_repeat_ngram_size=job.shape.no_repeat_ngram_size,
        )
        return [[ids_of[each] for each in one.hypotheses[0]] for one in results]

    about = (
        f"CTranslate2 {ctranslate2.__version__}: `translate_batch`, beam size 1, computing in "
        f"{translator.compute_type}"
    )
    return about, generate


if __name__ == "__main__":
    run_engine(load)
