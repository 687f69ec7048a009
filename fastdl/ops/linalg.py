"""Products of vectors and matrices beside matmul: einsum, mm, bmm, addmm, ..."""

import numpy as np

from fastdl.ops.matmul import check_sizes, matmul


def _ranked(op, x, y, rank_x, rank_y):
    if x.array.ndim != rank_x or y.array.ndim != rank_y:
        raise RuntimeError(
            f"{op}: expected {rank_x} and {rank_y} dimensions, not shapes {x.shape} and {y.shape}; hint: matmul"
        )
    check_sizes(x.array, y.array, op)
    return matmul(x, y)


def mm(input, mat2):
    """The product of two matrices."""
    return _ranked("mm", input, mat2, 2, 2)


def bmm(input, mat2):
    """The products of two batches of matrices, (B, M, K) and (B, K, N)."""
    if input.array.ndim == 3 and mat2.array.ndim == 3 and input.array.shape[0] != mat2.array.shape[0]:
        raise RuntimeError(f"bmm: the batches differ: shapes {input.shape} and {mat2.shape}")
    return _ranked("bmm", input, mat2, 3, 3)


def mv(input, vec):
    """The product of a matrix and a vector."""
    return _ranked("mv", input, vec, 2, 1)


def dot(input, tensor):
    """The inner product of two vectors."""
    return _ranked("dot", input, tensor, 1, 1)


def outer(input, vec2):
    """The outer product of two vectors."""
    if input.array.ndim != 1 or vec2.array.ndim != 1:
        raise RuntimeError(f"outer: expected two vectors, not shapes {input.shape} and {vec2.shape}")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


def _scaled(x, factor):
    return x if factor == 1 else x * factor


def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta * input + alpha * mat1 @ mat2."""
    return _scaled(input, beta) + _scaled(mm(mat1, mat2), alpha)


def addmv(input, mat, vec, *, beta=1, alpha=1):
    """beta * input + alpha * mat @ vec."""
    return _scaled(input, beta) + _scaled(mv(mat, vec), alpha)


def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * batch1 @ batch2, for every matrix of the batches."""
    return _scaled(input, beta) + _scaled(bmm(batch1, batch2), alpha)


def trace(input):
    """The sum of the diagonal of a matrix."""
    return input.diagonal().sum()


# -------------------------------------------------------------------------------------------------------- einsum


class _Letters:
    """The letters of an einsum: one subscript string an operand, and the result's."""

    def __init__(self, equation, count):
        equation = equation.replace(" ", "")
        left, arrow, self.result = equation.partition("->")
        self.inputs = left.split(",")
        if len(self.inputs) != count:
            raise RuntimeError(f"einsum: '{equation}' names {len(self.inputs)} operands, but {count} were given")
        if not arrow:
            letters = "".join(self.inputs).replace("...", "")
            self.result = ("..." if "..." in left else "") + "".join(
                sorted(c for c in set(letters) if letters.count(c) == 1)
            )


def einsum(equation, *operands):
    """The sum of products that the equation names, "bij,bjk->bik"; torch's and NumPy's notation."""
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = operands[0]
    letters = _Letters(equation, len(operands))
    inputs, result = _spell_dots(letters, operands)
    sizes = {}
    for subscripts, x in zip(inputs, operands):
        for letter, n in zip(subscripts, x.array.shape):
            if sizes.setdefault(letter, n) != n and 1 not in (n, sizes[letter]):
                raise RuntimeError(
                    f"einsum: '{letter}' in '{equation}' is {sizes[letter]} in one operand and {n} in another"
                )
            sizes[letter] = max(sizes[letter], n)
    for letter in result:
        if letter not in sizes:
            raise RuntimeError(f"einsum: '{letter}' of the result of '{equation}' is in no operand")
    terms = []
    for subscripts, x in zip(inputs, operands):
        x, subscripts = _take_diagonals(x, subscripts)
        terms.append((x, subscripts))
    while len(terms) > 1:
        (x, a), (y, b) = terms[0], terms[1]
        keep = set(result).union(*[s for _, s in terms[2:]])
        terms[:2] = [_contract(x, a, y, b, keep)]
    x, subscripts = terms[0]
    gone = [i for i, letter in enumerate(subscripts) if letter not in result]
    if gone:
        x = x.sum(gone)
        subscripts = "".join(c for c in subscripts if c in result)
    return x.permute([subscripts.index(c) for c in result]) if subscripts != result else x


def _spell_dots(letters, operands):
    """Capital Greek letters in place of '...', counted from the right so that they broadcast."""
    free = [chr(0x391 + i) for i in range(17)]
    inputs, most = [], 0
    for subscripts, x in zip(letters.inputs, operands):
        count = x.array.ndim - len(subscripts.replace("...", ""))
        if count < 0 or (count and "..." not in subscripts):
            raise RuntimeError(
                f"einsum: '{subscripts}' does not name the {x.array.ndim} axes of an operand of shape {x.shape}"
            )
        most = max(most, count if "..." in subscripts else 0)
        inputs.append(subscripts.replace("...", "".join(free[:count][::-1])))
    return inputs, letters.result.replace("...", "".join(free[:most][::-1]))


def _take_diagonals(x, subscripts):
    """A letter that stands twice in one operand means a diagonal."""
    for letter in subscripts:
        while subscripts.count(letter) > 1:
            i = subscripts.index(letter)
            j = subscripts.index(letter, i + 1)
            x = x.diagonal(0, i, j)
            subscripts = subscripts[:i] + subscripts[i + 1 : j] + subscripts[j + 1 :] + letter
    return x, subscripts


def _contract(x, a, y, b, keep):
    """Two operands to one, as a batched matrix product: batch letters, then (left, summed) @ (summed, right)."""
    x, a = _sum_lonely(x, a, keep.union(b))
    y, b = _sum_lonely(y, b, keep.union(a))
    batch = [c for c in a if c in b and c in keep]
    summed = [c for c in a if c in b and c not in keep]
    left = [c for c in a if c not in b]
    right = [c for c in b if c not in a]
    x = x.permute([a.index(c) for c in batch + left + summed])
    y = y.permute([b.index(c) for c in batch + summed + right])
    nb, nl, ns = len(batch), len(left), len(summed)
    common = [
        max(p, q) if 0 not in (p, q) else 0 for p, q in zip(x.array.shape[nb + nl :], y.array.shape[nb : nb + ns])
    ]
    x = x.expand(x.array.shape[: nb + nl] + tuple(common))
    y = y.expand(y.array.shape[:nb] + tuple(common) + y.array.shape[nb + ns :])
    lefts, rights = x.array.shape[nb : nb + nl], y.array.shape[nb + ns :]
    k, m, n = int(np.prod(common)), int(np.prod(lefts)), int(np.prod(rights))
    x = x.reshape(x.array.shape[:nb] + (m, k))
    y = y.reshape(y.array.shape[:nb] + (k, n))
    z = x * y.transpose(-1, -2) if k == 1 and n == 1 else matmul(x, y)  # (batch, m, n)
    return z.reshape(z.array.shape[:nb] + lefts + rights), "".join(batch + left + right)


def _sum_lonely(x, subscripts, needed):
    """Sum over letters that stand nowhere else."""
    gone = [i for i, c in enumerate(subscripts) if c not in needed]
    if gone:
        x = x.sum(gone)
    return x, "".join(c for c in subscripts if c in needed)
