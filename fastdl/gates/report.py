"""docs/results.md: the outcome of every gate that was run last, one table a lecture."""

import json
from pathlib import Path

from fastdl.io.atomic import write_whole

HEAD = """# What every entry proves

Made by `fastdl report lectures 1-10`; each row also by `fastdl gate NAME`. Every figure is measured on data that was not
learned from; the baseline is computed in the same run on the same split unless the gate says otherwise.
CPU seconds are those of all threads together; a machine that is busy otherwise does not stretch them.
"""


def record(outcome, machine: str) -> dict:
    """An outcome as plain values for JSON."""
    return {
        "entry": outcome.gate.entry,
        "name": outcome.gate.name,
        "lecture": outcome.gate.lecture,
        "about": outcome.gate.about,
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 1),
        "cpu_seconds": round(outcome.cpu_seconds, 1),
        "machine": machine,
        "claims": [
            {
                "what": c.what,
                "value": float(c.value),
                "relation": c.relation,
                "bound": float(c.bound),
                "baseline": None if c.baseline is None else [c.baseline[0], float(c.baseline[1])],
                "holds": bool(c.holds),
            }
            for c in outcome.claims
        ],
    }


def merge(folder, records: list[dict]) -> list[dict]:
    """Put the new records in place of older ones of the same gates; write results.json and results.md; return all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results.json"
    old = json.loads(file.read_text()) if file.exists() else []
    together = {r["name"]: r for r in [*old, *records]}
    ordered = sorted(together.values(), key=lambda r: (r["lecture"], r["entry"], r["name"]))
    write_whole(file, json.dumps(ordered, indent=1) + "\n")
    write_whole(folder / "results.md", render(ordered))
    return ordered


def render(records: list[dict]) -> str:
    """The page: a table a lecture, a line a claim; claims that do not hold are marked."""
    claims = [c for r in records for c in r["claims"]]
    lines = [HEAD, f"{sum(c['holds'] for c in claims)} of {len(claims)} claims of {len(records)} gates hold.\n"]
    for lecture in sorted({r["lecture"] for r in records}):
        lines += [
            f"## Lecture {lecture}\n",
            "| entry | gate | claim | measured | bound | baseline | CPU s | seed | machine |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for r in (r for r in records if r["lecture"] == lecture):
            for c in r["claims"]:
                baseline = "" if c["baseline"] is None else f"{c['baseline'][0]}: {c['baseline'][1]:.4g}"
                measured = f"{c['value']:.4g}" if c["holds"] else f"**{c['value']:.4g} fails**"
                cells = [r["entry"], r["name"], c["what"], measured, f"{c['relation']} {c['bound']:.4g}", baseline]
                cells += [f"{r['cpu_seconds']:.0f}", r["seed"], r["machine"]]
                lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
