"""The labels of a model's versions, and how promotions and rollbacks change them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from serving.succession import Succession

STABLE: Final = "stable"
"""Label of the version that serves clients."""
CANARY: Final = "canary"
"""Label of the version that serves a share of the clients, for a trial."""
PREVIOUS: Final = "previous"
"""Label of the version that was stable before. It stays loaded, so a rollback needs no
loading."""

Labels = Mapping[str, int]

_SUCCESSION: Final = Succession(current=STABLE, trial=CANARY, previous=PREVIOUS)
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class LabelError(ValueError):
    """The change of labels is not possible; the message says what to do."""


def labelled(labels: Labels, label: str, version: int) -> dict[str, int]:
    """Return the labels with one moved to a version.

    Raises:
      LabelError: the label cannot be used in a URL, or is one that `promoted` manages.
    """
    if not _LABEL.fullmatch(label):
        raise LabelError(
            "A label must be at most 100 letters, digits, '_', '.' and '-', and begin with "
            f"a letter or digit. Received: {label!r}"
        )
    if label in (STABLE, PREVIOUS):
        raise LabelError(f"The label {label!r} can be moved only by a promotion or a rollback.")
    return {**labels, label: version}


def unlabelled(labels: Labels, label: str) -> dict[str, int]:
    """Return the labels without one of them.

    Raises:
      LabelError: there is no such label, or it is the stable one.
    """
    if label not in labels:
        raise LabelError(f"There is no label {label!r}. Existing labels: {_names(labels)}.")
    if label == STABLE:
        raise LabelError("The label 'stable' cannot be removed because clients use it.")
    return {name: version for name, version in labels.items() if name != label}


def promoted(labels: Labels, version: int | None = None) -> dict[str, int]:
    """Return the labels with a version as the stable one, and the old stable one as the
    previous one.

    Args:
      version: None for the canary.

    Raises:
      LabelError: it is already stable, or there is no canary.
    """
    if version is None:
        if CANARY not in labels:
            raise LabelError(
                "There is no canary to promote. Give a version, or label one 'canary' first."
            )
        version = labels[CANARY]
    if labels.get(STABLE) == version:
        raise LabelError(f"Version {version} is already the stable one.")
    return _SUCCESSION.promoted(labels, version)


def rolled_back(labels: Labels) -> dict[str, int]:
    """Return the labels with the previous version as the stable one; the old stable one has no
    label.

    Raises:
      LabelError: there is no previous version.
    """
    if PREVIOUS not in labels:
        raise LabelError(
            "There is no previous version to roll back to: nothing has been promoted since "
            f"the last rollback. Existing labels: {_names(labels)}. Promote the version "
            "that you want."
        )
    return _SUCCESSION.rolled_back(labels)


def _names(labels: Labels) -> str:
    return (
        ", ".join(f"{name} ({version})" for name, version in sorted(labels.items())) or "none"
    )
