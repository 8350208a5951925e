"""The interface of a client of a metered model, independent of the protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import tenacity

from serving.protocol.errors import (
    BadAnswerError,
    ClientError,
    RefusedError,
    UnreachableError,
)
from serving.protocol.statuses import Kind
from tokenizer.contract import (
    COUNT_OUTPUTS,
    INPUT_MAX_OUTPUT_TOKENS,
    INPUT_TEXT,
    OUTPUT_DTYPES,
    SIGNATURE_COUNT_TOKENS,
    SIGNATURE_DEFAULT,
    SIGNATURE_SUMMARIZE,
    ContractError,
    MeteredSummary,
)

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MODEL = "summarizer"
DEFAULT_RETRIES = 2
_LONGEST_PAUSE_S: Final = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The tokens that a text would be billed for, without running the model.

    Attributes:
      input_tokens: ids of the text that the encoder would read.
      truncated_tokens: ids that would be cut off and not billed.
    """

    input_tokens: int
    truncated_tokens: int


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


class ModelClient(ABC):
    """A client of one model. As a context manager it is closed on exit.

    Every method that calls the server may raise ``UnreachableError``, ``RefusedError`` or
    ``BadAnswerError``.
    """

    def __init__(
        self,
        model: str,
        version: int | None,
        label: str | None,
        timeout_s: float,
        retries: int,
    ) -> None:
        """
        Args:
          model: the model's name.
          version: use this version; None for the label's.
          label: use the version with this label; without version and label, the newest.
          timeout_s: longest wait for each response, in seconds.
          retries: number of retries, after a moment, where they are safe: if the request was
            not computed, because it did not arrive or the server said that it is too busy; and
            in any case for requests that cost almost nothing (everything except ``summarize``).

        Raises:
          ClientError: both a version and a label are given.
        """
        if version is not None and label is not None:
            raise ClientError(
                f"Give either a version or a label. Received: version {version} and label "
                f"{label!r}."
            )
        self.model = model
        self.version = version
        self.label = label
        self.timeout_s = timeout_s
        self.retries = retries

    def summarize(
        self,
        texts: Sequence[str | bytes],
        max_output_tokens: int | Sequence[int] | None = None,
    ) -> list[MeteredSummary]:
        """Summarise texts, in one request.

        Args:
          texts: the texts; ``bytes`` are sent unchanged, valid UTF-8 or not.
          max_output_tokens: maximum number of output tokens, for all or for each text; 0 or
            None for the model's own limit.

        Returns:
          A summary for each text, in order; none for no texts, without calling the server.
        """
        if not texts:
            return []
        inputs: dict[str, list[Any]] = {INPUT_TEXT: _texts(texts)}
        signature = SIGNATURE_DEFAULT
        if max_output_tokens is not None:
            inputs[INPUT_MAX_OUTPUT_TOKENS] = _limits(max_output_tokens, len(texts))
            signature = SIGNATURE_SUMMARIZE
        rows = self._retrying(
            lambda: self._rows(signature, inputs, tuple(OUTPUT_DTYPES)), costs=True
        )
        try:
            return [MeteredSummary.from_row(row) for row in rows]
        except ContractError as error:
            raise BadAnswerError(str(error)) from error

    def count_tokens(self, texts: Sequence[str | bytes]) -> list[TokenCount]:
        """Count texts' tokens without summarising them, in one request."""
        if not texts:
            return []
        inputs = {INPUT_TEXT: _texts(texts)}
        rows = self._retrying(lambda: self._rows(SIGNATURE_COUNT_TOKENS, inputs, COUNT_OUTPUTS))
        return [TokenCount(**row) for row in rows]

    def model_status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, newest first."""
        return self._retrying(self._model_status)

    def metadata(self) -> ModelMetadata:
        """Return the signatures of the version that would serve a request."""
        return self._retrying(self._metadata)

    @abstractmethod
    def _model_status(self) -> list[VersionStatus]: ...

    @abstractmethod
    def _metadata(self) -> ModelMetadata: ...

    @abstractmethod
    def close(self) -> None:
        """Close all connections. No method may be called afterwards."""

    @abstractmethod
    def _predict(
        self, signature: str, inputs: Mapping[str, list[Any]], names: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        """Run a signature: a list of one value a row in, the same for each output out.

        Of outputs that are not in ``names``, only the name matters.
        """

    def _retrying(self, ask: Callable[[], T], costs: bool = False) -> T:
        """Ask, and again where that is safe.

        Args:
          costs: whether the server works hard for the answer, so that nothing is computed
            twice for it.
        """

        def is_safe(error: BaseException) -> bool:
            if isinstance(error, RefusedError):
                return error.kind is Kind.BUSY
            return isinstance(error, UnreachableError) and not (costs and error.was_sent)

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(1 + self.retries),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE_S),
            retry=tenacity.retry_if_exception(is_safe),
            reraise=True,
        )
        return retrying(ask)

    def _rows(
        self, signature: str, inputs: Mapping[str, list[Any]], names: tuple[str, ...]
    ) -> list[dict[str, Any]]:
        outputs = self._predict(signature, inputs, names)
        if missing := [name for name in names if name not in outputs]:
            raise BadAnswerError(
                f"The response of {self.model}'s signature {signature} lacks "
                f"{', '.join(missing)}. Received: "
                f"{', '.join(sorted(outputs)) or 'nothing'}. Check that the served model is "
                "metered."
            )
        count = len(inputs[INPUT_TEXT])
        if wrong := {name: len(outputs[name]) for name in names if len(outputs[name]) != count}:
            raise BadAnswerError(
                f"Every output must have a row for each text. Expected: {count}. Received: "
                f"{wrong}."
            )
        return [{name: outputs[name][row] for name in names} for row in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def dtype_name(data_type: str) -> str:
    """``DT_STRING`` as ``string``, ``DT_FLOAT`` as ``float32``, and so on."""
    name = data_type.removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _texts(texts: Sequence[str | bytes]) -> list[str | bytes]:
    if isinstance(texts, str | bytes):
        raise ClientError("texts must be a list of texts. Received: a single text.")
    for index, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise ClientError(
                f"Text {index} must be str or bytes. Received: {type(text).__name__}."
            )
        if isinstance(text, str) and any("\ud800" <= c <= "\udfff" for c in text):
            raise ClientError(
                f"Text {index} has a lone surrogate, which cannot be encoded. Send bytes, "
                "or replace it."
            )
    return list(texts)


def _limits(limit: int | Sequence[int], count: int) -> list[int]:
    limits = [limit] * count if isinstance(limit, int) else list(limit)
    if len(limits) != count:
        raise ClientError(
            "max_output_tokens must be one number, or one for each text. Expected: "
            f"{count}. Received: {len(limits)}."
        )
    if wrong := [value for value in limits if not 0 <= value < 2**31]:
        raise ClientError(
            f"max_output_tokens must be at least 0 (0 for no limit). Received: {wrong[0]}."
        )
    return limits
