"""Files: safetensors, save and load, checkpoints; what is damaged is refused with a clear error."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import fastdl
from fastdl.io import (
    CheckpointError,
    SafetensorsError,
    checkpoints,
    load,
    load_checkpoint,
    load_file,
    load_latest,
    save,
    save_checkpoint,
    save_file,
)
from fastdl.io.safetensors import read_metadata
from fastdl.io.tree import flatten, unflatten

rng = np.random.default_rng(0)
ARRAYS = {
    "a.f32": rng.standard_normal((3, 4)).astype(np.float32),
    "a.f64": rng.standard_normal(5),
    "a.f16": rng.standard_normal((2, 2)).astype(np.float16),
    "i64": np.array([[-(2**60), 7]]),
    "i32": np.array([-5], np.int32),
    "i16": np.array([-5], np.int16),
    "i8": np.array([-5, 3, 1], np.int8),
    "u64": np.array([2**63], np.uint64),
    "u32": np.array([2**31], np.uint32),
    "u16": np.array([2**15], np.uint16),
    "u8": np.array([255, 0], np.uint8),
    "flag": np.array([True, False, True]),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "ümlaut": np.ones(1, np.float32),
}


def assert_same(got, want):
    assert set(got) == set(want)
    for name, array in want.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


# ----------------------------------------------------------------------------------------------------- safetensors


def test_round_trip(tmp_path):
    save_file(ARRAYS, tmp_path / "x", {"author": "me"})
    got = load_file(tmp_path / "x")
    assert_same(got, ARRAYS)
    assert read_metadata(tmp_path / "x") == {"author": "me"}
    for array in got.values():
        assert array.flags.writeable and array.flags.aligned


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.T,
        lambda x: x[::2, ::-1],
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: x.astype(x.dtype.newbyteorder(">")),
        np.asfortranarray,
    ],
)
def test_any_memory_layout(tmp_path, layout):
    x = layout(rng.standard_normal((6, 5)).astype(np.float32))
    save_file({"x": x}, tmp_path / "x")
    np.testing.assert_array_equal(load_file(tmp_path / "x")["x"], x)


def test_the_library_reads_what_we_write_and_the_reverse(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    save_file(ARRAYS, tmp_path / "ours", {"author": "me"})
    assert_same(library.load_file(tmp_path / "ours"), ARRAYS)
    library.save_file(ARRAYS, tmp_path / "theirs", {"k": "v"})
    assert_same(load_file(tmp_path / "theirs"), ARRAYS)
    assert read_metadata(tmp_path / "theirs") == {"k": "v"}


def write_raw(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def test_bf16_is_read_exactly(tmp_path):
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], np.uint16)  # 1, -2, inf, the smallest denormal
    write_raw(tmp_path / "x", {"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}, bits.tobytes())
    w = load_file(tmp_path / "x")["w"]
    assert w.dtype == np.float32 and w.tolist() == [1.0, -2.0, np.inf, 2.0**-133]


def test_bf16_of_the_library(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    w = torch.randn(7, 3).to(torch.bfloat16)
    library.save_file({"w": w}, tmp_path / "x")
    np.testing.assert_array_equal(load_file(tmp_path / "x")["w"], w.float().numpy())


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "header, data, message",
    [
        ({"w": entry()}, b"\0" * 7, "cut off: 7 bytes of data, the header describes 8"),
        ({"w": entry()}, b"\0" * 9, "too long"),
        ({"w": entry(offsets=(0, 4))}, b"\0" * 4, r"'w' of shape \(2,\) takes 8 bytes, its offsets give 4"),
        ({"w": entry(offsets=(8, 0))}, b"\0" * 8, "takes 8 bytes"),
        ({"w": entry(offsets=(-8, 0))}, b"\0" * 8, "data_offsets"),
        ({"w": entry(), "v": entry(offsets=(4, 12))}, b"\0" * 12, "overlaps with another or leaves a hole"),
        ({"w": entry(), "v": entry(offsets=(12, 20))}, b"\0" * 20, "overlaps with another or leaves a hole"),
        ({"w": entry(offsets=(4, 12))}, b"\0" * 12, "overlaps with another or leaves a hole"),
        ({"w": entry(dtype="F8_E4M3", offsets=(0, 2))}, b"\0" * 2, "dtype 'F8_E4M3', which fastdl does not read"),
        ({"w": entry(shape=(-2,))}, b"\0" * 8, "has shape"),
        ({"w": entry(shape=(True, 2))}, b"\0" * 8, "has shape"),
        ({"w": entry(shape=(2**40, 2**40), offsets=(0, 8))}, b"\0" * 8, "takes"),
        ({"w": {"dtype": "F32"}}, b"", "must have dtype, shape and data_offsets"),
        ({"w": [1]}, b"", "must have dtype"),
        ([1, 2], b"", "must be a JSON object"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__ must map text to text"),
        (b'{"w": ', b"", "not JSON"),
        (b"\xff\xfe", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        (b'{"w": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "w": {}}', b"", "a name occurs twice"),
        ({"w": entry("BOOL", (2,), (0, 2))}, b"\1\2", "neither 0 nor 1"),
    ],
)
def test_damaged_headers(tmp_path, header, data, message):
    write_raw(tmp_path / "x", header, data)
    with pytest.raises(SafetensorsError, match=message):
        load_file(tmp_path / "x")


def test_damaged_starts(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"1234567"):
        path.write_bytes(content)
        with pytest.raises(SafetensorsError, match="too short"):
            load_file(path)
    for length in (10**6, 2**63, 2**64 - 1):
        write_raw(path, {}, b"", length)
        with pytest.raises(SafetensorsError, match="cut off, or not a safetensors file"):
            load_file(path)


def test_every_truncation_is_noticed(tmp_path):
    save_file({"w": np.arange(6, dtype=np.float32), "n": np.arange(3)}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    for n in range(len(data)):
        (tmp_path / "y").write_bytes(data[:n])
        with pytest.raises(SafetensorsError):
            load_file(tmp_path / "y")


def test_what_cannot_be_written(tmp_path):
    for tensors, message in [
        ({"c": np.zeros(2, complex)}, "'c' with dtype complex128"),
        ({"s": np.array(["a"])}, "cannot be stored"),
        ({"o": [1, 2]}, "'o' must be a Tensor or an array; got list"),
        ({1: np.zeros(2)}, "names must be strings"),
        ({"__metadata__": np.zeros(2)}, "cannot be stored"),
    ]:
        with pytest.raises(TypeError, match=message):
            save_file(tensors, tmp_path / "x")
    with pytest.raises(TypeError, match="metadata must map text to text"):
        save_file({}, tmp_path / "x", {"a": 1})


# ---------------------------------------------------------------------------------------------------- save and load


def test_save_and_load_a_flat_dict(tmp_path):
    tensors = {name: fastdl.from_numpy(array.copy()) for name, array in ARRAYS.items()}
    for name in ("w.safetensors", "w.npz", "w"):
        save(tensors, tmp_path / name)
        got = load(tmp_path / name)
        assert_same({k: v.numpy() for k, v in got.items()}, ARRAYS)
    assert read_metadata(tmp_path / "w.safetensors") == {}  # a plain file that every reader understands
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w", "w.npz", "w.safetensors"]  # nothing left over


def test_save_and_load_nested(tmp_path):
    tree = {
        "model": {"w": fastdl.ones(2)},
        "optimizer": {"state": {0: {"step": 3, "exp_avg": fastdl.zeros(2)}}, "betas": (0.9, 0.999)},
        "list": [1, None, True, "text", 1.5, float("inf"), [np.arange(3)]],
        "best": -float("inf"),
    }
    save(tree, tmp_path / "x")
    got = load(tmp_path / "x")
    assert got["model"]["w"].tolist() == [1, 1] and isinstance(got["model"]["w"], fastdl.Tensor)
    assert got["optimizer"]["state"][0]["step"] == 3 and got["optimizer"]["betas"] == (0.9, 0.999)
    assert got["list"][:6] == tree["list"][:6] and isinstance(got["list"][6][0], np.ndarray)
    assert got["best"] == -np.inf
    save(fastdl.arange(3), tmp_path / "t")
    assert load(tmp_path / "t").tolist() == [0, 1, 2]


def test_what_cannot_be_saved(tmp_path):
    for value, message in [
        ({"f": print}, "builtin_function.*at f"),
        ({"a": {"b": [0, {1, 2}]}}, r"cannot save a set \(at a.b.1\)"),
        ({1.5: 2}, "keys other than text and integers"),
        ({1: 0, "1": 0}, "read the same"),
    ]:
        with pytest.raises(TypeError, match=message):
            save(value, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_keys_that_look_like_structure(tmp_path):
    tree = {"$tensor": "w", "a": {"$dict": 3}, "b": {"$x": fastdl.ones(1)}, "n": float("nan")}
    structure, arrays = flatten(tree)
    got = unflatten(json.loads(json.dumps(structure, allow_nan=False)), arrays)
    assert got["$tensor"] == "w" and got["a"] == {"$dict": 3} and got["b"]["$x"].item() == 1 and got["n"] != got["n"]


def test_a_pickle_is_refused_and_not_run(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    for name in ("x.pt", "x.safetensors", "x"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ValueError, match="can run code"):
            load(tmp_path / name)
    np.savez(tmp_path / "x.npz", a=np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a sound"):
        load(tmp_path / "x.npz")
    assert not (tmp_path / "ran").exists()


def test_no_module_of_the_package_can_unpickle():
    source = os.path.dirname(fastdl.__file__)
    command = ["grep", "-rnE", "import pickle|allow_pickle=True", source, "--include=*.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == ""


@pytest.mark.parametrize("n", range(60, 140))
def test_a_header_may_begin_like_a_pickle(tmp_path, n):
    save({"w" * n: fastdl.ones(1)}, tmp_path / "x")  # some of these have a header of 128 bytes: 0x80 comes first
    assert load(tmp_path / "x")["w" * n].item() == 1


def test_load_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="load_checkpoint"):
        load(tmp_path)
    (tmp_path / "x.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match="not a sound"):
        load(tmp_path / "x.npz")


def test_io_works_without_the_library(tmp_path):
    script = f"""
