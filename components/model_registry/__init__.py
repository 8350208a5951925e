"""The model registry: what it must offer (`port`), and MLflow as what offers it."""
