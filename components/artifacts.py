"""Artifact types of this project's own, as ML Metadata records them."""

from __future__ import annotations

from tfx.types.artifact import Artifact, Property, PropertyType


class Tokenizer(Artifact):
    """A folder that `tokenizer.loading.load_tokenizer` reads.

    Properties: `kind`; `vocabulary_size`, in ids, as trained, which may be fewer than were
    asked for; `fingerprint`, the SHA-256 of its canonical files.
    """

    TYPE_NAME = "Tokenizer"
    PROPERTIES = {  # noqa: RUF012  (TFX reads plain class attributes)
        "kind": Property(type=PropertyType.STRING),
        "vocabulary_size": Property(type=PropertyType.INT),
        "fingerprint": Property(type=PropertyType.STRING),
    }


class MeterBlessing(Artifact):
    """MeterValidator's verdict: `blessed` is 1 where every count was right, else 0."""

    TYPE_NAME = "MeterBlessing"
    PROPERTIES = {  # noqa: RUF012
        "blessed": Property(type=PropertyType.INT),
    }
