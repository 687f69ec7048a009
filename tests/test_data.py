"""Data sets, samplers, the loader, and the files of MNIST."""

import gzip
import struct
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

import fastdl
from fastdl.data import (
    BatchSampler,
    BucketBatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    StratifiedBatchSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    batch_rng,
    digits,
    mnist,
    mnist5k,
    random_split,
    read_idx,
)


def numbers(loader):
    return [batch.numpy().tolist() for batch in loader]


class Numbers(Dataset):
    """The numbers 0..n-1; counts how often and in which threads items are fetched."""

    def __init__(self, n, delay=0.0):
        self.n, self.delay, self.fetched, self.threads = n, delay, [], set()

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if self.delay:
            time.sleep(self.delay)
        self.fetched.append(i)
        self.threads.add(threading.get_ident())
        return i


# ------------------------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize("make, shape, sizes", [(digits, (1, 8, 8), (1438, 359)), (mnist5k, (1, 28, 28), (4000, 1000))])
def test_embedded_sets(make, shape, sizes):
    train, test = make()
    assert (len(train), len(test)) == sizes
    for part in (train, test):
        x, y = part.tensors
        assert x.shape[1:] == shape and x.dtype == np.float32 and y.dtype == np.int64
        assert x.array.min() == 0 and x.array.max() == 1
        counts = np.bincount(y.array, minlength=10)
        assert counts.max() - counts.min() <= 10 * len(part) / 1000  # stratified


def test_split_of_mnist_is_the_documented_one():
    train, test = mnist5k()
    with np.load(fastdl.data._split.EMBEDDED / "mnist5k.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
    # 500 of each class, sorted: the third of every five images
    np.testing.assert_array_equal(test.tensors[0].array[:, 0], x[2::5].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test.tensors[1].array, y[2::5])
    assert len(train) + len(test) == len(x)
    # what the split is worth: a nearest neighbour classifier on it
    a, b = train.tensors[0].array.reshape(4000, -1), test.tensors[0].array.reshape(1000, -1)
    nearest = (np.square(a).sum(1) - 2 * b @ a.T).argmin(1)
    assert np.mean(train.tensors[1].array[nearest] == test.tensors[1].array) == pytest.approx(0.932, abs=0.002)


def test_tensor_dataset():
    data = TensorDataset(fastdl.tensor([[1.0], [2.0], [3.0]]), np.array([1, 2, 3]))
    x, y = data[1]
    assert x.tolist() == [2.0] and y.item() == 2
    x, y = data.take([2, 0])
    assert x.tolist() == [[3.0], [1.0]] and y.tolist() == [3, 1]
    with pytest.raises(ValueError, match=r"same length; got \[3, 2\]"):
        TensorDataset(np.zeros(3), np.zeros(2))


def test_subset_concat_and_random_split():
    data = ConcatDataset([list(range(3)), list(range(10, 14))])
    assert [data[i] for i in range(len(data))] == [0, 1, 2, 10, 11, 12, 13] and data[-1] == 13
    with pytest.raises(IndexError):
        data[7]
    parts = random_split(data, [4, 3], seed=1)
    assert sorted(part[i] for part in parts for i in range(len(part))) == [0, 1, 2, 10, 11, 12, 13]
    assert [part.indices.tolist() for part in parts] == [p.indices.tolist() for p in random_split(data, [4, 3], seed=1)]
    assert [len(p) for p in random_split(data, [0.5, 0.5])] == [4, 3]
    with pytest.raises(ValueError, match="sum to 6"):
        random_split(data, [3, 3])
    inner = TensorDataset(np.arange(10))
    assert Subset(Subset(inner, [5, 6, 7]), [2, 0]).take([0, 1])[0].tolist() == [7, 5]


# -------------------------------------------------------------------------------------------------------- samplers


def test_random_sampler_depends_on_seed_and_epoch_only():
    sampler = RandomSampler(range(20), seed=3)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == list(range(20)) and first != second
    again = RandomSampler(range(20), seed=3)
    again.set_epoch(1)
    assert list(again) == second
    assert list(RandomSampler(range(20), seed=4)) != first


def test_samplers():
    assert sorted(SubsetRandomSampler([3, 5, 9], seed=0)) == [3, 5, 9]
    drawn = list(WeightedRandomSampler([0, 1, 3], 4000, seed=0))
    assert 0 not in drawn and 0.70 < np.mean(np.equal(drawn, 2)) < 0.80
    assert sorted(WeightedRandomSampler([1, 1, 5], 3, replacement=False, seed=0)) == [0, 1, 2]
    assert list(BatchSampler(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2)) == 3 and len(BatchSampler(range(5), 2, drop_last=True)) == 2
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="batch_size"):
            BatchSampler(range(5), bad)
    with pytest.raises(ValueError, match="replacement"):
        WeightedRandomSampler([1, 0], 2, replacement=False)


