"""Trainer's user code: input, loop, checkpoints, weights."""
