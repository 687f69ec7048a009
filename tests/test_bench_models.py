"""The networks that bench measures: both libraries compute the same losses, at small sizes."""

import importlib.util

import numpy as np
import pytest
from test_bench import bench, sides, workloads

generative, sequences = (importlib.import_module(f"{bench.__name__}.{name}") for name in ("generative", "sequences"))

GPT = {"layers": 2, "d": 16, "heads": 2, "vocabulary": 31, "context": 16}
TINY = [
    (sequences.lstm_lm, (3, 5, 8, 2, 11), {}),
    (sequences.seq2seq, (4, 6, 8, 13), {}),
    (sequences.transformer, (3, 6, 17, 16, 2, 2, 24), {}),
    (sequences.bert, (2, 7), {"layers": 2, "hidden": 16, "heads": 2}),
    (sequences.gpt2, (2, 8, False), GPT),
    (sequences.gpt2, (2, 8, True), GPT),
    (sequences.decoding, (6,), GPT),
    (generative.vae, (4, 12, 8, 3), {}),
    (generative.gan, (4, 5, 12, (8, 9), (6, 7)), {}),
    (generative.dcgan, (4, 16, 4), {}),
    (generative.cyclegan, (1, 32, 1, 4), {}),
    (generative.stargan, (4, 16, 3, 4, 1, 3), {}),
    (generative.progressive_gan, (4, 16, 32, 8), {}),
    (generative.nade, (4, "loop", 9, 5), {}),
    (generative.nade, (4, "masked", 9, 5), {}),
    (generative.pixelrnn, (2, 5, 2, 4, 6), {}),
]


@pytest.mark.parametrize("build, sizes, options", TINY, ids=lambda v: getattr(v, "__name__", None))
def test_both_sides_compute_the_same(build, sizes, options):
    pytest.importorskip("torch")
    if build in (sequences.bert, sequences.gpt2, sequences.decoding):
        if not importlib.util.find_spec("transformers"):
            pytest.skip("transformers is not installed")
        sequences.transformers()
    torch, fastdl = (
        {name: [side.numpy(t) for t in call()] for name, call in build(side, *sizes, **options).items()}
        for side in (sides.Torch(), sides.Fastdl())
    )
    assert torch.keys() == fastdl.keys() and torch
    for name in torch:
        assert len(torch[name]) == len(fastdl[name])
        for t, f in zip(torch[name], fastdl[name], strict=True):
            np.testing.assert_allclose(f, t, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("build, sizes, options", TINY, ids=lambda v: getattr(v, "__name__", None))
def test_steps_learn(build, sizes, options):
    """A step changes the parameters, so that what is timed is a whole one: its second loss is another."""
    call = build(sides.Fastdl(), *sizes, **options).get("both")
    if call is None:
        pytest.skip("inference")
    first = [t.numpy().copy() for t in call()]
    second = [t.numpy() for t in call()]
    assert all(np.isfinite(a).all() and (a != b).any() for a, b in zip(first, second, strict=True))


def test_lists_of_the_issues():
    """What the tables must hold."""
    names = {
        group: [w.name for w in workloads.WORKLOADS if w.group == group] for group in ("zoo", "sequences", "generative")
    }
    assert len(names["zoo"]) == 16 and len(names["sequences"]) == 8 and len(names["generative"]) == 9
