"""GPT, BERT and the Transformer: against Hugging Face and torch with the same weights, counts, caches, edges."""

import json
from pathlib import Path

import numpy as np
import pytest
from _transformers import load as load_transformers

from fastdl import no_grad
from fastdl.autograd import Tensor
from fastdl.models import bert, gpt, transformer
from fastdl.nn import init_empty
from fastdl.random import manual_seed
from fastdl.testing import fill_hashed, keys_hash

RNG = np.random.default_rng(0)
REFERENCE = json.loads((Path(__file__).parent / "data" / "text_models.json").read_text())
SMALL_GPT = {"vocab": 31, "context": 12, "d": 16, "layers": 3, "heads": 2}
SMALL_BERT = {"vocab": 31, "hidden": 16, "layers": 2, "heads": 2, "intermediate": 40, "positions": 12}
SMALL_TRANSFORMER = {
    "src_vocab": 23, "tgt_vocab": 23, "d_model": 16, "nhead": 4, "num_encoder_layers": 2, "num_decoder_layers": 2,
    "dim_feedforward": 24,
}  # fmt: skip


def count(model):
    return sum(p.numel() for p in model.parameters())


def numpy_state(model):
    return {k: v.detach().numpy() for k, v in model.state_dict().items()}


def shaken(torch, model):
    """Weights large enough to show every mistake."""
    torch.manual_seed(0)
    for p in model.parameters():
        p.data = torch.randn_like(p) * 0.3 + (1 if p.ndim == 1 else 0) * 0.1
    return model.eval()


@pytest.mark.parametrize(
    "make, published",
    [
        (gpt.gpt2, 124_439_808),
        (gpt.gpt2_medium, 354_823_168),
        (gpt.gpt2_large, 774_030_080),
        (gpt.gpt2_xl, 1_557_611_200),
        (bert.bert_base, 109_482_240),
        (bert.bert_large, 335_141_888),
        (bert.BertForPreTraining, 110_106_428),
        (bert.BertForMaskedLM, 109_514_298),
        (transformer.transformer_base, 63_084_544),
        (transformer.transformer_big, 214_249_472),
    ],
)
def test_published_parameter_counts(make, published):
    with init_empty():
        assert count(make()) == published


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_stored_references(name):
    """Keys of the full size, and outputs of a small one with hashed weights; made by Hugging Face and torch."""
    want = REFERENCE[name]
    if "keys" in want:
        with init_empty():
            assert keys_hash(FULL[name]().state_dict()) == want["keys"]
    y = SMALL[name]()
    np.testing.assert_allclose(y.reshape(-1)[: len(want["output"])], want["output"], rtol=1e-4, atol=1e-4)


IDS = (np.arange(18).reshape(2, 9) * 7 + 3) % 23


def _small_gpt():
    return fill_hashed(gpt.GPT(**SMALL_GPT)).eval()(IDS).array


def _small_bert():
    model = fill_hashed(bert.BertForPreTraining(**SMALL_BERT)).eval()
    return model(IDS, IDS != 10, IDS % 2)[0].array


def _small_transformer():
    return fill_hashed(transformer.Transformer(**SMALL_TRANSFORMER)).eval()(IDS, IDS[:, :5]).array


FULL = {"gpt2": gpt.gpt2, "bert_base": bert.BertForPreTraining}
SMALL = {"gpt2": _small_gpt, "bert_base": _small_bert, "transformer": _small_transformer}


