"""xent beside its peers, each in the same run: `python -m benchmarks.NAME`, from the checkout."""
