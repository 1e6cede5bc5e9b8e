"""Sweeps over C, cross-validation and sparse models: xent and its peers."""
