"""What data say of a model's coefficients: whether they exist, and how sure they are."""
