"""Pushes a validated version whole or not at all."""
