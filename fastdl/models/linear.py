"""One affine map: linear regression and softmax regression.

    y = x W^T + b            mean squared error: regression
    p = softmax(x W^T + b)   cross-entropy: classification

The gradient of the weight is dy^T x, that of the bias the sum of dy over the batch. Linear regression also has its solution
in closed form, w = (X^T X + l2 I)^-1 X^T y with a column of ones in X; what descent finds is measured against it.

Ref  Widrow, Hoff, "Adaptive switching circuits", 1960 (the delta rule); Cox, "The regression analysis of binary sequences", 1958
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, wrote
from fastdl.nn import functional as F


class LinearRegression(nn.Module):
    """x (N, in_features) -> (N, out_features).

    Parameters  linear.weight (out_features, in_features), linear.bias (out_features,)

    Example
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> model = LinearRegression(1, 1).solve(x, 3 * x + 1)
    >>> round(model.linear.weight.item(), 5), round(model.linear.bias.item(), 5)
    (3.0, 1.0)
    """

    def __init__(self, in_features: int, out_features: int = 1):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.linear(x)

    def solve(self, x, y, l2: float = 0.0):
        """Set the parameters to the least-squares solution, computed in float64; returns self.

        Shapes  x (N, in_features), y (N, out_features) or (N,)
        l2      added to the diagonal of X^T X, but not for the bias: it must stay free to be the mean
        """
        x, y = (np.asarray(a.array if isinstance(a, Tensor) else a, np.float64) for a in (x, y))
        y = y.reshape(len(y), -1)
        shape = self.linear.weight.shape
        if x.ndim != 2 or (y.shape[1], x.shape[1]) != shape or len(x) != len(y) or not len(x):
            raise ValueError(
                f"LinearRegression.solve: x {x.shape} and y {y.shape} do not fit the weight {shape}; "
                f"expected (N, {shape[1]}) and (N, {shape[0]})"
            )
        if l2 < 0:
            raise ValueError(f"LinearRegression.solve: l2 must be at least 0; got {l2}")
        mean_x, mean_y = x.mean(0), y.mean(0)  # the free bias takes the means out
        xc, yc = x - mean_x, y - mean_y
        if l2:
            w = np.linalg.solve(xc.T @ xc + l2 * np.eye(x.shape[1]), xc.T @ yc)  # (in, out)
        else:
            w = np.linalg.lstsq(xc, yc, rcond=None)[0]
        for parameter, value in ((self.linear.weight, w.T), (self.linear.bias, mean_y - mean_x @ w)):
            parameter.array[...] = value
            wrote(parameter, "LinearRegression.solve")
        return self


class SoftmaxRegression(nn.Module):
    """Scores of the classes: x (N, ...) with in_features numbers an item -> (N, num_classes); softmax gives probabilities.

    Parameters  linear.weight (num_classes, in_features), linear.bias (num_classes,)
    """

    def __init__(self, in_features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, x):
        return self.linear(x.flatten(1))

    def probabilities(self, x):
        """softmax of the scores, (N, num_classes)."""
        return F.softmax(self(x), -1)
