"""DQN: the equations of CartPole, Catch, replay, targets, networks."""

import numpy as np
import pytest

from fastdl import manual_seed
from fastdl.autograd import Tensor
from fastdl.nn import init_empty
from fastdl.rl import DQN, QMLP, CartPole, Catch, DuelingMLP, NatureNet, PlayingAtariNet, Replay


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_published_sizes():
    with init_empty():
        assert count(PlayingAtariNet()) == 677_172
        assert count(NatureNet()) == 1_686_180
        assert count(QMLP(4, 2)) == 17_410
    assert NatureNet()(Tensor(np.zeros((1, 4, 84, 84), np.float32))).shape == (1, 4)
    assert PlayingAtariNet(6, dueling=True)(Tensor(np.zeros((2, 4, 84, 84), np.float32))).shape == (2, 6)
    assert list(NatureNet().state_dict())[:2] == ["features.0.weight", "features.0.bias"]


def test_cartpole_equals_gymnasium():
    gym = pytest.importorskip("gymnasium")
    theirs, ours = gym.make("CartPole-v1"), CartPole(1)
    rng = np.random.default_rng(0)
    for episode in range(5):
        state, _ = theirs.reset(seed=episode)
        ours.reset()
        ours.state[0] = theirs.unwrapped.state
        for _ in range(600):
            action = int(rng.integers(0, 2)) if episode else int(state[2] + state[3] > 0)
            state, reward, terminal, cut, _ = theirs.step(action)
            observed, mine, over, out = ours.step(np.array([action]))
            np.testing.assert_allclose(observed[0], state, rtol=1e-5, atol=1e-6)
            assert (mine[0], over[0], out[0]) == (reward, terminal, cut and not terminal)
            if terminal or cut:
                break


def test_a_time_limit_is_not_terminal():
    env = CartPole(1)
    env.reset()
    env.steps[:] = 499
    _, _, terminal, cut = env.step(np.array([0]))
    assert not terminal[0] and cut[0]
    with pytest.raises(ValueError, match="0 \\(left\\) or 1"):
        env.step(np.array([2]))


def test_catch_pays_for_what_is_caught():
    env = Catch(4, seed=0)
    before = env.observe()
    assert before.dtype == np.uint8 and (before.reshape(4, -1) > 0).sum(1).tolist() == [2] * 4
    for _ in range(9):
        _x, reward, over, cut = env.step(1 + np.sign(env.ball - env.paddle))
    assert (reward == 1).all() and over.all() and not cut.any()
    env.reset([0])
    assert env.row.tolist() == [0, 9, 9, 9]


def test_targets_and_their_variants():
    for double in (False, True):
        agent = DQN("CartPole", double=double, batch=4, memory=8, gamma=0.5, warm_up=10**9)
        for p in agent.target.parameters():
            p.array[...] = 0
        agent.target.output.bias.array[...] = (2.0, 6.0)  # Q'(s', .) everywhere
        for p in agent.network.parameters():
            p.array[...] = 0
        agent.network.output.bias.array[...] = (1.0, 0.0)  # Q prefers action 0
        agent.memory.add(np.zeros((2, 4)), [0, 1], [1.0, 1.0], np.ones((2, 4)), [False, True])
        seen = []
        agent.optimizer.step = lambda seen=seen, agent=agent: seen.append(agent.network.output.bias.grad.array.copy())
        agent.memory.sample = lambda n, rng, m=agent.memory: (
            m.observations[:2], m.actions[:2], m.rewards[:2], m.following[:2], m.terminal[:2]
        )  # fmt: skip
        agent._update()
        # y = 1 + 0.5 * (2 if double else 6) for the first, 1 for the terminal one; Huber gradient clipped to 1, mean of 2
        first = 1.0 - (1 + 0.5 * (2 if double else 6))
        np.testing.assert_allclose(seen[0], [max(first, -1) / 2, (0 - 1) / 2])


def test_dueling_advantages_have_mean_zero():
    net = DuelingMLP(4, 3)
    x = Tensor(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))
    from fastdl.nn import functional as F

    np.testing.assert_allclose(net(x).array.mean(1), net.head.value(F.relu(net.first(x))).array[:, 0], atol=1e-5)


def test_it_learns_a_short_game():
    manual_seed(0)
    agent = DQN(lambda n, seed: Catch(n, seed, 5, 3), epsilon=(1.0, 0.1, 400), warm_up=100, lr=3e-3, target_every=50)
    random = (agent.random_returns(300) > 0).mean()
    agent.learn(900)
    assert (agent.evaluate(300) > 0).mean() > random + 0.2
    assert (agent.evaluate(50) == agent.evaluate(50)).all()


def test_replay_and_errors():
    memory = Replay(4, (1,))
    with pytest.raises(ValueError, match="nothing was added"):
        memory.sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="CartPole, Catch"):
        DQN("Pong")
    with pytest.raises(ValueError, match="mlp, conv, 2013"):
        DQN("CartPole", net="big")
    agent = DQN("CartPole", tau=0.5, memory=50, warm_up=2)
    before = agent.target.output.bias.array.copy()
    agent.learn(5)
    assert (agent.target.output.bias.array != before).any()
