"""Promoter for a cluster: the models that it registers outlive the pod."""
