"""What one step needs of a group of parameters, gathered once and only looked over at the steps after.

A Plan is right as long as the same parameters have gradients, and their memory, their states and the numbers in them are
what it knows. The same file runs compiled (types in _plan.pxd) and uncompiled.
"""


class Part:
    """Parameters that one call of a kernel steps together: of one dtype and with the same numbers (`step`) in their states.

    params, arrays, values: the parameters, their arrays, their dicts in optimizer.state (None: they have none)
    group: the arrays as the kernel takes them, a kernels.optim_step.Group
    names, columns: names of the states, and for each the list of its arrays (None: the kernel does without)
    counters, numbers: names of the numbers in the states, and their values
    fresh: were the states made for the coming step?
    """

    __slots__ = ("arrays", "columns", "counters", "fresh", "grads", "group", "names", "numbers", "params", "values")

    def __init__(self, params, group, values, names, columns, counters, numbers, fresh):
        self.params, self.group, self.values = params, group, values
        self.arrays = list(group)
        self.names, self.columns = names, columns
        self.counters, self.numbers = counters, numbers
        self.fresh = fresh
        self.grads = None


class Plan:
    """All of a group: its parts, the parameters that have no gradient, and the states it was made for."""

    __slots__ = ("idle", "names", "order", "parts")

    def __init__(self, order, idle, names, parts):
        self.order, self.idle, self.names, self.parts = order, idle, names, parts


def gather(plan, params, state):
    """Put the gradients into the parts; False if the plan is no longer right."""
    order = plan.order
    if len(order) != len(params):
        return False
    for i in range(len(order)):
        if order[i] is not params[i]:
            return False
    for t in plan.idle:
        if t.grad is not None:
            return False
    for part in plan.parts:  # noqa: SIM110  a generator would cost more than a small part
        if not ready(part, part.params, part.arrays, part.values, state):
            return False
    return True


def ready(part, params, arrays, values, state):
    names, columns, counters, numbers = part.names, part.columns, part.counters, part.numbers
    grads = []
    for i in range(len(params)):
        t = params[i]
        grad = t.grad
        if grad is None or t.array is not arrays[i]:
            return False
        known = values[i]
        if known is not None:
            if state.get(t) is not known:
                return False
            for k in range(len(names)):
                column = columns[k]
                if column is not None and known.get(names[k]) is not column[i]:
                    return False
            for k in range(len(counters)):
                if known.get(counters[k]) != numbers[k]:
                    return False
        elif t in state:
            return False
        grads.append(grad.array)
    part.grads = grads
    return True


def count(part, values, counters, numbers):
    """Write new numbers into all states of a part."""
    for known in values:
        for k in range(len(counters)):
            known[counters[k]] = numbers[k]
    part.numbers = numbers
    part.fresh = False
    part.grads = None
