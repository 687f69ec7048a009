"""torchvision on a machine without CUDA.

The wheel of PyPI is linked with CUDA's libraries, which the operators for CPUs do not call; the loader refuses it where they are
missing. Empty libraries of the same names, made with the machine's C compiler, let it load. Without a compiler only the names
of the operators are declared, which is enough for the models.
"""

import contextlib
import ctypes
import importlib.util
import subprocess
import tempfile
from pathlib import Path

MISSING = ("libc10_cuda.so", "libtorch_cuda.so")
CALLED_ON_CUDA_ONLY = (
    "torch_c10_cuda_check_msg",
    "torch_c10_cuda_free_error_msg",
    "aoti_torch_get_current_cuda_stream",
)
LOOKED_UP_AT_IMPORT = ("nms", "qnms")
_alive = []  # declarations last as long as their object


def load():
    """The module torchvision, with its operators if they can be had. Call it before anything else imports torchvision.

    Raises ModuleNotFoundError without torch or torchvision.
    """
    import torch

    package = importlib.util.find_spec("torchvision")
    if package is None:
        raise ModuleNotFoundError("torchvision is not installed: pip install --no-deps torchvision==0.29.2")
    if _alive:
        return importlib.import_module("torchvision")
    _alive.append(package)
    if not torch.cuda.is_available():
        with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no compiler, or another system
            _stand_in_for_cuda(Path(package.submodule_search_locations[0]))
    try:
        import torchvision
    except RuntimeError:
        declared = torch.library.Library("torchvision", "DEF")
        for name in LOOKED_UP_AT_IMPORT:
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _alive.append(declared)
        import torchvision
    return torchvision


def has_operators():
    from torchvision import extension

    return extension._has_ops()


def _stand_in_for_cuda(root):
    source = "".join(f"void {name}(void) {{}}\n" for name in CALLED_ON_CUDA_ONLY)
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "empty.c")
        code.write_text(source)
        for name in MISSING:
            library = str(Path(folder, name))
            command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", library, str(code)]
            subprocess.run(command, check=True, capture_output=True)
            ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    for runtime in root.with_name("torchvision.libs").glob("libcudart*"):
        ctypes.CDLL(str(runtime), ctypes.RTLD_GLOBAL)
