"""Files of torch.save: weights come out as they went in; nothing in a file can run."""

import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from fastdl import nn
from fastdl.io import PthError, load_pth


def archive(path, program, entries=(), **options):
    """A file of torch.save's layout with this pickle."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", program)
        for name, data in dict(entries).items():
            file.writestr(f"archive/{name}", data)
    return path


class Global:
    """Pickles as a name that the reader must look up."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Writer(pickle._Pickler):
    """A pickler that writes Globals as names and ("storage", ...) tuples as persistent ids, as torch.save does."""

    def persistent_id(self, value):
        return value[1:] if isinstance(value, tuple) and value[:1] == ("persistent",) else None

    def save(self, value, *args, **kwargs):
        if isinstance(value, Global):
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Made):
            self.save(value.function)
            self.save(value.args)
            self.write(pickle.REDUCE)
        else:
            super().save(value, *args, **kwargs)


class Made:
    def __init__(self, function, *args):
        self.function, self.args = function, args


def program(value):
    file = io.BytesIO()
    Writer(file, 2).dump(value)
    return file.getvalue()


def tensor(shape, stride, count, offset=0, key="0", kind="FloatStorage"):
    storage = ("persistent", "storage", Global("torch", kind), key, "cpu", count)
    return Made(Global("torch._utils", "_rebuild_tensor_v2"), storage, offset, shape, stride, False, {})


NUMBERS = np.arange(6, dtype="<f4")


def test_hand_made_file(tmp_path):
    state = {"a": tensor((2, 2), (3, 1), 6, 1), "n": 3, "deep": [{"b": tensor((0, 4), (4, 1), 6)}]}
    got = load_pth(archive(tmp_path / "x.pth", program(state), {"data/0": NUMBERS.tobytes(), "byteorder": "little"}))
    np.testing.assert_array_equal(got["a"], [[1, 2], [4, 5]])
    assert got["n"] == 3 and got["deep"][0]["b"].shape == (0, 4) and got["a"].flags.owndata
    big = archive(tmp_path / "big.pth", program(state), {"data/0": NUMBERS.astype(">f4").tobytes(), "byteorder": "big"})
    np.testing.assert_array_equal(load_pth(big)["a"], got["a"])
    half = program({"h": tensor((2,), (1,), 2, kind="BFloat16Storage")})
    bits = (np.array([1.5, -2], np.float32).view(np.uint32) >> 16).astype("<u2")
    got = load_pth(archive(tmp_path / "h.pth", half, {"data/0": bits.tobytes()}))["h"]
    assert got.dtype == np.float32 and got.tolist() == [1.5, -2]


