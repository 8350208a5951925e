"""The gateway's ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

import orjson
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Header, Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from serving.gateway import answers
from serving.gateway.charging import ChargedModel, Question
from serving.gateway.door import Door
from serving.gateway.errors import GatewayError, answer_every_error, bad_request
from serving.gateway.ledger_lag import LedgerLag
from serving.gateway.metrics import CONTENT_TYPE, Metrics
from serving.gateway.openapi import describe
from serving.gateway.request_record import current
from serving.gateway.requests import (
    MAX_KEY_CHARACTERS,
    ChatRequest,
    CountRequest,
    SummariesRequest,
)
from serving.gateway.telemetry import Telemetry
from serving.gateway.tenants import Caller, Tenants
from serving.gateway.tracing import NO_TRACES, Tracer
from serving.gateway.usage import usage_of_month
from serving.ledger.database import reading

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 30.0
_ECHOED_CHARACTERS = 100
MAX_UNDER_WAY = 256

# FastAPI's own, where its release has one, would record what it read and what went wrong with
# it, texts and all, as soon as anybody sets up OpenTelemetry in this process.
_NO_TELEMETRY: Final[Any] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

_JSON = "application/json"

Body = TypeVar("Body", bound=BaseModel)
_Key = Annotated[str | None, Header(alias="Idempotency-Key")]


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
    ) -> None:
        """
        Args:
          max_under_way: requests at a time; more are told to come again.
        """
        self.engine = engine
        self.metrics = metrics
        self.door = Door(max_under_way)
        self.tracer = tracer
        metrics.watch(LedgerLag(engine))
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
                "The API key is missing, unknown or revoked. Expected the header "
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


async def _caller(request: Request) -> Caller:
    gateway: Gateway = request.app.state.gateway
    return await gateway.caller(request)


# At the top: FastAPI looks for annotations' names here.
Known = Annotated[Caller, Depends(_caller)]


def create_app(gateway: Gateway, on_close: Callable[[], Awaitable[None]]) -> FastAPI:
    """The application.

    Args:
      on_close: gives back what the gateway holds.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
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
    async def chat(request: Request, caller: Known, key: _Key = None) -> Response:
        whole, asked = await _read(request, ChatRequest)
        document = asked.document()
        if document is None:
            raise bad_request("There is no message of the user to summarise.", "messages")
        question = Question([document], asked.limit(), whole, _checked(key))
        answer = await gateway.model(caller, asked.model).ask(
            caller, question, answers.chat_completion
        )
        if not asked.stream:
            return Response(answer, media_type="application/json")
        options = asked.stream_options
        chunks = answers.chat_chunks(answer, options is not None and options.include_usage)
        return StreamingResponse(chunks, media_type="text/event-stream")

    @app.post("/v1/summaries")
    async def summaries(request: Request, caller: Known, key: _Key = None) -> Response:
        whole, asked = await _read(request, SummariesRequest)
        question = Question(asked.texts(), asked.max_output_tokens or 0, whole, _checked(key))
        answer = await gateway.model(caller, asked.model).ask(
            caller, question, answers.summaries
        )
        return Response(answer, media_type="application/json")

    @app.post("/v1/count_tokens")
    async def count_tokens(request: Request, caller: Known) -> Response:
        _, asked = await _read(request, CountRequest)
        model = gateway.model(caller, asked.model).model
        counts = await model.count(caller.tenant, asked.texts())
        rows = [{"input_tokens": read, "truncated_tokens": cut} for read, cut in counts]
        return _json({"model": asked.model, "counts": rows})

    @app.get("/v1/models")
    async def models(caller: Known) -> Response:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tallygraph"}
            for name in sorted(gateway.models)
            if caller.may_ask(name)
        ]
        return _json({"object": "list", "data": data})

    @app.get("/v1/usage")
    async def usage(caller: Known, month: str | None = None) -> Response:
        return _json(await run_in_threadpool(usage_of_month, gateway.engine, caller, month))

    @app.get("/metrics")
    async def metrics() -> Response:
        page = await run_in_threadpool(gateway.metrics.page)
        return Response(page, media_type=CONTENT_TYPE)

    @app.get("/healthz")
    async def healthz() -> Response:
        return _json({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
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


async def _read(request: Request, kind: type[Body]) -> tuple[bytes, Body]:
    """The request as it came, its path included, and what its body says.

    Raises:
      GatewayError: it is too large or too slow, no JSON, or something in it is wrong.
    """
    kind_of_body = request.headers.get("content-type", _JSON).partition(";")[0]
    if kind_of_body.strip().lower() != _JSON:
        raise GatewayError(
            415,
            f"The body must be {_JSON}. Received: {kind_of_body[:_ECHOED_CHARACTERS]!r}",
            code="unsupported_media_type",
            param="Content-Type",
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _whole_body(request)
    except TimeoutError:
        raise GatewayError(
            408, f"The body did not arrive in {BODY_TIMEOUT_S:g} s.", code="body_too_slow"
        ) from None
    except ClientDisconnect:
        # Nobody is there to read it: it is for the counts of errors, which must show no fault.
        raise GatewayError(400, "The body did not come to its end.", code="hung_up") from None
    try:
        whole = request.url.path.encode() + b"\n" + body
        return whole, kind.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is no JSON: {error}") from None
    except ValidationError as error:
        # Where one of several shapes is allowed, the last is the richest: its fault is told.
        last = error.errors(include_url=False, include_input=False)[-1]
        # A place can be a name that the client has made up.
        where = ".".join(str(place) for place in last["loc"])[:_ECHOED_CHARACTERS]
        raise bad_request(f"{where or 'the body'}: {last['msg']}", where or None) from None


async def _whole_body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise GatewayError(
                413, f"The body is larger than {MAX_BODY_BYTES} bytes.", code="too_large"
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _checked(key: str | None) -> str | None:
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise bad_request(
            f"An idempotency key has 1 to {MAX_KEY_CHARACTERS} characters. Received: "
            f"{len(key)}",
            "Idempotency-Key",
        )
    return key


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
