"""Compares the local model server with the same calls in process, and under many clients."""
