"""Compares the ledger with the model servers' own counters and request logs."""
