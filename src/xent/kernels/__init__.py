"""One pass over rows: the native kernels, their twins in plain array code, and what is made of both."""
