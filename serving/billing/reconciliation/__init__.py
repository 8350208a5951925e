"""Holds the ledger to what the model servers say themselves: their counters and their logs."""
