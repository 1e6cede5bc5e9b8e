"""Tables from any file to columns that are understood, and to numbers that a classifier can take."""
