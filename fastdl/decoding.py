"""From a model's next-token scores to text: greedy, temperature, top-k, top-p and beam search, batched.

A decoder is any object with
    step(tokens (B,)) -> scores (B, V)    read one more token of every sequence; the scores (logits) of the next one
    reorder(rows)                         keep sequence rows[i] as sequence i (only beam search asks for it)
The functions here take it together with the scores of the first new token, so that the way a prompt, an image or a source
sentence was read is the model's own business. All of them work on arrays, outside the graph.
"""

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.ops.random import numpy_generator

__all__ = ["beam_search", "check_draws", "decode", "log_softmax", "probabilities", "token_ids", "translate"]


def token_ids(ids, name):
    """Integers (N, length) of a Tensor or an array; name ("Model: which") opens the error."""
    ids = ids.array if isinstance(ids, Tensor) else np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(f"{name} tokens must be integers of shape (N, length); got {ids.dtype} {ids.shape}")
    return ids


def translate(session_of, model, src, max_len, num_beams, length_penalty, *, bos, eos, pad, **options):
    """What a model of sequence to sequence answers to src (N, S): N arrays of target tokens, ending in eos if it was reached.

    session_of(model, src), called in evaluation mode without a graph, is the decoder that reads the source. num_beams=1 draws
    token by token: options are decode's, greedy unless a temperature is given; more are beam_search's.
    """
    if num_beams < 1:
        raise ValueError(f"{type(model).__name__}.generate: the number of beams must be at least 1; got {num_beams}")
    if len(src) == 0:
        return []
    was_training = model.training
    model.eval()
    try:
        with no_grad():
            session = session_of(model, src)
            scores = session.step(np.full(len(src), bos))
            if num_beams > 1:
                return beam_search(
                    session, scores, max_len, num_beams, eos=eos, length_penalty=length_penalty, **options
                )
            rows = decode(session, scores, max_len, eos=eos, pad=pad, **{"temperature": 0, **options})
    finally:
        model.train(was_training)
    ends = [np.flatnonzero(row == eos) for row in rows]
    return [row[: end[0] + 1] if len(end) else row for row, end in zip(rows, ends, strict=True)]


