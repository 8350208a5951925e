"""What a GPU makes of the exports and of training, beside PyTorch on the same machine."""
