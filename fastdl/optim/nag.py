"""Nesterov's accelerated gradient: the gradient is taken where the momentum is about to lead."""

from fastdl.kernels.optim_step import sgd_step
from fastdl.optim.optimizer import form_of, torch_options
from fastdl.optim.sgd import SGD
from fastdl.tape import wrote


class NAG(SGD):
    """Nesterov's accelerated gradient in the form in which it is taught.

    Maths       a <- momentum a + gradient at w - lr momentum a
                w <- w - lr a
    Parameters  lr, momentum, weight_decay (of the look-ahead point, added to the gradient), maximize
                form: "lecture" (the default), or "torch", which is SGD(nesterov=True)
    State       momentum_buffer (a)
    Errors      ValueError for a step without a closure in the lecture's form
    Notes       step(closure) moves to the look-ahead point, calls closure() there (zero_grad, loss, backward, return the loss),
                and goes on from there: w_new = look-ahead point - lr gradient. Between steps the parameters hold w. torch's
                form keeps the look-ahead point in the parameters instead: the same points, read at another moment.
    Ref         Nesterov 1983; Sutskever, Martens, Dahl, Hinton 2013
    """

    def __init__(self, params, lr=1e-3, momentum=0.9, weight_decay=0.0, *, maximize=False, form="lecture", **options):
        torch_options("NAG", options)
        self.lecture = form_of("NAG", form)
        super().__init__(params, lr, momentum, 0.0, weight_decay, nesterov=momentum > 0, maximize=maximize)
        if not momentum > 0:
            raise ValueError(f"NAG: momentum must be above 0; got {momentum}; hint: SGD is NAG without momentum")

    @property
    def kernel(self):
        return "nag" if self.lecture else "sgd"

    @property
    def takes(self):
        return ("lr", "momentum", "weight_decay", "maximize") if self.lecture else SGD.takes

    def start(self, group, p, name):
        a = super().start(group, p, name)
        a.fill(0)
        return a

    def step(self, closure=None):
        """One update. closure computes and returns the loss, and its gradients, at the look-ahead point."""
        if not self.lecture:
            return super().step(closure)
        if closure is None:
            raise ValueError("NAG: step(closure) needs a closure, which computes the gradients at the look-ahead point")
        for group in self.param_groups:
            moving = [p for p in group["params"] if "momentum_buffer" in self.state.get(p, ())]
            if moving:
                along = [self.state[p]["momentum_buffer"] for p in moving]
                sgd_step([p.array for p in moving], along, None, group["lr"] * group["momentum"])
                for p in moving:
                    wrote(p, "NAG.step")
        return super().step(closure)
