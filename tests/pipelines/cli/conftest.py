"""A served model for the commands that sell its answers."""

from tests.support.served_model import metered_models, model_server

__all__ = ["metered_models", "model_server"]