def test_stratified_batches():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    sampler = StratifiedBatchSampler(labels, 10, seed=3)
    first, second = list(sampler), list(sampler)
    assert len(sampler) == 10 and first != second
    for epoch in (first, second):
        assert sorted(i for batch in epoch for i in batch) == list(range(100))
        for batch in epoch:
            counts = np.bincount(labels[batch], minlength=3)
            assert (abs(counts - [6, 3, 1]) <= 1).all()
    again = StratifiedBatchSampler(labels, 10, seed=3)
    again.set_epoch(1)
    assert list(again) == second
    assert [len(b) for b in StratifiedBatchSampler(labels, 30, drop_last=True, seed=0)] == [30] * 3
    with pytest.raises(ValueError, match=r"labels must be a list of classes; got shape \(0,\)"):
        StratifiedBatchSampler([], 2)


def test_buckets_by_length():
    lengths = np.random.default_rng(0).integers(1, 40, 200)
    sampler = BucketBatchSampler(lengths, max_tokens=120, seed=1)
    first, second = list(sampler), list(sampler)
    assert len(sampler) == len(first) == len(second) and first != second
    for epoch in (first, second):
        assert sorted(i for batch in epoch for i in batch) == list(range(200))
        assert max(lengths[b].max() * len(b) for b in epoch) <= 120
        padded = sum(lengths[b].max() * len(b) for b in epoch)
        assert padded < 1.05 * lengths.sum()  # 20 % and more without buckets
    by_count = list(BucketBatchSampler(lengths, batch_size=16, shuffle=False, seed=1))
    assert [len(b) for b in by_count] == [16] * 12 + [8]
    loader = DataLoader(list(range(200)), batch_sampler=BucketBatchSampler(lengths, batch_size=16, seed=1))
    whole = numbers(loader) + numbers(loader)
    part = DataLoader(list(range(200)), batch_sampler=BucketBatchSampler(lengths, batch_size=16, seed=1))
    part.load_state_dict({"seed": part.seed, "epoch": 1, "batch": 4, "length": 13})
    assert numbers(part) == whole[17:]
    for bad, message in [
        ({}, "give batch_size or max_tokens"),
        ({"batch_size": 2, "max_tokens": 9}, "give batch_size or max_tokens"),
        ({"max_tokens": 9}, "the longest item has 39 tokens, more than max_tokens = 9"),
        ({"batch_size": 0}, "batch_size must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            BucketBatchSampler(lengths, **bad)


def test_default_seed_is_that_of_manual_seed():
    fastdl.manual_seed(5)
    a = numbers(DataLoader(list(range(50)), 10, shuffle=True))
    state = fastdl.get_rng_state()
    fastdl.manual_seed(6)
    b = numbers(DataLoader(list(range(50)), 10, shuffle=True))
    fastdl.manual_seed(5)
    assert fastdl.get_rng_state() == state  # nothing was drawn from it
    assert a == numbers(DataLoader(list(range(50)), 10, shuffle=True)) != b


# ---------------------------------------------------------------------------------------------------------- loader


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_the_same_for_any_number_of_workers(workers):
    loader = DataLoader(Numbers(23, delay=0.001), batch_size=4, shuffle=True, num_workers=workers, seed=7)
    expected = DataLoader(list(range(23)), batch_size=4, shuffle=True, seed=7)
    assert numbers(loader) == numbers(expected)  # first epoch
    assert numbers(loader) == numbers(expected)  # second
    assert len(loader) == 6


def test_workers_are_threads_and_fetch_ahead_but_not_everything():
    data = Numbers(100)
    loader = DataLoader(data, batch_size=1, num_workers=2, prefetch_factor=3)
    iterator = iter(loader)
    next(iterator)
    time.sleep(0.2)
    assert 1 < len(data.fetched) <= 8 and threading.get_ident() not in data.threads
    iterator.close()


def test_collate():
    items = [({"a": 1, "b": np.ones(2, np.float32)}, "x", 0.5), ({"a": 2, "b": np.zeros(2, np.float32)}, "y", 1.5)]
    fields, names, floats = next(iter(DataLoader(items, batch_size=2)))
    assert fields["a"].dtype == np.int64 and fields["b"].shape == (2, 2)
    assert names == ["x", "y"] and floats.dtype == np.float32
    assert [list(b) for b in DataLoader([1, 2, 3], 2, collate_fn=tuple)] == [[1, 2], [3]]
    assert list(DataLoader([1, 2, 3], batch_size=None)) == [1, 2, 3]
    with pytest.raises(TypeError, match="cannot make a batch of object"):
        next(iter(DataLoader([object()])))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 5, 6])
def test_resume_in_the_middle_of_an_epoch(workers, stop):
    def make():
        return DataLoader(list(range(17)), batch_size=3, shuffle=True, num_workers=workers, seed=2)

    whole = make()
    expected = numbers(whole) + numbers(whole) + numbers(whole)

    first = make()
    got = numbers(first)  # one epoch, and `stop` batches of the next
    iterator = iter(first)
    for _ in range(stop):
        got.append(next(iterator).tolist())
    state = first.state_dict()
    second = make()
    second.load_state_dict(state)
    got += numbers(second)
    while len(got) < len(expected):
        got += numbers(second)
    assert got == expected