def test_gpt_equals_hugging_face():
    torch = pytest.importorskip("torch")
    transformers = load_transformers()
    config = transformers.GPT2Config(vocab_size=31, n_positions=12, n_embd=16, n_layer=3, n_head=2)
    theirs = shaken(torch, transformers.GPT2LMHeadModel(config))
    ours = gpt.GPT(**SMALL_GPT).eval()
    ours.load_state_dict(numpy_state(theirs))
    ids = RNG.integers(0, 31, (2, 12))
    y = theirs(torch.tensor(ids)).logits
    z = ours(ids)
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=2e-4)
    theirs(torch.tensor(ids), labels=torch.tensor(ids)).loss.backward()
    gpt.loss(ours(ids)[:, :-1], ids[:, 1:]).backward()
    found = dict(ours.named_parameters())
    for name, p in theirs.named_parameters():
        scale = np.abs(p.grad.numpy()).max() + 1e-6
        np.testing.assert_allclose(found[name].grad.array / scale, p.grad.numpy() / scale, atol=1e-4, err_msg=name)
    bare = {k.removeprefix("transformer."): v for k, v in numpy_state(theirs).items() if k != "lm_head.weight"}
    bare["h.0.attn.bias"] = np.zeros((1, 1, 12, 12))
    again = gpt.GPT(**SMALL_GPT).eval()
    again.load_pretrained(bare)
    assert (again(ids).array == z.array).all()


