"""What operators see of the gateway: logs, metrics, traces. Nothing here answers a request."""
