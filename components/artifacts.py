"""This project's own artifact types, as ML Metadata records them."""

from __future__ import annotations

from tfx.types.artifact import Artifact, Property, PropertyType


class Tokenizer(Artifact):
    """A folder that `tokenizer.loading.load_tokenizer` reads.

    Properties: `kind`; `vocabulary_size`, in ids, as trained, which may be fewer than
    requested; `fingerprint`, the SHA-256 of its canonical files.
    """

    TYPE_NAME = "Tokenizer"
    PROPERTIES = {  # noqa: RUF012  (TFX reads plain class attributes)
        "kind": Property(type=PropertyType.STRING),
        "vocabulary_size": Property(type=PropertyType.INT),
        "fingerprint": Property(type=PropertyType.STRING),
    }


class MeterBlessing(Artifact):
    """MeterValidator's verdict: `blessed` is 1 if every count was right, else 0."""

    TYPE_NAME = "MeterBlessing"
    PROPERTIES = {  # noqa: RUF012
        "blessed": Property(type=PropertyType.INT),
    }


class PromotionBlessing(Artifact):
    """Promoter's verdict: `blessed` is 1 if the model is the champion, else 0.

    Properties: `registry`, `model_name` and `version` are where it is registered (version 0:
    not registered, because a validator did not bless it); `outcome` is ``champion``,
    ``challenger``, ``refused`` or ``not_blessed``.
    """

    TYPE_NAME = "PromotionBlessing"
    PROPERTIES = {  # noqa: RUF012
        "blessed": Property(type=PropertyType.INT),
        "registry": Property(type=PropertyType.STRING),
        "model_name": Property(type=PropertyType.STRING),
        "version": Property(type=PropertyType.INT),
        "outcome": Property(type=PropertyType.STRING),
    }


class GateReport(Artifact):
    """What a run on a cluster decided to do, before anything is trained.

    Properties: `todo` is ``train``, ``nothing`` or ``stop``; `spans` are the numbers of the
    spans to train on, such as ``3,4``; `start_from` is the registry's alias of the version that
    training starts from, empty for random weights.
    """

    TYPE_NAME = "GateReport"
    PROPERTIES = {  # noqa: RUF012
        "todo": Property(type=PropertyType.STRING),
        "spans": Property(type=PropertyType.STRING),
        "start_from": Property(type=PropertyType.STRING),
    }
