"""Folds, bootstrap, ensembles, decompositions, sharpness: hand-worked, against scikit-learn and scipy, and by their identities."""

import numpy as np
import pytest

import fastdl
from fastdl import nn, optim, selection
from fastdl.data import DataLoader, TensorDataset, digits
from fastdl.models import MLP, LinearRegression, SoftmaxRegression
from fastdl.nn import functional as F
from fastdl.selection.networks import hidden_layer
from fastdl.selection.sharpness import along, hessian_vector
from fastdl.train import Trainer

rng = np.random.default_rng(0)


def table(n=200, features=5, classes=3):
    x = rng.normal(size=(n, features))
    y = (x[:, 0] + x[:, 1] ** 2 + 0.3 * rng.normal(size=n) > np.array([[0.3], [1.2]])[: classes - 1]).sum(0)
    return x, y


# ------------------------------------------------------------------------------------------------------------- models


def test_linear_regression_in_closed_form_and_by_descent():
    x = rng.normal(size=(100, 3)) * [1, 2, 0.5]
    y = x @ [1.0, -2.0, 3.0] + 4 + 0.1 * rng.normal(size=100)
    model = LinearRegression(3, 1).solve(x, y)
    design = np.column_stack([x, np.ones(100)])
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(model.linear.weight.array[0], expected[:3], rtol=1e-5)
    np.testing.assert_allclose(model.linear.bias.array[0], expected[3], rtol=1e-5)
    descent = selection.Estimator(LinearRegression(3, 1), lr=0.1, epochs=300, batch_size=100).fit(
        x, y.astype(np.float32)
    )
    np.testing.assert_allclose(descent.module.linear.weight.array, model.linear.weight.array, atol=2e-3)
    ridge = LinearRegression(3, 1).solve(x, y + 1000, l2=1e9)  # all weight taken away, but the bias stays free
    assert abs(ridge.linear.weight.array).max() < 1e-3
    assert ridge.linear.bias.array[0] == pytest.approx(y.mean() + 1000, rel=1e-4)


