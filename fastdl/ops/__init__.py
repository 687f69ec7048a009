"""Differentiable functions; forward and backward of one op side by side."""
