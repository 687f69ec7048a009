"""Sum, difference and product in a plain loop.

Idea: one number at a time, in float64. It is the specification: nothing here is clever.
"""

FUNCTIONS = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}


def forward(x, y, op, out):
    function = FUNCTIONS[op]
    for i in range(x.size):
        out[i] = function(float(x[i]), float(y[i % y.size]))
