"""Models of sequences as workloads: the same numbers on both sides, dropout off, no padding that one side alone would skip.

PyTorch's side is Hugging Face's BERT and GPT-2 where there is one (with PyTorch's own GELU instead of a composed one), else
torch.nn's layers put together as fastdl.models does it, under the same names.
"""

import contextlib
import logging

import numpy as np

from . import torchvision_cpu
from .workload import Workload
from .zoo import numbered


def transformers():
    """Hugging Face's library, which looks at torchvision where that is installed."""
    with contextlib.suppress(ImportError):
        torchvision_cpu.load()
    import transformers as library

    logging.getLogger("transformers").setLevel(logging.ERROR)
    return library


def on_torch(s):
    return s.lib.__name__ == "torch"


def without_dropout(net):
    """Modules that hold a probability beside their Dropout layers (attention) lose it too."""
    for module in net.modules():
        for name in ("dropout", "dropout_p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return net


def lstm_lm(s, batch, T, H, layers, vocabulary):
    """Zaremba's language model: SGD with clipped gradients."""
    nn, F = s.nn, s.F

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(vocabulary, H), nn.LSTM(H, H, layers)
            self.head = nn.Linear(H, vocabulary)

        def forward(self, tokens):  # (T, batch)
            return self.head(self.rnn(self.embedding(tokens))[0].reshape(T * batch, H))

    net = numbered(s, Model())
    tokens, labels = s.integers(vocabulary, T, batch), s.integers(vocabulary, T * batch)
    optimizer = s.optim.SGD(net.parameters(), lr=1.0, **s.fast("SGD"))

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(tokens), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        return [loss.detach()]

    return {"both": step}


def seq2seq_of_torch(nn, F, vocabulary, hidden):
    """A bidirectional GRU reads packed sources, another GRU with Luong's attention writes: fastdl.models.Seq2Seq's names."""
    import torch

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, hidden // 2, padding_idx=0)
            self.rnn = nn.GRU(hidden // 2, hidden, batch_first=True, bidirectional=True)
            self.bridge = nn.ModuleList([nn.Linear(2 * hidden, hidden)])

        def forward(self, source, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(self.embedding(source), lengths, True, enforce_sorted=False)
            states, last = self.rnn(packed)
            states, _ = nn.utils.rnn.pad_packed_sequence(states, True, total_length=source.shape[1])
            last = last.reshape(1, 2, -1, hidden).transpose(1, 2).reshape(1, -1, 2 * hidden)
            return states, torch.tanh(self.bridge[0](last))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, hidden // 2, padding_idx=0)
            self.rnn = nn.GRU(hidden // 2, hidden, batch_first=True)
            self.attention = nn.Module()
            self.attention.W = nn.Linear(2 * hidden, hidden, bias=False)
            self.combine, self.output = nn.Linear(3 * hidden, hidden), nn.Linear(hidden, vocabulary)

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = Encoder(), Decoder()

        def forward(self, source, target):
            lengths = (source != 0).sum(1)
            memory, state = self.encoder(source, lengths)
            d = self.decoder
            h, _ = d.rnn(d.embedding(target), state)
            scores = h @ d.attention.W(memory).transpose(1, 2)  # (N, T, S)
            weights = F.softmax(scores.masked_fill((source == 0).unsqueeze(1), -1e9), -1)
            return d.output(torch.tanh(d.combine(torch.cat([h, weights @ memory], 2))))

    return Seq2Seq()


def padded(s, vocabulary, batch, T, shortest):
    """Tokens (batch, T) from 3 up, rows of `shortest` to T of them, 0 behind."""
    tokens = s.rng.integers(3, vocabulary, (batch, T))
    lengths = s.rng.integers(shortest, T + 1, batch)
    lengths[0] = T
    return s.tensor(np.where(np.arange(T) < lengths[:, None], tokens, 0))


def seq2seq(s, batch, T, hidden, vocabulary):
    """One Adam step of a GRU translator."""
    if on_torch(s):
        net = seq2seq_of_torch(s.nn, s.F, vocabulary, hidden)
    else:
        from fastdl.models.seq2seq import Seq2Seq

        net = Seq2Seq(vocabulary, vocabulary, cell="gru", hidden=hidden, attention="luong")
    net = numbered(s, net)
    source, target = padded(s, vocabulary, batch, T, T // 2), padded(s, vocabulary, batch, T, T // 2)
    optimizer = s.optim.Adam(net.parameters(), lr=1e-3, **s.fast("Adam"))

    def loss(net):
        scores = net(source, target[:, :-1])
        return s.F.cross_entropy(scores.reshape(-1, vocabulary), target[:, 1:].reshape(-1), ignore_index=0)

    return s.training(net, optimizer, loss)


def transformer_of_torch(nn, vocabulary, d, heads, layers, wide, length):
    """The 2017 model around torch's layers: one table for source, target and output."""
    import torch

    angle = np.arange(length)[:, None] * np.exp(np.arange(0, d, 2) * (-np.log(10000.0) / d))
    table = np.stack([np.sin(angle), np.cos(angle)], 2).reshape(length, d).astype(np.float32)

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            options = {"dropout": 0.0, "batch_first": True}
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(d, heads, wide, **options), layers, nn.LayerNorm(d)
            )
            self.decoder = nn.TransformerDecoder(
                nn.TransformerDecoderLayer(d, heads, wide, **options), layers, nn.LayerNorm(d)
            )
            self.src_embedding = nn.Embedding(vocabulary, d, padding_idx=0)
            self.generator = nn.Linear(d, vocabulary, bias=False)
            self.generator.weight = self.src_embedding.weight
            self.register_buffer("positions", torch.from_numpy(table))

        def embedded(self, tokens):
            return self.src_embedding(tokens) * d**0.5 + self.positions[: tokens.shape[1]]

        def forward(self, source, target):
            padding, T = source == 0, target.shape[1]
            memory = self.encoder(self.embedded(source), src_key_padding_mask=padding)
            later = torch.ones(T, T, dtype=torch.bool).triu(1)
            y = self.decoder(
                self.embedded(target), memory, tgt_mask=later, memory_key_padding_mask=padding, tgt_is_causal=True
            )
            return self.generator(y)

    return Transformer()


def transformer(s, batch, T, vocabulary, d=512, heads=8, layers=6, wide=2048):
    """One Adam step with label smoothing."""
    if on_torch(s):
        net = transformer_of_torch(s.nn, vocabulary, d, heads, layers, wide, T)
    else:
        from fastdl.models.transformer import Transformer

        sizes = {"src_vocab": vocabulary, "tgt_vocab": vocabulary, "d_model": d, "nhead": heads, "dropout": 0.0}
        sizes |= {"num_encoder_layers": layers, "num_decoder_layers": layers, "dim_feedforward": wide}
        net = Transformer(**sizes)
    net = without_dropout(numbered(s, net))
    source, target = padded(s, vocabulary, batch, T, T // 2), padded(s, vocabulary, batch, T, T // 2)
    optimizer = s.optim.Adam(net.parameters(), lr=1e-4, betas=(0.9, 0.98), **s.fast("Adam"))

    def loss(net):
        flat = net(source, target).reshape(batch * T, vocabulary)
        return s.F.cross_entropy(flat, target.reshape(batch * T), ignore_index=0, label_smoothing=0.1)

    return s.training(net, optimizer, loss)


def bert(s, batch, T, **sizes):
    """Hidden states of BERT base."""
    if on_torch(s):
        library = transformers()
        theirs = {"hidden_size": sizes.get("hidden", 768), "num_hidden_layers": sizes.get("layers", 12)}
        theirs |= {"num_attention_heads": sizes.get("heads", 12), "intermediate_size": 4 * sizes.get("hidden", 768)}
        net = library.BertModel(library.BertConfig(**theirs))
    else:
        from fastdl.models.bert import Bert

        net = Bert(**sizes)
    net = s.for_inference(numbered(s, net))
    tokens = s.integers(30522, batch, T)
    return {"fwd": lambda: [s.run_without_tape(lambda: net(tokens))[0]]}


def gpt2_net(s, layers=12, d=768, heads=12, vocabulary=50257, context=1024):
    if on_torch(s):
        library = transformers()
        sizes = {"n_layer": layers, "n_embd": d, "n_head": heads, "vocab_size": vocabulary, "n_positions": context}
        # gelu_new is the same function, composed of eight operations
        config = library.GPT2Config(**sizes, activation_function="gelu_pytorch_tanh", attn_pdrop=0.0)
        net = library.GPT2LMHeadModel(config)
    else:
        from fastdl.models.gpt import GPT

        net = GPT(vocab=vocabulary, context=context, d=d, layers=layers, heads=heads, dropout=0.0)
    return without_dropout(numbered(s, net))


def gpt2(s, batch, T, train, **sizes):
    """Scores after every token; or one AdamW step on them."""
    net = gpt2_net(s, **sizes)
    vocabulary = sizes.get("vocabulary", 50257)
    tokens, labels = s.integers(vocabulary, batch, T), s.integers(vocabulary, batch * T)
    call = (lambda: net(tokens, use_cache=False).logits) if on_torch(s) else (lambda: net(tokens))
    if not train:
        s.for_inference(net)
        return {"fwd": lambda: [s.run_without_tape(call)]}
    net.train()
    optimizer = s.optim.AdamW(net.parameters(), lr=1e-4, **s.fast("AdamW"))
    return s.training(net, optimizer, lambda net: s.F.cross_entropy(call().reshape(batch * T, vocabulary), labels))


def decoding(s, tokens, **sizes):
    """So many tokens after a first one, each the likeliest, by passes of one token with cached keys and values."""
    net = s.for_inference(gpt2_net(s, **sizes))
    first = s.rng.integers(0, sizes.get("vocabulary", 50257), (1, 1))
    if not on_torch(s):
        return {"fwd": lambda: [s.tensor(net.generate(first, tokens, temperature=0))]}
    import torch

    def generate():  # without the bookkeeping of generate(), which is slower
        found, token, cache = [], torch.from_numpy(first), transformers().DynamicCache()
        for _ in range(tokens):
            logits = net(token, past_key_values=cache, use_cache=True).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            found.append(token)
        return torch.cat(found, 1)

    return {"fwd": lambda: [s.run_without_tape(generate)]}


def _workloads():
    lm, translator = 700 * (2 * 8 * 650**2 + 650 * 10_000), 64 * 20 * 3 * (3 * 256 * 384 + 256 * 5000 / 3)
    yield Workload(
        "LSTM language model 20x35, 2x650, 10,000 words, step", "sequences", lstm_lm, (20, 35, 650, 2, 10_000),
        2 * lm, 12 * 19.8e6, 3, None, 1.0,
    )  # fmt: skip
    yield Workload(
        "GRU seq2seq with attention, 64x20, 256, 5,000 words, step", "sequences", seq2seq, (64, 20, 256, 5000),
        2 * translator, 28 * 4.9e6, 3, None, 1.0,
    )  # fmt: skip
    yield Workload(
        "Transformer base, 8x64, step", "sequences", transformer, (8, 64, 37_000),
        2 * 512 * (44.1e6 + 512 * 37_000), 28 * 63.1e6, 3, None, 1.0,
    )  # fmt: skip
    yield Workload(
        "BERT base, 4x128, inference", "sequences", bert, (4, 128), 2 * 512 * 85e6, 4 * 85e6, 1, 1.0,
        needs="transformers",
    )  # fmt: skip
    for name, train, bars in (("inference", False, (1.0, None)), ("step", True, (None, 1.0))):
        yield Workload(
            f"GPT-2 small, 1x128, {name}", "sequences", gpt2, (1, 128, train), 2 * 128 * 124e6,
            (28 if train else 4) * 124e6, 3, *bars, needs="transformers",
        )  # fmt: skip
    yield Workload(
        "tiny GPT, 4 layers of 128, 16x64, step", "sequences", gpt2, (16, 64, True),
        16 * 64 * 2 * (4 * 12 * 128**2 + 65 * 128) + 4 * 4 * 16 * 64 * 64 * 128 / 2, 28 * 800_000, 3, None, 1.0,
        {"layers": 4, "d": 128, "heads": 4, "vocabulary": 65, "context": 64}, needs="transformers",
    )  # fmt: skip
    yield Workload(
        "GPT-2 small, decoding 32 tokens, batch 1", "sequences", decoding, (32,), 32 * 2 * 124e6, 32 * 4 * 124e6, 1, 1.2,
        needs="transformers", rate=(32, "tokens"),
    )  # fmt: skip


WORKLOADS = list(_workloads())
