"""Recipes: for every model the real data, the training run, the metric, and the baseline it must beat."""
