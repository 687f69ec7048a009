"""The Transformer: translation with attention alone, encoder and decoder, embeddings and output included.

    source (N, S), target (N, T) -> embedding * sqrt(d) + positions -> encoder, decoder (nn.Transformer's) -> scores (N, T, V)

Base: 63,084,544 parameters with 37,000 shared word pieces (44,140,544 of them in the stack), big: 214,249,472.

Ref  Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn import init

PAD, BOS, EOS = 0, 1, 2


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes; the defaults are the paper's base model."""

    src_vocab: int = 37000
    tgt_vocab: int = 37000
    d_model: int = 512
    nhead: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dim_feedforward: int = 2048
    dropout: float = 0.1
    embedding_dropout: float | None = None  # of embedding + position; None: as dropout
    activation: str = "relu"
    norm_first: bool = False
    positions: str = "sinusoidal"  # or "learned"
    shared: str = "all"  # source, target and output vectors are one table; "output": target and output; "none"
    max_len: int = 1024


class Transformer(nn.Module):
    """Scores of the next target token after every target token.

    Shapes      src (N, S), tgt (N, T) integers, 0 is padding -> (N, T, tgt_vocab)
    Parameters  src_embedding.weight, tgt_embedding.weight, generator.weight (shared as configured); encoder.*, decoder.* as in
                nn.Transformer; src_positions.weight, tgt_positions.weight if learned
    Errors      ValueError for sequences longer than max_len; tokens out of range

    Example
    >>> model = Transformer(src_vocab=20, tgt_vocab=20, d_model=16, nhead=2, dim_feedforward=32)
    >>> model(np.full((2, 5), 4), np.full((2, 3), 4)).shape
    (2, 3, 20)
    """

    def __init__(self, config: TransformerConfig | None = None, **settings):
        super().__init__()
        self.config = c = config or TransformerConfig(**settings)
        if c.shared not in ("all", "output", "none") or c.positions not in ("sinusoidal", "learned"):
            raise ValueError(f"Transformer: shared is all, output or none; positions sinusoidal or learned; got {c}")
        if c.shared == "all" and c.src_vocab != c.tgt_vocab:
            raise ValueError(
                f"Transformer: shared='all' needs one vocabulary; got {c.src_vocab} and {c.tgt_vocab}; hint: shared='output'"
            )
        layer = (c.d_model, c.nhead, c.dim_feedforward, c.dropout, c.activation)
        options = {"batch_first": True, "norm_first": c.norm_first}
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*layer, **options), c.num_encoder_layers, nn.LayerNorm(c.d_model)
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*layer, **options), c.num_decoder_layers, nn.LayerNorm(c.d_model)
        )
        for p in self.parameters():
            if len(p.shape) > 1:
                init.xavier_uniform_(p)
        self.src_embedding = nn.Embedding(c.src_vocab, c.d_model, padding_idx=PAD)
        self.tgt_embedding = nn.Embedding(c.tgt_vocab, c.d_model, padding_idx=PAD)
        self.generator = nn.Linear(c.d_model, c.tgt_vocab, bias=False)
        if c.shared != "none":
            self.generator.weight = self.tgt_embedding.weight
        if c.shared == "all":
            self.src_embedding.weight = self.tgt_embedding.weight
        for embedding in (self.src_embedding, self.tgt_embedding):
            init.normal_(embedding.weight, 0.0, c.d_model**-0.5)
        make = nn.SinusoidalPositionalEncoding if c.positions == "sinusoidal" else nn.LearnedPositionalEncoding
        self.src_positions, self.tgt_positions = make(c.d_model, c.max_len), make(c.d_model, c.max_len)
        self.dropout = nn.Dropout(c.dropout if c.embedding_dropout is None else c.embedding_dropout)

    def encode(self, src, maps=None):
        """Memory (N, S, d_model) of source tokens (N, S)."""
        src = decoding.token_ids(src, "Transformer: source")
        x = self.dropout(self.src_positions(self.src_embedding(src) * math.sqrt(self.config.d_model)))
        return self.encoder(x, src_key_padding_mask=Tensor(src == PAD), maps=maps)

    def decode(self, tgt, memory, src, cache=None, maps=None):
        """Hidden states (N, T, d_model) of target tokens (N, T), the source's padding left out."""
        tgt = decoding.token_ids(tgt, "Transformer: target")
        start = 0 if cache is None else cache[0][0].length
        x = self.tgt_positions(self.tgt_embedding(tgt) * math.sqrt(self.config.d_model), start)
        padding = Tensor(np.asarray(src.array if isinstance(src, Tensor) else src) == PAD)
        return self.decoder(
            self.dropout(x), memory, memory_key_padding_mask=padding, tgt_is_causal=True, cache=cache, maps=maps
        )

    def forward(self, src, tgt):
        src, tgt = decoding.token_ids(src, "Transformer: source"), decoding.token_ids(tgt, "Transformer: target")
        if len(src) != len(tgt):
            raise ValueError(
                f"Transformer: source {src.shape} and target {tgt.shape} must have as many rows as each other"
            )
        return self.generator(self.decode(tgt, self.encode(src), src))

    def attention_maps(self, src, tgt):
        """Where the decoder looked: for each of its layers an array (N, heads, T, S), rows sum to 1.

        src (N, S), tgt (N, T) from <bos> on: row t is of the step that read tgt[:, t] and wrote the token after it. In
        evaluation mode, whatever the mode is.
        """
        src, maps = decoding.token_ids(src, "Transformer: source"), []
        was_training = self.training
        self.eval()
        try:
            with no_grad():
                self.decode(tgt, self.encode(src), src, maps=maps)
        finally:
            self.train(was_training)
        return [m.array for m in maps]

    def generate(self, src, max_len=64, num_beams=1, length_penalty=0.6, **options):
        """Translate source tokens (N, S): a list of N arrays of target tokens, without <bos>, with <eos> if it was reached.

        num_beams=1 draws token by token: options are decoding.decode's, greedy unless a temperature is given.
        """
        src = decoding.token_ids(src, "Transformer: source")
        most = min(max_len, self.config.max_len - 1)
        return decoding.translate(
            Session, self, src, most, num_beams, length_penalty, bos=BOS, eos=EOS, pad=PAD, **options
        )


