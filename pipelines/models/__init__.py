"""Seq2seq models: keras-hub backbones for training, and their decode graph for serving."""
