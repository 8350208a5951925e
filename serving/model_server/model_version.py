"""The state of a version of a model, from loading to unloading."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from serving.model_server.errors import ServingError
from serving.model_server.saved_model import LoadedModel
from serving.model_server.versions import VersionOnDisk


class State(IntEnum):
    """The states of ``ModelVersionStatus``, with its numbers."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class ModelVersion:
    """A version's state. Guarded by the manager's lock.

    Attributes:
      disk: where it is.
      state: its current state.
      error: why the last attempt to load it failed, or None.
      model: the loaded model, while AVAILABLE or UNLOADING.
      users: requests that are running on it.
      aspired: whether the version policy requests it.
      attempts: number of failed attempts to load it.
      busy: whether a thread is currently loading or closing it.
      retry_at: it is not loaded again before this time (``time.monotonic``).
    """

    disk: VersionOnDisk
    state: State = State.START
    error: ServingError | None = None
    model: LoadedModel | None = None
    users: int = 0
    aspired: bool = True
    attempts: int = 0
    busy: bool = False
    retry_at: float = field(default=0.0)

    @property
    def wants_load(self) -> bool:
        return self.aspired and not self.busy and self.state in (State.START, State.LOADING)

    @property
    def settled(self) -> bool:
        """Whether a first attempt to load it has ended."""
        return self.state in (State.AVAILABLE, State.END) or self.attempts > 0


@dataclass(frozen=True)
class VersionStatus:
    """A version's state, as in the status API."""

    version: int
    state: State
    error: ServingError | None


@dataclass(frozen=True)
class ModelSpec:
    """The model that a request is for: its newest version, a given one, or a label's."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Servable:
    """A model version on which a request is running."""

    name: str
    version: int
    model: LoadedModel

    @property
    def spec(self) -> ModelSpec:
        """Its name and version, for use after it has been released."""
        return ModelSpec(self.name, self.version)
