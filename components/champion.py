"""Finds the model that a candidate has to beat."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.types import standard_artifacts

CANDIDATE_KEY = "candidate"


class ChampionStrategy(LatestBlessedModelStrategy):
    """The latest blessed model that is older than the candidate.

    TFX's own strategy takes the latest blessed model of all. On a second run of an
    unchanged pipeline that is the candidate itself: it would be compared with itself, the
    Evaluator's inputs would have changed, and what follows it would run and push again.

    Inputs: `model` (Model), `model_blessing` (ModelBlessing), `candidate` (Model, one).
    Resolves to `model` and `model_blessing`, each empty if there is no champion yet.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        candidates = input_dict.get(CANDIDATE_KEY) or []
        earlier = {
            key: list(value) for key, value in input_dict.items() if key != CANDIDATE_KEY
        }
        if candidates:
            earlier["model"] = [a for a in earlier["model"] if a.id < candidates[0].id]
        resolved = super().resolve_artifacts(store, earlier)
        return None if resolved is None else {**resolved, CANDIDATE_KEY: candidates}


def champion_resolver(candidate: types.BaseChannel) -> resolver.Resolver:
    """Return a Resolver node whose output `model` is the champion.

    Args:
      candidate: channel of the metered Model to be evaluated.
    """
    return resolver.Resolver(
        strategy_class=ChampionStrategy,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        candidate=candidate,
    ).with_id("ChampionResolver")
