"""How many numbers a joint distribution needs, as exact Python integers.

A table of all n variables at once needs one number a case, less one; independence cuts it to n, the Markov assumption to
2n - 1 for binary variables.
"""

from math import prod


def _whole(name, value, least):
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
    return int(value)


def joint_parameters(cards) -> int:
    """Free parameters of a full table over variables with these numbers of cases.

    Example
    >>> joint_parameters([256, 256, 256])  # one RGB pixel
    16777215
    >>> joint_parameters([2] * 4)  # four binary pixels
    15
    """
    return prod(_whole("joint_parameters: a number of cases", c, 1) for c in cards) - 1


def independent_parameters(cards) -> int:
    """Free parameters if all variables are independent: m - 1 each (n for n binary ones)."""
    return sum(_whole("independent_parameters: a number of cases", c, 1) - 1 for c in cards)


def markov_parameters(n, order=1, cases=2) -> int:
    """Free parameters of a chain of n variables, each given the `order` before it, with tables of its own.

    Maths  (m^r - 1) + (n - r) m^r (m - 1) for m cases: the first r together, then m - 1 for each of m^r contexts

    Example
    >>> [markov_parameters(784, r) for r in (0, 1)]
    [784, 1567]
    """
    n, r, m = (
        _whole("markov_parameters: n", n, 1),
        _whole("markov_parameters: order", order, 0),
        _whole("markov_parameters: cases", cases, 2),
    )
    if r >= n:
        raise ValueError(f"markov_parameters: the order must be less than the {n} variables; got {r}")
    return m**r - 1 + (n - r) * m**r * (m - 1)


def chain_rule_parameters(n) -> int:
    """1 + 2 + 4 + ... + 2^(n-1): the chain rule alone, with a table for every history, saves nothing: 2^n - 1."""
    return sum(2**i for i in range(_whole("chain_rule_parameters: n", n, 1)))
