"""PyTorch and fastdl behind one interface, so that a workload is written once.

Both have the same names (F.conv2d, nn.LSTM, optim.Adam), so a side only makes arrays and takes gradients. The numbers are
the same on both sides: they come from NumPy with a fixed seed, in the order in which the workload asks for them.
"""

import tempfile
from pathlib import Path

import numpy as np


class Side:
    """`option` is how the side does the same work in another way, e.g. torch with channels-last memory."""

    options = ("",)

    def __init__(self, option="", dtype="float32"):
        self.option = option
        self.dtype = dtype
        self.rng = np.random.default_rng(0)

    def array(self, *shape, scale=1.0):
        """Normal numbers. Those of float64 are those of float32: the comparison is of the arithmetic only."""
        return np.asarray(self.rng.standard_normal(shape, dtype=np.float32) * np.float32(scale), self.dtype)

    def input(self, *shape, scale=1.0, image=True):
        """A tensor whose gradient is wanted. `image`: four axes are (N, C, H, W), in the side's layout for images."""
        return self.tensor(self.array(*shape, scale=scale), grad=True, image=image)

    def weight(self, *shape, scale=1.0):
        """The same for a parameter, in the layout in which the library's own layers keep it."""
        return self.input(*shape, scale=scale)

    def integers(self, high, *shape):
        return self.tensor(self.rng.integers(0, high, shape))

    def operation(self, call, leaves, image=True):
        """The timed passes of a differentiable call: forward alone, and forward with the gradients of all leaves."""
        result = self.run_without_tape(call)
        dy = self.tensor(self.array(*result.shape), image=image)

        def forward():
            return [self.run_without_tape(call)]

        def both():
            y = call()
            return [y, *self.gradients(y, leaves, dy)]

        return {"fwd": forward, "both": both}

    def training(self, net, optimizer, loss):
        """One training step: gradients, update, and the loss as result."""

        def step():
            optimizer.zero_grad()
            value = loss(net)
            value.backward()
            optimizer.step()
            return [value.detach()]

        return {"both": step}


class Torch(Side):
    options = ("", "channels_last")

    def __init__(self, option="", dtype="float32"):
        super().__init__(option, dtype)
        import torch

        self.lib, self.nn, self.F, self.optim = torch, torch.nn, torch.nn.functional, torch.optim
        torch.manual_seed(0)

    @property
    def roi(self):
        from . import torchvision_cpu

        return torchvision_cpu.load().ops

    def tensor(self, array, grad=False, image=True):
        t = self.lib.from_numpy(np.array(array, order="C"))
        if image and t.ndim == 4 and self.option == "channels_last":
            t = t.contiguous(memory_format=self.lib.channels_last)
        return t.requires_grad_(grad)

    def module(self, net):
        net = net.to(getattr(self.lib, self.dtype))
        return net.to(memory_format=self.lib.channels_last) if self.option == "channels_last" else net

    def fast(self, optimizer):
        """Options that make an optimizer as fast as it can be."""
        return {"fused": True} if optimizer in ("Adam", "AdamW", "SGD") else {}

    def run_without_tape(self, call):
        with self.lib.no_grad():
            return call()

    def gradients(self, y, leaves, dy):
        return self.lib.autograd.grad(y, leaves, dy)

    def load(self, net, arrays):
        """Puts the arrays into the parameters, in the order of their names."""
        with self.lib.no_grad():
            for p, a in zip(net.parameters(), arrays, strict=True):
                p.copy_(self.lib.from_numpy(a))

    def assign(self, parameter, array):
        with self.lib.no_grad():
            parameter.copy_(self.lib.from_numpy(array))

    def for_inference(self, net):
        return net.eval()

    def numpy(self, tensor):
        return tensor if isinstance(tensor, np.ndarray) else tensor.detach().contiguous().numpy()

    def set_threads(self, n):
        self.lib.set_num_threads(n)

    def version(self):
        return f"PyTorch {self.lib.__version__}"


class OnnxRuntime(Torch):
    """PyTorch's network, exported once and run by ONNX Runtime. In float64, where it is the reference, PyTorch runs it."""

    options = ("",)

    def set_threads(self, n):
        super().set_threads(n)
        self.threads = n

    def for_inference(self, net):
        net.eval()
        return net if self.dtype == "float64" else Exported(self, net)

    def session(self, file):
        """A function of one array."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda array: session.run(None, {name: array})[0]

    def version(self):
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__}"


class OpenVino(OnnxRuntime):
    """The same through OpenVINO, asked for least latency in float32."""

    def session(self, file):
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = openvino.Core().compile_model(file, "CPU", settings)
        request = compiled.create_infer_request()

        def run(array):
            request.infer({0: array}, share_inputs=True)
            return request.get_output_tensor(0).data

        return run

    def version(self):
        import openvino

        return f"OpenVINO {openvino.__version__.split('-')[0]}"


class Exported:
    """A network of torch as an ONNX file, which `side` opens at the first call, when the input's shape is known."""

    def __init__(self, side, net):
        self.side, self.net, self.call = side, net, None

    def __call__(self, x):
        if self.call is None:
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder, "network.onnx"))
                self.side.lib.onnx.export(self.net, (x,), file, dynamo=False)
                self.call = self.side.session(file)
        return np.array(self.call(x.numpy()))


class Fastdl(Side):
    def __init__(self, option="", dtype="float32"):
        super().__init__(option, dtype)
        import fastdl
        from fastdl import autograd, nn, optim
        from fastdl.nn import functional

        self.lib, self.nn, self.F, self.optim, self.autograd = fastdl, nn, functional, optim, autograd
        fastdl.manual_seed(0)

    @property
    def roi(self):
        from fastdl.ops import roi

        return roi

    def tensor(self, array, grad=False, image=True):
        if image and array.ndim == 4 and array.dtype.kind == "f":  # channels-last in memory: fastdl's own layout
            array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        t = self.lib.from_numpy(array)
        t.requires_grad = grad
        return t

    def weight(self, *shape, scale=1.0):
        t = self.lib.from_numpy(self.array(*shape, scale=scale))  # plain, as nn.Conv2d makes it
        t.requires_grad = True
        return t

    def module(self, net):
        return net if self.dtype == "float32" else net.double()

    def fast(self, optimizer):
        return {}

    def run_without_tape(self, call):
        with self.lib.no_grad():
            return call()

    def gradients(self, y, leaves, dy):
        return self.autograd.grad(y, leaves, dy)

    def load(self, net, arrays):
        for p, a in zip(net.parameters(), arrays, strict=True):
            p.array[...] = a

    def assign(self, parameter, array):
        parameter.array[...] = array

    def for_inference(self, net):
        return net.eval().fuse()

    def numpy(self, tensor):
        return np.asarray(tensor.detach().numpy())

    def set_threads(self, n):
        from fastdl import threads

        threads.set_num_threads(n)

    def version(self):
        from fastdl import _native

        return f"fastdl {self.lib.__version__} ({_native.isa})"


SIDES = {"torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "fastdl": Fastdl}