import sys
sys.modules["safetensors"] = None
import fastdl
fastdl.save({{"w": fastdl.ones(3)}}, {str(tmp_path / "x")!r})
print(fastdl.load({str(tmp_path / "x")!r})["w"].tolist())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[1.0, 1.0, 1.0]\n", done.stderr


# ------------------------------------------------------------------------------------------------------ checkpoints


def make(root, step, keep=2):
    model = {"w": fastdl.full((3,), float(step))}
    optimizer = {"state": {0: {"exp_avg": fastdl.full((3,), -float(step)), "step": step}}}
    return save_checkpoint(root, step, model, optimizer, {"seen": step, "best": float("inf")}, keep=keep)


def test_checkpoint_round_trip(tmp_path):
    folder = make(tmp_path, 12)
    assert sorted(p.name for p in folder.iterdir()) == ["model.safetensors", "optim.safetensors", "state.json"]
    got = load_checkpoint(folder)
    assert got["step"] == 12 and got["model"]["w"].tolist() == [12, 12, 12]
    assert got["optimizer"]["state"][0]["exp_avg"].tolist() == [-12, -12, -12]
    assert got["optimizer"]["state"][0]["step"] == 12 and got["state"] == {"seen": 12, "best": float("inf")}


def test_old_checkpoints_go_and_the_newest_is_loaded(tmp_path):
    assert load_latest(tmp_path / "none") is None
    for step in (5, 20, 100, 1_000_000_000):
        make(tmp_path, step)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-1000000000", "step-000000100"]
    assert load_latest(tmp_path)["step"] == 1_000_000_000
    assert len(list(tmp_path.iterdir())) == 2
    make(tmp_path, 1_000_000_000)  # the same step once more
    assert load_latest(tmp_path)["step"] == 1_000_000_000 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "optim.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove"])
