"""Metrics against hand-worked values and against scikit-learn, sacrebleu, torchmetrics and scikit-image."""

import math

import numpy as np
import pytest
from _torchvision import load as load_torchvision

import fastdl
from fastdl import metrics
from fastdl.data import mnist5k

rng = np.random.default_rng(0)
SENTENCES = [
    ("The cat sat on the mat.", "The cat is sitting on the mat."),
    ('He said: "1,000.5 dollars & more"', 'He said "1,000.5 dollars or more"!'),
    ("a completely different thing", "nothing of the kind -- 7-8 of them"),
    (
        "In the beginning God created the heaven and the earth",
        "In the beginning, God created the heavens and the earth.",
    ),
]


def probabilities(n=400, c=5):
    scores = rng.normal(size=(n, c)) * 2
    p = np.exp(scores)
    return p / p.sum(1, keepdims=True)


# -------------------------------------------------------------------------------------------------- classification


def test_precision_recall_f1_by_hand():
    predicted, target = np.array([1, 1, 0, 1, 0, 2]), np.array([1, 0, 0, 1, 1, 2])
    p, r, f = metrics.precision_recall_f1(predicted, target, average=None)
    np.testing.assert_allclose(p, [1 / 2, 2 / 3, 1])
    np.testing.assert_allclose(r, [1 / 2, 2 / 3, 1])
    np.testing.assert_allclose(f, [1 / 2, 2 / 3, 1])
    assert metrics.precision(predicted, target, average="micro") == pytest.approx(4 / 6)
    assert metrics.f1(np.zeros(4, int), np.ones(4, int), average="binary") == 0


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "binary", None])
def test_precision_recall_f1_against_scikit_learn(average):
    sk = pytest.importorskip("sklearn.metrics")
    high = 2 if average == "binary" else 6
    target, predicted = rng.integers(0, high, 300), rng.integers(0, high - (average != "binary"), 300)
    expected = sk.precision_recall_fscore_support(target, predicted, average=average, zero_division=0)[:3]
    for mine, theirs in zip(metrics.precision_recall_f1(predicted, target, average=average), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_confusion_accuracy_topk_against_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    p, target = probabilities(), rng.integers(0, 5, 400)
    assert metrics.accuracy(p, target) == sk.accuracy_score(target, p.argmax(1))
    assert metrics.topk(p, target, 3) == pytest.approx(sk.top_k_accuracy_score(target, p, k=3))
    np.testing.assert_array_equal(metrics.confusion(p.argmax(1), target, 5), sk.confusion_matrix(target, p.argmax(1)))


def test_auroc_with_ties_and_classes():
    assert metrics.auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == 0.75
    assert metrics.auroc(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5
    sk = pytest.importorskip("sklearn.metrics")
    scores, target = rng.integers(0, 20, 500) / 20, rng.integers(0, 2, 500)
    assert metrics.auroc(scores, target) == pytest.approx(sk.roc_auc_score(target, scores), rel=1e-12)
    p, classes = probabilities(), rng.integers(0, 5, 400)
    expected = sk.roc_auc_score(classes, p, multi_class="ovr", average="macro")
    assert metrics.auroc(fastdl.tensor(p), classes) == pytest.approx(expected, rel=1e-12)


def test_ece():
    # Two bins in use: confidence .9 (half right) and .6 (all right): (2 * .4 + 2 * .4) / 4
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    assert metrics.ece(p, np.array([0, 1, 1, 1]), bins=10) == pytest.approx(0.4)
    load_torchvision()  # torchmetrics imports it
    calibration = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    p, target = probabilities(), rng.integers(0, 5, 400)
    expected = calibration.multiclass_calibration_error(
        torch.tensor(p), torch.tensor(target), num_classes=5, n_bins=15, norm="l1"
    )
    assert metrics.ece(p, target) == pytest.approx(expected.item(), abs=1e-6)


def test_bits_per_char_and_perplexity():
    nll = np.full((3, 4), math.log(8))
    assert metrics.bits_per_char(nll) == pytest.approx(3)
    assert metrics.perplexity(fastdl.tensor(nll)) == pytest.approx(8)
    assert metrics.bits_per_char(12 * math.log(8), characters=36) == pytest.approx(1)


# ------------------------------------------------------------------------------------------------ sequences and text


def plain_edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(row[j + 1] + 1, new[j] + 1, row[j] + (x != y)))
        row = new
    return row[-1]


def test_edit_distance_against_the_plain_recursion():
    for _ in range(100):
        a, b = ("".join(rng.choice(list("abcd"), rng.integers(0, 12))) for _ in range(2))
        assert metrics.edit_distance(a, b) == metrics.edit_distance(b, a) == plain_edit_distance(a, b)
    assert metrics.edit_distance(["K", "AE"], ("K", "AE", "T")) == 1


def test_error_rates_take_the_nearest_reference():
    assert metrics.phoneme_error_rate([["A", "B"], ["C"]], [(["A", "X"], ["A", "B"]), ["C", "D"]]) == 1 / 4
    assert metrics.word_error_rate(["the cat"], ["the black cat"]) == pytest.approx(1 / 3)
    assert metrics.exact_match(["a", "b", [1, 2]], ["a", ("c", "b"), [1, 3]]) == pytest.approx(2 / 3)
    with pytest.raises(TypeError, match="split"):
        metrics.phoneme_error_rate(["K AE T"], [["K", "AE", "T"]])


def test_bleu_by_hand():
    # unigrams 5/6, bigrams 3/5, trigrams 2/4, 4-grams 1/3; equal lengths
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    guess, reference = "the cat sat on the mat", "the cat sat on a mat"
    assert metrics.bleu([guess], [reference]) == pytest.approx(expected)
    assert metrics.bleu([guess.split()], [reference.split()]) == pytest.approx(expected)
    # five of six words, all n-grams right: only the brevity penalty is left
    words = list(range(6))
    assert metrics.bleu([words[:5]], [words]) == pytest.approx(100 * math.exp(1 - 6 / 5))
    assert metrics.bleu([[1, 2, 9, 3, 4]], [[1, 2, 8, 3, 4]], smooth="none") == 0


def test_bleu_and_chrf_against_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    guesses, references = map(list, zip(*SENTENCES, strict=True))
    second = references[1:] + references[:1]
    pairs = list(zip(references, second, strict=True))
    for mine, theirs in (
        (metrics.bleu(guesses, references), sacrebleu.corpus_bleu(guesses, [references])),
        (metrics.bleu(guesses, pairs), sacrebleu.corpus_bleu(guesses, [references, second])),
        (metrics.bleu(guesses[2:3], references[2:3]), sacrebleu.corpus_bleu(guesses[2:3], [references[2:3]])),
        (metrics.chrf(guesses, references), sacrebleu.corpus_chrf(guesses, [references])),
        (metrics.chrf(guesses, pairs), sacrebleu.corpus_chrf(guesses, [references, second])),
        (metrics.chrf(guesses, references, word_n=2), sacrebleu.corpus_chrf(guesses, [references], word_order=2)),
    ):
        assert mine == pytest.approx(theirs.score, rel=1e-9), theirs


def test_tokenisation_against_sacrebleu():
    tokenizer = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    lines = [s for pair in SENTENCES for s in pair] + ["A&amp;B, 3.5-4 (x/y) 10, 000. e.g. -- 'quoted' $5 #1"]
    for line in lines:
        assert metrics.tokenize_13a(line) == tokenizer(line).split()


# ------------------------------------------------------------------------------------------------- numbers and images


def test_regression():
    sk = pytest.importorskip("sklearn.metrics")
    target, predicted = rng.normal(size=200), rng.normal(size=200)
    assert metrics.rmse(predicted, target) == pytest.approx(sk.root_mean_squared_error(target, predicted))
    assert metrics.mae(predicted, target) == pytest.approx(sk.mean_absolute_error(target, predicted))
    assert metrics.r2(predicted, target) == pytest.approx(sk.r2_score(target, predicted))
    assert metrics.r2(target, target) == 1 and metrics.rmse(np.zeros(2), np.array([3.0, 4.0])) == pytest.approx(
        12.5**0.5
    )


def test_psnr_and_ssim():
    assert metrics.psnr(np.zeros((4, 4)), np.full((4, 4), 0.1)) == pytest.approx(20)
    assert metrics.psnr(np.ones((4, 4)), np.ones((4, 4))) == math.inf
    skimage = pytest.importorskip("skimage.metrics")
    a = mnist5k().test.tensors[0].array[::50, 0]
    b = (a + rng.normal(0, 0.1, a.shape)).clip(0, 1)
    assert metrics.psnr(b, a) == pytest.approx(
        skimage.peak_signal_noise_ratio(a, b.astype(np.float32), data_range=1), 1e-5
    )
    each = [
        skimage.structural_similarity(
            x.astype(np.float64), y, data_range=1, gaussian_weights=True, use_sample_covariance=False
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert metrics.ssim(b, a) == pytest.approx(np.mean(each), rel=1e-9)
    assert metrics.ssim(a[0], a[0]) == 1


# --------------------------------------------------------------------------------------------------------- generators


def test_frechet_distance_of_gaussians_by_formula():
    # diagonal covariances commute: |mu|^2 + sum (sigma_a - sigma_b)^2
    x = rng.normal(size=(4000, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # exactly white
    a, b = x * [1, 2, 3], x * [2, 2, 1] + [1, 0, -1]
    assert metrics.frechet_distance(a, b) == pytest.approx(2 + 1 + 0 + 4, rel=1e-9)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(a[:3], a[:3]) < 1e-9  # fewer items than dimensions + 1: singular


def test_frechet_distance_against_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * linalg.sqrtm(ca @ cb).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_classifier_score_and_coverage():
    assert metrics.classifier_score(np.eye(4)) == pytest.approx(4)
    assert metrics.classifier_score(np.full((5, 4), 0.25)) == pytest.approx(1)
    counts, covered, entropy = metrics.mode_coverage(np.eye(4)[[0, 0, 1, 2]])
    assert counts.tolist() == [2, 1, 1, 0] and covered == 3 and entropy == pytest.approx(1.5 * math.log(2))


def test_nearest_train_distance():
    train = rng.normal(size=(50, 2, 3))
    new = rng.normal(size=(20, 2, 3))
    every = np.sqrt(((new[:, None] - train[None]) ** 2).sum((2, 3)))
    np.testing.assert_allclose(metrics.nearest_distances(new, train), every.min(1), rtol=1e-12)
    copies = metrics.nearest_train_distance(train[:10] + 1e-6, train, held_out=new)
    assert copies.ratio < 1e-3 and copies.held_out == pytest.approx(np.median(every.min(1)))


def test_the_frozen_digit_classifier():
    train, test = mnist5k()
    features, p = metrics.digit_features(test.tensors[0])
    assert features.shape == (1000, 64) and features.min() == 0
    assert metrics.accuracy(p, test.tensors[1]) == 0.978
    real = train.tensors[0].array[np.random.default_rng(0).permutation(4000)[:1000]]
    assert 2 < metrics.digit_frechet_distance(real) < 9
    assert 9.3 < metrics.digit_classifier_score(real) < 9.7
    mean = np.repeat(train.tensors[0].array.mean(0)[None], 200, 0)
    assert metrics.digit_frechet_distance(mean) == pytest.approx(2504, rel=0.01)
    with pytest.raises(ValueError, match=r"\(x \+ 1\) / 2"):
        metrics.digit_features(real * 2 - 1)


def test_paired_bootstrap():
    a = (rng.random(400) < 0.9).astype(float)
    b = np.where(rng.random(400) < 0.1, 0, a)
    better = metrics.paired_bootstrap(a, b)
    assert better.low > 0 and better.p == 0 and better.difference == pytest.approx(a.mean() - b.mean())
    same = metrics.paired_bootstrap(a, a[::-1])
    assert same.low < 0 < same.high and same.p > 0.2
    by_metric = metrics.paired_bootstrap(a, b, metric=lambda x, i: x[i].mean())
    assert by_metric == pytest.approx(better)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.auroc(np.ones(3), np.ones(3, int)), "both classes"),
        (lambda: metrics.auroc(np.ones(3), np.array([0, 1, 2])), r"\(N, C\)"),
        (lambda: metrics.ece(np.array([[2.0, 3.0]]), np.array([0])), "softmax"),
        (lambda: metrics.bleu("a b", ["a b"]), "list"),
        (lambda: metrics.bleu(["a b"], [["a", "b"]]), "tuple"),
        (lambda: metrics.rmse(np.ones(2), np.ones(3)), "same shape"),
        (lambda: metrics.r2(np.ones(2), np.ones(2)), "constant"),
        (lambda: metrics.ssim(np.ones((5, 5)), np.ones((5, 5))), "11 pixels"),
        (lambda: metrics.psnr(np.full((2, 2), 255.0), np.zeros((2, 2))), "255 for bytes"),
        (lambda: metrics.frechet_distance(np.ones((5, 2)), np.ones((5, 3))), r"\(M, D\)"),
        (lambda: metrics.precision(np.ones(3), np.ones(3, int)), "integers"),
        (lambda: metrics.paired_bootstrap([1], [1, 2]), "same items"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
