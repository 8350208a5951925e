"""The pipeline on open-source Kubeflow Pipelines: compiled here, run there."""
