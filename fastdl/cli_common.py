"""What every command that computes shares: the machine it runs on."""

from fastdl import kernels, threads


def use_machine(args):
    """--threads and --backend."""
    if args.threads:
        threads.set_num_threads(args.threads)
    if getattr(args, "backend", None):
        kernels.use(args.backend)


def describe_machine() -> str:
    n = threads.get_num_threads()
    return f"{n} thread{'s' if n > 1 else ''}, rung {kernels.backend()}"
