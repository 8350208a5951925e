"""How fast a summary is written, against other engines with the same weights and inputs."""