def test_bert_equals_hugging_face():
    torch = pytest.importorskip("torch")
    transformers = load_transformers()
    config = transformers.BertConfig(
        vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=12,
    )  # fmt: skip
    theirs = shaken(torch, transformers.BertForPreTraining(config))
    state = {k: v for k, v in numpy_state(theirs).items() if not k.endswith("position_ids")}
    ours = bert.BertForPreTraining(**SMALL_BERT).eval()
    ours.load_state_dict(state)
    ids, mask = RNG.integers(1, 31, (3, 9)), np.ones((3, 9), np.int64)
    mask[1, 5:] = 0
    segments = np.broadcast_to(np.arange(9) > 4, (3, 9)).astype(np.int64)
    y = theirs(torch.tensor(ids), torch.tensor(mask), torch.tensor(segments))
    words, follows = ours(ids, mask, segments)
    np.testing.assert_allclose(words.array, y.prediction_logits.detach().numpy(), rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(follows.array, y.seq_relationship_logits.detach().numpy(), rtol=1e-4, atol=1e-4)
    places = np.zeros((3, 9), bool)
    places[0, 2] = places[2, 8] = True
    np.testing.assert_allclose(ours(ids, mask, segments, places)[0].array, words.array[places], rtol=1e-4, atol=1e-4)
    old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
           for k, v in state.items()}  # fmt: skip
    old["bert.embeddings.position_ids"] = np.arange(12)[None]
    encoder = bert.Bert(bert.BertConfig(**SMALL_BERT)).eval()
    encoder.load_pretrained(old)
    np.testing.assert_allclose(
        encoder(ids, mask, segments)[1].array,
        theirs.bert(torch.tensor(ids), torch.tensor(mask), torch.tensor(segments)).pooler_output.detach().numpy(),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    heads = bert.BertForSequenceClassification(num_labels=4, **SMALL_BERT)
    heads.load_pretrained(old)
    assert (heads.bert.embeddings.word_embeddings.weight.array == state["bert.embeddings.word_embeddings.weight"]).all()


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (lambda: bert.BertForSequenceClassification(num_labels=3, **SMALL_BERT), "BertForSequenceClassification"),
        (lambda: bert.BertForTokenClassification(num_labels=3, **SMALL_BERT), "BertForTokenClassification"),
        (lambda: bert.BertForQuestionAnswering(**SMALL_BERT), "BertForQuestionAnswering"),
        (lambda: bert.BertForMaskedLM(**SMALL_BERT), "BertForMaskedLM"),
    ],
)
def test_bert_heads_equal_hugging_face(ours, theirs):
    torch = pytest.importorskip("torch")
    transformers = load_transformers()
    labels = 2 if theirs == "BertForQuestionAnswering" else 3
    config = transformers.BertConfig(
        vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=12, num_labels=labels,
    )  # fmt: skip
    reference = shaken(torch, getattr(transformers, theirs)(config))
    model = ours().eval()
    model.load_state_dict({k: v for k, v in numpy_state(reference).items() if not k.endswith("position_ids")})
    ids = RNG.integers(1, 31, (2, 7))
    y, z = reference(torch.tensor(ids)), model(ids)
    if theirs == "BertForQuestionAnswering":
        np.testing.assert_allclose(z[1].array, y.end_logits.detach().numpy(), rtol=1e-4, atol=1e-4)
        z, y = z[0], y.start_logits
    else:
        y = y.logits
    np.testing.assert_allclose(z.array, y.detach().numpy(), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------ decoding


@pytest.mark.parametrize("window", [None, 3])
def test_gpt_with_cache_equals_without(window):
    model = gpt.GPT(window=window, **SMALL_GPT)
    for block in model.transformer.h:
        block.attn.c_attn.weight.array[:] *= 10
    prompt = RNG.integers(0, 31, (3, 4))
    for steps in (7, 30):  # within the context, and beyond it
        got = [model.generate(prompt, steps, temperature=0, use_cache=cache) for cache in (True, False)]
        assert got[0].shape == (3, steps)
        assert (got[0] == got[1]).all()
    assert model.training
    beams = model.generate(prompt, 6, num_beams=3)
    assert [len(b) for b in beams] == [6] * 3
    assert (model.generate(prompt, 6, num_beams=1, temperature=0) == model.generate(prompt, 6, temperature=0)).all()


def test_window_hides_far_tokens_from_odd_layers():
    model = gpt.GPT(**{**SMALL_GPT, "layers": 2, "window": 2}).eval()
    x = RNG.standard_normal((1, 6, 16)).astype(np.float32)
    other = x.copy()
    other[0, 1] = other[0, 0]
    odd = model.transformer.h[1]
    changed = (odd(Tensor(x)).array != odd(Tensor(other)).array).any(-1)[0]
    assert changed.tolist() == [False, True, True, False, False, False]


def test_gpt_edges():
    model = gpt.GPT(**SMALL_GPT).eval()
    assert model(np.zeros((2, 0), np.int64)).shape == (2, 0, 31)
    assert np.isfinite(model(np.zeros((1, 1), np.int64)).array).all()
    with pytest.raises(ValueError, match="context of 12"):
        model(np.zeros((1, 13), np.int64))
    with pytest.raises(ValueError, match="prompt is empty"):
        model.generate(np.zeros(0, np.int64))
    with pytest.raises((ValueError, IndexError), match="31"):
        model(np.full((1, 2), 31))
    with pytest.raises(ValueError, match="integers"):
        model(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"heads=3.*d=16"):
        gpt.GPT(**{**SMALL_GPT, "heads": 3})
    long = RNG.integers(0, 31, 40)
    assert (model.generate(long, 5, temperature=0) == model.generate(long[-12:], 5, temperature=0)).all()


def test_bits_per_token_counts_every_token_once():
    model = gpt.GPT(**SMALL_GPT).eval()
    for n in (2, 12, 13, 14, 40):
        ids = RNG.integers(0, 31, n)
        uniform = gpt.GPT(**SMALL_GPT).eval()
        for p in uniform.parameters():
            p.array[...] = 0
        np.testing.assert_allclose(gpt.bits_per_token(uniform, ids), np.log2(31), rtol=1e-5)
        assert gpt.bits_per_token(model, ids) > 0
    ids = RNG.integers(0, 31, 12)
    with no_grad():
        whole = gpt.loss(model(ids[None, :-1]), ids[None, 1:]).item() / np.log(2)
    np.testing.assert_allclose(gpt.bits_per_token(model, ids), whole, rtol=1e-5)


def test_bert_edges():
    model = bert.Bert(bert.BertConfig(**SMALL_BERT)).eval()
    ids = RNG.integers(1, 31, (2, 5))
    mask = np.array([[1] * 5, [0] * 5])
    assert np.isfinite(model(ids, mask)[0].array).all()  # a row of padding alone
    short = ids[:, :3]
    padded = np.pad(short, ((0, 0), (0, 4)))
    np.testing.assert_allclose(model(padded, padded != 0)[0].array[:, :3], model(short)[0].array, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="12 positions"):
        model(np.ones((1, 13), np.int64))
    with pytest.raises(ValueError, match="attention_mask"):
        model(ids, np.ones((2, 4)))
    maps = []
    model(ids, np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]), maps=maps)
    assert len(maps) == 2 and maps[0].shape == (2, 2, 5, 5)
    np.testing.assert_allclose(maps[1][1, :, :, 2:], 0, atol=1e-7)