def test_state_of_another_loader_is_refused():
    state = DataLoader(list(range(10)), 2, seed=1).state_dict()
    with pytest.raises(ValueError, match="length 5"):
        DataLoader(list(range(12)), 2, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="seed 1"):
        DataLoader(list(range(10)), 2, seed=2).load_state_dict(state)


def test_break_starts_a_new_epoch_next_time():
    loader = DataLoader(list(range(20)), 5, shuffle=True, seed=0)
    for _ in loader:
        break
    reference = DataLoader(list(range(20)), 5, shuffle=True, seed=0)
    numbers(reference)
    assert numbers(loader) == numbers(reference)


@pytest.mark.parametrize("workers", [0, 3])
def test_batch_rng_is_the_same_for_any_number_of_workers_and_after_resume(workers):
    class Noisy(Numbers):
        def __getitem__(self, i):
            return float(batch_rng().standard_normal())

    def make(workers):
        return DataLoader(Noisy(12), 3, num_workers=workers, seed=4)

    expected = numbers(make(0))
    assert len({x for batch in expected for x in batch}) == 12
    assert numbers(make(workers)) == expected
    resumed = make(workers)
    resumed.load_state_dict({"seed": 4, "epoch": 0, "batch": 2, "length": 4})
    assert numbers(resumed) == expected[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_error_in_a_worker_keeps_its_traceback(workers):
    class Broken(Numbers):
        def __getitem__(self, i):
            return self.helper(i)

        def helper(self, i):
            if i == 6:
                raise KeyError("no such image")
            return i

    loader = DataLoader(Broken(10), batch_size=2, num_workers=workers)
    with pytest.raises(KeyError, match="no such image") as caught:
        list(loader)
    assert "helper" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert "batch 3 of epoch 0, items [6, 7]" in caught.value.__notes__[0]


@pytest.mark.parametrize("workers", [1, 4])
def test_early_break_leaves_no_threads(workers):
    for _ in range(3):
        for _ in DataLoader(Numbers(1000, delay=0.001), 10, num_workers=workers):
            break
    deadline = time.time() + 10
    while any(t.name.startswith("fastdl-loader") for t in threading.enumerate()) and time.time() < deadline:
        time.sleep(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("fastdl-loader")]


def test_ctrl_c_does_not_hang():
    script = """
import os, signal, threading, time
from fastdl.data import DataLoader
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits "ignore"

class Slow:
    def __len__(self): return 10**6
    def __getitem__(self, i):
        time.sleep(0.02)
        return i

threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for batch in DataLoader(Slow(), batch_size=5, num_workers=4):
        pass
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    start = time.time()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n" and done.returncode == 0, done.stderr
    assert time.time() - start < 30


def test_bad_arguments():
    data = list(range(4))
    for kwargs, message in [
        ({"sampler": [0], "shuffle": True}, "leave shuffle out"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "with batch_sampler"),
        ({"num_workers": -1}, "num_workers"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            DataLoader(data, **kwargs)


# ------------------------------------------------------------------------------------------------------- IDX files


def idx(array):
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    array = np.asarray(array)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, codes[array.dtype.str[1:]], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, zipped, separator="-"):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 12), ("t10k", 5)):
        arrays[f"{part}-images{separator}idx3-ubyte"] = rng.integers(0, 256, (n, 4, 3), np.uint8)
        arrays[f"{part}-labels{separator}idx1-ubyte"] = rng.integers(0, 10, n, np.uint8)
    for name, array in arrays.items():
        data = idx(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return arrays


@pytest.mark.parametrize("zipped, separator", [(False, "-"), (True, "-"), (False, ".")])
def test_mnist_from_a_folder(tmp_path, zipped, separator):
    arrays = write_mnist(tmp_path, zipped, separator)
    train, test = mnist(tmp_path)
    assert len(train) == 12 and len(test) == 5 and train[0][0].shape == (1, 4, 3)
    x = arrays[f"t10k-images{separator}idx3-ubyte"]
    np.testing.assert_array_equal(test.tensors[0].array[:, 0], x.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test.tensors[1].array, arrays[f"t10k-labels{separator}idx1-ubyte"])


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_types(tmp_path, dtype):
    array = (np.arange(-6, 6).reshape(3, 4) * 3).astype(dtype)
    (tmp_path / "x").write_bytes(idx(array))
    got = read_idx(tmp_path / "x")
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype


def test_damaged_idx_files(tmp_path):
    good = idx(np.arange(60, dtype=np.uint8).reshape(5, 12))
    for data, message in [
        (good[:-1], "cut off: 71 bytes, but shape \\(5, 12\\) takes 72"),
        (good + b"x", "too long"),
        (good[:7], "inside its header"),
        (b"", "not an IDX file"),
        (b"\x89PNG1234", "not an IDX file"),
        (gzip.compress(good)[:-9], "gzip file is damaged or cut off"),
        (gzip.compress(good[:-1]), "cut off"),
    ]:
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            read_idx(tmp_path / "x")


def test_missing_mnist_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        mnist(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        mnist(tmp_path)
    write_mnist(tmp_path, False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(ValueError, match=r"train images of shape \(12, 4, 3\) and labels of shape \(3,\)"):
        mnist(tmp_path)
