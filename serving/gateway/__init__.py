"""Between a client and a model server: who asks, what it costs, and that it is written down.

Needs no TensorFlow. `create_app` makes the ASGI application.
"""