def test_linear_regression_against_ridge_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    theirs = linear.Ridge(alpha=2.5).fit(x, y)
    mine = LinearRegression(4, 2).solve(x, y, l2=2.5)
    np.testing.assert_allclose(mine.linear.weight.array, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(mine.linear.bias.array, theirs.intercept_, atol=1e-6)


def test_mlp_counts_and_choices():
    assert sum(p.numel() for p in MLP([784, 256, 128, 10]).parameters()) == 235_146
    net = MLP([6, 5, 4, 3], act="tanh", norm="batch", dropout=0.5, init="xavier")
    kinds = [type(m).__name__ for m in net]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2 + ["Linear"]
    assert net(fastdl.zeros(2, 2, 3)).shape == (2, 3)
    bound = np.sqrt(6 / 784)
    weight = MLP([784, 256, 10])[0].weight.array
    assert abs(weight).max() <= bound and weight.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    with pytest.raises(ValueError, match="784 numbers"):
        MLP([784, 10])(fastdl.zeros(2, 28))
    assert SoftmaxRegression(4, 3).probabilities(fastdl.ones(2, 2, 2)).array.sum(1) == pytest.approx([1, 1])


# ------------------------------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("n", [10, 11, 97])
def test_kfold_is_a_partition(n):
    for folds in (selection.KFold(5), selection.KFold(5, shuffle=False)):
        parts = list(folds.split(np.zeros(n)))
        assert sorted(np.concatenate([test for _, test in parts])) == list(range(n))
        for learn, judge in parts:
            assert not set(learn) & set(judge) and len(learn) + len(judge) == n
            assert n // 5 <= len(judge) <= n // 5 + 1


def test_stratified_and_group_folds():
    y = digits().train.tensors[1].array
    shares = np.bincount(y) / len(y)
    for _, judge in selection.StratifiedKFold(5, seed=3).split(y, y):
        assert abs(np.bincount(y[judge]) / len(judge) - shares).max() < 0.01
    groups = rng.integers(0, 23, 200)
    parts = list(selection.GroupKFold(4).split(groups, groups=groups))
    for learn, judge in parts:
        assert not set(groups[learn]) & set(groups[judge])
        assert 40 <= len(judge) <= 60
    assert sorted(np.concatenate([judge for _, judge in parts])) == list(range(200))
    with pytest.raises(ValueError, match="of class 1"):
        list(selection.StratifiedKFold(5).split(np.zeros(9), np.array([0] * 6 + [1] * 3)))


def test_cross_validate_chooses_refits_and_never_reuses_a_model():
    x, y = table(150)
    made = []

    def make(depth):
        made.append(selection.DecisionTree(depth))
        return made[-1]

    result = selection.cross_validate(make, x, y, {"depth": [1, 2, 5]}, k=4)
    assert len(made) == 13 and result.scores.shape == (3, 4)
    assert result.best == result.settings[int(result.mean.argmax())] and result.best != {"depth": 1}
    np.testing.assert_allclose(result.standard_error, result.scores.std(1, ddof=1) / 2)
    assert result.model is made[-1] and "<- chosen" in str(result)
    simple = selection.cross_validate(make, x, y, {"depth": [3, 4, 8]}, k=4, one_standard_error=True, refit=False)
    assert simple.best == {"depth": 3} and simple.model is None


def test_a_scaler_inside_the_fold_is_another_one_than_outside():
    x, y = table(40)
    x[0] = 100  # an outlier, which falls into one test part
    seen = []

    class Recorder(selection.Standardized):
        def fit(self, x, y):
            super().fit(x, y)
            seen.append(self.mean)
            return self

    selection.cross_validate(lambda: Recorder(selection.DecisionTree(1)), x, y, k=4, refit=False)
    outside = x.mean(0)
    assert sum(abs(mean - outside).max() > 0.5 for mean in seen) == 4
    assert sum(mean.max() < 1 for mean in seen) == 1


def test_search_with_optuna():
    pytest.importorskip("optuna")
    x, y = table(150)
    result = selection.search(selection.DecisionTree, x, y, {"max_depth": (1, 6), "min_leaf": [1, 5]}, trials=6, k=3)
    assert len(result.settings) == 6 and result.best["max_depth"] > 1
    assert result.model.predict(x).shape == (150,)
    with pytest.raises(ValueError, match="choices"):
        selection.search(selection.DecisionTree, x, y, {"max_depth": (6, 1)})


# ---------------------------------------------------------------------------------------------------------- bootstrap


def test_bootstrap_indices_and_out_of_bag():
    indices = selection.bootstrap_indices(1437, 200, seed=1)
    mask = selection.out_of_bag(indices)
    assert 0.36 < mask.mean() < 0.375
    assert set(np.flatnonzero(~mask[0])) == set(indices[0])
    np.testing.assert_array_equal(selection.out_of_bag(indices[3]), mask[3])
    np.testing.assert_array_equal(indices, selection.bootstrap_indices(1437, 200, seed=1))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_ci_against_scipy(method):
    stats = pytest.importorskip("scipy.stats")
    x = rng.exponential(size=80)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=9999, method=method, rng=1).confidence_interval
    mine = selection.bootstrap_ci(np.mean, x, B=9999, method=method)
    np.testing.assert_allclose(mine[1:], theirs, atol=0.012)
    assert mine.value == x.mean()


def test_bca_leans_where_the_distribution_does():
    x = rng.exponential(size=60)
    plain = selection.bootstrap_ci(np.mean, x, B=4000, method="percentile")
    bca = selection.bootstrap_ci(np.mean, x, B=4000)
    assert bca.low > plain.low and bca.high > plain.high


# ------------------------------------------------------------------------------------------------ trees and ensembles


