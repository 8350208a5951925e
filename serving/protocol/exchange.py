"""What is asked of a model server, and how its answer is read: no input, no output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, Self, TypeVar

T = TypeVar("T")

CONNECT_TIMEOUT_S: Final = 5.0
"""A server that takes no `AsyncConnection` in this time counts as unreachable. Not less: where
a burst keeps the event loop busy for seconds, that is no fault of the server's."""

LOADING: Final = "LOADING"
AVAILABLE: Final = "AVAILABLE"
END: Final = "END"
"""States of a version that are asked for."""

Columns = Mapping[str, list[Any]]
"""Of each input or output, a value a row: texts or integers."""


@dataclass(frozen=True, slots=True)
class Target:
    """The model that is asked: a version, or a label's version, or the newest."""

    model: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """The state of a version of the model.

    Attributes:
      state: START, LOADING, AVAILABLE, UNLOADING or END.
      error_code: name of a canonical code; ``OK`` if nothing went wrong.
      error_message: why it could not be loaded; empty if nothing went wrong.
    """

    version: int
    state: str
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class Signature:
    """Names and dtypes (``string``, ``int32``, ...) of a signature's inputs and outputs."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The version that is served, and its signatures."""

    name: str
    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """A request, and what reads its answer.

    Attributes:
      request: in the protocol's shape.
      read: makes the result of an answer in the protocol's shape. It raises `RefusedError` or
        `BadAnswerError`.
    """

    request: Any
    read: Callable[[Any], T]


class Api(Protocol):
    """What both protocols can say. A module is one: `grpc_api`, `rest_api`."""

    def predict(self, target: Target, signature: str, inputs: Columns) -> Exchange[Columns]:
        """Run a signature. Outputs have a row for each row of the inputs, and are checked
        (`metered.checked`)."""

    def status(self, target: Target) -> Exchange[list[VersionStatus]]:
        """The versions of the model, newest first."""

    def metadata(self, target: Target) -> Exchange[ModelMetadata]:
        """The version that would serve a request, and its signatures."""


class Connection(ABC):
    """To one server. Can be shared by threads. As a context manager it is closed on exit.

    Attributes:
      api: makes the exchanges that it sends.
    """

    api: Api

    @abstractmethod
    def ask(self, exchange: Exchange[T], timeout_s: float) -> T:
        """Send a request and read its answer.

        Raises:
          UnreachableError: there was no answer; `TooSlowError` where there was none in time.
          RefusedError: it answered with an error.
          BadAnswerError: its answer is not TensorFlow Serving's, or not a metered model's.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections. No method may be called afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncConnection(ABC):
    """To one server, in one event loop.

    Attributes:
      api: makes the exchanges that it sends.
    """

    api: Api

    @abstractmethod
    async def ask(self, exchange: Exchange[T], deadline: float) -> T:
        """As `Connection.ask`.

        Args:
          deadline: a value of ``time.monotonic()``.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. No method may be called afterwards."""


def dtype_name(data_type: str) -> str:
    """``DT_STRING`` as ``string``, ``DT_FLOAT`` as ``float32``, and so on."""
    name = data_type.removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64"}.get(name, name)
