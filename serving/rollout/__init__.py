"""Which versions of a model are served, and under which labels.

rollout = Rollout(ModelConfigFile(path), "summarizer", ModelServers(["127.0.0.1:8500"]))
rollout.label("canary", 1764037200)
rollout.promote(1764037200)
rollout.roll_back()
"""

from serving.rollout.labels import CANARY, PREVIOUS, STABLE, LabelError
from serving.rollout.retention import prune
from serving.rollout.rollout import Change, Rollout, RolloutError
from serving.rollout.servers import ModelServers, ServerError

__all__ = [
    "CANARY",
    "PREVIOUS",
    "STABLE",
    "Change",
    "LabelError",
    "ModelServers",
    "Rollout",
    "RolloutError",
    "ServerError",
    "prune",
]
