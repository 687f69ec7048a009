"""Tables of joint probabilities as arrays with one axis a variable: chain rule, Bayes' rule, conditional independence."""

from math import log

import numpy as np


def _table(joint):
    p = np.asarray(joint, np.float64)
    if p.size == 0 or (p < 0).any() or not np.isclose(p.sum(), 1, atol=1e-9):
        raise ValueError(
            f"a joint table must be not negative and sum to 1; this one of shape {p.shape} sums to {p.sum()}"
        )
    return p


def marginal(joint, keep):
    """p(x_keep): the joint summed over all other axes; the axes come in the order of `keep`."""
    p, keep = _table(joint), tuple(keep)
    summed = p.sum(tuple(a for a in range(p.ndim) if a not in keep))
    order = np.argsort(np.argsort(keep))
    return np.moveaxis(summed, order, range(len(keep)))


def conditional(joint, of, given):
    """p(x_of | x_given), axes (*given, *of); contexts of probability 0 get the uniform distribution."""
    given, of = tuple(given), tuple(of)
    p = marginal(joint, given + of)
    axes = tuple(range(len(given), p.ndim))
    total = p.sum(axes, keepdims=True)
    uniform = 1 / np.prod([p.shape[a] for a in axes])
    return np.where(total > 0, p / np.where(total > 0, total, 1), uniform)


def chain(joint, order=None):
    """The factors p(x_o1), p(x_o2 | x_o1), p(x_o3 | x_o1, x_o2), ... whose product is the joint: true in any order."""
    order = tuple(range(np.ndim(joint))) if order is None else tuple(order)
    if sorted(order) != list(range(np.ndim(joint))):
        raise ValueError(f"chain: {order} is not an order of the {np.ndim(joint)} variables")
    return [conditional(joint, order[i : i + 1], order[:i]) for i in range(len(order))]


def unchain(factors, order=None):
    """The joint from the factors of chain()."""
    joint = np.ones(())
    for factor in factors:
        joint = joint[..., None] * factor
    order = tuple(range(joint.ndim)) if order is None else tuple(order)
    return np.moveaxis(joint, range(joint.ndim), order)


def bayes(prior, likelihood):
    """(posterior p(x | y) (Y, X), evidence p(y) (Y,)) from p(x) (X,) and p(y | x) (X, Y)."""
    joint = np.asarray(prior, np.float64)[:, None] * np.asarray(likelihood, np.float64)
    evidence = joint.sum(0)
    return (joint / np.where(evidence > 0, evidence, 1)).T, evidence


def g_test(x, y, given=None):
    """(G, degrees of freedom) of the test that integer columns x and y (N,) are independent, given the column `given`.

    G = 2 sum n log(n / expected) is about chi-square distributed if they are: far above the degrees of freedom rejects it.
    """
    x, y = np.asarray(x), np.asarray(y)
    given = np.zeros(len(x), np.int64) if given is None else np.asarray(given)
    if not len(x) == len(y) == len(given):
        raise ValueError(f"g_test: columns of lengths {len(x)}, {len(y)}, {len(given)}")
    G, freedom = 0.0, 0
    for z in np.unique(given):
        a, b = (np.unique(v[given == z], return_inverse=True)[1] for v in (x, y))
        counts = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(counts, (a, b), 1)
        expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
        G += 2 * sum(n * log(n / e) for n, e in zip(counts.flat, expected.flat, strict=True) if n)
        freedom += (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return G, freedom


def d_separated(edges, a, b, given=()):
    """Whether variables a and b are independent given `given` in the directed acyclic graph of edges (parent, child).

    By the moral graph of the ancestors: parents of one child are joined, directions dropped, `given` removed.
    """
    parents = {}
    for parent, child in edges:
        parents.setdefault(child, set()).add(parent)
    ancestors, stack = set(), [a, b, *given]
    while stack:
        node = stack.pop()
        if node not in ancestors:
            ancestors.add(node)
            stack.extend(parents.get(node, ()))
    near = {node: set() for node in ancestors}
    for child in ancestors:
        family = [p for p in parents.get(child, ()) if p in ancestors]
        for i, p in enumerate(family):
            for other in [child, *family[i + 1 :]]:
                near[p].add(other)
                near[other].add(p)
    seen, stack = set(given), [a]
    while stack:
        node = stack.pop()
        if node == b:
            return False
        if node not in seen:
            seen.add(node)
            stack.extend(near[node])
    return True
