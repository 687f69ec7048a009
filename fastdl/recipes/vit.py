"""A Vision Transformer of 16 patches, on MNIST 5k: 4,000 images to learn from, 1,000 to be judged on.

Baselines there: logistic regression 0.906, nearest neighbour 0.931. The settings are PLANS["vit"] of _classify.py.
"""

from fastdl.recipes._classify import recipe

run = recipe("vit")
