"""Tables: files to frames, columns understood, values ready for a classifier."""
