"""The routes: each reads a request, calls a service, and renders what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.gateway.admission import Admission, Callers
from serving.gateway.api_keys import COUNT_TOKENS, MODELS, SUMMARIES, USAGE
from serving.gateway.draining import Drain
from serving.gateway.errors import GatewayError
from serving.gateway.http import render
from serving.gateway.http.delivery import DeliveredResponse, Sale, sell
from serving.gateway.http.openai_schemas import (
    ChatRequest,
    CompletionRequest,
    ResponsesRequest,
)
from serving.gateway.http.openapi import openapi_document
from serving.gateway.http.parse import idempotency_key, month, read_body
from serving.gateway.http.render_responses import response_events, response_of
from serving.gateway.http.schemas import CountRequest, SummariesRequest
from serving.gateway.ops.metrics import CONTENT_TYPE, Metrics
from serving.gateway.ops.observed import VersionTally
from serving.gateway.ops.request_record import current
from serving.gateway.ops.tracing import NO_TRACES, Tracer
from serving.gateway.ports import SummaryRequest
from serving.gateway.service import SummaryService
from serving.gateway.tenants import Caller, KeyRefusedError

_CHALLENGE: Final = 'Bearer realm="tallygraph"'

Step = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Gateway:
    """What the application works with.

    Attributes:
      services: by the name of the model.
      usage: what a caller has used in a month, such as ``2026-11``; None for this one.
      readiness: whether requests can be taken: its ``status``, and what is in the way.
      model_servers: whether one is up that serves requests: its ``status``, and each server.
      tally: of what each version answers and fails at.
      drain: whether the gateway is going to end.
      on_start: begun before the first request; see `serving.gateway.http.app.FIRST_POLL_S`.
      on_close: gives back what the gateway holds.
      cors_origins: whose pages may call the API from a browser; ``*`` for all.
    """

    services: Mapping[str, SummaryService]
    callers: Callers
    admission: Admission
    metrics: Metrics
    usage: Callable[[Caller, str | None], Awaitable[Mapping[str, Any]]]
    readiness: Callable[[], Awaitable[Mapping[str, Any]]]
    model_servers: Callable[[], Awaitable[Mapping[str, Any]]]
    tally: VersionTally
    tracer: Tracer = NO_TRACES
    on_start: Sequence[Step] = ()
    on_close: Step = _nothing
    cors_origins: Sequence[str] = ()
    drain: Drain = field(default_factory=Drain)


class Routes:
    """The gateway's API."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def public(self) -> list[Route]:
        """What clients may call, as `openapi.py` describes it."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/responses", self.responses, methods=["POST"]),
            Route("/v1/summaries", self.summaries, methods=["POST"]),
            Route("/v1/count_tokens", self.count_tokens, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{model}", self.model),
            Route("/v1/usage", self.usage),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
        ]

    def private(self) -> list[Route]:
        """What shows tenants, money and machines: for those who run the gateway."""
        return [
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/model-servers", self.model_servers),
        ]

    async def chat(self, request: Request) -> Response:
        """OpenAI's chat completions: the document is the last message of the user."""
        caller = await self._caller(request, SUMMARIES)
        identity, body = await read_body(request, ChatRequest)
        asked = _asked(request, body, identity)
        service = self._service(caller, body.model)
        sale = await sell(request, service, caller, asked, render.chat_completion)
        events = (
            render.chat_chunks(sale.answer.body, body.includes_usage()) if body.stream else None
        )
        return _response(service, sale, events)

    async def completions(self, request: Request) -> Response:
        """OpenAI's older completions: the document is the prompt."""
        caller = await self._caller(request, SUMMARIES)
        identity, body = await read_body(request, CompletionRequest)
        asked = _asked(request, body, identity)
        service = self._service(caller, body.model)
        sale = await sell(request, service, caller, asked, render.text_completion)
        events = (
            render.text_chunks(sale.answer.body, body.includes_usage()) if body.stream else None
        )
        return _response(service, sale, events)

    async def responses(self, request: Request) -> Response:
        """OpenAI's responses: the document is the input, or its last message of the user."""
        caller = await self._caller(request, SUMMARIES)
        identity, body = await read_body(request, ResponsesRequest)
        asked = _asked(request, body, identity)
        service = self._service(caller, body.model)
        rendered = response_of(body, body.truncation or service.truncation)
        sale = await sell(request, service, caller, asked, rendered)
        events = response_events(sale.answer.body) if body.stream else None
        return _response(service, sale, events)

    async def summaries(self, request: Request) -> Response:
        """The contract's own fields, for one text or many."""
        caller = await self._caller(request, SUMMARIES)
        identity, body = await read_body(request, SummariesRequest)
        asked = SummaryRequest(
            body.texts(),
            body.max_output_tokens or 0,
            identity,
            request.scope["path"],
            idempotency_key(request),
            body.truncation,
        )
        service = self._service(caller, body.model)
        sale = await sell(request, service, caller, asked, render.summaries)
        return _response(service, sale)

    async def count_tokens(self, request: Request) -> Response:
        """The tokens that texts would be billed for."""
        caller = await self._caller(request, COUNT_TOKENS)
        _, body = await read_body(request, CountRequest)
        counts = await self._service(caller, body.model).count(caller, body.texts())
        rows = [{"input_tokens": read, "truncated_tokens": cut} for read, cut in counts]
        return _json({"model": body.model, "counts": rows})

    async def models(self, request: Request) -> Response:
        """The models that the key may use."""
        caller = await self._caller(request, MODELS)
        names = sorted(name for name in self._gateway.services if caller.may_ask(name))
        return _json({"object": "list", "data": [_model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        caller = await self._caller(request, MODELS)
        name = request.path_params["model"]
        self._service(caller, name)
        return _json(_model(name))

    async def usage(self, request: Request) -> Response:
        """What the tenant has used in a month."""
        caller = await self._caller(request, USAGE)
        return _json(await self._gateway.usage(caller, month(request)))

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        page = await run_in_threadpool(self._gateway.metrics.page)
        return Response(page, media_type=CONTENT_TYPE)

    async def healthz(self, request: Request) -> Response:
        """The process is alive."""
        return _json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Requests can be taken; if not, what is in the way. It says nothing of model servers:
        what finds none waits for one."""
        if self._gateway.drain.begun:
            return _json({"status": "ending", "problems": []}, 503, {"Retry-After": "1"})
        return _status(await self._gateway.readiness(), "ready")

    async def model_servers(self, request: Request) -> Response:
        """Each model server as it was last heard of, and whether one serves requests."""
        return _status(await self._gateway.model_servers(), "up")

    async def openapi(self, request: Request) -> Response:
        """The description of this API."""
        return _json(openapi_document())

    async def _caller(self, request: Request, scope: str) -> Caller:
        """Who sends the request, admitted.

        Args:
          scope: what the key must be for, see `serving.gateway.api_keys.SCOPES`.

        Raises:
          GatewayError: 401, nobody that is known, or a key that has expired; 403, one that is
            suspended, or for something else; 503, somebody with too much under way.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer"
        try:
            caller = await self._gateway.callers.find(key.strip()) if bearer else None
        except KeyRefusedError as error:
            raise _refused_key(error) from None
        if caller is None:
            raise _unauthenticated(
                "invalid_api_key",
                "The API key is missing, unknown or revoked. Expected: the header "
                "'Authorization: Bearer tg_…'.",
            )
        record = current()
        record.tenant = caller.tenant
        if not caller.may_use(scope):
            raise GatewayError(
                403,
                f"The API key {caller.key_id} is not for this. Expected: the scope {scope!r}. "
                f"It has: {', '.join(sorted(caller.scopes))}. Use another key, or have the "
                "scope added.",
                "permission_error",
                "insufficient_scope",
            )
        self._gateway.admission.admit(caller.tenant)
        record.admitted = True
        return caller

    def _service(self, caller: Caller, model: str) -> SummaryService:
        """The service of a model that the caller may ask.

        Raises:
          GatewayError: 404, as if there were no such model.
        """
        service = self._gateway.services.get(model)
        if service is None or not caller.may_ask(model):
            raise GatewayError(
                404, f"There is no model {model!r}.", code="model_not_found", param="model"
            )
        current().model = model
        return service


def _unauthenticated(code: str, message: str) -> GatewayError:
    return GatewayError(
        401, message, "authentication_error", code, headers={"WWW-Authenticate": _CHALLENGE}
    )


def _refused_key(error: KeyRefusedError) -> GatewayError:
    """What the holder of a key gets that may not be used now."""
    if error.code == "api_key_expired":
        return _unauthenticated(error.code, str(error))
    return GatewayError(403, str(error), "permission_error", error.code)


def _asked(
    request: Request,
    body: ChatRequest | CompletionRequest | ResponsesRequest,
    identity: bytes,
) -> SummaryRequest:
    """What a request in one of OpenAI's shapes asks for: one summary.

    Raises:
      GatewayError: it has no text to summarise, or its idempotency key is not valid.
    """
    return SummaryRequest(
        [body.document()],
        body.limit(),
        identity,
        request.scope["path"],
        idempotency_key(request),
        body.truncation,
    )


def _response(
    service: SummaryService,
    sale: Sale,
    events: Iterator[bytes] | None = None,
) -> Response:
    """An answer, as a whole or as the events of a stream, which are there all at once."""
    answer = sale.answer
    response = Response(
        answer.body if events is None else b"".join(events),
        headers=render.response_headers(answer),
        media_type="application/json" if events is None else "text/event-stream",
    )
    if sale.leaving is None:
        return response
    return DeliveredResponse(response, sale.leaving, service, answer.request_id)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tallygraph"}


def _status(found: Mapping[str, Any], good: str) -> Response:
    """200 where the status is the good one, else 503."""
    if found["status"] == good:
        return _json(found)
    return _json(found, 503, {"Retry-After": "1"})


def _json(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
