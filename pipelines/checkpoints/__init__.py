"""Pretrained models: Hugging Face folders, keras-hub presets, versions of our own."""
