"""What is measured: the phases, in the order of what would be missed most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

OURS, PEERS, CPU = "ours", "peers", "cpu"
SHAPES: Final = ("t5-small", "bart-base")

_ROWS: Final = (1, 8, 32, 64)
_T5_SMALL: Final = {
    "family": "t5",
    "d_model": 512,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
}


@dataclass(frozen=True)
class Phase:
    """A process that measures something.

    Attributes:
      name: of its result.
      module: of this package; see `child`.
      arguments: of the module's ``measure``.
      limit_s: it is stopped after so long.
      side: ``ours``, ``peers`` (PyTorch's environment) or ``cpu`` (ours without the GPU).
      environment: variables of its own.
    """

    name: str
    module: str
    arguments: dict[str, Any] = field(default_factory=dict)
    limit_s: float = 90
    side: str = OURS
    environment: dict[str, str] = field(default_factory=dict)


def phases(material: Path, small: bool = False) -> list[Phase]:
    """All phases but the first look at the GPU.

    Args:
      material: see `benchmarks.gpu.material`.
      small: few and small points, for a try on a CPU.
    """
    rows = (1, 2) if small else _ROWS
    ids_out = 8 if small else 64
    made: list[Phase] = []

    def add(name: str, module: str, limit_s: float, side: str = OURS, **arguments: Any) -> None:
        made.append(Phase(name, module, arguments, 600 if small else limit_s, side))

    def cases(*arithmetics: str, of: tuple[int, ...] = rows) -> list[list[Any]]:
        return [[each, batch, 128, ids_out] for each in arithmetics for batch in of]

    subject = _subject(material)
    text = str(material)
    device: dict[str, Any] = {"device": "cpu"} if small else {}
    of: dict[str, Any]
    shapes = SHAPES[:1] if small else SHAPES
    for arithmetic in ("tf32", "float32"):
        tf32 = arithmetic == "tf32"
        sizes = rows if tf32 else rows[:1]
        add(f"answers {arithmetic}", "answers", 60, material=text, tf32=tf32, batches=sizes)
    add("answers cpu", "answers", 60, CPU, material=text, batches=rows)
    batches = str(material / "batches.npz")
    train: dict[str, Any]
    train = {"material": text, "shape": "t5-small", "batch": 64, "steps": 2 if small else 30}
    if small:
        train |= {"shape": "demo", "batch": 16}
    add(
        "train compiled, tf32",
        "train",
        120,
        **train,
        compiled="on",
        precision="float32",
        batches=batches,
    )
    add(
        "train compiled, bfloat16",
        "train",
        120,
        **train,
        compiled="on",
        precision="bfloat16",
    )
    for shape in shapes:
        of = {"directory": subject(shape), "shape": shape}
        add(f"{shape} xla", "decode", 150, **of, variant="xla", cases=cases("tf32"))
        add(f"{shape} default", "decode", 80, **of, variant="default", cases=cases("tf32"))
        add(f"{shape} torch", "torch_decode", 60, PEERS, **of, cases=cases("tf32"), **device)
    of = {"directory": subject("t5-small"), "shape": "t5-small"}
    look: dict[str, Any]
    look = {"rows": 8, "alone": 2, "steps": 3, "device": "CPU:0"} if small else {}
    add("rounding", "rounding", 90, **of, **look)
    modes = ["tf32", "bfloat16", "compile tf32", "compile bfloat16"]
    add(
        "train torch",
        "torch_train",
        110,
        PEERS,
        material=text,
        shape=_T5_SMALL,
        batches=batches,
        steps=train["steps"],
        modes=modes[:1] if small else modes,
        **device,
    )
    add(
        "train as it comes, tf32",
        "train",
        80,
        **train,
        compiled="off",
        precision="float32",
    )
    cache = {"TF_XLA_FLAGS": f"--tf_xla_persistent_cache_directory={material / 'xla-cache'}"}
    of = {"directory": subject("t5-small"), "shape": "t5-small", "variant": "xla"}
    made += [
        Phase(name, "decode", {**of, "cases": cases("tf32", of=rows[:1])}, 60, OURS, cache)
        for name in ("cache empty", "cache filled")
    ]
    some = cases("float32", of=(rows[0], rows[-1]))
    for shape in shapes:
        of = {"directory": subject(shape), "shape": shape}
        add(f"{shape} xla float32", "decode", 100, **of, variant="xla", cases=some)
        add(f"{shape} torch float32", "torch_decode", 60, PEERS, **of, cases=some, **device)
    return made


def exports(material: Path, small: bool = False) -> list[Phase]:
    """The exports that are decoded; they need no GPU."""
    subject = _subject(material)
    return [
        Phase(
            f"export {shape} {variant}",
            "export",
            {"directory": subject(shape), "shape": shape, "variant": variant},
            200,
            CPU,
        )
        for shape in (SHAPES[:1] if small else SHAPES)
        for variant in ("xla", "default")
    ]


def _subject(material: Path) -> Callable[[str], str]:
    return lambda shape: str(material / "subjects" / shape)
