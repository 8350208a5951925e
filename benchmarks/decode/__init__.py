"""Compares the speed of decoding with other engines, with the same weights and inputs."""
