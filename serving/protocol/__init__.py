"""TensorFlow Serving's API, spoken once: for the gateway, the client, rollouts, validators.

``grpc_api`` and ``rest_api`` have the same functions: each makes an `Exchange`, a request with
what reads its answer, without sending anything. A `Connection` (``grpc_sync``, ``http_sync``)
or an `AsyncConnection` (``grpc_aio``, ``http_aio``) sends it. ``metered`` is what a metered
model is asked, and answers; ``statuses`` is the one table of statuses. No TensorFlow; who asks
over REST needs no gRPC.
"""
