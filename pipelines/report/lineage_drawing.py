"""Geometry of the lineage's drawing: boxes in layers, the model on top, the corpus below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipelines.report.lineage import CORPUS, Lineage, LineageItem

# In the units of the drawing, which are CSS pixels where the page has its full width.
WIDTH: Final = 920
_BOX_HEIGHT: Final = 72
_LAYER_GAP: Final = 34
_MAX_BOX_WIDTH: Final = 300
_BOX_GAP: Final = 24
_CHARACTER_WIDTH: Final = 7.1
_FINGERPRINT_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Box:
    """One item; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...]
    tooltip: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, and the paths (SVG's ``d``) from each to what it was made of."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]


def draw(lineage: Lineage) -> Drawing:
    """Lay a lineage out. A layer of more boxes has narrower ones."""
    boxes: dict[str, Box] = {}
    layers = lineage.layers()
    for level, layer in enumerate(layers):
        room = (WIDTH - _BOX_GAP * (len(layer) - 1)) / len(layer)
        width = min(_MAX_BOX_WIDTH, room)
        left = (WIDTH - width * len(layer) - _BOX_GAP * (len(layer) - 1)) / 2
        for position, item in enumerate(layer):
            boxes[item.key] = Box(
                x=left + position * (width + _BOX_GAP),
                y=1 + level * (_BOX_HEIGHT + _LAYER_GAP),
                width=width,
                height=_BOX_HEIGHT,
                title=item.title,
                lines=tuple(_fit(line, width) for line in (item.made_by, fact(item)) if line),
                tooltip=item.uri,
                kind="corpus" if item.type == CORPUS else "artifact",
            )
    return Drawing(
        width=WIDTH,
        height=2 + len(layers) * (_BOX_HEIGHT + _LAYER_GAP) - _LAYER_GAP,
        boxes=tuple(boxes.values()),
        paths=tuple(
            _path(boxes[source], boxes[target]) for target, source in lineage.direct_edges()
        ),
    )


def fact(item: LineageItem) -> str:
    """The one thing that tells an item from others of its type."""
    properties = item.properties
    if "fingerprint" in properties:
        size = properties.get("vocabulary_size", "?")
        return f"{size} ids, {str(properties['fingerprint'])[:_FINGERPRINT_DIGITS]}"
    if properties.get("pushed_version"):
        return f"version {properties['pushed_version']}"
    if item.type == CORPUS:
        return item.uri
    return item.key.replace("-", " ")


def _path(source: Box, target: Box) -> str:
    """From the top of what was used up to the bottom of what was made of it."""
    start_x, start_y = source.x + source.width / 2, source.y
    end_x, end_y = target.x + target.width / 2, target.y + target.height + 4
    bend = max(12.0, (start_y - end_y) / 2)
    return (
        f"M{start_x:.1f},{start_y:.1f} C{start_x:.1f},{start_y - bend:.1f} "
        f"{end_x:.1f},{end_y + bend:.1f} {end_x:.1f},{end_y:.1f}"
    )


def _fit(text: str, width: float) -> str:
    """Shorten from the left: the end of a path is what tells it from others."""
    room = int((width - 24) / _CHARACTER_WIDTH)
    return text if len(text) <= room else "…" + text[-(room - 1) :]