def gini_of_all_splits(x, y, w):
    """The best stump by trying everything: (gain, feature, threshold)."""
    best = (-1.0, None, None)

    def purity(mask):
        total = w[mask].sum()
        return sum(w[mask & (y == k)].sum() ** 2 for k in np.unique(y)) / total if total else 0

    for f in range(x.shape[1]):
        values = np.unique(x[:, f])
        for t in (values[1:] + values[:-1]) / 2:
            left = x[:, f] <= t
            gain = purity(left) + purity(~left)
            if gain > best[0] + 1e-12:
                best = (gain, f, t)
    return best


def test_stump_is_the_best_of_all_splits():
    for _ in range(10):
        x, y, w = rng.integers(0, 8, (40, 4)).astype(float), rng.integers(0, 3, 40), rng.random(40)
        _, feature, threshold = gini_of_all_splits(x, y, w)
        tree = selection.stump().fit(x, y, w)
        assert (tree.feature[0], tree.threshold[0]) == (feature, pytest.approx(threshold))


@pytest.mark.parametrize("depth", [1, 3])
def test_trees_against_scikit_learn(depth):
    trees = pytest.importorskip("sklearn.tree")
    x, y = table(300, 6)
    w = rng.random(300)
    mine = selection.DecisionTree(depth, min_leaf=4).fit(x, y, w)
    theirs = trees.DecisionTreeClassifier(max_depth=depth, min_samples_leaf=4, random_state=0).fit(x, y, w)
    np.testing.assert_allclose(mine.predict_proba(x), theirs.predict_proba(x), atol=1e-12)
    t = rng.normal(size=300) + x[:, 0]
    mine = selection.DecisionTree(depth).fit(x, t)
    theirs = trees.DecisionTreeRegressor(max_depth=depth, random_state=0).fit(x, t)
    np.testing.assert_allclose(mine.predict(x), theirs.predict(x), atol=1e-12)


def test_adaboost_against_scikit_learn_and_its_loss_never_rises():
    ensemble = pytest.importorskip("sklearn.ensemble")
    trees = pytest.importorskip("sklearn.tree")
    for classes in (2, 3):
        x, y = table(300, 6, classes)
        mine = selection.AdaBoost(n=25).fit(x, y)
        theirs = ensemble.AdaBoostClassifier(trees.DecisionTreeClassifier(max_depth=1), n_estimators=25).fit(x, y)
        np.testing.assert_allclose(mine.alphas, theirs.estimator_weights_, rtol=1e-9)
        np.testing.assert_array_equal(mine.predict(x), theirs.predict(x))
        assert (np.diff(mine.losses) <= 1e-12).all() and mine.losses[-1] < mine.losses[0] < 1
        staged = list(mine.staged_predict(x))
        np.testing.assert_array_equal(staged[9], mine.predict(x, n=10))


def test_adaboost_over_networks_uses_the_weights():
    x, y = table(200, 3, 2)
    x = x.astype(np.float32)
    make = lambda: selection.Estimator(MLP([3, 4, 2]), lr=0.02, epochs=8)  # noqa: E731
    model = selection.AdaBoost(make, n=5).fit(x, y)
    assert len(model.models) > 1 and len({m.seed for m in model.models}) == len(model.models)
    assert (model.predict(x) == y).mean() > 0.75


def test_gradient_boosting_against_scikit_learn():
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = table(200, 4, 2)
    t = x[:, 0] ** 2 + 0.1 * rng.normal(size=200)
    pairs = [
        (selection.GradientBoosting(n=20), ensemble.GradientBoostingRegressor, t),
        (selection.GradientBoosting(n=20), ensemble.GradientBoostingClassifier, y),
        (selection.GradientBoosting(n=10), ensemble.GradientBoostingClassifier, table(200, 4, 3)[1]),
    ]
    for mine, kind, target in pairs:
        theirs = kind(n_estimators=mine.n, random_state=0).fit(x, target)
        mine.fit(x, target)
        how = "predict" if target is t else "predict_proba"
        same = np.isclose(getattr(mine, how)(x), getattr(theirs, how)(x), atol=1e-6)
        assert same.mean() > 0.98, (kind, same.mean())  # splits of equal gain may lie in another place
        assert (np.diff(mine.losses) < 0).all()


