"""What data say of a model's coefficients: whether classes separate, so that no finite ones are best."""
