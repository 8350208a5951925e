"""Where a model comes from: the artifacts it was made of, back to the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipelines.report.run_records import ArtifactRecord, ExecutionRecord, RunRecords

# What a model is made of. Verdicts and statistics say something of it and change nothing.
_MADE_OF: Final = frozenset({"PushedModel", "Model", "TransformGraph", "Tokenizer", "Examples"})
# Where an ExampleGen of TFX's or of ours keeps what it reads, in order of preference.
_CORPUS_PROPERTIES: Final = ("corpus", "input_base")

CORPUS: Final = "Corpus"


@dataclass(frozen=True, slots=True)
class LineageItem:
    """An artifact that the model comes of, or the corpus itself.

    Attributes:
      key: unique in a lineage; ``artifact-<id>``, or ``corpus``.
      title: what it is, such as "Transform graph".
      type: type of the artifact, or `CORPUS`.
      uri: where it is.
      made_by: node and execution that made it, such as "Trainer, execution 7".
      made_ms: when, in milliseconds since 1970; None for the corpus.
      properties: such as the tokenizer's fingerprint.
      made_of: keys of the items it was made of.
    """

    key: str
    title: str
    type: str
    uri: str
    made_by: str
    made_ms: int | None
    properties: Mapping[str, str | int | float]
    made_of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Items from the model down to the corpus; each before what it was made of."""

    items: tuple[LineageItem, ...]

    def layers(self) -> tuple[tuple[LineageItem, ...], ...]:
        """The items by their distance from the model, the longest way; a layer by titles."""
        depth = dict.fromkeys((item.key for item in self.items), 0)
        for item in self.items:
            for key in item.made_of:
                depth[key] = max(depth[key], depth[item.key] + 1)
        return tuple(
            tuple(
                sorted(
                    (item for item in self.items if depth[item.key] == level),
                    key=lambda item: (item.title, item.key),
                )
            )
            for level in range(max(depth.values(), default=-1) + 1)
        )

    def direct_edges(self) -> tuple[tuple[str, str], ...]:
        """(item, what it was made of) without what another way says already."""
        by_key = {item.key: item for item in self.items}

        def reaches(start: str, goal: str) -> bool:
            return any(key == goal or reaches(key, goal) for key in by_key[start].made_of)

        return tuple(
            (item.key, key)
            for item in self.items
            for key in item.made_of
            if not any(reaches(other, key) for other in item.made_of if other != key)
        )


def trace(records: RunRecords, artifact: ArtifactRecord) -> Lineage:
    """The lineage of an artifact.

    Every artifact is followed to the execution that made it, also into earlier runs whose
    results were reused.
    """
    items: dict[str, LineageItem] = {}
    _visit(records, artifact, items)
    order: list[str] = []
    _post_order(_key(artifact), items, order)
    return Lineage(tuple(items[key] for key in reversed(order)))


def _visit(
    records: RunRecords, artifact: ArtifactRecord, items: dict[str, LineageItem]
) -> None:
    if _key(artifact) in items:
        return
    maker = records.maker(artifact)
    if maker:
        # Under the name its maker gave it, not under that of the input it was read as.
        artifact = next(found for found in maker.outputs if found.id == artifact.id)
    sources = [found for found in maker.inputs if found.type in _MADE_OF] if maker else []
    made_of = [_key(source) for source in sources]
    corpus = _corpus(maker) if maker and artifact.type == "Examples" and not sources else None
    if corpus:
        items[corpus.key] = corpus
        made_of.append(corpus.key)
    items[_key(artifact)] = LineageItem(
        key=_key(artifact),
        title=_title(artifact),
        type=artifact.type,
        uri=artifact.uri,
        made_by=f"{maker.node_id}, execution {maker.id}" if maker else "not recorded",
        made_ms=maker.ended_ms if maker else None,
        properties=artifact.properties,
        made_of=tuple(dict.fromkeys(made_of)),
    )
    for source in sources:
        _visit(records, source, items)


def _corpus(maker: ExecutionRecord) -> LineageItem | None:
    for name in _CORPUS_PROPERTIES:
        if path := maker.properties.get(name):
            return LineageItem(
                key="corpus",
                title="Corpus",
                type=CORPUS,
                uri=str(path),
                made_by=f"read by {maker.node_id}, execution {maker.id}",
                made_ms=None,
                properties={},
                made_of=(),
            )
    return None


def _post_order(key: str, items: dict[str, LineageItem], order: list[str]) -> None:
    for source in items[key].made_of:
        if source not in order:
            _post_order(source, items, order)
    order.append(key)


def _key(artifact: ArtifactRecord) -> str:
    return f"artifact-{artifact.id}"


def _title(artifact: ArtifactRecord) -> str:
    """The output's own name says more than its type: there are three kinds of Model."""
    title = "trained model" if artifact.key == "model" else artifact.key or artifact.type
    return title.replace("_", " ").capitalize()
