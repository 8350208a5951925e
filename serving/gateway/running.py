"""Runs the gateway as a process: opens the ledger, recovers it, serves until told to stop."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from serving.billing import PriceBook
from serving.gateway.app import Gateway, create_app
from serving.gateway.backend import Canary, ServedModel
from serving.gateway.charging import ChargedModel
from serving.gateway.metrics import Metrics
from serving.gateway.rates import MEMORY, Rates
from serving.gateway.tenants import Tenants
from serving.ledger import Ledger
from serving.ledger.database import open_database
from serving.ledger.ledger import utc_now
from serving.ledger.recovery import recover
from serving.ledger.upgrade import upgrade

_LOG = logging.getLogger(__name__)

# Longer than any request takes: what has been reserved for so long, nobody will settle.
ABANDONED_AFTER: Final = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class GatewaySettings:
    """What a gateway is started with.

    Attributes:
      database_url: of the ledger.
      prices: the price book's file.
      model_dir: folder of the model's versions.
      model_urls: addresses of the model servers, REST or gRPC.
      label: the version that answers; None for the newest.
      canary: the tenants that another label's version answers.
      rates_url: where requests and tokens a minute are counted, see `serving.gateway.rates`.
      name: of this gateway among those of the ledger; one process at a time may have it.
    """

    database_url: str
    prices: Path
    model_dir: Path
    model_name: str
    model_urls: Sequence[str]
    label: str | None = None
    canary: Canary | None = None
    name: str = "gateway-0"
    rates_url: str = MEMORY
    host: str = "127.0.0.1"
    port: int = 8600


def run_gateway(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered.

    Raises:
      PriceBookError: the price book is wrong.
      BackendError: an address of a model server is none, or a canary without a label.
      RatesError: rates cannot be counted where they should be.
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
    """
    prices = PriceBook.load(settings.prices)
    rates = Rates(settings.rates_url)
    model = ServedModel(
        settings.model_name,
        settings.model_urls,
        settings.model_dir,
        settings.label,
        settings.canary,
    )
    engine = open_database(settings.database_url, pool_size=20)
    upgrade(engine)
    ledger = Ledger(engine, settings.name)
    released = recover(engine, ledger, settings.name, utc_now() - ABANDONED_AFTER)
    if released:
        _LOG.warning("Released what a gateway that died had reserved: %s", released)
    metrics = Metrics()
    charged = ChargedModel(model, ledger, prices, rates, metrics)
    gateway = Gateway(engine, Tenants(engine), [charged], metrics)
    uvicorn.run(
        create_app(gateway, model.close),
        host=settings.host,
        port=settings.port,
        log_level="warning",
    )
