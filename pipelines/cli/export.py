"""`tallygraph export`: a pushed version in the form that another runtime takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out, quiet_stderr

app = typer.Typer(help="Export a pushed version for another runtime.", no_args_is_help=True)


class Quantise(StrEnum):
    """How matrices are stored, by LiteRT's names."""

    NONE = "none"
    DYNAMIC_RANGE = "dynamic-range"


@app.callback()
def _group() -> None:
    """Export a pushed version for another runtime."""


@app.command()
def litert(
    version: Annotated[
        Path, typer.Argument(help="Folder of a version, such as build/serving/summarizer/17…")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; it must not exist.")
    ] = Path("model.tflite"),
    quantise: Annotated[
        Quantise,
        typer.Option(
            help="dynamic-range stores matrices in int8: about a quarter of the size, and not "
            "always the same summaries."
        ),
    ] = Quantise.NONE,
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy",
            help="Export a version that searches with beams, with greedy search: its summaries "
            "are then others.",
        ),
    ] = False,
) -> None:
    """Write a version as one LiteRT (TFLite) file: model, tokenizer, metering.json.

    The counts are those of the contract; in float32 the ids are those of a greedy version.
    """
    with quiet_stderr():  # TensorFlow and its converter tell of their work
        from pipelines.checkpoints.description import CheckpointError
        from pipelines.edge.exporting import EdgeError, export_litert
        from pipelines.edge.record import DYNAMIC_RANGE, FLOAT32
        from pipelines.models.architecture import ArchitectureError

    weights = DYNAMIC_RANGE if quantise is Quantise.DYNAMIC_RANGE else FLOAT32
    problem = ""
    with quiet_stderr():
        try:
            record = export_litert(version, output, weights=weights, greedy=greedy)
        except (ArchitectureError, CheckpointError, EdgeError) as error:
            problem = str(error)
    if problem:
        fail(problem, EXIT_BAD_INPUT)
    out.print(
        f"written: {output}, {output.stat().st_size / 1e6:.1f} MB, weights {record.weights}, "
        f"at most {record.max_input_tokens} tokens in and {record.max_output_tokens} out"
    )
    if record.num_beams_of_version > 1:
        out.print(
            f"  it decodes greedily, version {record.version} with "
            f"{record.num_beams_of_version} beams: summaries and output tokens differ, input "
            "tokens do not"
        )
    out.print(f"  what is stored behind the model: unzip -l {output}")
