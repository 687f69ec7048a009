"""The deep Q-network: learn the value of every action from replayed transitions, against a frozen copy of the network.

    y = r + gamma (1 - terminal) max_a Q'(s', a)        (double: the action from Q, its value from Q')
    loss = Huber(Q(s, a) - y), delta 1: the squared error with its gradient clipped to [-1, 1]

A time limit is not terminal: the value of the last state still counts. No gradient flows through the target.

Ref  Mnih et al. 2013, arXiv 1312.5602; Mnih et al. 2015, Nature 518; double: van Hasselt, Guez, Silver 2016, arXiv 1509.06461;
     dueling: Wang et al. 2016, arXiv 1511.06581.
"""

import copy

import numpy as np

from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.nn.utils import clip_grad_norm_
from fastdl.optim import Adam
from fastdl.rl.cartpole import CartPole
from fastdl.rl.catch import Catch
from fastdl.rl.networks import QMLP, DuelingMLP, NatureNet, PlayingAtariNet, SmallConvNet
from fastdl.rl.replay import Replay

ENVIRONMENTS = {"CartPole": CartPole, "Catch": Catch}


class DQN:
    """An agent for environments with the interface of rl.CartPole.

    Parameters
    env           "CartPole", "Catch", or a class: env(n, seed) with actions, shape, reset and step
    net           "mlp", "conv", "2013", "2015", or a Module of one's own
    double, dueling   variants of the target and of the network
    memory, batch, gamma, lr, target_every   replay size, replayed transitions a step, discount, rate, steps between target copies
    tau           < 1: the target follows softly after every step instead
    epsilon       (first, last, steps): share of random actions, falling linearly
    warm_up       random steps before learning starts; train_every: environment steps between updates

    Example
    >>> agent = DQN("CartPole", memory=200, warm_up=50)
    >>> agent.learn(60)["steps"]
    60
    """

    def __init__(
        self, env="CartPole", net=None, *, double=False, dueling=False, memory=20_000, batch=32, gamma=0.99, lr=1e-3,
        target_every=250, tau=1.0, epsilon=(1.0, 0.05, 5000), warm_up=500, train_every=1, optimizer=None, seed=0,
    ):  # fmt: skip
        if isinstance(env, str) and env not in ENVIRONMENTS:
            raise ValueError(f"DQN: env must be one of {', '.join(ENVIRONMENTS)} or a class; got {env!r}")
        self.make = ENVIRONMENTS[env] if isinstance(env, str) else env
        self.env = self.make(1, seed)
        shape, actions = self.env.shape, self.env.actions
        self.pixels = len(shape) == 3
        self.network = self._network(net, shape, actions, dueling)
        self.target = copy.deepcopy(self.network)
        self.double, self.batch, self.gamma, self.tau = double, batch, gamma, tau
        self.target_every, self.epsilon, self.warm_up, self.train_every = target_every, epsilon, warm_up, train_every
        self.memory = Replay(memory, shape, np.uint8 if self.pixels else np.float32)
        self.optimizer = (optimizer or (lambda p: Adam(p, lr=lr)))(self.network.parameters())
        self.rng, self.seed, self.steps = np.random.default_rng(seed), seed, 0
        self.observation = self.env.reset()

    def _network(self, net, shape, actions, dueling):
        net = net or ("conv" if self.pixels else "mlp")
        if not isinstance(net, str):
            return net
        if net == "mlp":
            inputs = int(np.prod(shape))
            return DuelingMLP(inputs, actions) if dueling else QMLP(inputs, actions)
        if net == "conv":
            return SmallConvNet(shape, actions, dueling=dueling)
        if net in ("2013", "2015"):
            return (PlayingAtariNet if net == "2013" else NatureNet)(actions, shape[0], dueling)
        raise ValueError(f"DQN: net must be mlp, conv, 2013, 2015 or a Module; got {net!r}")

    def values(self, observations, network=None):
        """Q of every action (n, actions); pictures are scaled to 0..1."""
        x = np.asarray(observations, np.float32)
        return (network or self.network)(Tensor(x / np.float32(255) if self.pixels else x))

    def act(self, observations, epsilon=0.0):
        """Actions (n,): the best one, or with probability epsilon any."""
        with no_grad():
            best = self.values(observations).array.argmax(-1)
        if epsilon <= 0:
            return best
        explore = self.rng.random(len(best)) < epsilon
        return np.where(explore, self.rng.integers(0, self.env.actions, len(best)), best)

    def exploration(self) -> float:
        """The share of random actions now."""
        first, last, steps = self.epsilon
        return last + (first - last) * max(0.0, 1 - self.steps / steps)

    def learn(self, steps, validate_every=None, validation=20, on_step=None) -> dict:
        """Play and learn for so many environment steps; returns {"steps", "episodes", "returns" of episodes, "validation"}.

        validate_every: after so many steps the greedy policy plays `validation` episodes of their own, and in the end the
        weights that did best there are kept (judge them by evaluate(), which draws fresh episodes).
        """
        returns, total, validated, best, kept = [], 0.0, [], -np.inf, None
        for _ in range(steps):
            random_only = self.steps < self.warm_up
            action = self.act(self.observation, 1.0 if random_only else self.exploration())
            following, reward, terminal, cut = self.env.step(action)
            self.memory.add(self.observation, action, reward, following, terminal)
            total += float(reward[0])
            self.observation = following
            if terminal[0] or cut[0]:
                returns.append(total)
                total, self.observation = 0.0, self.env.reset()
            self.steps += 1
            if not random_only and self.steps % self.train_every == 0:
                self._update()
            if self.tau >= 1 and self.steps % self.target_every == 0:
                self.target.load_state_dict(self.network.state_dict())
            if on_step is not None:
                on_step(self.steps, returns)
            if validate_every and self.steps % validate_every == 0:
                validated.append(float(np.mean(self.evaluate(validation, seed=self.seed + 10_007))))
                if validated[-1] >= best:
                    best = validated[-1]
                    kept = {k: v.array.copy() for k, v in self.network.state_dict().items()}
        if kept is not None:
            self.network.load_state_dict(kept)
        return {"steps": self.steps, "episodes": len(returns), "returns": returns, "validation": validated}

    def _update(self):
        s, a, r, following, terminal = self.memory.sample(self.batch, self.rng)
        with no_grad():
            later = self.values(following, self.target).array
            if self.double:
                choice = self.values(following).array.argmax(-1)
                later = later[np.arange(len(a)), choice]
            else:
                later = later.max(-1)
        y = (r + self.gamma * ~terminal * later).astype(np.float32)
        q = self.values(s)[Tensor(np.arange(len(a))), Tensor(a)]
        loss = F.huber_loss(q, Tensor(y))
        self.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        if self.tau < 1:
            for mine, other in zip(self.target.parameters(), self.network.parameters(), strict=True):
                mine.array[...] += self.tau * (other.array - mine.array)

    def evaluate(self, episodes=100, seed=None, policy=None) -> np.ndarray:
        """(episodes,) returns of the greedy policy (or policy(observations) -> actions) on fresh episodes, all side by side."""
        env = self.make(episodes, self.seed + 1_000_003 if seed is None else seed)
        observations, returns, running = env.reset(), np.zeros(episodes), np.ones(episodes, bool)
        while running.any():
            observations, reward, terminal, cut = env.step((policy or self.act)(observations))
            returns += reward * running
            running &= ~(terminal | cut)
        return returns

    def random_returns(self, episodes=100, seed=12345) -> np.ndarray:
        """The same for random actions: the baseline."""
        rng = np.random.default_rng(seed)
        return self.evaluate(episodes, seed, lambda o: rng.integers(0, self.env.actions, len(o)))
