"""Sequence to sequence: an RNN reads the source into states, another one emits the target token by token.

    source (N, S) -> embedding -> (bi)GRU or LSTM over packed lengths -> states (N, S, M), last state -> start of the decoder
    target: without attention from the last state alone; with it every step looks at a weighted mean of the source states:
      Bahdanau  e_ij = v . tanh(W s_i-1 + U h_j), the mean is part of the step's input and of the output
      Luong     e_ij = s_i . W h_j (general), s_i . h_j (dot) or v . tanh(W [s_i; h_j]) (concat), the mean joins the output only
                scaled=True divides e_ij by sqrt(H), as the Transformer does: large scores put all weight on one place before
                anything is learned, and no gradient leads away from it

Ref  Cho et al. 2014, arXiv 1406.1078 (GRU encoder-decoder); Sutskever, Vinyals, Le 2014, arXiv 1409.3215 (deep LSTM, reversed
     source); Bahdanau, Cho, Bengio 2015, arXiv 1409.0473; Luong, Pham, Manning 2015, arXiv 1508.04025.
"""

from dataclasses import dataclass

import numpy as np

from fastdl import decoding, nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from fastdl.ops.shape import cat, stack

PAD, BOS, EOS = 0, 1, 2


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes and choices."""

    src_vocab: int
    tgt_vocab: int
    cell: str = "gru"  # or "lstm"
    hidden: int = 128
    embed: int | None = None  # half of hidden
    attention: str | None = None  # or "bahdanau", "luong"
    score: str = "general"  # of Luong's: "general", "dot", "concat"
    scaled: bool = False  # scores of Luong's "general" and "dot" divided by the root of hidden
    bidirectional: bool = True
    reverse_source: bool = False
    num_layers: int = 1
    dropout: float = 0.0
    tied: bool = False  # the vectors of the output are those of the target embedding; embed is hidden


def _layer(c, inputs, bidirectional):
    make = {"gru": nn.GRU, "lstm": nn.LSTM}[c.cell]
    dropout = c.dropout if c.num_layers > 1 else 0.0
    return make(inputs, c.hidden, c.num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional)


class Encoder(nn.Module):
    """Source tokens (N, S) -> states (N, S, M) with zeros at padding, last state in the decoder's form."""

    def __init__(self, c: Seq2SeqConfig, embed):
        super().__init__()
        self.config = c
        self.embedding = nn.Embedding(c.src_vocab, embed, padding_idx=PAD)
        self.drop = nn.Dropout(c.dropout)
        self.rnn = _layer(c, embed, c.bidirectional)
        parts = 2 if c.cell == "lstm" else 1
        self.bridge = None
        if c.bidirectional:  # tanh(W [forward; backward]) of every layer, for h and c each
            self.bridge = nn.ModuleList([nn.Linear(2 * c.hidden, c.hidden) for _ in range(parts)])

    def forward(self, src, lengths):
        c = self.config
        if c.reverse_source:
            t = np.arange(src.shape[1])
            src = np.take_along_axis(src, np.where(t < lengths[:, None], lengths[:, None] - 1 - t, t), 1)
        packed = pack_padded_sequence(self.drop(self.embedding(src)), lengths, True, enforce_sorted=False)
        states, last = self.rnn(packed)
        states, _ = pad_packed_sequence(states, True, total_length=src.shape[1])
        if self.bridge is None:
            return states, last
        parts = last if isinstance(last, tuple) else (last,)
        joined = []
        for part, layer in zip(parts, self.bridge, strict=True):
            L = c.num_layers
            x = part.reshape(L, 2, -1, c.hidden).transpose(1, 2).reshape(L, -1, 2 * c.hidden)
            joined.append(F.tanh(layer(x)))
        return states, tuple(joined) if len(joined) > 1 else joined[0]


