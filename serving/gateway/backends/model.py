"""A model as the gateway sees it: which version serves whom, and its answers.

A request names the version that it is for, so that the counts are known to be that version's,
in the moment in which a label moves too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serving.gateway.backends.canary import Canary
from serving.gateway.backends.errors import BackendError, broken, refusal
from serving.gateway.backends.replicas import Replicas
from serving.gateway.backends.server import Replica
from serving.gateway.backends.waiting import ModelWait
from serving.gateway.errors import GatewayError, NoServerUpError, overloaded
from serving.gateway.ports import ServedVersion, VersionGoneError
from serving.protocol.errors import BadAnswerError
from serving.protocol.metered import (
    count_inputs,
    summaries,
    summary_inputs,
    token_counts,
)
from serving.version_folders import complete_versions, version_folder
from tokenizer.contract import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    ContractError,
    MeteredSummary,
    MeteringRecord,
)

_LOG = logging.getLogger(__name__)

POLL_EVERY_S: Final = 1.0
MODEL_WAIT_S: Final = 60.0
"""How long a gateway's requests wait where none of its model servers is up, unless it says."""
MAX_EXPECTED: Final = 5
"""So many versions are expected at most while it is not known which one serves."""
_POLL_TIMEOUT_S: Final = 5.0


class ServedModel:
    """One model, on any number of servers. It is used in one event loop."""

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        model_dir: Path,
        label: str | None = None,
        canary: Canary | None = None,
        timeout_s: float = 60.0,
        poll_every_s: float = POLL_EVERY_S,
        wait_s: float = 0.0,
    ) -> None:
        """
        Args:
          urls: addresses of the servers, such as ``http://127.0.0.1:8501`` for REST or
            ``grpc://127.0.0.1:8500``.
          model_dir: folder of the version folders, whose ``metering.json`` is read.
          label: the version that clients are answered by; None for the newest.
          canary: the tenants that are answered by another label's version.
          timeout_s: for an answer, whatever has to be tried for it.
          poll_every_s: how often each server is polled.
          wait_s: how long a request that finds no server up waits for one; 0: not at all.

        Raises:
          BackendError: no URL, one that is not valid, a canary without a label, no time
            between two health checks, or a time to wait that is not valid.
        """
        if not 0 < poll_every_s < math.inf:
            raise BackendError(
                "The interval between health checks of model servers must be more than 0 "
                f"seconds. Received: {poll_every_s}."
            )
        if not 0 <= wait_s < math.inf:
            raise BackendError(
                "The time that a request waits for a model server must be 0 seconds or more. "
                f"Received: {wait_s}."
            )
        if not urls:
            raise BackendError("At least one URL of a model server is required.")
        if canary is not None and not label:
            raise BackendError(
                f"The canary label {canary.label!r} needs a label for the version of all "
                "other tenants, because the newest version would often be the canary "
                "itself."
            )
        self.name = name
        self._timeout_s = timeout_s
        self._label = label
        self._canary = canary
        self._model_dir = model_dir
        labels = [each for each in (label, canary.label if canary else None) if each]
        timeout = min(_POLL_TIMEOUT_S, timeout_s)
        self.replicas = Replicas(
            [Replica(url, name, labels, timeout) for url in urls], poll_every_s
        )
        self.wait = ModelWait(lambda: self.replicas.up(label), self.replicas.under_way, wait_s)
        self._versions: dict[int, ServedVersion] = {}

    async def close(self) -> None:
        await self.wait.close()
        await self.replicas.close()

    async def poll(self) -> None:
        """Poll the servers now, and from now on. One that does not answer is no error."""
        await self.replicas.poll()

    async def problem(self) -> str | None:
        """Why no healthy server has a version that serves requests; None where one has."""
        try:
            version = await self.version()
        except GatewayError as error:
            return f"{error.message} {self.replicas.why_not()}"
        if not any(replica.has(version.number) for replica in self.replicas.healthy()):
            return f"No model server is healthy ({self.replicas.why_not()})."
        return None

    async def version(self, tenant: str | None = None, fresh: bool = False) -> ServedVersion:
        """The version that answers a tenant now. Waits for no server but the first time.

        Args:
          tenant: None for one that is not on the canary.
          fresh: poll the servers first.

        Raises:
          NoServerUpError: no server has one.
        """
        number = None if fresh else self._number(tenant)
        if number is None:
            await self.replicas.poll()
            number = self._number(tenant)
        if number is None:
            which = f"the version {self._label!r}" if self._label else "a version"
            raise NoServerUpError(
                f"No model server currently has {which} of {self.name}. Try again in a moment."
            )
        return self._versions.get(number) or await self._load(number)

    def expected(self) -> list[int]:
        """The versions that requests may be answered by: those that serve now; while none does,
        those of the folder of versions that may be loaded, the newest first.

        It may read the folder: not for an event loop.
        """
        labels = [self._label, *([self._canary.label] if self._canary else [])]
        serving = {self.replicas.serving_version(label) for label in labels} - {None}
        if serving:
            return sorted(number for number in serving if number is not None)
        # Which one a label will mean is not known before a server says so.
        most = MAX_EXPECTED if self._label else 1
        return sorted(complete_versions(self._model_dir), reverse=True)[:most]

    def deadline(self) -> float:
        """Until when a request that begins now is waited for, as ``time.monotonic()``."""
        return time.monotonic() + self._timeout_s

    async def summarize(
        self, version: ServedVersion, texts: Sequence[str], limit: int, deadline: float
    ) -> list[MeteredSummary]:
        """Summarise texts in one request.

        Args:
          limit: tokens to write for each at most; 0 for the model's own limit.
          deadline: of all that has to be tried; see `deadline`.

        Raises:
          VersionGoneError: no server has the version any more. Nothing was computed.
          NoServerUpError: none could be reached. Nothing was computed.
          GatewayError: no server answers, or the answer is not a metered model's.
        """
        request = summary_inputs(texts, [limit] * len(texts))
        outputs = await self.replicas.predict(version.number, *request, deadline)
        try:
            found = summaries(outputs)
        except BadAnswerError as error:
            raise refusal(error) from None
        for each in found:
            _check_counts(version, each.input_tokens, each.output_tokens, limit)
        return found

    async def count(self, tenant: str, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Input and truncated tokens of texts, by the version that answers the tenant.

        Raises:
          GatewayError: as `summarize`.
        """
        deadline = self.deadline()
        request = count_inputs(texts)
        for fresh in (False, True):
            version = await self.version(tenant, fresh)
            with contextlib.suppress(VersionGoneError):
                outputs = await self.replicas.predict(version.number, *request, deadline)
                counts = token_counts(outputs)
                for each in counts:
                    _check_counts(version, each.input_tokens, 0, 0)
                return [(each.input_tokens, each.truncated_tokens) for each in counts]
        raise overloaded("The model's versions change too fast. Try again in a moment.")

    def _number(self, tenant: str | None) -> int | None:
        canary = self._canary
        if canary is not None and tenant is not None and canary.takes(self.name, tenant):
            number = self.replicas.serving_version(canary.label)
            if number is not None:
                return number
        return self.replicas.serving_version(self._label)

    async def _load(self, number: int) -> ServedVersion:
        try:
            folder = await asyncio.to_thread(version_folder, self._model_dir, number)
            record = await asyncio.to_thread(MeteringRecord.load, folder)
        except (ContractError, OSError) as error:
            raise broken(str(error)) from None
        self._versions[number] = ServedVersion(self.name, number, record)
        return self._versions[number]


def _check_counts(version: ServedVersion, read: int, written: int, limit: int) -> None:
    """Refuse counts that the model cannot have made, by what it says of itself: they would be
    charged for.

    Args:
      limit: of output tokens that was asked for; 0 for the model's own.

    Raises:
      GatewayError: 502, a count is above the metering record or the limit.
    """
    metering = version.metering
    writes = min(limit or metering.max_output_tokens, metering.max_output_tokens)
    for name, count, most in (
        (INPUT_TOKENS, read, metering.max_input_tokens),
        (OUTPUT_TOKENS, written, writes),
    ):
        if count > most:
            _LOG.error(
                "%s counted %s %s. Expected: at most %s, by its metering record and the "
                "request's limit. Nothing is charged. Check that the model servers serve what "
                "is in the folder of versions.",
                version.full_name,
                count,
                name,
                most,
            )
            raise broken(f"{name} is {count}. Expected: at most {most}")