def test_bagging_votes_averages_and_scores_out_of_bag():
    x, y = table(300, 5, 3)
    model = selection.Bagging(lambda: selection.DecisionTree(4), n=15, combine="vote").fit(x[:200], y[:200])
    members = model.member_predictions(x[200:])
    votes = np.stack([(members == k).sum(0) for k in range(3)])
    np.testing.assert_array_equal(model.predict(x[200:]), votes.argmax(0))
    np.testing.assert_allclose(model.predict_proba(x[200:]), votes.T / 15)
    assert abs(model.oob_score - (model.predict(x[200:]) == y[200:]).mean()) < 0.1
    t = x[:, 0] * 2
    mean = selection.Bagging(lambda: selection.DecisionTree(4, max_features=2), n=8, features=0.6).fit(x, t)
    assert all(len(c) == 3 for c in mean.columns) and mean.oob_score > 0.5
    expected = np.mean([m.predict(x[:, c]) for m, c in zip(mean.models, mean.columns, strict=True)], 0)
    np.testing.assert_allclose(mean.predict(x), expected)


def test_bagging_of_networks_has_different_members_and_repeats():
    x, y = table(120, 4, 2)
    x = x.astype(np.float32)
    make = lambda: selection.Estimator(MLP([4, 6, 2], dropout=0.2), epochs=3)  # noqa: E731
    before = fastdl.get_rng_state()
    one, two = (selection.Bagging(make, n=3, seed=4).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    assert fastdl.get_rng_state() == before
    weights = [m.module[0].weight.array for m in one.models]
    assert abs(weights[0] - weights[1]).max() > 0.01
    assert len({m.seed for m in one.models}) == 3


# -------------------------------------------------------------------------------------------- bias, variance, the gap


def test_decompositions_are_identities():
    f, y = rng.normal(size=(30, 50)), rng.normal(size=50)
    d = selection.decompose(f, y)
    assert d.gap < 1e-12 and d.error == pytest.approx(d.bias + d.variance)
    assert d.error == pytest.approx(((f - y) ** 2).mean())
    labels, classes = rng.integers(0, 3, (30, 50)), rng.integers(0, 3, 50)
    z = selection.decompose(labels, classes, "zero_one")
    assert z.gap < 1e-12 and z.error == pytest.approx(z.bias + z.net_variance)
    # by hand: three models say 0, 0, 1. Truth 0: unbiased, variance 1/3 harms. Truth 1: biased, it helps.
    h = selection.decompose(np.array([[0, 0], [0, 0], [1, 1]]), np.array([0, 1]), "zero_one")
    assert (h.bias, h.variance, h.net_variance, h.error) == pytest.approx((0.5, 1 / 3, 0, 0.5))


def test_bias_variance_knows_noise_where_the_truth_is_known():
    x = np.linspace(-1, 1, 60)[:, None]
    truth = np.sin(3 * x[:, 0])
    y = truth + rng.normal(0, 0.3, 60)

    class Line:
        def fit(self, x, y):
            self.p = np.polyfit(x[:, 0], y, 1)

        def predict(self, x):
            return np.polyval(self.p, x[:, 0])

    d = selection.bias_variance(Line, x, y, x, y, replicas=40, truth=truth)
    line = np.polyval(np.polyfit(x[:, 0], truth, 1), x[:, 0])
    assert d.bias == pytest.approx(((line - truth) ** 2).mean(), abs=0.01)
    assert d.noise == pytest.approx(0.09, abs=0.03) and 0 < d.variance < 0.02


def test_generalization_curve_and_callback():
    x, y = table(300, 6, 2)
    make = lambda: selection.DecisionTree(3)  # noqa: E731
    curve = selection.generalization_curve(make, (x[:200], y[:200]), (x[200:], y[200:]), [20, 200], seeds=5)
    assert curve.train.shape == (2, 5) and curve.gap[1] < curve.gap[0]
    sizes = selection.model_size_curve(
        lambda d: selection.DecisionTree(d), (x[:200], y[:200]), (x[200:], y[200:]), [1, 8], 1
    )
    assert sizes.gap[1] > sizes.gap[0]
    data = [
        DataLoader(TensorDataset(a.astype(np.float32), b), batch_size=50)
        for a, b in ((x[:200], y[:200]), (x[200:], y[200:]))
    ]
    net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    callback = selection.GapCallback(*data)
    trainer = Trainer(net, F.cross_entropy, optim.Adam(net.parameters()), callbacks=[callback], progress=False)
    trainer.fit(*data, epochs=2)
    assert len(callback.gap()) == 2
    assert callback.records[-1]["train_loss"] == pytest.approx(trainer.evaluate(data[0])["loss"])  # without dropout
    with pytest.raises(KeyError, match="there are loss"):
        callback.gap("accuracy")


# ------------------------------------------------------------------------------------------ rates, sharpness, networks


def test_find_lr_leaves_everything_as_it_was():
    fastdl.manual_seed(0)
    x, y = digits().train.tensors
    net = MLP([64, 16, 10])
    adam = optim.SGD(net.parameters(), lr=0.123, momentum=0.9)
    before = {k: v.array.copy() for k, v in net.state_dict().items()}
    curve = selection.find_lr(net, F.cross_entropy, adam, DataLoader(TensorDataset(x, y), batch_size=32), steps=60)
    assert 1e-3 < curve.suggestion < 2 and len(curve.rates) == len(curve.losses)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])
    assert adam.param_groups[0]["lr"] == 0.123 and not any(
        np.any(t.array) for s in adam.state.values() for t in s.values() if hasattr(t, "array")
    )


