"""The local model server against the same calls in process, and under many clients."""
