"""The grammar of the `fastdl` command; what the commands do is in fastdl/cli.py.

A module beside the package, not in it: reading the arguments must not import fastdl and, through it, NumPy, so that
`fastdl --help` and a mistyped option answer at once.
"""

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

RUNGS = ("naive", "numpy", "numba", "cython")
BENCHES = ("kernels", "models", "zoo", "sequences", "generative", "rivals", "roofline")


def recipes() -> list[str]:
    """Networks that `fastdl train` knows: the files of fastdl/recipes, found without importing them."""
    folders = find_spec("fastdl").submodule_search_locations
    return sorted(f.stem for d in folders for f in Path(d, "recipes").glob("[a-z]*.py"))


def recipe_or_file(text: str) -> str:
    if not text.endswith(".toml") and text not in recipes():
        raise argparse.ArgumentTypeError(
            f"there is no recipe {text!r}; there are {', '.join(recipes())}, or a .toml file"
        )
    return text


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


positive.__name__ = "positive integer"  # argparse: "invalid positive integer value: '0'"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="fastdl", description="A lightweight deep-learning framework for CPUs.")
    top.add_argument("--version", action="store_true", help="print the version and leave")
    top.add_argument("--traceback", action="store_true", help="show where an error comes from, not only what it says")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name, help):
        return commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")

    info = command("info", "describe this machine and this install, for a bug report")
    info.add_argument("--json", action="store_true", help="the same as JSON")

    train = command("train", "train a network on real data: progress, test accuracy, weights and a plot")
    help = f"{', '.join(recipes())}, or a file CONFIG.toml (see fastdl/config)"
    train.add_argument("model", type=recipe_or_file, metavar="MODEL", help=help)
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: optim.lr=0.01 (as often as wanted)"
    )
    train.add_argument("--epochs", type=positive, metavar="N", help="passes over the training data")
    train.add_argument("--seed", type=int, metavar="N", help="of initial weights and shuffling (default 0)")
    train.add_argument("--out", metavar="FOLDER", help="where weights, plot and checkpoints go (default runs/MODEL)")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint in that folder")
    train.add_argument(
        "--data",
        metavar="FILE",
        help="a text (gpt, char_lstm, bert), lines 'source<tab>target' (seq2seq, transformer), or a set the recipe names",
    )
    machine_options(train)

    generate = command("generate", "go on from a prompt, with a model that `fastdl train gpt` (or char_lstm) wrote")
    generate.add_argument("model", metavar="MODEL", help="a .safetensors file")
    generate.add_argument("--prompt", required=True, metavar="TEXT", help="the beginning")
    generate.add_argument("--length", type=positive, default=300, metavar="N", help="characters to add (default 300)")
    generate.add_argument("--temperature", type=float, default=0.8, metavar="X", help="0: always the likeliest (0.8)")
    generate.add_argument("--top-k", type=positive, metavar="N", help="draw from the N likeliest only")
    generate.add_argument("--top-p", type=float, metavar="X", help="draw from the likeliest that reach probability X")
    generate.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1: fewer repeats")
    generate.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default 0)")
    machine_options(generate)

    translate = command("translate", "translate lines, with a model that `fastdl train transformer` (or seq2seq) wrote")
    translate.add_argument("model", metavar="MODEL", help="a .safetensors file")
    translate.add_argument("text", nargs="*", metavar="TEXT", help="lines (default: those of standard input)")
    translate.add_argument("--beam", type=positive, default=4, metavar="N", help="beams (default 4; 1: greedy)")
    translate.add_argument("--length", type=positive, default=64, metavar="N", help="most symbols of an answer (64)")
    translate.add_argument(
        "--attention", metavar="PNG", help="draw what each symbol of the answer looked at (one file a line)"
    )
    machine_options(translate)

    embed = command("embed", "texts as vectors, by a model that `fastdl train bert` wrote; one JSON list a line")
    embed.add_argument("model", metavar="MODEL", help="a .safetensors file")
    embed.add_argument("text", nargs="*", metavar="TEXT", help="texts (default: the lines of standard input)")
    machine_options(embed)

    predict = command("predict", "the digit in an image file, by weights that `fastdl train lenet` saved")
    predict.add_argument(
        "weights", nargs="?", metavar="WEIGHTS", help="a .safetensors file (default: LeNet-5's, in fastdl)"
    )
    predict.add_argument("image", metavar="IMAGE", help="PNG, JPEG, ...: one digit, dark on light or light on dark")

    sample = command("sample", "new images from a trained generative model, as one PNG")
    sample.add_argument(
        "model",
        metavar="MODEL",
        help="nade, pixelrnn, vae, gan, dcgan, progressive_gan, text2image, ...: what `fastdl train` knows",
    )
    sample.add_argument("--n", type=positive, default=64, metavar="N", help="how many (default 64)")
    sample.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default 0)")
    sample.add_argument(
        "--run", metavar="FOLDER", help="where `fastdl train MODEL` put its weights (default runs/MODEL)"
    )
    sample.add_argument("--out", metavar="PNG", help="picture to write (default MODEL_samples.png)")
    sample.add_argument("--text", metavar="TEXT", help="what to draw (text2image; default: captions of the test part)")
    sample.add_argument("--walk", action="store_true", help="a GIF of a walk between two latents instead")
    machine_options(sample)

    translate = command(
        "translate-image", "an image in the other drawing style, by a CycleGAN or StarGAN that `fastdl train` made"
    )
    translate.add_argument("image", metavar="IMAGE", help="PNG, JPEG, ...")
    translate.add_argument("--model", choices=("cyclegan", "stargan"), default="cyclegan", help="default cyclegan")
    translate.add_argument("--to", choices=("a", "b"), default="b", help="b: Google to Twitter (default); a: back")
    translate.add_argument("--run", metavar="FOLDER", help="default runs/MODEL")
    translate.add_argument("--out", default="translated.png", metavar="PNG", help="default translated.png")
    machine_options(translate)

    find = command(
        "detect", "objects in an image, by weights that `fastdl train yolo` or faster_rcnn wrote; draws boxes"
    )
    vision_options(find, "boxes, names and scores drawn on the image (default IMAGE_boxes.png)")
    find.add_argument("--score", type=float, default=0.3, metavar="X", help="least score (default 0.3)")

    cut = command("segment", "the class of every pixel of an image, by weights that `fastdl train fcn` wrote")
    vision_options(cut, "classes laid over the image in colour (default IMAGE_mask.png)")

    table = command("summary", "the layers of a model: output shapes, parameters, multiply-adds")
    table.add_argument("model", metavar="MODEL", help="a constructor in fastdl.models: lenet5, resnet50, ...")
    table.add_argument(
        "--input",
        metavar="SHAPE",
        help="1,3,224,224, say, batch axis first; `;` between several (default: what the model is made for)",
    )
    table.add_argument("--dtype", metavar="DTYPE", help="of the input: int64 for tokens (default: the model's)")

    study = command("study", "the ladder of a kernel, measured: naive, NumPy, Numba, C")
    study.add_argument("kernels", nargs="+", metavar="KERNEL", help="conv2d, matmul, ...; `all` for every kernel")
    study.add_argument("--case", metavar="TEXT", help="cases whose name holds TEXT (default: forward, a few sizes)")
    study.add_argument("--brief", action="store_true", help="only the case that the naive rung can do as well")
    study.add_argument("--rungs", nargs="+", choices=RUNGS, metavar="RUNG", help=f"some of {', '.join(RUNGS)}")
    study.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default float32")
    study.add_argument("--plot", metavar="PNG", help="picture to write (default study_KERNEL.png)")
    study.add_argument("--json", metavar="FILE", help="write the numbers too")
    study.add_argument("--patience", type=float, default=10, metavar="SECONDS", help="most that naive may take (10)")
    study.add_argument("--threads", type=positive, metavar="N", help="threads of kernels and BLAS (default: all)")

    bench = command("bench", "fastdl against PyTorch, in turn on the same cores, and the share of the roofline")
    bench.add_argument("what", nargs="?", choices=BENCHES, default="kernels")
    bench.add_argument("--only", metavar="TEXT", help="workloads whose name holds TEXT")
    bench.add_argument("--threads", type=positive, nargs="+", metavar="N", help="thread counts (default 1 and all)")
    bench.add_argument("--pairs", type=positive, default=20, metavar="N", help="turns of each side (default 20)")
    bench.add_argument("--rungs", action="store_true", help="time the NumPy and Numba rungs too (naive: study)")
    bench.add_argument(
        "--no-errors", action="store_true", help="leave out the comparison with float64, which takes long"
    )
    bench.add_argument(
        "--out", metavar="FOLDER", help="write benchmarks.json and .md there (networks: benchmarks_zoo, ...)"
    )

    gate = command("gate", "prove one entry of the course: train, judge on held-out data, compare with its bound")
    gate.add_argument("name", metavar="GATE", help="its name or the number of its entry; `list` for all of them")
    gate_options(gate)

    report = command("report", "prove every entry of some lectures and write the table of the outcomes")
    report.add_argument("what", choices=("lectures",))
    report.add_argument("lectures", nargs="+", type=lectures, metavar="N", help="numbers and ranges: 1-3 5")
    gate_options(report, out="docs")
    return top


