"""Finds out, before training again, whether the texts have changed since the champion was
trained."""
