"""What `make docs` adds to the pages in ``docs/``: the reference, made from the code."""
