"""Non-maximum suppression by NumPy.

Idea: a kept box is compared with all later ones at once. A Python step for every box that is kept remains.
"""

import numpy as np


def forward(boxes, iou_threshold, kept):
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1) * (y2 - y1)
    kept[...] = 1
    for i in range(len(boxes)):
        if not kept[i]:
            continue
        later = slice(i + 1, None)
        width = np.minimum(x2[i], x2[later]) - np.maximum(x1[i], x1[later])
        height = np.minimum(y2[i], y2[later]) - np.maximum(y1[i], y1[later])
        both = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            kept[later] &= ~(both / (area[i] + area[later] - both) > iou_threshold)