def quadratic():
    """A linear model under squared error: the Hessian is 2/N X^T X, whatever the weights."""
    x = rng.normal(size=(50, 4)) * [3, 1, 1, 0.1]
    net = nn.Linear(4, 1, bias=False)
    y = (x @ net.weight.array.T.astype(float)).astype(np.float32)
    return net, (x.astype(np.float32), y), 2 / 50 * x.T @ x


def test_top_eigenvalue_and_hessian_vector():
    net, data, H = quadratic()
    v = rng.normal(size=(1, 4))
    tensors = tuple(fastdl.tensor(a) for a in data)
    np.testing.assert_allclose(hessian_vector(net, tensors, [v], F.mse_loss)[0], v @ H, rtol=1e-4, atol=1e-5)
    assert selection.sharpness(net, data, "hessian", F.mse_loss) == pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-3)


def test_keskar_and_direction_on_a_quadratic():
    net, data, H = quadratic()
    w = net.weight.array.copy()
    # over a box the maximum of d^T H d / 2 is at a corner
    r = 0.1 * (abs(w[0]) + 1)
    corners = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T * r
    top = 0.5 * np.einsum("ni,ij,nj->n", corners, H, corners).max()
    assert selection.keskar_sharpness(net, data, F.mse_loss, epsilon=0.1) == pytest.approx(100 * top, rel=0.02)
    d = selection.filter_normalized_direction(net, seed=1)
    assert np.linalg.norm(d[0]) == pytest.approx(np.linalg.norm(w))
    losses = along(net, data, d, [-1.0, 0.0, 1.0], F.mse_loss)
    np.testing.assert_allclose(losses, (0.5 * d[0] @ H @ d[0].T).item() * np.array([1, 0, 1]), rtol=1e-4, atol=1e-9)
    assert selection.direction_sharpness(net, data, F.mse_loss) > 0
    np.testing.assert_array_equal(net.weight.array, w)
    other = nn.Linear(4, 1, bias=False)
    _, line = selection.line_between(net, other, data, [0.0, 0.5, 1.0], F.mse_loss)
    assert line[0] == pytest.approx(0, abs=1e-9) and line[1] == pytest.approx(line[2] / 4, rel=1e-3)


