"""What processor time and memory a model server and a gateway take."""
