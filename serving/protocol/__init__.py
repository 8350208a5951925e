"""TensorFlow Serving's API, spoken once: its messages, columns of tensors, statuses, errors.

For the gateway, the client, rollouts and validators. No TensorFlow.
"""
