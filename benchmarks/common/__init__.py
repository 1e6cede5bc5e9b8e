"""What every benchmark measures with."""
