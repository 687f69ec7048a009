"""DataLoader: batches in a seeded order, fetched ahead by threads, resumable in the middle of an epoch.

Workers are threads, not processes: kernels and NumPy release the GIL, nothing is pickled or copied between processes,
and a fork cannot hang. Batches come in the order of the sampler for any number of workers.
"""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastdl.autograd import Tensor
from fastdl.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from fastdl.random import generator, initial_seed

_local = threading.local()  # key: (seed, epoch, batch) while one is fetched, or the generator made from it


def batch_rng() -> np.random.Generator:
    """The generator for random transforms of the batch being fetched: a function of (seed, epoch, batch) alone.

    So augmentation is the same for any number of workers and after a resume. Outside a loader it is the global generator,
    which manual_seed starts.
    """
    key = getattr(_local, "key", None)
    if key is None:
        return generator()
    if not isinstance(key, np.random.Generator):  # made when first asked for: most data sets never ask
        key = _local.key = np.random.default_rng(key)
    return key


def default_collate(items):
    """A batch from a list of items: arrays, tensors and numbers are stacked; tuples, lists and dicts are kept."""
    first = items[0]
    if isinstance(first, Tensor):
        return Tensor(np.stack([item.array for item in items]))
    if isinstance(first, (np.ndarray, np.generic)):
        return Tensor(np.stack(items))
    if isinstance(first, bool):
        return Tensor(np.array(items))
    if isinstance(first, int):
        return Tensor(np.array(items, np.int64))
    if isinstance(first, float):
        return Tensor(np.array(items, np.float32))
    if isinstance(first, dict):
        return {key: default_collate([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(item) != len(first) for item in items):
            raise ValueError("default_collate: the items of a batch have different numbers of fields; pass collate_fn")
        columns = [default_collate(list(column)) for column in zip(*items, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
    if isinstance(first, (str, bytes)):
        return items
    raise TypeError(f"default_collate: cannot make a batch of {type(first).__name__}; pass collate_fn")


class DataLoader:
    """Batches of a dataset.

    Parameters
    dataset       with __len__ and __getitem__ (and `take`, see Dataset)
    batch_size    items in a batch; None: the items themselves, without a batch axis
    shuffle       a new order every epoch
    sampler       an order of one's own; or batch_sampler, one that gives lists of indices
    num_workers   threads that fetch ahead; 0: fetch when asked
    drop_last     leave out a last batch that is not full
    prefetch_factor  batches fetched ahead for each worker
    seed          of the shuffling and of batch_rng(); None: the one given to manual_seed. Nothing is drawn from the
                  global generator

    `state_dict()` says how far this epoch has come, counted in batches handed out (not fetched ahead). After
    `load_state_dict` the next iteration goes on there.

    Example
    >>> loader = DataLoader(list(range(5)), batch_size=2)
    >>> [batch.numpy().tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=False,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        drop_last=False,
        prefetch_factor=2,
        seed=None,
    ):
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler decides the order; leave shuffle out")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: with batch_sampler leave out batch_size, shuffle, sampler and drop_last")
        if num_workers < 0 or prefetch_factor < 1:
            raise ValueError("DataLoader: num_workers must be at least 0 and prefetch_factor at least 1")
        seed = int(initial_seed() if seed is None else seed)
        self.dataset, self.num_workers, self.prefetch_factor, self.seed = dataset, num_workers, prefetch_factor, seed
        if sampler is None:
            sampler = RandomSampler(dataset, seed=seed) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.batch_size, self.drop_last = batch_size, drop_last
        self.collate_fn = collate_fn
        self._indices = sampler if batch_sampler is None else batch_sampler
        self._epoch = 0  # the epoch that is running, or the next one
        self._done = 0  # batches of it handed out
        self._resume = False  # the next iteration goes on there instead of starting an epoch

    def __len__(self):
        return len(self._indices)

    def state_dict(self) -> dict:
        """{"seed", "epoch", "batch", "length"}: enough to go on in the middle of an epoch."""
        return {"seed": self.seed, "epoch": self._epoch, "batch": self._done, "length": len(self)}

    def load_state_dict(self, state: dict) -> None:
        """Go on where the loader that gave `state` was; an error if the order or the number of batches differs."""
        for name, mine in (("seed", self.seed), ("length", len(self))):
            if state[name] != mine:
                raise ValueError(
                    f"DataLoader: the state has {name} {state[name]}, this loader {mine}; "
                    "resume with the same data, batch size and seed"
                )
        self._epoch, self._done, self._resume = int(state["epoch"]), int(state["batch"]), True

    def set_epoch(self, epoch: int) -> None:
        """Start epoch number `epoch` at the next iteration."""
        self._epoch, self._done, self._resume = epoch, 0, True

    def __iter__(self):
        if not self._resume and self._done:  # the iteration before was left early: its epoch is over
            self._epoch, self._done = self._epoch + 1, 0
        self._resume = False
        if hasattr(self._indices, "set_epoch"):
            self._indices.set_epoch(self._epoch)
        epoch, start = self._epoch, self._done
        jobs = ((n, indices) for n, indices in enumerate(self._indices) if n >= start)
        for n, batch in self._threaded(epoch, jobs) if self.num_workers else self._plain(epoch, jobs):
            # Count before handing out: what the caller's loop does with this batch belongs to "done".
            self._epoch, self._done = epoch, n + 1
            yield batch
        self._epoch, self._done = epoch + 1, 0

    def _plain(self, epoch, jobs):
        for n, indices in jobs:
            yield n, self._fetch(epoch, n, indices)

    def _threaded(self, epoch, jobs):
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="fastdl-loader")
        pending = deque()
        try:
            while True:
                while len(pending) < self.num_workers * self.prefetch_factor:
                    job = next(jobs, None)
                    if job is None:
                        break
                    pending.append((job[0], pool.submit(self._fetch, epoch, *job)))
                if not pending:
                    return
                n, future = pending.popleft()
                yield n, future.result()  # an error in a worker is raised here, with the worker's own traceback
        finally:  # at the end, after an error, a break or Ctrl-C: start nothing more, wait for nothing
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, epoch, n, indices):
        before = getattr(_local, "key", None)
        _local.key = (self.seed, epoch, n)
        try:
            if self.batch_sampler is None:
                item = self.dataset[indices]
                return item if self.collate_fn is None else self.collate_fn(item)
            if self.collate_fn is None and hasattr(self.dataset, "take"):
                return self.dataset.take(indices)
            return (self.collate_fn or default_collate)([self.dataset[i] for i in indices])
        except Exception as error:
            error.add_note(f"(while the DataLoader fetched batch {n} of epoch {epoch}, items {_brief(indices)})")
            raise
        finally:
            _local.key = before


def _brief(indices):
    text = str(indices)
    return text if len(text) <= 80 else text[:76] + " ..."
