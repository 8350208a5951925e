"""A client of a metered model, over REST or gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self, TypeVar

import tenacity

from serving.protocol.errors import (
    BadAnswerError,
    ClientError,
    RefusedError,
    TooSlowError,
    UnreachableError,
)
from serving.protocol.exchange import (
    Connection,
    Exchange,
    ModelMetadata,
    Target,
    VersionStatus,
)
from serving.protocol.metered import (
    TokenCount,
    count_inputs,
    summaries,
    summary_inputs,
    token_counts,
)
from serving.protocol.statuses import Kind
from tokenizer.contract import MeteredSummary

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MODEL = "summarizer"
DEFAULT_RETRIES = 2
_LONGEST_PAUSE_S: Final = 5.0
T = TypeVar("T")


class ModelClient:
    """A client of one model, for any number of threads. As a context manager it is closed on
    exit.

    Every method that calls the server may raise ``UnreachableError``, ``RefusedError`` or
    ``BadAnswerError``.
    """

    def __init__(
        self,
        connection: Connection,
        address: str,
        model: str,
        version: int | None,
        label: str | None,
        timeout_s: float,
        retries: int,
    ) -> None:
        """
        Args:
          connection: to the server; it is closed with the client.
          address: the server's, for messages.
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
            connection.close()
            raise ClientError(
                f"Give either a version or a label. Received: version {version} and label "
                f"{label!r}."
            )
        self.model = model
        self.version = version
        self.label = label
        self._connection = connection
        self._address = address
        self._target = Target(model, version, label)
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
        limits = None if max_output_tokens is None else _limits(max_output_tokens, len(texts))
        signature, inputs = summary_inputs(_texts(texts), limits)
        predict = self._connection.api.predict(self._target, signature, inputs)
        return summaries(self._retrying(predict, costs=True))

    def count_tokens(self, texts: Sequence[str | bytes]) -> list[TokenCount]:
        """Count texts' tokens without summarising them, in one request."""
        if not texts:
            return []
        signature, inputs = count_inputs(_texts(texts))
        return token_counts(
            self._retrying(self._connection.api.predict(self._target, signature, inputs))
        )

    def model_status(self) -> list[VersionStatus]:
        """Return the state of the model's versions, newest first."""
        return self._retrying(self._connection.api.status(self._target))

    def metadata(self) -> ModelMetadata:
        """Return the signatures of the version that would serve a request."""
        return self._retrying(self._connection.api.metadata(self._target))

    def close(self) -> None:
        """Close all connections. No method may be called afterwards."""
        self._connection.close()

    def _retrying(self, exchange: Exchange[T], costs: bool = False) -> T:
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
        return retrying(lambda: self._ask(exchange))

    def _ask(self, exchange: Exchange[T]) -> T:
        try:
            return self._connection.ask(exchange, self.timeout_s)
        except TooSlowError as error:
            raise TooSlowError(
                f"{self._address} did not respond within {self.timeout_s:g} s ({error}). Check "
                "that the model server is running there, send fewer or shorter texts, or allow "
                "more time.",
                error.was_sent,
            ) from None
        except UnreachableError as error:
            raise UnreachableError(
                f"{self._address} cannot be reached ({error}). Check that the model server is "
                "running there.",
                error.was_sent,
            ) from None
        except BadAnswerError as error:
            raise BadAnswerError(f"Bad answer of {self._address}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RestClient(ModelClient):
    """Calls a model server over REST."""

    def __init__(
        self,
        base_url: str,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """
        Args:
          base_url: such as ``http://127.0.0.1:8501``.
        """
        from serving.protocol.http_sync import HttpConnection

        connection = HttpConnection(base_url)
        super().__init__(connection, base_url, model, version, label, timeout_s, retries)


class GrpcClient(ModelClient):
    """Calls a model server over gRPC."""

    def __init__(
        self,
        address: str,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """
        Args:
          address: such as ``127.0.0.1:8500``.

        Raises:
          ClientError: grpcio or protobuf is not installed.
        """
        try:
            from serving.protocol.grpc_sync import GrpcConnection
        except ImportError as error:
            raise ClientError(
                f"gRPC needs a package that is not installed ({error}). Install "
                "tallygraph[gateway], or use RestClient."
            ) from error
        connection = GrpcConnection(address)
        super().__init__(connection, address, model, version, label, timeout_s, retries)


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
