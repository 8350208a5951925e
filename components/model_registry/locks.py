"""Locks that let only one process at a time change a registry."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components.model_registry.port import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A change takes seconds; pushing a large model inside one, minutes.
WAIT_S: Final = 300.0
# Whoever holds a server's lock for so long is dead.
LEASE_S: Final = 1800.0
_POLL_S: Final = 0.1
_LOCK_SUFFIX: Final = ".lock"
_TOKEN: Final = "token"
_HOLDER: Final = "holder"


@contextlib.contextmanager
def file_lock(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a file's lock, which the system releases when its holder dies.

    Raises:
      RegistryError: another process has held it for `wait_s`, or it cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RegistryError(f"Cannot lock the registry with {path}: {error}") from None
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RegistryError(
                        f"Another process has been changing the registry for {wait_s:g} s: it "
                        f"holds {path}. Wait until it is done, and try again."
                    ) from None
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def server_lock(
    client: MlflowClient, name: str, wait_s: float = WAIT_S, lease_s: float = LEASE_S
) -> Iterator[None]:
    """Hold a lock that is a separate registered model, ``<name>.lock``.

    MLflow has no locks, but creates a registered model of a given name only once. The
    lock of a process that died is removed by the next one after `lease_s`. If two processes
    remove it at the same moment, both may continue; `MlflowRegistry.set_aliases` then notices
    that its note was overwritten.

    Raises:
      RegistryError: another process has held it for `wait_s`; the message says which.
    """
    from mlflow.exceptions import MlflowException

    lock, token = f"{name}{_LOCK_SUFFIX}", uuid.uuid4().hex
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    deadline = time.monotonic() + wait_s
    while True:
        try:
            client.create_registered_model(lock, tags={_TOKEN: token, _HOLDER: holder})
            break
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        with _gone_is_fine():
            held = client.get_registered_model(lock)
            if time.time() - held.creation_timestamp / 1000 > lease_s:
                client.delete_registered_model(lock)
            elif time.monotonic() > deadline:
                raise RegistryError(
                    f"Another process has been changing the model {name} for {wait_s:g} s: "
                    f"{held.tags.get(_HOLDER)}. Try again when it is done. If it is dead, "
                    f"delete the registered model {lock!r}, or wait {lease_s:g} s until its "
                    "lock is taken over."
                )
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        with _gone_is_fine():
            if client.get_registered_model(lock).tags.get(_TOKEN) == token:
                client.delete_registered_model(lock)


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
