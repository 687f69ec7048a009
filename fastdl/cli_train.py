"""`fastdl train`: a recipe by its name, or a run written down in a TOML file."""

import importlib
import inspect

from fastdl.cli_common import describe_machine, use_machine


def train(args):
    use_machine(args)
    result = from_file(args) if args.model.endswith(".toml") else recipe(args)
    report(result)


def recipe(args) -> dict:
    """fastdl.recipes.<model>.run(...). --set gives settings that its run takes beyond the usual ones."""
    from fastdl.config import read_change

    module = importlib.import_module(f"fastdl.recipes.{args.model}")
    given = dict(read_change(change) for change in args.set)
    if args.epochs is not None:
        given["epochs"] = args.epochs
    if args.data is not None:
        if not hasattr(module, "DATA"):  # those name their sets, and check for themselves
            with open(args.data, "rb"):  # the system's own words for a file that is missing
                pass
        given["data"] = args.data
    takes = inspect.signature(module.run).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        for name in given:
            if name not in takes:
                raise ValueError(f"the recipe {args.model} has no setting {name!r}; it takes {', '.join(takes)}")
    seed = 0 if args.seed is None else args.seed
    return module.run(out=args.out or f"runs/{args.model}", seed=seed, resume=args.resume, progress=True, **given)


def from_file(args) -> dict:
    """The run of a TOML file; --epochs, --seed and --out go before what it says, --set before them."""
    from fastdl import config

    options = {"epochs": args.epochs, "seed": args.seed, "out": args.out and f'"{args.out}"'}
    changes = [f"{key}={value}" for key, value in options.items() if value is not None]
    return config.run(config.load(args.model, [*changes, *args.set]), resume=args.resume)


def report(result: dict) -> None:
    """The first metric with time and machine, then the others, the baselines, the files."""
    (name, value), *others = result["metrics"].items()
    print(f"{name} {shown(name, value)} after {result['seconds']:.1f} s on {describe_machine()}")
    for name, value in others:
        print(f"  {name} {shown(name, value)}")
    for name, value in result.get("baselines", {}).items():
        print(f"  baseline: {name} {shown('', value)}")
    for file in result["files"]:
        print(f"  {file}")


def shown(name: str, value: float) -> str:
    return f"{value:.2%}" if "accuracy" in name else f"{value + 0.0:.4g}"