class Session:
    """Decoding in progress (see fastdl/decoding.py): the encoder's output and the caches over it."""

    def __init__(self, model: Transformer, src):
        self.model, self.src = model, src
        self.memory = model.encode(src)
        self.cache = model.decoder.make_cache()

    def step(self, tokens):
        x = self.model.decode(tokens[:, None], self.memory, self.src, self.cache)
        return self.model.generator(x[:, -1]).array

    def reorder(self, rows):
        self.src, self.memory = self.src[rows], Tensor(self.memory.array[rows])
        for own, other in self.cache:
            own.reorder(rows)
            other.reorder(rows)


def loss(scores, targets, label_smoothing=0.1):
    """Label-smoothed cross-entropy, mean over targets that are not padding (0 if all are); scores (N, T, V), targets (N, T)."""
    targets = targets.array if isinstance(targets, Tensor) else np.asarray(targets)
    if not (targets != PAD).any():
        return (scores * 0.0).sum()
    flat = scores.reshape(-1, scores.shape[-1])
    return F.cross_entropy(flat, targets.reshape(-1), ignore_index=PAD, label_smoothing=label_smoothing)


def noam(optimizer, d_model, warmup=4000, factor=1.0):
    """lr = factor d^-0.5 min(step^-0.5, step warmup^-1.5); the optimizer's own lr must be 1 (it is multiplied)."""
    from fastdl.optim.lr_scheduler import LambdaLR

    def rate(t):
        step = t + 1
        return factor * d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)

    return LambdaLR(optimizer, rate)


def transformer_base(**settings) -> Transformer:
    """63,084,544 parameters with 37,000 shared word pieces."""
    return Transformer(TransformerConfig(**settings))


def transformer_big(**settings) -> Transformer:
    """214,249,472 parameters with 37,000 shared word pieces."""
    sizes = {"d_model": 1024, "nhead": 16, "dim_feedforward": 4096, "dropout": 0.3}
    return Transformer(TransformerConfig(**{**sizes, **settings}))
