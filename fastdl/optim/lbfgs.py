"""L-BFGS: Newton's method with a curvature that is read off the last steps."""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from fastdl.autograd import Tensor
from fastdl.optim.optimizer import Optimizer
from fastdl.tape import wrote_all


class LBFGS(Optimizer):
    """Limited-memory BFGS over all parameters as one vector; for full batches of small problems.

    Maths       d = -H g, H the inverse curvature that the last history_size pairs s = w' - w, y = g' - g with s . y > 0 tell
                (two-loop recursion, H_0 = s . y / y . y); w <- w + t d, t = lr, or by a line search for the strong Wolfe conditions
    Parameters  lr, max_iter (iterations a step), max_eval (calls of the closure a step; left out: 1.25 max_iter),
                tolerance_grad, tolerance_change, history_size, line_search_fn: None or "strong_wolfe"
    State       of the first parameter: func_evals, n_iter, d, t, old_dirs (y), old_stps (s), ro (1 / s . y), H_diag,
                prev_flat_grad, prev_loss
    Errors      ValueError for more than one parameter group, an unknown line search, a step without closure
    Ref         Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 3.5, 3.6, 7.4
    """

    def __init__(
        self,
        params,
        lr=1.0,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn must be None or 'strong_wolfe'; got {line_search_fn!r}")
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        settings = {"lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad}
        settings |= {"tolerance_change": tolerance_change, "history_size": history_size}
        super().__init__(params, {**settings, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS: does not take several parameter groups: it steps all parameters as one vector")

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def _gradient(self):
        """All gradients, one after the other (P,); zeros for a parameter without."""
        return np.concatenate(
            [(np.zeros_like(p.array) if p.grad is None else p.grad.array).ravel() for p in self._params]
        )

    def _move(self, t, d):
        """w += t d."""
        start = 0
        for p in self._params:
            p.array += (t * d[start : start + p.array.size]).reshape(p.shape)
            start += p.array.size
        wrote_all(self._params, self._op)

    def step(self, closure=None):
        """At most max_iter iterations. closure zeroes the gradients, computes the loss, calls backward(), returns the loss."""
        if closure is None:
            raise ValueError("LBFGS: step(closure) needs a closure, which computes the loss and its gradients again")
        group, state = self.param_groups[0], self.state.setdefault(self._params[0], {"func_evals": 0, "n_iter": 0})
        first_loss = self.evaluate(closure)
        loss, evals, iterations = float(first_loss), 1, 0
        state["func_evals"] += 1
        g = self._gradient()
        if np.abs(g).max(initial=0) <= group["tolerance_grad"]:
            return first_loss
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            d = self._direction(state, g, group["history_size"])
            before, state["prev_flat_grad"], state["prev_loss"] = loss, g.copy(), loss
            t = group["lr"] * (min(1.0, 1.0 / float(np.abs(g).sum())) if state["n_iter"] == 1 else 1.0)
            slope = float(g @ d)
            state["d"], state["t"] = d, t
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                home = [p.array.copy() for p in self._params]

                def look(t, d=d, home=home):
                    return self._evaluate_at(closure, home, t, d)

                found, used = strong_wolfe(look, t, d, loss, g, slope, most=group["max_eval"] - evals)
                t, loss, g = found.t, found.loss, found.grad
                self._move(t, d)
            else:
                self._move(t, d)
                if iterations != group["max_iter"]:
                    loss, g, used = float(self.evaluate(closure)), self._gradient(), 1
            state["t"] = t
            evals += used
            state["func_evals"] += used
            if (
                iterations == group["max_iter"]
                or evals >= group["max_eval"]
                or np.abs(g).max(initial=0) <= group["tolerance_grad"]
                or np.abs(t * d).max(initial=0) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first_loss

    def _direction(self, state, g, history_size):
        """-H g, after the pair of the last step is taken into the history."""
        if state["n_iter"] == 1:
            state |= {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1.0}
            return -g
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(y @ s)
        if curvature > 1e-10:
            if len(state["old_dirs"]) == history_size:
                for name in ("old_dirs", "old_stps", "ro"):
                    state[name].pop(0)
            state["old_dirs"].append(y)
            state["old_stps"].append(s)
            state["ro"].append(1.0 / curvature)
            state["H_diag"] = curvature / float(y @ y)
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q, parts = -g, []
        for y, s, rho in reversed(pairs):
            parts.append(rho * float(s @ q))
            q = q - parts[-1] * y
        d = q * state["H_diag"]
        for (y, s, rho), part in zip(pairs, reversed(parts), strict=True):
            d = d + (part - rho * float(y @ d)) * s
        return d

    def _evaluate_at(self, closure, home, t, d):
        """(loss, gradient) at w + t d; w stays as it is."""
        self._move(t, d)
        loss, g = float(self.evaluate(closure)), self._gradient()
        for p, array in zip(self._params, home, strict=True):
            p.array[...] = array
        return loss, g

    def state_dict(self):
        """The state as nested dicts."""
        known = super().state_dict()
        for values in known["state"].values():
            for name in ("old_dirs", "old_stps"):
                if name in values:
                    values[name] = [Tensor(v) for v in values[name]]
            if "ro" in values:
                values["ro"] = list(values["ro"])
        return known

    def _own(self, p, name, value):
        if isinstance(value, (list, tuple)):
            return [self._own(p, name, v) for v in value]
        if isinstance(value, (Tensor, np.ndarray)):
            array = np.array(value.array if isinstance(value, Tensor) else value)
            return array.item() if array.ndim == 0 else array
        return value


class _Point(NamedTuple):
    """What is known at w + t d."""

    t: float
    loss: float
    grad: np.ndarray
    slope: float  # grad . d


def strong_wolfe(evaluate, t, d, loss, grad, slope, c1=1e-4, c2=0.9, tolerance=1e-9, most=25):
    """A step t > 0 along d with loss(t) <= loss + c1 t slope and |slope(t)| <= c2 |slope|: (_Point, number of evaluations).

    evaluate(t) -> (loss, gradient). Grows t until an interval holds such a step, then cuts the interval, by cubic interpolation;
    after `most` evaluations beyond the first, or below `tolerance`, the better end of the interval is taken.
    """
    length = float(np.abs(d).max(initial=0))

    def look(t):
        value, g = evaluate(t)
        return _Point(t, value, g, float(g @ d))

    def too_high(point):
        return point.loss > loss + c1 * point.t * slope

    def flat(point):
        return abs(point.slope) <= -c2 * slope

    start = before = _Point(0.0, loss, grad, slope)
    point, evals, rounds = look(t), 1, 0
    while rounds < most:
        if too_high(point) or (rounds > 1 and point.loss >= before.loss) or (point.slope >= 0 and not flat(point)):
            ends = [before, point]
            break
        if flat(point):
            return point, evals
        t = cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), 10 * point.t)
        before, point = point, look(t)
        evals, rounds = evals + 1, rounds + 1
    else:
        ends = [start, point]

    stuck = False
    low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
    while rounds < most and abs(ends[1].t - ends[0].t) * length >= tolerance:
        least, largest = sorted(end.t for end in ends)
        t = cubic_minimum(*ends, least, largest)
        margin = 0.1 * (largest - least)
        if min(largest - t, t - least) < margin:  # too near to an end: allowed once
            if stuck or t >= largest or t <= least:
                t = largest - margin if abs(t - largest) < abs(t - least) else least + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = look(t)
        evals, rounds = evals + 1, rounds + 1
        if too_high(point) or point.loss >= ends[low].loss:
            ends[high] = point
            low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
            continue
        if flat(point):
            return point, evals
        if point.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = point
    return ends[low], evals


def cubic_minimum(a, b, least=-inf, largest=inf):
    """Where the cubic through two points with their slopes has its minimum, within [least, largest]; else the middle of that."""
    if a.t > b.t:
        a, b = b, a
    e = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = e * e - a.slope * b.slope
    if square < 0:
        return (least + largest) / 2
    root = sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + root - e) / (b.slope - a.slope + 2 * root))
    return min(max(t, least), largest)
