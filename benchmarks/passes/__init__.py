"""One loss + gradient pass: xent, its peers, the machine."""
