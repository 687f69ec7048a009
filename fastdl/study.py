"""The ladder of one kernel, measured: every rung's file, size, error against naive, time, GFLOP/s and speed-up.

The cases are those of the tests (tests/cases/<kernel>.py). Plain Python loops are too slow for the sizes people use,
so naive runs on the largest case it can do within `patience` seconds; on larger ones its time is left open, never
scaled up from another size. Results are compared with naive in float64 where it ran, else with NumPy in float64.
"""

import importlib
import importlib.util
import inspect
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from fastdl import kernels, threads
from fastdl.kernels._registry import _module
from fastdl.testing import Case, cases

COLORS = {"naive": "#9aa0a6", "numpy": "#4c78a8", "numba": "#f2a541", "cython": "#c8385a"}
LABELS = {"naive": "naive", "numpy": "NumPy", "numba": "Numba", "cython": "C"}


@dataclass
class Step:
    """One rung of a ladder."""

    rung: str
    file: str
    lines: int  # of code: no comments, docstrings or blank lines
    seconds: float | None = None
    gflops: float | None = None
    error: float | None = None  # largest |result - reference| / root mean square of the reference
    remark: str = ""


@dataclass
class Ladder:
    """One case of one kernel on every rung."""

    kernel: str
    case: str
    flops: float
    dtype: str
    threads: int
    reference: str = "naive, float64"
    steps: list[Step] = field(default_factory=list)

    def as_dict(self) -> dict:
        return asdict(self)

    def speedup(self, step: Step) -> tuple[float, str] | None:
        """(times faster, than which rung): than naive, or than the lowest rung that ran."""
        base = next((s for s in self.steps if s.seconds), None)
        return (base.seconds / step.seconds, base.rung) if base and step.seconds else None


def cost(case: Case, arrays: dict) -> float:
    """FLOPs of a case, by the contract's own formula: `<entry>_cost`, or `<kernel>_cost` for all entries.

    A case whose arrays are not the contract's arguments counts them itself (`flops`).
    """
    if hasattr(case, "flops"):
        return float(case.flops(arrays))
    module = importlib.import_module(f"fastdl.kernels.{case.kernel}")
    function = getattr(module, f"{case.entry}_cost", None) or getattr(module, f"{case.kernel}_cost")
    given = {**arrays, **case.params, "backward": "_backward" in case.entry}
    takes = inspect.signature(function).parameters
    if all(p.kind is not p.VAR_KEYWORD for p in takes.values()):
        given = {name: value for name, value in given.items() if name in takes}
    return float(function(**given)[0])


def code_lines(path: Path) -> int:
    """Lines that hold code."""
    text = path.read_text()
    if path.suffix == ".c":
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("//"))
    text = re.sub(r'^\s*(?:"""|\'\'\').*?(?:"""|\'\'\')', "", text, flags=re.S | re.M)
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def source(kernel: str, rung: str) -> tuple[str, int]:
    """(file name, lines of code) of a rung. Where a checkout has csrc, the C files of the kernel count too."""
    folder = Path(kernels.__file__).parent
    path = folder / f"{kernel}_{rung}.{'pyx' if rung == 'cython' else 'py'}"
    if not path.exists():
        return path.name, 0
    files = [path, *(c_files(kernel, path, folder.parents[1] / "csrc" / "kernels") if rung == "cython" else [])]
    return " + ".join(f.name for f in files[:2]) + (" ..." if len(files) > 2 else ""), sum(map(code_lines, files))


def c_files(kernel: str, pyx: Path, folder: Path) -> list[Path]:
    """Files that define the kernel's drivers or that its .pyx names, and what continues their name (conv_direct.c)."""
    driver = re.compile(rf"^int FN\(fd_(\w+_)?{kernel}(_\w+)?_f32\)\([^;]*\{{", re.M)
    named = re.findall(r"csrc/kernels/(\w+\.c)\b", pyx.read_text())
    main = [file for file in sorted(folder.glob("*.c")) if file.name in named or driver.search(file.read_text())]
    return [*main, *(part for file in main for part in sorted(folder.glob(f"{file.stem}_*.c")) if part not in main)]


def clock(function, least_seconds=0.2, least_runs=5) -> float:
    """The shortest of several runs; one run is enough of what takes over a second."""
    times, begun = [], time.perf_counter()
    while not times or (
        times[0] < 1 and (len(times) < least_runs or time.perf_counter() - begun < least_seconds) and len(times) < 1000
    ):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def deviation(got, want) -> float:
    """Largest difference, in units of the root mean square of what it should be."""
    worst = 0.0
    for g, w in zip(got, want, strict=True):
        if not w.size or not np.issubdtype(w.dtype, np.floating):
            continue
        scale = float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))) or 1.0
        worst = max(worst, float(np.max(np.abs(np.asarray(g, np.float64) - w))) / scale)
    return worst


def choose(kernel: str, pattern: str | None, patience: float, brief: bool) -> list[tuple[Case, float, bool]]:
    """(case, FLOPs, can naive do it) of the cases to measure.

    By default the largest forward case that naive can do within `patience` seconds, and, unless `brief`, the larger
    sizes marked `bench`.
    """
    if kernel not in kernels.names():
        raise ValueError(f"unknown kernel {kernel!r}; there are {', '.join(kernels.names())}")
    known = cases(kernel)
    sized = [(case, cost(case, case.make("float32"))) for case in known if pattern is None or pattern in str(case)]
    if not sized:
        raise ValueError(f"{kernel} has no case with {pattern!r} in its name; there are {', '.join(map(str, known))}")
    if pattern is None:
        forward = [(case, flops) for case, flops in sized if case.entry.endswith("_forward")]
        sized = forward or sized
    rate = naive_rate(kernel, sized)
    sized = [(case, flops, flops <= rate * patience) for case, flops in sized]
    if pattern is not None:
        return sized
    feasible = [entry for entry in sized if entry[2]]
    ladder = max(feasible, key=lambda entry: entry[1], default=None)
    if brief:
        return [ladder or sized[0]]
    return [entry for entry in sized if entry is ladder or (entry[0].bench and not entry[2])]


