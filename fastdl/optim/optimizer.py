"""What all optimizers share: groups of parameters, their state, saving and loading it.

state_dict has torch's structure: {"state": {0: {...}, ...}, "param_groups": [{"lr": ..., "params": [0, ...]}]},
parameters by number, in the order of the groups.
"""

import numpy as np

from fastdl.autograd import Tensor, enable_grad, wrote

NOT_NEGATIVE = (
    "lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay", "initial_accumulator_value", "momentum_decay", "delta",
    "wd_ratio",
)  # fmt: skip


def torch_options(name: str, options: dict) -> None:
    """Look over what torch's optimizers take beside their settings: foreach and fused change nothing here, as every step is
    one call; capturable and differentiable are refused, and so is what torch does not know.
    """
    for option, value in options.items():
        if option not in ("foreach", "fused", "capturable", "differentiable"):
            raise TypeError(f"{name}: unexpected keyword argument {option!r}")
        if value and option in ("capturable", "differentiable"):
            raise ValueError(f"{name}: {option}=True is not supported; steps are made in place by one call of a kernel")


def form_of(name: str, form: str) -> bool:
    """Is it the lecture's form of an optimizer (else torch's)?"""
    if form not in ("torch", "lecture"):
        raise ValueError(f"{name}: form must be 'torch' or 'lecture'; got {form!r}")
    return form == "lecture"


class Optimizer:
    """Base class: write `update(group, params)`, which changes params (all have gradients) in place.

    params is an iterable of Parameters, of (name, Parameter), or of dicts {"params": [...], "lr": ..., ...}: groups with
    their own settings.
    """

    counters: dict = {"step": int}  # noqa: RUF012  numbers in the state of a parameter, and their type

    def __init__(self, params, defaults: dict):
        if isinstance(params, Tensor):
            raise TypeError(
                f"{type(self).__name__}: params must be a list of parameters; hint: model.parameters(), or [p]"
            )
        self.defaults = defaults
        self._plans: dict = {}  # fused.py: number of a group -> what is known of it
        self._op = f"{type(self).__name__}.step"
        self.state: dict = {}  # parameter -> {name: number or array}
        self.param_groups: list[dict] = []
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: got no parameters; was model.parameters() used up before?")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict) -> None:
        """Add {"params": [...], ...}; settings it leaves out are the optimizer's."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        if params and all(isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in params):
            group = {**group, "param_names": [name for name, _ in params]}
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{type(self).__name__}: can only optimize Tensors, got a {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    f"{type(self).__name__}: can only optimize leaf tensors, one has a history; hint: p.detach()"
                )
        ids = [id(p) for g in self.param_groups for p in g["params"]] + [id(p) for p in params]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{type(self).__name__}: a parameter appears twice in the parameter groups")
        group = {**self.defaults, **group, "params": params}
        self.check(group)
        self.param_groups.append(group)

    def check(self, group: dict) -> None:
        """Raise ValueError for settings that make no sense."""
        for name in NOT_NEGATIVE:
            if name in group and not group[name] >= 0:
                raise ValueError(f"{type(self).__name__}: {name} must be at least 0; got {group[name]}")
        for beta in group.get("betas", ()):
            if not 0 <= beta < 1:
                raise ValueError(f"{type(self).__name__}: betas must lie in [0, 1); got {group['betas']}")
        if not 0 <= group.get("rho", 0) <= 1:
            raise ValueError(f"{type(self).__name__}: rho must lie in [0, 1]; got {group['rho']}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget (or set to zero) the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = Tensor(np.zeros_like(p.grad.array))

    def step(self, closure=None):
        """One update of every parameter that has a gradient. closure, if given, computes and returns the loss again."""
        loss = self.evaluate(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self.update(group, params)
                for p in params:
                    wrote(p, self._op)
        return loss

    def evaluate(self, closure):
        """What closure() returns, gradients recorded whatever the mode outside; None without a closure."""
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def update(self, group: dict, params: list) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define update(group, params)")

    def state_dict(self) -> dict:
        """The state as nested dicts; its tensors share memory with the optimizer's."""
        numbers = self._numbers()
        state = {
            numbers[p]: {k: Tensor(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}
            for p, values in self.state.items()
        }
        groups = []
        for group in self.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            groups.append({**settings, "params": [numbers[p] for p in group["params"]]})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Continue from a state_dict of the same kind of optimizer over the same parameters (values are copied)."""
        groups = state_dict["param_groups"]
        lengths, mine = ([len(g["params"]) for g in gs] for gs in (groups, self.param_groups))
        if lengths != mine:
            raise ValueError(
                f"{type(self).__name__}: the state has groups of {lengths} parameters, this optimizer of {mine}"
            )
        params = {
            number: p
            for group, own in zip(groups, self.param_groups, strict=True)
            for number, p in zip(group["params"], own["params"], strict=True)
        }
        state = {}
        for number, values in state_dict["state"].items():
            p = params[int(number)]
            state[p] = {name: self._own(p, name, value) for name, value in values.items()}
        for group, own in zip(groups, self.param_groups, strict=True):
            own.update({name: value for name, value in group.items() if name != "params"})
        self.state = state

    def _own(self, p, name, value):
        """A value of a loaded state as this optimizer keeps it: a copy laid out in memory as its parameter."""
        if not isinstance(value, (Tensor, np.ndarray)):
            return value
        array = value.array if isinstance(value, Tensor) else value
        if name in self.counters:
            return self.counters[name](array.item())
        if array.shape != p.shape:
            raise ValueError(f"{type(self).__name__}: {name} has shape {array.shape}, its parameter {p.shape}")
        mine = np.empty_like(p.array)
        mine[...] = array
        return mine

    def _numbers(self):
        return {p: n for n, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])