def lectures(text: str) -> range:
    """`3`, or `1-3`."""
    first, _, last = text.partition("-")
    chosen = range(int(first), int(last or first) + 1)
    if not chosen or chosen[0] < 1 or chosen[-1] > 10:
        raise ValueError(text)
    return chosen


lectures.__name__ = "number of a lecture"


def vision_options(command, out):
    command.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a .safetensors file that the recipe wrote (default: the one in fastdl)",
    )
    command.add_argument("image", metavar="IMAGE", help="PNG, JPEG, ...")
    command.add_argument("--out", metavar="PNG", help=out)
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    machine_options(command)


def gate_options(command, out=None):
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.add_argument("--smoke", action="store_true", help="some seconds only, with weaker claims; writes nothing")
    where = f"where results.md and results.json go (default {out})" if out else "keep the outcome in results.md there"
    command.add_argument("--out", default=out, metavar="FOLDER", help=where)
    machine_options(command)


def machine_options(command):
    command.add_argument("--backend", choices=RUNGS, help="rung of every kernel (default: the best there is)")
    command.add_argument("--threads", type=positive, metavar="N", help="threads of kernels and BLAS (default: all)")


def main(argv=None) -> int:
    """Runs one command; 0 if it went well, 2 for input it cannot use, 130 after Ctrl-C."""
    options = parser()
    args = options.parse_args(argv)
    if args.version:
        try:
            print("fastdl", version("fastdl-cpu"))
        except PackageNotFoundError:  # a checkout that was not installed
            from fastdl import __version__

            print("fastdl", __version__)
        return 0
    if args.command is None:
        options.print_help()
        return 0
    try:
        from fastdl import cli

        getattr(cli, args.command.replace("-", "_"))(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nfastdl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `fastdl ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError) as error:
        if args.traceback:
            raise
        print(f"fastdl {args.command}: {describe(error)}", file=sys.stderr)
        return 2
    return 0


def describe(error: Exception) -> str:
    """One line that says what is wrong and, where it can, what to do."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"needs the package {error.name}; try: pip install {error.name}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
