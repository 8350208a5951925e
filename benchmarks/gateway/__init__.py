"""Compares the gateway's added latency and throughput with those of LiteLLM's proxy."""
