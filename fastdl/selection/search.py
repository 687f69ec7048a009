"""Search for settings with optuna: the score of each trial is a k-fold mean, and the test data stay out of it.

Ref  Bergstra, Bengio, "Random search for hyper-parameter optimization", 2012; Bergstra, Bardenet, Bengio, Kégl, "Algorithms for
     hyper-parameter optimization", 2011 (the tree-structured Parzen estimator, optuna's default)
"""

from fastdl.selection.validation import CrossValidation, cross_validate


def search(
    make_model, x, y, space: dict, trials: int = 20, k: int = 3, score=None, sampler="tpe", refit=True, seed: int = 0
) -> CrossValidation:
    """The best of `trials` settings drawn from `space`, by k-fold cross-validation; result as of cross_validate.

    space    {name: [choices], (low, high) for floats or integers, or (low, high, "log")}; integers where both ends are
    sampler  "tpe" or "random"
    Needs    pip install optuna (extra `search`)

    Example
        search(lambda lr, width: Estimator(MLP([64, width, 10]), lr=lr), x, y, {"lr": (1e-4, 1e-1, "log"), "width": (8, 128)})
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("fastdl.selection.search needs optuna: pip install optuna") from None
    import numpy as np

    _check(space)
    if trials < 1:
        raise ValueError(f"search: trials must be at least 1; got {trials}")
    if sampler not in ("tpe", "random"):
        raise ValueError(f"search: sampler must be 'tpe' or 'random'; got {sampler!r}")
    tried, scores = [], []

    def objective(trial):
        settings = {name: _suggest(trial, name, domain) for name, domain in space.items()}
        result = cross_validate(
            make_model,
            x,
            y,
            {name: [value] for name, value in settings.items()},
            k,
            score=score,
            refit=False,
            seed=seed,
        )
        tried.append(settings)
        scores.append(result.scores[0])
        return float(result.mean[0])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind = optuna.samplers.TPESampler if sampler == "tpe" else optuna.samplers.RandomSampler
    optuna.create_study(direction="maximize", sampler=kind(seed=seed)).optimize(objective, n_trials=trials)
    scores = np.stack(scores)
    best = tried[int(scores.mean(1).argmax())]
    model = None
    if refit:
        one = {name: [value] for name, value in best.items()}
        model = cross_validate(make_model, x, y, one, k, score=score, seed=seed).model
    return CrossValidation(tried, scores, best, model)


def _check(space):
    for name, domain in space.items():
        if isinstance(domain, list) and domain:
            continue
        fine = isinstance(domain, tuple) and len(domain) in (2, 3) and domain[0] < domain[1]
        if not fine or (len(domain) == 3 and (domain[2] != "log" or not domain[0] > 0)):
            raise ValueError(
                f"search: {name} must be a list of choices, (low, high), or (low, high, 'log') with low > 0; got {domain!r}"
            )


def _suggest(trial, name, domain):
    if isinstance(domain, list):
        return domain[trial.suggest_categorical(name, range(len(domain)))]
    low, high = domain[:2]
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=len(domain) == 3)
    return trial.suggest_float(name, low, high, log=len(domain) == 3)