def test_masked_tokens_follow_the_shares():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 30, (200, 100))
    ids[:, 0] = 1
    inputs, labels = bert.mask_tokens(ids, 30, mask=2, rng=rng, special=(0, 1, 2, 3, 4))
    chosen = labels != -100
    assert abs(chosen[:, 1:].mean() - 0.15) < 0.01
    assert not chosen[:, 0].any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (inputs[~chosen] == ids[~chosen]).all()
    assert abs((inputs[chosen] == 2).mean() - 0.8) < 0.02
    assert abs((inputs[chosen] == ids[chosen]).mean() - 0.104) < 0.02
    assert inputs[chosen & (inputs != 2)].min() >= 5
    starts = np.arange(100) % 4 == 0
    _, labels = bert.mask_tokens(ids, 30, 2, rng, (0, 1, 2), starts=np.broadcast_to(starts, ids.shape))
    words = (labels[:, 4:] != -100).reshape(200, 24, 4)
    assert (words.all(-1) == words.any(-1)).all() and words.any()


def test_sentence_pairs_come_from_the_same_or_another_document():
    documents = [[(d, s) for s in range(5)] for d in range(6)]
    pairs = bert.sentence_pairs(documents, np.random.default_rng(0), 500)
    for first, second, label in pairs:
        if label == 0:
            assert second == (first[0], first[1] + 1)
        else:
            assert second[0] != first[0]
    assert 0.4 < np.mean([label for *_, label in pairs]) < 0.6


def test_transformer_decodes_the_same_with_and_without_cache():
    model = transformer.Transformer(**SMALL_TRANSFORMER)
    src = RNG.integers(3, 23, (3, 6))
    src[1, 4:] = 0
    model.eval()
    found = model.generate(src, 8)
    tgt = np.full((3, 1), 1)
    with no_grad():
        for t in range(8):
            new = model(src, tgt).array[:, -1].argmax(-1)
            for row, token in zip(found, new, strict=True):
                if t < len(row) and not (row[:t] == 2).any():
                    assert row[t] == token
            tgt = np.concatenate([tgt, new[:, None]], 1)
    alone = model.generate(src[1:2, :4], 8)[0]
    assert alone.tolist() == found[1].tolist()  # padding changes nothing
    one = model.generate(src, 8, num_beams=1)
    assert [r.tolist() for r in one] == [r.tolist() for r in found]
    assert len(model.generate(src, 8, num_beams=4)) == 3


def test_embedding_dropout_stands_apart_from_that_of_the_layers():
    sizes = {"src_vocab": 9, "tgt_vocab": 9, "d_model": 16, "nhead": 2, "dim_feedforward": 32, "max_len": 8}
    ids = np.arange(1, 9).reshape(2, 4)

    def moves(**rates):
        model = transformer.Transformer(**sizes, **rates).train()
        return not np.array_equal(model(ids, ids).array, model(ids, ids).array)

    assert [moves(dropout=0.5), moves(dropout=0.0), moves(dropout=0.0, embedding_dropout=0.5)] == [True, False, True]
    model = transformer.Transformer(**sizes, dropout=0.5, embedding_dropout=0.0)
    assert model.dropout.p == 0.0 and model.encoder.layers[0].dropout.p == 0.5