def log_softmax(scores):
    """log softmax over the last axis, in float64."""
    z = np.asarray(scores, np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def check_draws(name, temperature=1.0, top_k=None, top_p=None, repetition_penalty=1.0):
    """ValueError for settings that no draw can follow."""
    if not 0 <= temperature < np.inf:
        raise ValueError(f"{name}: temperature must be at least 0 and finite; got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"{name}: top_k must be at least 1; got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{name}: top_p must lie in (0, 1]; got {top_p}")
    if not 0 < repetition_penalty < np.inf:
        raise ValueError(f"{name}: repetition_penalty must be above 0 and finite; got {repetition_penalty}")


def probabilities(scores, temperature=1.0, top_k=None, top_p=None):
    """The distribution that is drawn from: softmax(scores / temperature), cut to the top_k largest, then to the smallest set
    whose probability reaches top_p; the rest gets 0.

    Shapes      scores (..., V) -> (..., V) float64, each row sums to 1
    Parameters  temperature 0: all on the largest score (the first, if there are several)
    """
    scores = np.asarray(scores, np.float64)
    V = scores.shape[-1]
    check_draws("probabilities", temperature, top_k, top_p)
    if temperature == 0:
        return np.eye(V)[scores.argmax(-1)]
    p = np.exp(log_softmax(scores / temperature))
    if top_k is None and (top_p is None or top_p == 1):
        return p
    order = np.argsort(-p, -1, kind="stable")
    ranked = np.take_along_axis(p, order, -1)
    keep = np.ones(ranked.shape, bool)
    if top_k is not None:
        keep[..., top_k:] = False
        ranked = np.where(keep, ranked, 0)
        ranked /= ranked.sum(-1, keepdims=True)
    if top_p is not None:
        keep &= np.cumsum(ranked, -1) - ranked < top_p  # the one that crosses top_p stays
    ranked = np.where(keep, ranked, 0)
    result = np.zeros_like(p)
    np.put_along_axis(result, order, ranked, -1)
    return result / result.sum(-1, keepdims=True)


def _draw(p, generator):
    """One index for every row of p (B, V)."""
    sums = np.cumsum(p, -1)
    u = numpy_generator(generator).random((len(p), 1)) * sums[:, -1:]
    return np.minimum((sums <= u).sum(-1), p.shape[-1] - 1)


def _penalize(scores, seen, penalty):
    """Scores of tokens that were used divided by the penalty, or multiplied where they are negative."""
    used = np.take_along_axis(scores, seen, -1)
    scores = scores.copy()
    np.put_along_axis(scores, seen, np.where(used > 0, used / penalty, used * penalty), -1)
    return scores


def _check_scores(scores, name):
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(f"{name}: the scores of the first token must have shape (B, V); got {scores.shape}")
    return scores


def decode(
    decoder,
    scores,
    max_new_tokens,
    *,
    temperature=1.0,
    top_k=None,
    top_p=None,
    eos=None,
    pad=0,
    repetition_penalty=1.0,
    prompt=None,
    allowed=None,
    on_token=None,
    generator=None,
):
    """Tokens (B, T), T <= max_new_tokens, drawn one after the other; temperature=0 is greedy.

    Parameters
    scores              (B, V) of the first new token
    eos                 token (or several) that ends a sequence; it is kept, and `pad` follows it
    repetition_penalty  > 1 makes tokens of `prompt` (B, P) and of what was drawn less likely
    allowed             function(tokens so far (B, t)) -> bool (B, V) or (V,): the vocabulary of the next step
    on_token            called with (B,) after each step, for streaming; what it returns, if True, stops
    generator           where the random numbers come from; the global one if None
    """
    scores = _check_scores(scores, "decode")
    check_draws("decode", temperature, top_k, top_p, repetition_penalty)
    B = len(scores)
    ends = np.atleast_1d([] if eos is None else eos).astype(np.int64)
    tokens = np.empty((B, max(max_new_tokens, 0)), np.int64)
    seen = np.empty((B, 0), np.int64) if prompt is None else np.asarray(prompt, np.int64).reshape(B, -1)
    done = np.zeros(B, bool)
    for t in range(max_new_tokens):
        if repetition_penalty != 1:
            scores = _penalize(scores, np.concatenate([seen, tokens[:, :t]], 1), repetition_penalty)
        if allowed is not None:
            scores = _restricted(scores, allowed(tokens[:, :t]), "decode")
        if temperature == 0:
            new = scores.argmax(-1)
        else:
            new = _draw(probabilities(scores, temperature, top_k, top_p), generator)
        new = np.where(done, pad, new)
        tokens[:, t] = new
        done |= np.isin(new, ends)
        if (on_token is not None and on_token(new)) or done.all():
            return tokens[:, : t + 1]
        if t + 1 < max_new_tokens:
            scores = decoder.step(new)
    return tokens


def _restricted(scores, allowed, name):
    allowed = np.broadcast_to(np.asarray(allowed, bool), scores.shape)
    if not allowed.any(-1).all():
        raise ValueError(f"{name}: `allowed` leaves no token for sequence {int(np.argmin(allowed.any(-1)))}")
    return np.where(allowed, scores, -np.inf)


def beam_search(
    decoder, scores, max_new_tokens, num_beams=4, *, eos=None, length_penalty=0.6, allowed=None, return_scores=False
):
    """The best of num_beams continuations of each sequence: a list of B arrays, eos (if reached) included.

    A continuation's worth is log p / ((5 + length) / 6)^length_penalty. A beam ends with num_beams finished continuations or
    at max_new_tokens; num_beams=1 is greedy search.

    Parameters  scores (B, V) of the first new token; allowed: as in decode, for (B * num_beams, t)
    Returns     list of int64 arrays; with return_scores also their worth (B,)
    Ref         length penalty: Wu et al. 2016, arXiv 1609.08144, eq. 14
    """
    scores = _check_scores(scores, "beam_search")
    if num_beams < 1:
        raise ValueError(f"beam_search: num_beams must be at least 1; got {num_beams}")
    B, V = scores.shape
    K, end = num_beams, -1 if eos is None else int(eos)
    if max_new_tokens < 1:
        empty = [np.empty(0, np.int64) for _ in range(B)]
        return (empty, np.zeros(B)) if return_scores else empty
    decoder.reorder(np.repeat(np.arange(B), K))
    scores = np.repeat(scores, K, 0)
    total = np.full((B, K), -np.inf)  # log p of every live beam; one to start from
    total[:, 0] = 0
    tokens = np.empty((B, K, 0), np.int64)
    finished: list = [[] for _ in range(B)]  # of (worth, tokens)
    closed = np.zeros(B, bool)

    def worth(log_p, length):
        return log_p / ((5 + length) / 6) ** length_penalty

    for t in range(max_new_tokens):
        if allowed is not None:
            scores = _restricted(scores, allowed(tokens.reshape(B * K, t)), "beam_search")
        log_p = (total[:, :, None] + log_softmax(scores).reshape(B, K, V)).reshape(B, K * V)
        wide = min(2 * K, K * V)  # enough that K live ones remain when every beam could end
        best = np.argpartition(-log_p, wide - 1, -1)[:, :wide]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(log_p, best, -1), -1, kind="stable"), -1)
        rows, taken = np.zeros((B, K), np.int64), np.zeros((B, K), np.int64)
        new_total = np.full((B, K), -np.inf)
        for b in range(B):
            live = 0
            for rank, flat in enumerate(best[b]):
                value, (beam, token) = log_p[b, flat], divmod(int(flat), V)
                if value == -np.inf or live == K:
                    break
                if token == end:
                    if rank < K and not closed[b]:
                        finished[b].append((worth(value, t + 1), np.append(tokens[b, beam], token)))
                    continue
                rows[b, live], taken[b, live], new_total[b, live] = beam, token, value
                live += 1
            closed[b] |= len(finished[b]) >= K or live == 0
        kept = (np.arange(B)[:, None] * K + rows).reshape(-1)
        tokens = np.concatenate([tokens.reshape(B * K, t)[kept].reshape(B, K, t), taken[..., None]], 2)
        total = new_total
        if closed.all() or t + 1 == max_new_tokens:
            break
        decoder.reorder(kept)
        scores = decoder.step(tokens[:, :, -1].reshape(-1))
    results, values = [], np.empty(B)
    for b in range(B):
        pool = finished[b]
        if not closed[b]:  # cut off: what is still alive competes too
            pool = pool + [
                (worth(total[b, k], tokens.shape[2]), tokens[b, k]) for k in range(K) if total[b, k] > -np.inf
            ]
        values[b], found = max(pool, key=lambda pair: pair[0])
        results.append(np.asarray(found, np.int64))
    return (results, values) if return_scores else results
