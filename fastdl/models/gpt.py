"""GPT-2: a decoder-only transformer that predicts the next token; at any size, GPT-3's included.

    tokens (N, T) -> wte + wpe (N, T, d) -> L blocks: x + attention(ln_1 x), x + mlp(ln_2 x)
      -> ln_f -> scores (N, T, V), by the same table wte

Parameters: V d + T d + L (12 d^2 + 13 d) + 2 d; 124,439,808 for gpt2(). Keys are those of Hugging Face's GPT2LMHeadModel, so that
its files load (see load_pretrained); the four matrices of a block are stored (in, out) there and here.

Ref  Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Brown et al. 2020, arXiv 2005.14165 (sizes up to
     175 B, banded attention on every other layer: `window`).
"""

import math
from dataclasses import dataclass

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn import init


@dataclass(frozen=True)
class GPTConfig:
    """Sizes; the defaults are GPT-2's smallest."""

    vocab: int = 50257
    context: int = 1024
    d: int = 768
    layers: int = 12
    heads: int = 12
    dropout: float = 0.1
    window: int | None = None  # odd layers see only so many last tokens (GPT-3's banded layers)
    eps: float = 1e-5


class Conv1D(nn.Module):
    """x weight + bias with weight (in, out): the layout of GPT-2's files."""

    def __init__(self, out_features, in_features):
        super().__init__()
        self.weight = nn.Parameter(np.empty((in_features, out_features), np.float32))
        self.bias = nn.Parameter(np.zeros(out_features, np.float32))
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, x):
        return F.linear(x, self.weight.T, self.bias)


class Attention(nn.Module):
    """Causal self-attention in several heads, keys and values cached when decoding."""

    def __init__(self, c: GPTConfig, window):
        super().__init__()
        self.heads, self.dropout, self.window = c.heads, c.dropout, window
        self.c_attn = Conv1D(3 * c.d, c.d)
        self.c_proj = Conv1D(c.d, c.d)

    def forward(self, x, cache=None):
        N, T, d = x.shape
        q, k, v = (
            part.reshape(N, T, self.heads, d // self.heads).transpose(1, 2)  # (N, heads, T, d / heads)
            for part in self.c_attn(x).chunk(3, -1)
        )
        if cache is not None:
            k, v = cache.append(k, v)
        S, w = k.shape[2], self.window
        mask, causal = None, S == T
        if w is not None and T == 1:  # a single query: its band is the last w keys
            k, v, causal = k[:, :, -w:], v[:, :, -w:], False
        elif (w is not None and w < S) or (not causal and T > 1):
            causal = False
            mask = np.tri(T, S, S - T, dtype=bool)  # query t is key S - T + t
            if w is not None:
                mask &= ~np.tri(T, S, S - T - w, dtype=bool)
        y = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, causal)
        return self.c_proj(y.transpose(1, 2).reshape(N, T, d))


class MLP(nn.Module):
    """Linear d -> 4d, GELU (tanh form), linear 4d -> d."""

    def __init__(self, c: GPTConfig):
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(4 * c.d, c.d), Conv1D(c.d, 4 * c.d)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), "tanh"))


class Block(nn.Module):
    """x + dropout(attn(ln_1(x))), then x + dropout(mlp(ln_2(x)))."""

    def __init__(self, c: GPTConfig, window):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(c.d, eps=c.eps), Attention(c, window)
        self.ln_2, self.mlp = nn.LayerNorm(c.d, eps=c.eps), MLP(c)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x, cache=None):
        x = x + self.drop(self.attn(self.ln_1(x), cache))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Trunk(nn.Module):
    """Embeddings, blocks, last norm: tokens (N, T) -> (N, T, d)."""

    def __init__(self, c: GPTConfig):
        super().__init__()
        self.config = c
        self.wte, self.wpe = nn.Embedding(c.vocab, c.d), nn.Embedding(c.context, c.d)
        self.drop = nn.Dropout(c.dropout)
        self.h = nn.ModuleList([Block(c, c.window if i % 2 else None) for i in range(c.layers)])
        self.ln_f = nn.LayerNorm(c.d, eps=c.eps)

    def forward(self, ids, caches=None):
        start = 0 if caches is None else caches[0].length
        T = ids.shape[1]
        if start + T > self.config.context:
            raise ValueError(
                f"GPT: {start + T} tokens do not fit into the context of {self.config.context}; hint: pass the last "
                f"{self.config.context} tokens, or use generate(), which does"
            )
        x = self.drop(self.wte(ids) + self.wpe.weight[start : start + T])
        for i, block in enumerate(self.h):
            x = block(x, None if caches is None else caches[i])
        return self.ln_f(x)


