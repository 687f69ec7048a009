"""What the commands of fastdl_cli.py do: each takes the parsed arguments, prints its result, raises what went wrong."""

import importlib.util
import inspect
import json
import sys
from pathlib import Path

from fastdl import kernels
from fastdl.cli_common import use_machine


def info(args):
    from fastdl import _info

    report = _info.collect()
    print(json.dumps(report, indent=1) if args.json else _info.render(report))


def train(args):
    from fastdl import cli_train

    cli_train.train(args)


def generate(args):
    from fastdl import cli_text

    cli_text.generate(args)


def translate(args):
    from fastdl import cli_text

    cli_text.translate(args)


def embed(args):
    from fastdl import cli_text

    cli_text.embed(args)


def predict(args):
    for file in filter(None, (args.weights, args.image)):
        with open(file, "rb"):  # the system's own words for a file that is missing or not readable
            pass
    from fastdl.recipes import lenet

    digit, probabilities = lenet.predict(args.weights or lenet.WEIGHTS, args.image)
    print(digit)
    if sys.stdout.isatty():
        ranked = sorted(enumerate(probabilities), key=lambda pair: -pair[1])[:3]
        print("  ".join(f"{d}: {p:.1%}" for d, p in ranked))


def sample(args):
    from fastdl.cli_generative import sample

    sample(args)


def translate_image(args):
    from fastdl.cli_generative import translate_image

    translate_image(args)


def detect(args):
    from fastdl import cli_vision

    cli_vision.detect(args)


def segment(args):
    from fastdl import cli_vision

    cli_vision.segment(args)


def summary(args):
    import fastdl
    from fastdl import models, nn

    make = getattr(models, args.model, None)
    if not callable(make):
        known = ", ".join(name for name in sorted(models.__all__) if name.islower() and callable(getattr(models, name)))
        raise ValueError(f"fastdl.models has no {args.model!r}; there are {known}")
    try:
        with nn.init_empty():
            model = make()
    except TypeError as error:
        raise ValueError(f"{args.model} cannot be made without arguments ({error})") from None
    forward = getattr(type(model), "forward", nn.Module.forward)
    if forward is nn.Module.forward:
        parts = " or ".join(name for name, _ in model.named_children())
        raise ValueError(
            f"{args.model} has no forward(); its parts can be summed up in Python: "
            f"fastdl.summary(fastdl.models.{args.model}().PART, shape), PART being {parts}"
        )
    shapes, dtype = usual_input(model)
    if args.input:
        try:
            shapes = [tuple(int(n) for n in part.split(",")) for part in args.input.split(";")]
        except ValueError:
            raise ValueError(f"--input must be numbers like 1,3,224,224; got {args.input!r}") from None
    given = inspect.signature(forward).parameters.values()
    regions = [p.name for p in given if p.name in ("boxes", "proposals") and p.default is p.empty]
    if regions:
        part = next(name for name, _ in model.named_children())
        raise ValueError(
            f"{args.model} looks at regions ({regions[0]}) that --input cannot give; its parts can be summed up in Python: "
            f"fastdl.summary(fastdl.models.{args.model}().{part}, shape)"
        )
    print(fastdl.summary(model, shapes, dtype=args.dtype or dtype))


def usual_input(model):
    """([shape, ...], dtype) of what a model of fastdl.models is made for: tokens, numbers, or images of its size and channels."""
    config = getattr(model, "config", None)
    if hasattr(config, "src_vocab"):
        return [(1, 32), (1, 32)], "int64"
    if hasattr(config, "vocab"):
        return [(1, min(128, getattr(config, "context", getattr(config, "positions", 128))))], "int64"
    first = next(iter(model.children()), None)
    if hasattr(first, "in_features"):
        return [(1, first.in_features)], "float32"
    side = getattr(config, "image_size", getattr(config, "size", None))
    if side is None:
        small = getattr(config, "small_input", False)
        side = 28 if type(model).__name__ == "LeNet5" else 32 if small else 224
    return [(1, getattr(config, "in_channels", getattr(model, "in_channels", 3)), side, side)], "float32"


def study(args):
    from fastdl import study

    use_machine(args)
    names = list(kernels.names()) if args.kernels == ["all"] else args.kernels
    ladders = []
    for name in names:
        for ladder in study.measure(name, args.case, args.rungs, args.dtype, args.patience, args.brief):
            print(study.render(ladder), end="\n\n", flush=True)
            ladders.append(ladder)
    if args.json:
        Path(args.json).write_text(json.dumps([ladder.as_dict() for ladder in ladders], indent=1) + "\n")
    if args.plot or study.can_plot():
        target = args.plot or f"study_{'_'.join(args.kernels)}.png"
        study.plot(ladders, target)
        print(f"picture: {target}")
    else:
        print("no picture: matplotlib is not installed (pip install matplotlib)")


def bench(args):
    """The package bench/ of a checkout, installed as fastdl._bench."""
    if importlib.util.find_spec("fastdl._bench"):
        from fastdl._bench import main
    else:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from bench import main
    main.run(args)


def gate(args):
    from fastdl.cli_gates import gate

    gate(args)


def report(args):
    from fastdl.cli_gates import report

    report(args)