def test_collapse_linear():
    net = MLP([20, 16, 12, 6, 9, 4], act=None, dropout=0.3).eval()
    x = fastdl.randn(7, 20)
    one = selection.collapse_linear(net)
    assert len(one) == 1 and np.linalg.matrix_rank(one[0].weight.array, tol=1e-4) == 4
    np.testing.assert_allclose(one(x).array, net(x).array, atol=1e-5)
    mixed = nn.Sequential(
        nn.Linear(20, 8, bias=False),
        nn.Linear(8, 8),
        nn.ReLU(),
        nn.Linear(8, 3, bias=False),
        nn.Linear(3, 5, bias=False),
    )
    two = selection.collapse_linear(mixed)
    assert [type(m).__name__ for m in two] == ["Linear", "ReLU", "Linear"] and two[2].bias is None
    np.testing.assert_allclose(two(x).array, mixed(x).array, atol=1e-5)


def test_approximation_gets_better_with_width():
    curve = selection.approximation_curve(
        lambda x: np.sin(8 * x),
        widths=[2, 32],
        points=64,
        seeds=1,
        make_model=lambda width: hidden_layer(width, steep=20.0),
    )
    assert curve.sup[1, 0] < 0.3 * curve.sup[0, 0]


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: selection.KFold(1), "at least 2"),
        (lambda: list(selection.KFold(5).split(range(3))), "at least 5 items"),
        (lambda: selection.cross_validate(MLP, np.ones((4, 2)), np.ones(3)), "same number"),
        (lambda: selection.cross_validate(MLP, np.ones((4, 2)), np.ones(4), {"a": []}), "no values"),
        (lambda: selection.bootstrap_ci(np.mean, np.ones(3), np.ones(4)), "one length"),
        (lambda: selection.Bagging(MLP, combine="median"), "vote"),
        (lambda: selection.AdaBoost().fit(np.ones((3, 1)), np.ones(3)), "GradientBoosting"),
        (lambda: selection.AdaBoost().fit(np.ones((3, 1)), np.zeros(3, int)), "one class"),
        (lambda: selection.GradientBoosting(loss="log").fit(np.ones((3, 1)), np.zeros(3, int)), "one class"),
        (lambda: selection.DecisionTree().fit(np.array([[np.nan]]), np.array([0])), "finite"),
        (lambda: selection.Estimator(MLP([2, 2]), optimizer="adamm"), "adam, adamw, sgd"),
        (lambda: selection.Estimator(nn.Linear(2, 3)).fit(np.ones((4, 2)), np.ones(4)), "do not fit"),
        (lambda: selection.sharpness(MLP([2, 2]), (np.ones((1, 2)), np.ones(1, int)), "flatness"), "hessian"),
        (lambda: selection.bias_variance(MLP, np.ones(3), np.ones(3), np.ones(3), np.ones(3), replicas=1), "replicas"),
        (lambda: selection.collapse_linear(nn.Linear(2, 2)), "Sequential"),
        (lambda: MLP([5]), "at least an input"),
        (lambda: MLP([5, 4], act="rel"), "act must be"),
        (lambda: LinearRegression(2).solve(np.ones((3, 4)), np.ones(3)), "expected"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_fit_that_diverges_says_so():
    x = (rng.normal(size=(64, 2)) * 1e4).astype(np.float32)
    with pytest.raises(FloatingPointError, match="smaller lr"):
        selection.Estimator(nn.Linear(2, 1), optimizer="sgd", lr=10.0, epochs=50).fit(x, x[:, 0])
