"""DQN on CartPole (or Catch): the greedy policy's mean return over 100 fresh episodes, beside random actions."""

import sys
import time
from pathlib import Path

import numpy as np

from fastdl.io.safetensors import save_file
from fastdl.random import manual_seed
from fastdl.rl import DQN


def run(
    out="runs/dqn", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True,
    env: str = "CartPole", steps: int = 20_000, double: bool = True, dueling: bool = False, lr: float = 1e-3,
) -> dict:  # fmt: skip
    """Learn, judge, write weights and the returns of all episodes; returns {"metrics", "baselines", "seconds", "files"}.

    epochs: thousands of environment steps, in place of `steps`. A run cannot be resumed.
    """
    if resume:
        raise ValueError("dqn: a run lasts less than a minute and cannot be resumed")
    steps = steps if epochs is None else 1000 * epochs
    manual_seed(seed)
    began = time.perf_counter()
    agent = DQN(
        env, double=double, dueling=dueling, lr=lr, batch=64, target_every=200,
        epsilon=(1.0, 0.05, max(1, steps // 4)), train_every=2, seed=seed,
    )  # fmt: skip

    def show(step, returns):
        if progress and step % 1000 == 0:
            mean = np.mean(returns[-20:]) if returns else float("nan")
            print(f"step {step}/{steps}  mean return of the last 20 episodes {mean:.1f}", file=sys.stderr)

    learned = agent.learn(steps, validate_every=max(1, steps // 10), on_step=show)
    values = agent.evaluate(100)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    save_file(agent.network.state_dict(), out / "dqn.safetensors", {"fastdl": "dqn", "env": env})
    (out / "returns.csv").write_text("".join(f"{r:g}\n" for r in learned["returns"]))
    return {
        "metrics": {"mean return": float(values.mean()), "worst of 100": float(values.min())},
        "baselines": {"random actions": float(agent.random_returns(100).mean())},
        "seconds": time.perf_counter() - began,
        "files": [str(out / "dqn.safetensors"), str(out / "returns.csv")],
    }
