"""The gateway's ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import request_response

from serving.gateway import answers
from serving.gateway.bodies import idempotency_key, read_body
from serving.gateway.charging import ChargedModel
from serving.gateway.door import Door
from serving.gateway.errors import GatewayError, answer_every_error, bad_request
from serving.gateway.ledger_lag import LedgerLag
from serving.gateway.metrics import CONTENT_TYPE, Metrics
from serving.gateway.openapi import describe
from serving.gateway.questions import Question
from serving.gateway.request_record import current
from serving.gateway.requests import (
    ChatRequest,
    CountRequest,
    SummariesRequest,
)
from serving.gateway.telemetry import Telemetry
from serving.gateway.tenants import Caller, Tenants
from serving.gateway.tracing import NO_TRACES, Tracer
from serving.gateway.usage import usage_of_month
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading

MAX_UNDER_WAY = 256
FIRST_LOOK_S = 1.0
"""How long a start waits for the model servers to say what they have."""

# FastAPI's own, where its release has one, would record what it read and what went wrong with
# it, texts and all, as soon as anybody sets up OpenTelemetry in this process.
_NO_TELEMETRY: Final[Any] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

Endpoint = Callable[[Request], Awaitable[Response]]


class Gateway:
    """What the application's routes work with."""

    def __init__(
        self,
        engine: sa.Engine,
        tenants: Tenants,
        models: Sequence[ChargedModel],
        metrics: Metrics,
        max_under_way: int = MAX_UNDER_WAY,
        tracer: Tracer = NO_TRACES,
        clock: Clock = utc_now,
    ) -> None:
        """
        Args:
          max_under_way: requests at a time; more are told to come again.
          clock: UTC.
        """
        self.engine = engine
        self.clock = clock
        self.metrics = metrics
        self.door = Door(max_under_way)
        self.tracer = tracer
        metrics.watch(LedgerLag(engine, clock))
        self.tenants = tenants
        self.models = {each.model.name: each for each in models}

    async def caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
          GatewayError: 401, nobody that is known. 503, somebody with too much under way.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        caller = None
        if scheme.lower() == "bearer":
            key = key.strip()
            caller = self.tenants.believed(key)
            if caller is None:
                with self.tracer.part("authenticate"):
                    caller = await run_in_threadpool(self.tenants.authenticate, key)
        if caller is None:
            raise GatewayError(
                401,
                "The API key is missing, unknown or revoked. Expected: the header "
                "'Authorization: Bearer tg_…'.",
                "authentication_error",
                "invalid_api_key",
            )
        record = current()
        record.tenant = caller.tenant
        self.door.let_in(caller.tenant)
        record.let_in = True
        return caller

    def model(self, caller: Caller, name: str) -> ChargedModel:
        """A model that the caller may ask.

        Raises:
          GatewayError: 404, as if there were no such model.
        """
        model = self.models.get(name)
        if model is None or not caller.may_ask(name):
            raise GatewayError(
                404, f"There is no model {name!r}.", code="model_not_found", param="model"
            )
        current().model = name
        return model


class _DirectRoute(APIRoute):
    """A route whose function is given the request, and finds the rest itself.

    What FastAPI would do for it takes longer than checking the key and the body together.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


def create_app(gateway: Gateway, on_close: Callable[[], Awaitable[None]]) -> FastAPI:
    """The application.

    Args:
      on_close: gives back what the gateway holds.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Before the first requests: a burst of them would keep a look from being answered in
        # time. A server that does not answer yet is looked at again, and holds up nobody.
        looks = asyncio.gather(*(model.model.look() for model in gateway.models.values()))
        await asyncio.wait([looks], timeout=FIRST_LOOK_S)
        yield
        await on_close()

    app = FastAPI(
        title="Tallygraph gateway",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
    )
    app.state.gateway = gateway

    app.router.route_class = _DirectRoute
    describe(app)
    answer_every_error(app)
    app.add_middleware(
        Telemetry,
        metrics=gateway.metrics,
        door=gateway.door,
        tracer=gateway.tracer,
    )

    @app.exception_handler(GatewayError)
    async def failed(request: Request, error: GatewayError) -> Response:
        current().refused(error.code or error.type, error.limit)
        return error.response()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        caller = await gateway.caller(request)
        whole, asked = await read_body(request, ChatRequest)
        document = asked.document()
        if document is None:
            raise bad_request(
                "The request has no message with the role 'user' to summarise.", "messages"
            )
        key = idempotency_key(request)
        question = Question([document], asked.limit(), whole, key)
        answer = await gateway.model(caller, asked.model).ask(
            caller, question, answers.chat_completion
        )
        if not asked.stream:
            return Response(answer, media_type="application/json")
        options = asked.stream_options
        chunks = answers.chat_chunks(answer, options is not None and options.include_usage)
        return StreamingResponse(chunks, media_type="text/event-stream")

    @app.post("/v1/summaries")
    async def summaries(request: Request) -> Response:
        caller = await gateway.caller(request)
        whole, asked = await read_body(request, SummariesRequest)
        key = idempotency_key(request)
        question = Question(asked.texts(), asked.max_output_tokens or 0, whole, key)
        answer = await gateway.model(caller, asked.model).ask(
            caller, question, answers.summaries
        )
        return Response(answer, media_type="application/json")

    @app.post("/v1/count_tokens")
    async def count_tokens(request: Request) -> Response:
        caller = await gateway.caller(request)
        _, asked = await read_body(request, CountRequest)
        model = gateway.model(caller, asked.model).model
        counts = await model.count(caller.tenant, asked.texts())
        rows = [{"input_tokens": read, "truncated_tokens": cut} for read, cut in counts]
        return _json({"model": asked.model, "counts": rows})

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        caller = await gateway.caller(request)
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tallygraph"}
            for name in sorted(gateway.models)
            if caller.may_ask(name)
        ]
        return _json({"object": "list", "data": data})

    @app.get("/v1/usage")
    async def usage(request: Request) -> Response:
        caller = await gateway.caller(request)
        month = request.query_params.get("month")
        used = await run_in_threadpool(
            usage_of_month, gateway.engine, caller, month, gateway.clock
        )
        return _json(used)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        page = await run_in_threadpool(gateway.metrics.page)
        return Response(page, media_type=CONTENT_TYPE)

    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        return _json({"status": "ok"})

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        for model in gateway.models.values():
            await model.model.check()
        await run_in_threadpool(_reach, gateway.engine)
        return _json({"status": "ready"})

    return app


def _reach(engine: sa.Engine) -> None:
    """
    Raises:
      sqlalchemy.exc.SQLAlchemyError: the ledger cannot be reached.
    """
    with reading(engine) as connection:
        connection.execute(sa.select(1))


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
