"""Fits to the same accuracy: xent and its peers."""
