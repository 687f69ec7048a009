"""BERT: a bidirectional transformer encoder, pre-trained by masked tokens and by whether one sentence follows another.

    tokens (N, T), segments (N, T) -> word + position + segment embeddings, layer norm (N, T, H)
      -> L post-norm layers: self-attention, feed-forward with GELU (erf form) -> (N, T, H)
      -> pooler: tanh(linear(first token)) (N, H)

base 109,482,240 parameters, large 335,141,888 (vocabulary 30,522). Keys are Hugging Face's; old ones
(LayerNorm.gamma) are read too.

Ref  Devlin, Chang, Lee, Toutanova 2018, arXiv 1810.04805.
"""

from dataclasses import dataclass

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor
from fastdl.nn import functional as F
from fastdl.nn import init


@dataclass(frozen=True)
class BertConfig:
    """Sizes; the defaults are BERT base."""

    vocab: int = 30522
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int | None = None  # 4 * hidden
    positions: int = 512
    segments: int = 2
    dropout: float = 0.1
    eps: float = 1e-12
    pad: int = 0


class Embeddings(nn.Module):
    """Sum of word, position and segment vectors, normed."""

    def __init__(self, c: BertConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(c.vocab, c.hidden, padding_idx=c.pad)
        self.position_embeddings = nn.Embedding(c.positions, c.hidden)
        self.token_type_embeddings = nn.Embedding(c.segments, c.hidden)
        self.LayerNorm = nn.LayerNorm(c.hidden, eps=c.eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, ids, segments):
        T, most = ids.shape[1], self.position_embeddings.num_embeddings
        if most < T:
            raise ValueError(f"Bert: {T} tokens exceed the {most} positions; hint: cut the text into parts of {most}")
        x = self.word_embeddings(ids) + self.position_embeddings.weight[:T]
        if segments is None:
            x = x + self.token_type_embeddings.weight[0]
        else:
            x = x + self.token_type_embeddings(segments)
        return self.dropout(self.LayerNorm(x))


class SelfAttention(nn.Module):
    """Attention of every token to all that are not padding; (N, T, H) -> (N, T, H), heads joined."""

    def __init__(self, c: BertConfig):
        super().__init__()
        self.heads, self.p = c.heads, c.dropout
        self.query, self.key, self.value = (nn.Linear(c.hidden, c.hidden) for _ in range(3))

    def forward(self, x, mask, maps=None):
        N, T, H = x.shape
        q, k, v = (
            layer(x).reshape(N, T, self.heads, H // self.heads).transpose(1, 2)  # (N, heads, T, H / heads)
            for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v, mask, self.p if self.training else 0.0)
        if maps is not None:
            scores = (q.array @ k.array.swapaxes(2, 3)) * (H // self.heads) ** -0.5
            if mask is not None:
                scores = np.where(mask.array, scores, np.finfo(np.float32).min)
            maps.append(F.softmax(Tensor(scores), -1).array)
        return y.transpose(1, 2).reshape(N, T, H)


class Projection(nn.Module):
    """norm(residual + dropout(dense(x))): what ends both halves of a layer."""

    def __init__(self, into, c: BertConfig):
        super().__init__()
        self.dense = nn.Linear(into, c.hidden)
        self.LayerNorm = nn.LayerNorm(c.hidden, eps=c.eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, x, residual):
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Layer(nn.Module):
    """Attention and feed-forward, post-norm; the names follow Hugging Face's modules."""

    def __init__(self, c: BertConfig):
        super().__init__()
        wide = c.intermediate or 4 * c.hidden
        self.attention = nn.Module()
        self.attention.self = SelfAttention(c)
        self.attention.output = Projection(c.hidden, c)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(c.hidden, wide)
        self.output = Projection(wide, c)

    def forward(self, x, mask, maps=None):
        x = self.attention.output(self.attention.self(x, mask, maps), x)
        return self.output(F.gelu(self.intermediate.dense(x)), x)


class Bert(nn.Module):
    """The encoder, with or without the pooler.

    Shapes      ids (N, T) integers; attention_mask (N, T), 1 or True for tokens, 0 for padding; token_type_ids (N, T)
                -> hidden states (N, T, H), pooled (N, H) or None
    Parameters  embeddings.*, encoder.layer.0.*, ..., pooler.dense.*; all matrices start N(0, 0.02)

    Example
    >>> hidden, pooled = Bert(BertConfig(vocab=50, hidden=16, layers=1, heads=2))(np.ones((2, 7), np.int64))
    >>> hidden.shape, pooled.shape
    ((2, 7, 16), (2, 16))
    """

    def __init__(self, config: BertConfig | None = None, pooler=True, **settings):
        super().__init__()
        self.config = c = config or BertConfig(**settings)
        if c.hidden % c.heads:
            raise ValueError(f"Bert: heads={c.heads} must divide hidden={c.hidden}")
        self.embeddings = Embeddings(c)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList([Layer(c) for _ in range(c.layers)])
        self.pooler = None
        if pooler:
            self.pooler = nn.Module()
            self.pooler.dense = nn.Linear(c.hidden, c.hidden)
        _start(self)

    def forward(self, ids, attention_mask=None, token_type_ids=None, maps=None):
        """maps: a list that the attention weights (N, heads, T, T) of every layer are appended to, as arrays."""
        ids = _integers(ids)
        if self.pooler is not None and ids.shape[1] == 0:
            raise ValueError(f"Bert: tokens {ids.shape} have no first token to pool; give at least one a row")
        mask = None
        if attention_mask is not None:
            mask = attention_mask.array if isinstance(attention_mask, Tensor) else np.asarray(attention_mask)
            if mask.shape != ids.shape:
                raise ValueError(f"Bert: attention_mask {mask.shape} must have the shape of the tokens {ids.shape}")
            mask = Tensor((mask != 0)[:, None, None])  # (N, 1, 1, T)
        x = self.embeddings(ids, token_type_ids)
        for layer in self.encoder.layer:
            x = layer(x, mask, maps)
        return x, None if self.pooler is None else F.tanh(self.pooler.dense(x[:, 0]))

    def load_pretrained(self, state):
        """load_state_dict for files of Hugging Face, of this model or of one that holds it as "bert."."""
        return _load(self, state, "bert.")


class _Predictions(nn.Module):
    """Scores of the vocabulary: linear, GELU, norm, then the word vectors themselves and a bias."""

    def __init__(self, c: BertConfig, words):
        super().__init__()
        self.transform = nn.Module()
        self.transform.dense = nn.Linear(c.hidden, c.hidden)
        self.transform.LayerNorm = nn.LayerNorm(c.hidden, eps=c.eps)
        self.decoder = nn.Linear(c.hidden, c.vocab)
        self.decoder.weight = words
        self.bias = self.decoder.bias

    def forward(self, x):
        return self.decoder(self.transform.LayerNorm(F.gelu(self.transform.dense(x))))


class _Model(nn.Module):
    """A Bert under the name "bert" and something on top."""

    def __init__(self, config, settings, pooler):
        super().__init__()
        self.config = config or BertConfig(**settings)
        self.bert = Bert(self.config, pooler)

    def load_pretrained(self, state):
        """load_state_dict for files of Hugging Face; heads that the file lacks keep their values."""
        return _load(self, state, "")


class BertForMaskedLM(_Model):
    """Scores of the vocabulary at every place: ids (N, T) -> (N, T, vocab), or (M, vocab) at `places` (a bool array (N, T))."""

    def __init__(self, config: BertConfig | None = None, **settings):
        super().__init__(config, settings, pooler=False)
        self.cls = nn.Module()
        self.cls.predictions = _Predictions(self.config, self.bert.embeddings.word_embeddings.weight)
        _start(self.cls)

    def forward(self, ids, attention_mask=None, token_type_ids=None, places=None):
        x, _ = self.bert(ids, attention_mask, token_type_ids)
        return self.cls.predictions(x if places is None else x[Tensor(np.asarray(places))])


class BertForPreTraining(_Model):
    """(scores of the vocabulary (N, T, vocab), scores of "follows" and "does not" (N, 2))."""

    def __init__(self, config: BertConfig | None = None, **settings):
        super().__init__(config, settings, pooler=True)
        self.cls = nn.Module()
        self.cls.predictions = _Predictions(self.config, self.bert.embeddings.word_embeddings.weight)
        self.cls.seq_relationship = nn.Linear(self.config.hidden, 2)
        _start(self.cls)

    def forward(self, ids, attention_mask=None, token_type_ids=None, places=None):
        x, pooled = self.bert(ids, attention_mask, token_type_ids)
        words = self.cls.predictions(x if places is None else x[Tensor(np.asarray(places))])
        return words, self.cls.seq_relationship(pooled)


class BertForSequenceClassification(_Model):
    """Scores of the classes of a whole text: (N, num_labels).

    pooling: "first" (published: the pooler's tanh(linear(first token))) or "mean" (of all tokens that are not padding, without a
    pooler). Masked tokens alone never ask the first token for anything, so "first" starts from nothing unless sentence pairs were
    part of the pre-training.
    """

    def __init__(self, config: BertConfig | None = None, num_labels=2, pooling="first", **settings):
        if pooling not in ("first", "mean"):
            raise ValueError(f"BertForSequenceClassification: pooling is 'first' or 'mean'; got {pooling!r}")
        super().__init__(config, settings, pooler=pooling == "first")
        self.dropout = nn.Dropout(self.config.dropout)
        self.classifier = nn.Linear(self.config.hidden, num_labels)
        _start(self.classifier)

    def forward(self, ids, attention_mask=None, token_type_ids=None):
        x, pooled = self.bert(ids, attention_mask, token_type_ids)
        if pooled is None:
            ones = np.ones(x.shape[:2], np.float32)
            if attention_mask is not None:
                ones *= np.asarray(getattr(attention_mask, "array", attention_mask)) != 0
            share = ones / np.maximum(ones.sum(1, keepdims=True), 1)
            pooled = (x * Tensor(share[..., None])).sum(1)
        return self.classifier(self.dropout(pooled))


class BertForTokenClassification(_Model):
    """Scores of the classes of every token: (N, T, num_labels)."""

    def __init__(self, config: BertConfig | None = None, num_labels=2, **settings):
        super().__init__(config, settings, pooler=False)
        self.dropout = nn.Dropout(self.config.dropout)
        self.classifier = nn.Linear(self.config.hidden, num_labels)
        _start(self.classifier)

    def forward(self, ids, attention_mask=None, token_type_ids=None):
        return self.classifier(self.dropout(self.bert(ids, attention_mask, token_type_ids)[0]))


class BertForQuestionAnswering(_Model):
    """Scores of every token as the first and as the last of the answer: two of (N, T)."""

    def __init__(self, config: BertConfig | None = None, **settings):
        super().__init__(config, settings, pooler=False)
        self.qa_outputs = nn.Linear(self.config.hidden, 2)
        _start(self.qa_outputs)

    def forward(self, ids, attention_mask=None, token_type_ids=None):
        scores = self.qa_outputs(self.bert(ids, attention_mask, token_type_ids)[0])  # (N, T, 2)
        return scores[..., 0], scores[..., 1]


def _start(module):
    """Matrices N(0, 0.02), biases 0, as published."""
    for m in module.modules():
        if isinstance(m, (nn.Linear, nn.Embedding)):
            init.normal_(m.weight, 0.0, 0.02)
        if isinstance(m, nn.Linear) and m.bias is not None:
            init.zeros_(m.bias)


def _integers(ids):
    ids = ids.array if isinstance(ids, Tensor) else np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(f"Bert: tokens must be integers of shape (N, T); got {ids.dtype} {ids.shape}")
    return ids


def _load(module, state, prefix):
    own, mine = module.state_dict(), {}
    for key, value in state.items():
        key = key.removesuffix(".gamma") + ".weight" if key.endswith("LayerNorm.gamma") else key
        key = key.removesuffix(".beta") + ".bias" if key.endswith("LayerNorm.beta") else key
        if key.endswith("embeddings.position_ids"):
            continue
        if prefix and key.startswith(prefix):
            key = key[len(prefix) :]
        elif not prefix and key not in own and f"bert.{key}" in own:
            key = f"bert.{key}"
        if prefix and key.startswith(("cls.", "classifier.", "qa_outputs.")):
            continue
        if key in own or not key.startswith(("cls.", "bert.pooler.", "pooler.")):
            mine[key] = value
    for key, other in (
        ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ):
        if key in own and key not in mine and other in mine:
            mine[key] = mine[other]
    heads = ("cls.", "classifier.", "qa_outputs.", "bert.pooler.", "pooler.")
    missing = [key for key in own if key not in mine]
    if all(key.startswith(heads) for key in missing):
        mine |= {key: own[key] for key in missing}
    return module.load_state_dict(mine)


def mask_tokens(ids, vocab, mask, rng, special=(), p=0.15, starts=None):
    """(inputs, labels) of masked-language training: a share p of the tokens is to be predicted.

    Of these 80 % become `mask`, 10 % a random token, 10 % stay; labels are -100 elsewhere.
    `special` tokens are never chosen, nor drawn.
    starts: a bool array like ids, True where a word begins: then whole words are chosen (whole-word masking).

    Shapes      ids (N, T) -> inputs, labels (N, T) int64
    """
    ids = np.asarray(ids)
    special = np.unique(np.asarray([mask, *special]))
    draw = rng.random(ids.shape)
    if starts is not None:
        # every token has the number of its word's first token
        first = np.maximum.accumulate(np.where(starts, np.arange(ids.shape[1]), 0), 1)
        draw = np.take_along_axis(draw, first, 1)
    chosen = (draw < p) & ~np.isin(ids, special)
    ordinary = np.setdiff1d(np.arange(vocab), special)
    how = rng.random(ids.shape)
    inputs = np.where(chosen & (how < 0.8), mask, ids)
    inputs = np.where(chosen & (how >= 0.9), rng.choice(ordinary, ids.shape), inputs)
    return inputs.astype(np.int64), np.where(chosen, ids, -100).astype(np.int64)


def sentence_pairs(documents, rng, n):
    """n of (first, second, label) for next-sentence prediction: label 0 where second follows
    first, 1 where it comes from another document.

    documents: lists of sentences; those with fewer than two sentences serve as second sentences only.
    """
    from_ = [i for i, d in enumerate(documents) if len(d) > 1]
    if not from_ or len(documents) < 2:
        raise ValueError("sentence_pairs: needs two documents, one of them with two sentences")
    found = []
    for _ in range(n):
        i = from_[rng.integers(len(from_))]
        t = rng.integers(len(documents[i]) - 1)
        if rng.random() < 0.5:
            found.append((documents[i][t], documents[i][t + 1], 0))
        else:
            j = (i + 1 + rng.integers(len(documents) - 1)) % len(documents)  # any other
            found.append((documents[i][t], documents[j][rng.integers(len(documents[j]))], 1))
    return found


def loss(scores, labels):
    """Cross-entropy over the chosen places (0 if there are none); scores (N, T, V) or (M, V), labels (N, T) with -100 or (M,)."""
    labels = np.asarray(labels.array if isinstance(labels, Tensor) else labels)
    if not (labels != -100).any():
        return (scores * 0.0).sum()
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.reshape(-1))


def bert_base(**settings) -> Bert:
    """109,482,240 parameters."""
    return Bert(BertConfig(**settings))


def bert_large(**settings) -> Bert:
    """335,141,888 parameters."""
    return Bert(BertConfig(**{"hidden": 1024, "layers": 24, "heads": 16, **settings}))