class GPT(nn.Module):
    """Scores of the next token after every token.

    Shapes      ids (N, T) integers, T <= context -> (N, T, vocab)
    Parameters  transformer.wte, wpe, h.0.ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj, ..., ln_f; lm_head.weight is
                wte.weight. All matrices start N(0, 0.02), those that end a residual branch N(0, 0.02 / sqrt(2 layers))
    Errors      ValueError for tokens out of range and sequences longer than the context

    Example
    >>> model = GPT(vocab=65, layers=2, d=32, heads=2, context=16)
    >>> model(np.zeros((1, 5), np.int64)).shape
    (1, 5, 65)
    """

    def __init__(self, config: GPTConfig | None = None, **settings):
        super().__init__()
        self.config = c = config or GPTConfig(**settings)
        if c.d % c.heads:
            raise ValueError(f"GPT: heads={c.heads} must divide d={c.d}")
        if c.window is not None and c.window < 1:
            raise ValueError(f"GPT: window must be at least 1; got {c.window}")
        self.transformer = Trunk(c)
        self.lm_head = nn.Linear(c.d, c.vocab, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        init.normal_(self.transformer.wte.weight, 0.0, 0.02)
        init.normal_(self.transformer.wpe.weight, 0.0, 0.02)
        for block in self.transformer.h:
            for matrix in (block.attn.c_proj.weight, block.mlp.c_proj.weight):
                init.normal_(matrix, 0.0, 0.02 / math.sqrt(2 * c.layers))

    def forward(self, ids, caches=None):
        return self.lm_head(self.transformer(_tokens(ids), caches))

    def make_caches(self):
        """An empty KVCache for every layer."""
        return [nn.KVCache(min(self.config.context, 64)) for _ in self.transformer.h]

    def load_pretrained(self, state):
        """load_state_dict for files of Hugging Face: with or without "transformer." and lm_head, mask buffers left out."""
        mine = {}
        for key, value in state.items():
            if key.endswith((".attn.bias", ".attn.masked_bias")):
                continue
            mine[key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}"] = value
        mine.setdefault("lm_head.weight", mine.get("transformer.wte.weight"))
        return self.load_state_dict(mine)

    def generate(self, prompt, max_new_tokens=100, *, num_beams=1, length_penalty=0.0, use_cache=True, **options):
        """Continue prompts: (N, P) or (P,) ids -> the new tokens (N, T) or (T,).

        Of a prompt longer than the context the last tokens count; when the context is full, the older half is forgotten.
        options: temperature (0: greedy), top_k, top_p, eos, repetition_penalty, allowed, on_token, generator (see decoding.decode)
        num_beams > 1: beam search with length_penalty (options eos and allowed).
        """
        ids = np.asarray(prompt.array if isinstance(prompt, Tensor) else prompt)
        alone, ids = ids.ndim == 1, np.atleast_2d(ids)
        if ids.shape[1] == 0:
            raise ValueError("GPT.generate: the prompt is empty; give at least one token to go on from")
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                session = Session(self, use_cache)
                scores = session.read(ids)
                if num_beams > 1:
                    found = decoding.beam_search(
                        session, scores, max_new_tokens, num_beams, length_penalty=length_penalty, **options
                    )
                    return found[0] if alone else found
                tokens = decoding.decode(session, scores, max_new_tokens, prompt=ids, **options)
        finally:
            self.train(was_training)
        return tokens[0] if alone else tokens


class Session:
    """Decoding in progress (see fastdl/decoding.py): the tokens so far and the cache over them."""

    def __init__(self, model: GPT, use_cache=True):
        self.model, self.use_cache = model, use_cache
        self.ids = None
        self.caches = None

    def read(self, ids):
        """Read prompts (N, P) from the start; scores (N, V) of the next token."""
        self.ids = ids[:, -self.model.config.context :]
        self.caches = self.model.make_caches() if self.use_cache else None
        return self._last(self.ids)

    def step(self, tokens):
        context = self.model.config.context
        ids = np.concatenate([self.ids, tokens[:, None]], 1)
        if ids.shape[1] > context:
            return self.read(ids[:, -max(1, context // 2) :])
        self.ids = ids
        return self._last(ids if self.caches is None else tokens[:, None])

    def reorder(self, rows):
        self.ids = self.ids[rows]
        for cache in self.caches or ():
            cache.reorder(rows)

    def _last(self, ids):
        x = self.model.transformer(_tokens(ids), self.caches)[:, -1]  # (N, d)
        return self.model.lm_head(x).array


def _tokens(ids):
    """ids as an array (N, T) of integers."""
    ids = ids.array if isinstance(ids, Tensor) else np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(f"GPT: tokens must be integers of shape (N, T); got {ids.dtype} {ids.shape}")
    return ids


def loss(scores, targets):
    """Cross-entropy in nats a token, mean over all tokens (0 of none); scores (N, T, V), targets (N, T), -100 not counted."""
    V = scores.shape[-1]
    targets = targets.array if isinstance(targets, Tensor) else np.asarray(targets)
    if not (targets != -100).any():
        return (scores * 0.0).sum()
    return F.cross_entropy(scores.reshape(-1, V), targets.reshape(-1))


def bits_per_token(model, ids, batch=16, limit=None) -> float:
    """Mean -log2 p of the tokens of one long text (T,), windows of the context's length, the second half of each scored.

    The first window is scored whole, so that every token but the very first counts once.
    """
    ids = np.asarray(ids)[:limit]
    c = min(model.config.context, len(ids) - 1)
    if c < 1:
        raise ValueError("bits_per_token: needs at least two tokens")
    half = max(1, c // 2)
    starts = list(range(0, max(1, len(ids) - c), half))
    if starts[-1] + c < len(ids) - 1:
        starts.append(len(ids) - 1 - c)
    was_training, total, scored = model.training, 0.0, 0
    model.eval()
    with no_grad():
        for i in range(0, len(starts), batch):
            group = starts[i : i + batch]
            x = np.stack([ids[s : s + c] for s in group])
            log_p = F.log_softmax(model(x), -1).array
            for s, row in zip(group, log_p, strict=True):
                new = np.arange(scored, s + c)  # positions whose next token was not scored yet
                total -= float(row[new - s, ids[new + 1]].sum())
                scored = s + c
    model.train(was_training)
    return total / scored / math.log(2)


_SIZES = {  # layers, d, heads
    "gpt2": (12, 768, 12),
    "gpt2_medium": (24, 1024, 16),
    "gpt2_large": (36, 1280, 20),
    "gpt2_xl": (48, 1600, 25),
}


def _sized(name, settings):
    layers, d, heads = _SIZES[name]
    return GPT(GPTConfig(**{"layers": layers, "d": d, "heads": heads, **settings}))


def gpt2(**settings) -> GPT:
    """124,439,808 parameters."""
    return _sized("gpt2", settings)


def gpt2_medium(**settings) -> GPT:
    """354,823,168 parameters."""
    return _sized("gpt2_medium", settings)


def gpt2_large(**settings) -> GPT:
    """774,030,080 parameters."""
    return _sized("gpt2_large", settings)


def gpt2_xl(**settings) -> GPT:
    """1,557,611,200 parameters."""
    return _sized("gpt2_xl", settings)


def gpt3(layers=96, d=12288, heads=96, window=128, context=2048, **settings) -> GPT:
    """GPT-3's form: context 2048 and banded attention on odd layers; the defaults are the 175 B model (700 GB: build it small)."""
    return GPT(GPTConfig(layers=layers, d=d, heads=heads, window=window, context=context, **settings))