def test_transformer_edges():
    model = transformer.Transformer(**SMALL_TRANSFORMER).eval()
    src = np.array([[0, 0, 0], [5, 6, 7]])
    y = model(src, np.array([[1], [1]]))
    assert np.isfinite(y.array).all()
    assert model(src, np.zeros((2, 0), np.int64)).shape == (2, 0, 23)
    assert np.isfinite(model(np.zeros((2, 0), np.int64), np.array([[1], [1]])).array).all()
    with pytest.raises(ValueError, match="max_len"):
        transformer.Transformer(**SMALL_TRANSFORMER, max_len=4)(np.ones((1, 5), np.int64), np.ones((1, 1), np.int64))
    with pytest.raises(ValueError, match="one vocabulary"):
        transformer.Transformer(src_vocab=3, tgt_vocab=4)
    loss = transformer.loss(y, np.array([[0], [3]]))
    loss.backward()
    assert np.isfinite(loss.item())
    assert all(np.isfinite(p.grad.array).all() for p in model.parameters())


def test_noam_rises_and_falls():
    from fastdl.optim import Adam

    model = transformer.Transformer(**SMALL_TRANSFORMER)
    optimizer = Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = transformer.noam(optimizer, 512, 4000)
    rates = {}
    for step in range(1, 16001):
        if step in (1, 4000, 16000):
            rates[step] = optimizer.param_groups[0]["lr"]
        schedule.step()
    np.testing.assert_allclose(rates[4000], (512 * 4000) ** -0.5, rtol=1e-6)
    np.testing.assert_allclose(rates[16000] * 2, rates[4000], rtol=1e-6)
    np.testing.assert_allclose(rates[1] * 4000, rates[4000], rtol=1e-6)


def test_mean_pooling_leaves_padding_out_and_has_no_pooler():
    model = bert.BertForSequenceClassification(num_labels=3, pooling="mean", **SMALL_BERT).eval()
    assert not any("pooler" in key for key in model.state_dict())
    ids = RNG.integers(1, 31, (2, 9))
    ids[1, 5:] = 0
    with no_grad():
        both = model(ids, ids != 0).array
        alone = model(ids[1:, :5]).array
        hidden = model.bert(ids[1:, :5])[0].array.mean(1)
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)
    by_hand = hidden @ model.classifier.weight.array.T + model.classifier.bias.array
    np.testing.assert_allclose(alone, by_hand, atol=1e-5)
    state = fill_hashed(bert.BertForPreTraining(**SMALL_BERT)).state_dict()
    model.load_pretrained(state)  # heads and pooler of the file are left aside
    with pytest.raises(ValueError, match="pooling is 'first' or 'mean'; got 'max'"):
        bert.BertForSequenceClassification(pooling="max", **SMALL_BERT)


def test_a_translator_starts_with_its_attention_on_neighbours_and_on_the_diagonal():
    from fastdl.gates import lecture8_verses as verses
    from fastdl.models.ibm1 import IBM1

    manual_seed(0)
    model = verses._make("Transformer", 60, 128)
    before = model.src_embedding.weight.array.copy()
    verses.start(model, IBM1(60, 60).fit([[4, 5], [6, 7]], [[4, 5], [6, 7]]), np.random.default_rng(0))
    places = model.tgt_positions.rows(0, 40)
    for offset in (-3, 0, 2):
        matrix = verses._neighbour(offset, 16, places)
        np.testing.assert_allclose(places[5:30] @ matrix.T, places[5 + offset : 30 + offset, :16], atol=1e-6)
    changed = model.src_embedding.weight.array
    np.testing.assert_array_equal(changed[20:, 16:], before[20:, 16:])  # pieces that were never seen
    src = np.arange(10, 40)[None]
    maps, t = [], np.arange(3, 27)
    with no_grad():
        model.eval().encode(src, maps=maps)
    for head, offset in enumerate((-1, 1, 0, -2)):
        assert maps[0].array[0, head][t, t + offset].mean() > 0.5
    across = model.attention_maps(src, src)[0][0].mean(0)
    assert abs(across @ np.arange(30) - np.arange(30)).mean() < 6  # even attention is 7.5 away