def naive_rate(kernel: str, sized) -> float:
    """FLOP/s of the naive rung, on a case that takes it a moment."""
    if isinstance(_module(kernel, "naive"), str):
        return 0.0
    small = [entry for entry in sized if not entry[0].bench and entry[1] > 0]
    if not small:
        return 5e6
    case, flops = max(small, key=lambda entry: entry[1])
    arrays = case.make("float32")
    return flops / clock(lambda: case.run(arrays, "naive"), least_seconds=0, least_runs=1)


def measure(kernel: str, pattern=None, rungs=None, dtype="float32", patience=10.0, brief=False):
    """Yields one Ladder for each chosen case; see choose()."""
    for case, flops, naive_can in choose(kernel, pattern, patience, brief):
        arrays = case.make(dtype)
        reference = "naive" if naive_can else "numpy"
        want = case.run(case.make("float64"), reference)
        ladder = Ladder(
            kernel, str(case), flops, dtype, threads.get_num_threads(), f"{LABELS[reference]} rung in float64"
        )
        for rung in rungs or kernels.RUNGS:
            file, lines = source(kernel, rung)
            step = Step(rung, file, lines)
            ladder.steps.append(step)
            module = _module(kernel, rung)
            if isinstance(module, str):
                step.remark = module
            elif dtype not in getattr(module, "DTYPES", ("float32", "float64")):
                step.remark = f"takes {', '.join(module.DTYPES)} only"
            elif rung == "naive" and not naive_can:
                step.remark = "would take too long (--patience)"
            else:
                begun = time.process_time()
                got = case.run(arrays, rung)  # the first run also compiles and warms up
                step.seconds = time.process_time() - begun  # one thread, once: what others do meanwhile does not count
                step.error = deviation(got, want)
                if rung != "naive" or step.seconds < 1:
                    step.seconds = clock(lambda case=case, arrays=arrays, rung=rung: case.run(arrays, rung))
                step.gflops = flops / step.seconds / 1e9
        yield ladder


def render(ladder: Ladder) -> str:
    """The ladder as a table."""
    from fastdl._info import bold

    plural = "s" if ladder.threads > 1 else ""
    title = f"{ladder.case}  {ladder.dtype}, {ladder.threads} thread{plural}, {ladder.flops / 1e6:.4g} MFLOP"
    rows = [("rung", "file", "lines", "error", "time", "GFLOP/s", "speed-up")]
    for s in ladder.steps:
        if s.seconds is None:
            rows.append((LABELS[s.rung], s.file, str(s.lines or "-"), s.remark, "", "", ""))
            continue
        ratio, base = ladder.speedup(s)
        over = f"{ratio:,.1f}x" if ratio < 100 else f"{ratio:,.0f}x"
        cells = (
            f"{s.error:.1e}",
            human_time(s.seconds),
            f"{s.gflops:.4g}",
            over + ("" if base == "naive" else f" {LABELS[base]}"),
        )
        rows.append((LABELS[s.rung], s.file, str(s.lines or "-"), *cells))
    measured = [r for r in rows if r[4]]
    widths = [max(len(r[i]) for r in (measured if i > 2 else rows)) for i in range(7)]
    lines = []
    for r in rows:
        cells = [r[0].ljust(widths[0]), r[1].ljust(widths[1]), r[2].rjust(widths[2])]
        cells += [r[3]] if not r[4] else [r[i].rjust(widths[i]) for i in range(3, 7)]
        lines.append("  ".join(cells).rstrip())
    note = f"error: largest |difference| / rms, against the {ladder.reference}"
    return "\n".join([bold(title), *lines, note])


def human_time(seconds: float) -> str:
    unit, scale = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)) if seconds >= s or u == "us")
    return f"{seconds / scale:.3g} {unit}"


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def plot(ladders: list[Ladder], path: str) -> None:
    """One panel a ladder: GFLOP/s of each rung on a logarithmic scale, with the speed-up written beside the bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 if len(ladders) == 1 else 2
    rows = -(-len(ladders) // columns)
    figure = Figure(figsize=(6.2 * columns, 2.0 * rows + 0.7), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    for i, ladder in enumerate(ladders):
        axes = figure.add_subplot(rows, columns, i + 1)
        done = [s for s in ladder.steps if s.seconds]
        if not done:
            axes.set_axis_off()
            continue
        axes.barh([LABELS[s.rung] for s in done], [s.gflops for s in done], color=[COLORS[s.rung] for s in done])
        axes.set_xscale("log")
        low, high = min(s.gflops for s in done), max(s.gflops for s in done)
        axes.set_xlim(low / 3, high * 40)
        axes.invert_yaxis()
        for y, s in enumerate(done):
            ratio, _ = ladder.speedup(s)
            text = f" {s.gflops:.3g} GFLOP/s" + (
                f", {ratio:,.0f}x" if y and ratio >= 10 else f", {ratio:.1f}x" if y else ""
            )
            axes.text(s.gflops, y, text, va="center", fontsize=8.5)
        axes.set_title(ladder.case, fontsize=9.5, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5)
    n = ladders[0].threads
    figure.supxlabel(f"GFLOP/s, logarithmic; {ladders[0].dtype}, {n} thread{'s' if n > 1 else ''}", fontsize=9)
    figure.savefig(path)
