"""ChampionLookup: the model that a candidate has to beat, from the model registry."""
