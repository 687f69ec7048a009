"""Sentence pairs with negatives inside the batch, and a shallow BERT's weights in a deeper one."""

import numpy as np
import pytest
import torch

from fastdl.autograd import Tensor, no_grad
from fastdl.models import bert, bert_pairs

SMALL = {"vocab": 31, "hidden": 16, "heads": 2, "positions": 12, "dropout": 0.0}


def test_second_parts_follow_first_parts_in_the_same_document():
    documents = [np.arange(5), np.arange(100, 130), np.arange(1000, 1009)]  # the first is too short for two parts of 4
    parts, sources = bert_pairs.neighbours(documents, 4, 300, np.random.default_rng(0))
    assert parts.shape == (600, 4) and (parts[300:] == parts[:300] + 4).all()
    assert set(sources.tolist()) == {1, 2}
    assert (parts[:300, 0] // 100 == np.array([0, 1, 10])[sources]).all()
    starts = set(parts[:300, 0][sources == 2].tolist())
    assert starts == {1000, 1001}, "every place where a pair fits is drawn, the last one too"


def test_documents_without_a_pair_are_refused():
    with pytest.raises(ValueError, match="no document has 8 tokens, two parts of 4"):
        bert_pairs.neighbours([np.arange(7)], 4, 2, np.random.default_rng(0))


def test_pair_loss_equals_torch_and_passes_over_parts_of_one_document():
    rng = np.random.default_rng(0)
    values, sources = rng.standard_normal((10, 6)).astype(np.float32), np.array([0, 1, 0, 2, 3])
    mine = Tensor(values.copy(), requires_grad=True)
    loss, share = bert_pairs.pair_loss(mine, sources, 0.2)
    loss.backward()
    theirs = torch.tensor(values, requires_grad=True)
    unit = torch.nn.functional.normalize(theirs, dim=1)
    scores = unit[:5] @ unit[5:].T / 0.2
    kin = torch.zeros(5, 5, dtype=torch.bool)
    kin[0, 2] = kin[2, 0] = True
    scores = scores.masked_fill(kin, -torch.inf)
    cross, own = torch.nn.functional.cross_entropy, torch.arange(5)
    expected = (cross(scores, own) + cross(scores.T, own)) / 2
    expected.backward()
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-5)
    np.testing.assert_allclose(mine.grad.array, theirs.grad.numpy(), atol=1e-6)
    assert share == (scores.argmax(1) == own).float().mean().item()
    with pytest.raises(ValueError, match=r"4 pairs need vectors \(2n, H\), here \(8, H\); got \(10, 6\)"):
        bert_pairs.pair_loss(mine, sources[:4])


def test_a_deepened_model_runs_its_layers_twice():
    shallow = bert.BertForMaskedLM(layers=2, **SMALL).eval()
    deep = bert.BertForMaskedLM(layers=4, **SMALL).eval()
    deep.load_state_dict(bert_pairs.deepen(shallow.state_dict(), 4))
    ids = np.arange(10).reshape(2, 5)
    with no_grad():
        x = shallow.bert.embeddings(ids, None)
        for layer in [*shallow.bert.encoder.layer, *shallow.bert.encoder.layer]:
            x = layer(x, None)
        np.testing.assert_allclose(deep(ids).array, shallow.cls.predictions(x).array, atol=1e-6)
    with pytest.raises(ValueError, match="has 2 layers"):
        bert_pairs.deepen(shallow.state_dict(), 1)
