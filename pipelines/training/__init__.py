"""Trainer's user code: input, loop, checkpoints, and the export of the base model."""
