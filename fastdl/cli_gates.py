"""`fastdl gate` and `fastdl report`: what the entries of the course prove, measured here and now."""

import sys

from fastdl.cli_common import describe_machine, use_machine
from fastdl.gates import find, gates
from fastdl.gates.report import merge, record


def run(chosen, args) -> list:
    """Run gates one after another and print their claims; keep each outcome at once, so that a break loses nothing."""
    use_machine(args)
    outcomes = []
    for number, one in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {one.entry} {one.name}: {one.about}", flush=True)
        outcome = one.run(seed=args.seed, smoke=args.smoke)
        for claim in outcome.claims:
            print(f"    {'holds' if claim.holds else 'FAILS'}  {claim}")
        print(f"    {outcome.seconds:.1f} s ({outcome.cpu_seconds:.1f} s of CPU), seed {outcome.seed}", flush=True)
        outcomes.append(outcome)
        if args.out and not args.smoke:
            merge(args.out, [record(outcome, describe_machine())])
    failed = [o.gate.name for o in outcomes if not o.holds]
    print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} gates hold"
        + (f"; not: {', '.join(failed)}" if failed else "")
    )
    if failed:
        sys.exit(1)
    return outcomes


def gate(args):
    if args.name == "list":
        for one in gates():
            print(f"{one.lecture:3} {one.entry:4} {one.name:28} {one.about}")
        return
    run(find(args.name), args)


def report(args):
    if args.what != "lectures":
        raise ValueError(f"report: `fastdl report lectures 1-3`; got {args.what!r}")
    lectures = {n for part in args.lectures for n in part}
    chosen = gates(lectures)
    if not chosen:
        raise ValueError(f"report: there are no gates of lecture {', '.join(map(str, sorted(lectures)))}")
    run(chosen, args)