WRONG = {
    "code": ({"x": Made(Global("os", "system"), "echo never")}, "asks for os"),
    "builtin": ({"x": Made(Global("builtins", "eval"), "1")}, "asks for builtins"),
    "another function of torch": ({"x": Global("torch._utils", "_rebuild_qtensor")}, "_rebuild_qtensor"),
    "too long": ({"x": tensor((7,), (1,), 6)}, "reaches element 7 of a storage of 6"),
    "offset": ({"x": tensor((2,), (1,), 6, 5)}, "reaches element 7"),
    "negative": ({"x": tensor((2,), (-1,), 6, 5)}, "stride"),
    "repeated by stride 0": ({"x": tensor((10**9,), (0,), 6)}, "of a storage of 6"),
    "storage of another length": ({"x": tensor((2,), (1,), 5)}, "has 24 bytes; it should have 20"),
    "missing storage": ({"x": tensor((2,), (1,), 6, key="1")}, "no entry archive/data/1"),
    "many times": ([tensor((6,), (1,), 6)] * 1, "expected a dict"),
    "function": ({"x": Global("torch._utils", "_rebuild_tensor_v2")}, "holds a Callable"),
    "type": ({"x": Global("torch", "FloatStorage")}, "holds a _Type"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(tmp_path, name):
    value, message = WRONG[name]
    with pytest.raises(PthError, match=message):
        load_pth(archive(tmp_path / "x.pth", program(value), {"data/0": NUMBERS.tobytes()}))


def test_memory_is_bounded(tmp_path):
    numbers = np.zeros(200_000, "<f4")
    state = {str(i): tensor((200_000,), (1,), 200_000) for i in range(100)}
    with pytest.raises(PthError, match="many times the memory"):
        load_pth(archive(tmp_path / "x.pth", program(state), {"data/0": numbers.tobytes()}))
    packed = archive(
        tmp_path / "y.pth", program({"a": tensor((6,), (1,), 6)}), {"data/0": NUMBERS.tobytes()},
        compression=zipfile.ZIP_DEFLATED,
    )  # fmt: skip
    with pytest.raises(PthError, match="stored uncompressed"):
        load_pth(packed)


def test_instructions_that_weights_do_not_need(tmp_path):
    for attack, message in (
        (b"\x80\x02" + pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\nN}(X\x01\x00\x00\x00aK\x01u\x86b.", "BUILD"),
        (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00echotR.", "asks for os.system"),
        (b"\x80\x02(X\x04\x00\x00\x00echoios\nsystem\n.", "0x69"),
        (b"\x80\x02]K\x01\x85R.", "REDUCE"),
        (b"\x80\x02h\x05.", "memo"),
        (b"\x80\x02", "ends"),
    ):
        with pytest.raises(PthError, match=message):
            load_pth(archive(tmp_path / "x.pth", attack))


def test_deep_sharing_is_looked_at_once(tmp_path):
    value = [1]
    for _ in range(60):
        value = [value, value]
    assert load_pth(archive(tmp_path / "x.pth", program({"x": value})))["x"][0] is not None


def test_damaged_files(tmp_path):
    good = archive(tmp_path / "x.pth", program({"a": tensor((6,), (1,), 6)}), {"data/0": NUMBERS.tobytes()})
    data = good.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(200):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            broken[place] = rng.integers(256)
        (tmp_path / "y.pth").write_bytes(bytes(broken) if i % 2 else data[: rng.integers(len(data))])
        try:
            result = load_pth(tmp_path / "y.pth")
        except ValueError:
            continue
        assert isinstance(result, dict)
    for content, message in (
        (b"\x80\x02}q\x00.", "ends|damaged"),
        (b"hello", "damaged"),
        (b"", "empty"),
        (b"PK", "not a sound"),
    ):
        (tmp_path / "z.pth").write_bytes(content)
        with pytest.raises(PthError, match=message):
            load_pth(tmp_path / "z.pth")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as file:
        file.writestr("other", "")
    with pytest.raises(PthError, match="has 0"):
        load_pth(tmp_path / "w.pth")
    with pytest.raises(FileNotFoundError):
        load_pth(tmp_path / "none.pth")


def test_what_torch_saves(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ours.load_state_dict(load_pth(tmp_path / "net.pth"))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[name].numpy(), value.numpy())
    base = torch.arange(24).reshape(2, 3, 4)
    state = {
        "view": base[:, 1:, ::2].transpose(0, 1), "half": torch.ones(3).half(), "bf16": torch.tensor([1.5]).bfloat16(),
        "bool": torch.tensor([True, False]), "scalar": torch.tensor(3.0, dtype=torch.float64), "epoch": 7,
        "parameter": torch.nn.Parameter(torch.ones(2)), "order": OrderedDict(a=torch.ones(1)),
    }  # fmt: skip
    torch.save(state, tmp_path / "state.pth")
    got = load_pth(tmp_path / "state.pth")
    np.testing.assert_array_equal(got["view"], state["view"].numpy())
    assert got["half"].dtype == np.float16 and got["bf16"].dtype == np.float32 and got["epoch"] == 7
    assert got["bool"].tolist() == [True, False] and got["scalar"].shape == () and got["scalar"] == 3.0
    assert got["parameter"].tolist() == [1, 1] and got["order"]["a"].tolist() == [1]
    torch.save(net, tmp_path / "whole.pth")
    with pytest.raises(PthError, match="asks for torch"):
        load_pth(tmp_path / "whole.pth")
    torch.save(net.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = load_pth(tmp_path / "old.pth")
    assert old.keys() == net.state_dict().keys()
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(old[name], value.numpy())
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = load_pth(tmp_path / "old.pth")
    np.testing.assert_array_equal(old["view"], state["view"].numpy())
    assert old["bf16"].tolist() == [1.5] and old["epoch"] == 7
    data = (tmp_path / "old.pth").read_bytes()
    rng = np.random.default_rng(1)
    for i in range(100):
        broken = bytearray(data)
        broken[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "y.pth").write_bytes(bytes(broken) if i % 2 else data[: rng.integers(len(data))])
        try:
            assert isinstance(load_pth(tmp_path / "y.pth"), dict)
        except ValueError:
            continue
