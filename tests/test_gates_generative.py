"""What the gates of lecture 10 measure with: the slant and the stroke of digits, and which code steers them."""

import numpy as np

from fastdl.gates.lecture10_generative import meaning_of_numbers, slant_and_stroke


def bars(slant, width):
    """Upright bars (N, 1, 28, 28), sheared to the right by slant and so wide."""
    r, c = np.mgrid[:28, :28]
    middle = 13.5 - np.reshape(slant, (-1, 1, 1)) * (r - 13.5)
    ink = (np.abs(c - middle) <= np.reshape(width, (-1, 1, 1)) / 2) & (r > 5) & (r < 23)
    return ink[:, None].astype(np.float32)


def test_slant_and_stroke_of_bars():
    slant, width = np.meshgrid([-0.4, 0.0, 0.4], [2.0, 4.0, 6.0])
    found, stroke = slant_and_stroke(bars(slant.ravel(), width.ravel()))
    np.testing.assert_allclose(found, slant.ravel(), atol=0.1)
    assert (np.diff(stroke.reshape(3, 3), axis=0) > 0.5).all()


def test_the_code_that_steers_the_slant_is_found_whatever_the_class():
    rng = np.random.default_rng(0)
    labels, numbers = rng.integers(0, 3, 200), rng.uniform(-1, 1, (200, 2))
    x = bars(0.3 * numbers[:, 1] + 0.2 * (labels - 1), np.full(200, 4.0))
    correlation, of = meaning_of_numbers(x, labels, numbers)
    assert of == "slant" and correlation > 0.9
    assert meaning_of_numbers(x, labels, rng.uniform(-1, 1, (200, 2)))[0] < 0.3