class Attention(nn.Module):
    """Weights of the source states for every decoder state.

    Shapes      query (N, T, H), keys and memory (N, S, .), mask (N, 1, S) True at tokens -> context (N, T, M), weights (N, T, S)
    """

    def __init__(self, kind, hidden, memory, scaled=False):
        super().__init__()
        self.kind = kind
        self.scale = hidden**-0.5 if scaled else 1.0
        if kind == "dot" and hidden != memory:
            raise ValueError(
                f"Seq2Seq: score='dot' needs states of one size; the source has {memory}, the target {hidden}"
            )
        if kind in ("bahdanau", "concat"):
            self.W, self.U = nn.Linear(hidden, hidden), nn.Linear(memory, hidden, bias=False)
            self.v = nn.Linear(hidden, 1, bias=False)
        elif kind == "general":
            self.W = nn.Linear(memory, hidden, bias=False)

    def keys(self, memory):
        """What the scores need of the source, computed once."""
        if self.kind in ("bahdanau", "concat"):
            return self.U(memory)
        return self.W(memory) if self.kind == "general" else memory

    def forward(self, query, keys, memory, mask):
        if self.kind in ("bahdanau", "concat"):
            scores = self.v(F.tanh(self.W(query).unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)  # (N, T, S)
        else:
            scores = (query * self.scale if self.scale != 1 else query) @ keys.transpose(1, 2)
        weights = F.softmax(scores.masked_fill(Tensor(~mask), -1e9), -1)
        return weights @ memory, weights


class Decoder(nn.Module):
    """Embedding, recurrent layers, attention (if any), scores of the target vocabulary."""

    def __init__(self, c: Seq2SeqConfig, embed, memory):
        super().__init__()
        self.config = c
        self.embedding = nn.Embedding(c.tgt_vocab, embed, padding_idx=PAD)
        self.drop = nn.Dropout(c.dropout)
        fed = memory if c.attention == "bahdanau" else 0
        self.rnn = _layer(c, embed + fed, False)
        kind = c.score if c.attention == "luong" else c.attention
        self.attention = None if c.attention is None else Attention(kind, c.hidden, memory, c.scaled)
        self.combine = None if c.attention is None else nn.Linear(c.hidden + memory, c.hidden)
        self.output = nn.Linear(c.hidden, c.tgt_vocab)
        if c.tied:
            init.normal_(self.embedding.weight, 0.0, c.hidden**-0.5)
            self.output.weight = self.embedding.weight

    def forward(self, tgt, state, keys, memory, mask, maps=None):
        """Scores (N, T, V) after each of tgt (N, T), and the state; all steps at once where the form allows it."""
        if tgt.shape[1] == 0:
            return Tensor(np.zeros((len(tgt), 0, self.config.tgt_vocab), np.float32)), state
        e = self.drop(self.embedding(tgt))
        if self.config.attention == "bahdanau":
            return self._steps(e, state, keys, memory, mask, maps)
        h, state = self.rnn(e, state)
        if self.attention is not None:
            context, weights = self.attention(h, keys, memory, mask)
            if maps is not None:
                maps.append(weights.array)
            h = F.tanh(self.combine(cat([h, context], 2)))
        return self.output(self.drop(h)), state

    def _steps(self, e, state, keys, memory, mask, maps):
        rows = []
        for t in range(e.shape[1]):
            before = (state[0] if isinstance(state, tuple) else state)[-1]  # (N, H): the top layer before this step
            context, weights = self.attention(before.unsqueeze(1), keys, memory, mask)
            h, state = self.rnn(cat([e[:, t : t + 1], context], 2), state)
            rows.append(cat([h, context], 2))
            if maps is not None:
                maps.append(weights.array)
        return self.output(self.drop(F.tanh(self.combine(cat(rows, 1))))), state


class Seq2Seq(nn.Module):
    """Scores of the next target token after every target token.

    Shapes      src (N, S), tgt (N, T) integers, 0 is padding -> (N, T, tgt_vocab)
    Parameters  encoder.embedding.weight, encoder.rnn.*, encoder.bridge.*, decoder.embedding.weight, decoder.rnn.*,
                decoder.attention.*, decoder.combine.*, decoder.output.*; recurrent layers under torch's names
    Errors      ValueError for tokens out of range, wrong shapes or unknown choices

    Example
    >>> model = Seq2Seq(30, 40, cell="gru", hidden=16, attention="luong")
    >>> model(np.full((2, 5), 4), np.full((2, 3), 4)).shape
    (2, 3, 40)
    """

    def __init__(self, src_vocab=None, tgt_vocab=None, config: Seq2SeqConfig | None = None, **settings):
        super().__init__()
        self.config = c = config or Seq2SeqConfig(src_vocab, tgt_vocab, **settings)
        if c.cell not in ("gru", "lstm") or c.attention not in (None, "none", "bahdanau", "luong"):
            raise ValueError(f"Seq2Seq: cell is gru or lstm, attention None, bahdanau or luong; got {c}")
        if c.attention == "none":
            self.config = c = Seq2SeqConfig(**{**vars(c), "attention": None})
        if c.score not in ("general", "dot", "concat"):
            raise ValueError(f"Seq2Seq: score is general, dot or concat; got {c.score!r}")
        if c.scaled and not (c.attention == "luong" and c.score in ("general", "dot")):
            raise ValueError(f"Seq2Seq: scaled=True needs attention='luong' with score general or dot; got {c}")
        embed = c.embed or (c.hidden if c.tied else max(1, c.hidden // 2))
        if c.tied and embed != c.hidden:
            raise ValueError(f"Seq2Seq: tied=True needs embed={c.hidden}, the size of the states; got embed={c.embed}")
        memory = c.hidden * (2 if c.bidirectional else 1)
        self.encoder = Encoder(c, embed)
        self.decoder = Decoder(c, embed, memory)

    def encode(self, src):
        """(start state, keys, memory (N, S, M), mask (N, 1, S)) of source tokens; a row of padding counts as one token."""
        src = decoding.token_ids(src, "Seq2Seq: source")
        if src.shape[1] == 0:
            src = np.full((len(src), 1), PAD)
        t = np.arange(1, src.shape[1] + 1)
        lengths = np.maximum(((src != PAD) * t).max(1), 1)  # up to the last token that is not padding
        memory, state = self.encoder(src, lengths)
        keys = None if self.decoder.attention is None else self.decoder.attention.keys(memory)
        return state, keys, memory, (t <= lengths[:, None])[:, None]

    def forward(self, src, tgt, teacher_forcing=1.0, rng=None, maps=None):
        """teacher_forcing < 1: a step reads the model's own last guess with the rest of the probability (scheduled sampling)."""
        src, tgt = decoding.token_ids(src, "Seq2Seq: source"), decoding.token_ids(tgt, "Seq2Seq: target")
        if len(src) != len(tgt):
            raise ValueError(f"Seq2Seq: source {src.shape} and target {tgt.shape} must have as many rows as each other")
        if len(src) == 0:
            return Tensor(np.zeros((*tgt.shape, self.config.tgt_vocab), np.float32))
        state, *memory = self.encode(src)
        if teacher_forcing >= 1:
            return self.decoder(tgt, state, *memory, maps=maps)[0]
        rng = rng or np.random.default_rng()
        rows, read = [], tgt[:, :1]
        for t in range(tgt.shape[1]):
            scores, state = self.decoder(read, state, *memory)
            rows.append(scores[:, 0])
            if t + 1 < tgt.shape[1]:
                own = scores.array[:, 0].argmax(-1)
                read = np.where(rng.random(len(tgt)) < teacher_forcing, tgt[:, t + 1], own)[:, None]
        return stack(rows, 1)

    def attention_maps(self, src, tgt):
        """Where the decoder looked: a list of one array (N, 1, T, S), as Transformer.attention_maps gives one for each layer.

        Errors  ValueError for a model without attention
        """
        if self.decoder.attention is None:
            raise ValueError(
                "Seq2Seq.attention_maps: this model has no attention; hint: attention='luong' or 'bahdanau'"
            )
        was_training, maps = self.training, []
        self.eval()
        try:
            with no_grad():
                self(src, tgt, maps=maps)
        finally:
            self.train(was_training)
        return [np.concatenate(maps, 1)[:, None]]  # Bahdanau's has an array a step, Luong's one of all

    def generate(self, src, beam=1, max_len=64, length_penalty=0.6, **options):
        """Free-running translation of (N, S): a list of N arrays of target tokens, with <eos> if it was reached.

        beam=1 draws token by token: options are decoding.decode's, greedy unless a temperature is given.
        """
        src = decoding.token_ids(src, "Seq2Seq: source")
        return decoding.translate(
            Session, self, src, max_len, beam, length_penalty, bos=BOS, eos=EOS, pad=PAD, **options
        )


class Session:
    """Decoding in progress (see fastdl/decoding.py): the decoder's state and the source it looks at."""

    def __init__(self, model, src):
        self.model = model
        self.state, self.keys, self.memory, self.mask = model.encode(src)

    def step(self, tokens):
        scores, self.state = self.model.decoder(tokens[:, None], self.state, self.keys, self.memory, self.mask)
        return scores.array[:, -1]

    def reorder(self, rows):
        pick = lambda s: Tensor(s.array[:, rows])  # noqa: E731
        self.state = tuple(map(pick, self.state)) if isinstance(self.state, tuple) else pick(self.state)
        self.memory, self.mask = Tensor(self.memory.array[rows]), self.mask[rows]
        self.keys = None if self.keys is None else Tensor(self.keys.array[rows])


def loss(scores, targets):
    """Cross-entropy in nats, mean over targets that are not padding (0 if all are); scores (N, T, V), targets (N, T)."""
    targets = targets.array if isinstance(targets, Tensor) else np.asarray(targets)
    if not (targets != PAD).any():
        return (scores * 0.0).sum()
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), targets.reshape(-1), ignore_index=PAD)


def sutskever(src_vocab=160_000, tgt_vocab=80_000, **settings) -> Seq2Seq:
    """The published size: four LSTM layers of 1,000 cells, 1,000-d embeddings, reversed source, all weights U(-0.08, 0.08)."""
    sizes = {
        "cell": "lstm", "hidden": 1000, "embed": 1000, "num_layers": 4, "bidirectional": False, "reverse_source": True,
    }  # fmt: skip
    model = Seq2Seq(src_vocab, tgt_vocab, **{**sizes, **settings})
    for p in model.parameters():
        init.uniform_(p, -0.08, 0.08)
    return model
