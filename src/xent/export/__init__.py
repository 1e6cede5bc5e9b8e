"""A fitted model as a file or a picture."""
