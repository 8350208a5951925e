"""Promoter for a cluster: what it registers outlives the pod."""
