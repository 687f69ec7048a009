"""Reinforcement learning: environments, replay, and the deep Q-network."""

from fastdl.rl.cartpole import CartPole
from fastdl.rl.catch import Catch
from fastdl.rl.dqn import DQN
from fastdl.rl.networks import QMLP, DuelingMLP, NatureNet, PlayingAtariNet, SmallConvNet
from fastdl.rl.replay import Replay

__all__ = [
    "DQN",
    "QMLP",
    "CartPole",
    "Catch",
    "DuelingMLP",
    "NatureNet",
    "PlayingAtariNet",
    "Replay",
    "SmallConvNet",
]
