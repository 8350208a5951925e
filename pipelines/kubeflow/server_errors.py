"""Errors in communication with a Kubeflow Pipelines server, in plain words."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Final

import kfp_server_api
import urllib3

_NOT_AUTHORISED: Final = (401, 403)


class KubeflowError(RuntimeError):
    """The server cannot be reached, denies access, or refuses a request."""


@contextlib.contextmanager
def plain_errors(host: str, what: str) -> Iterator[None]:
    """Turn errors of the client in the block into a `KubeflowError`.

    Args:
      host: the server's URL.
      what: what was tried, as in "cannot ...".
    """
    try:
        # The client prints links of its own.
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except kfp_server_api.ApiException as error:
        raise KubeflowError(_of_api_error(host, what, error)) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise KubeflowError(
            f"cannot {what}: no Kubeflow Pipelines server responds at {host} "
            f"({_innermost(error)}). Expected: the URL of its API, such as "
            "http://localhost:8080 behind `kubectl port-forward -n kubeflow "
            "svc/ml-pipeline-ui 8080:80`."
        ) from None


def _of_api_error(host: str, what: str, error: kfp_server_api.ApiException) -> str:
    if error.status in _NOT_AUTHORISED:
        return (
            f"cannot {what}: {host} denied access (HTTP {error.status}). Expected: a token "
            "of a user who may use this namespace. Give --namespace, and set "
            "TALLYGRAPH_KFP_TOKEN to the token."
        )
    try:
        body = json.loads(error.body)
        said = body.get("error_message") or body.get("message") or body.get("error")
    except (TypeError, ValueError, AttributeError):
        said = str(error.body or error.reason)[:500]
    return f"cannot {what}: {host} refused the request (HTTP {error.status}): {said}"


def _innermost(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error)[:200]