def test_damaged_checkpoint_is_passed_over(tmp_path, name, damage, caplog):
    make(tmp_path, 1)
    newest = make(tmp_path, 2)
    data = bytearray((newest / name).read_bytes())
    if damage == "remove":
        (newest / name).unlink()
    else:
        if damage == "flip":
            data[len(data) // 2] ^= 1
        (newest / name).write_bytes({"truncate": data[:-3], "flip": data, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match="step-000000002"):
        load_checkpoint(newest)
    assert load_latest(tmp_path)["step"] == 1
    assert "trying the one before" in caplog.text
    for file in checkpoints(tmp_path)[1].iterdir():
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint can be used"):
        load_latest(tmp_path)


def test_every_flipped_byte_of_state_json_is_noticed(tmp_path):
    folder = make(tmp_path, 3)
    good = (folder / "state.json").read_bytes()
    content = json.loads(good)
    for i in range(len(good)):
        bad = bytearray(good)
        bad[i] ^= 2
        (folder / "state.json").write_bytes(bad)
        try:
            load_checkpoint(folder)
        except CheckpointError:
            continue
        assert json.loads(bytes(bad)) == content  # only white space changed


def test_failing_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    make(tmp_path, 1)

    def full(*args):
        raise OSError(28, "No space left on device")

    for function in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            with pytest.raises(OSError, match="No space left"):
                make(tmp_path, 2)
        assert [p.name for p in tmp_path.iterdir()] == ["step-000000001"]
        assert load_latest(tmp_path)["step"] == 1


def test_kill_at_every_moment_of_a_save(tmp_path):
    """SIGKILL just before the n-th call that touches the disk, for every n: an older or the new checkpoint is whole."""
    script = """
import os, signal, sys
root, n = sys.argv[1], int(sys.argv[2])
sys.path.insert(0, sys.argv[3])
from test_io import make
make(root, 1)
calls = 0
def counted(function):
    def call(*args, **kwargs):
        global calls
        if calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return function(*args, **kwargs)
    return call
for name in ("fsync", "rename", "mkdir", "unlink", "rmdir", "open"):
    setattr(os, name, counted(getattr(os, name)))
make(root, 2, keep=1)
print("done", calls)
"""
    found = set()
    for n in range(40):
        root = tmp_path / str(n)
        done = subprocess.run(
            [sys.executable, "-c", script, str(root), str(n), os.path.dirname(__file__)], capture_output=True, text=True
        )
        step = load_latest(root)["step"]
        found.add(step)
        make(root, 3)  # and the run goes on: what was left behind is cleared away
        assert load_latest(root)["step"] == 3 and not list(root.glob(".unfinished*"))
        if done.returncode == 0:
            assert step == 2
            break
        assert done.returncode == -9, done.stderr
    else:
        raise AssertionError("the save never came to an end")
    assert n > 6 and found == {1, 2}
