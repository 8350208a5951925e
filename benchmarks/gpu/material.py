"""What is measured with: a folder that is made once, and may be made elsewhere.

version/                  a pushed version
texts.json                texts that it is asked for
subjects/<shape>/         hugging_face: a checkpoint of a `benchmarks.decode` shape
examples/                 train.gz, vocabulary.json: of `benchmarks.train`
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

from benchmarks.gpu.plan import SHAPES
from benchmarks.worker import ROOT

_TEXTS = 256


def prepare(material: Path, version: Path | None, corpus: Path, peers: Path) -> None:
    """Make what is missing.

    Args:
      material: the folder.
      version: a pushed version; the newest of ``build/serving/summarizer`` where it is None.
      corpus: folder with ``train.jsonl`` and ``eval.jsonl``.
      peers: Python with PyTorch and transformers.

    Raises:
      SystemExit: there is no version, or no corpus.
    """
    material.mkdir(parents=True, exist_ok=True)
    if not (material / "version").exists():
        found = version or max(
            (each for each in Path("build/serving/summarizer").glob("[0-9]*")), default=None
        )
        if found is None or not found.is_dir():
            raise SystemExit(
                f"there is no pushed version. Expected: {found or 'one'} as `make demo` pushes "
                "it; --version names another"
            )
        (material / "version").symlink_to(found.absolute())
    if not (material / "texts.json").exists():
        with (corpus / "eval.jsonl").open(encoding="utf-8") as lines:
            texts = [json.loads(line)["document"] for line in islice(lines, _TEXTS)]
        (material / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    if not (material / "examples").exists():
        (material / "examples").mkdir()
        code = (
            "import json, pathlib, sys; from benchmarks.train.job import write_examples; "
            "corpus, target = map(pathlib.Path, sys.argv[1:]); "
            "size = write_examples(corpus, target); "
            "(target / 'vocabulary.json').write_text(json.dumps(size))"
        )
        examples = str((material / "examples").absolute())
        command = [sys.executable, "-c", code, str(corpus.absolute()), examples]
        subprocess.run(command, check=True, cwd=ROOT)
    for shape in SHAPES:
        target = material / "subjects" / shape / "hugging_face"
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        module, folder = "benchmarks.decode.weights", str(target.absolute())
        subprocess.run([str(peers), "-m", module, shape, folder], check=True, cwd=ROOT)
        code = (
            "import pathlib, sys; from benchmarks.decode.cases import SHAPES; "
            "from benchmarks.decode.subject import write_tokenizer; "
            "write_tokenizer(SHAPES[sys.argv[1]], pathlib.Path(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", code, shape, folder], check=True, cwd=ROOT)
