"""Non-maximum suppression in plain loops.

Idea: compare each box with every kept one before it. This is the specification.
"""


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def forward(boxes, iou_threshold, kept):
    """boxes (N, 4) in order of falling score; kept (N,) becomes 1 or 0."""
    for i in range(len(boxes)):
        kept[i] = not any(kept[j] and _iou(boxes[j], boxes[i]) > iou_threshold for j in range(i))
