"""fastdl.models' generative networks in torch.nn, under the same parameter names: so zoo.numbered gives both the same numbers."""

import math

HE = math.sqrt(2)


def vae(nn, D, H, Z):
    net = nn.Module()
    net.encoder = nn.Sequential(nn.Linear(D, H), nn.Tanh())
    net.decoder = nn.Sequential(nn.Linear(Z, H), nn.Tanh(), nn.Linear(H, D))
    net.mu, net.logvar = nn.Linear(H, Z), nn.Linear(H, Z)
    return net


def gan(nn, latent, g_hidden, d_hidden, pieces, D):
    class Maxout(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.linear = nn.Linear(i, o * pieces)

        def forward(self, x):
            return self.linear(x).unflatten(1, (-1, pieces)).amax(-1)

    def main(*layers):
        net = nn.Module()
        net.main = nn.Sequential(*layers)
        net.forward = net.main.forward
        return net

    a, b = g_hidden
    c, d = d_hidden
    net = nn.Module()
    net.generator = main(
        nn.Linear(latent, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, D), nn.Tanh()
    )  # fmt: skip
    net.discriminator = main(
        nn.Dropout(0.0), Maxout(D, c), nn.Dropout(0.0), Maxout(c, d), nn.Dropout(0.0), nn.Linear(d, 1)
    )
    return net


def dcgan(nn, size, channels, latent, f):
    doublings = int(math.log2(size // 4))
    width = f * 2 ** (doublings - 1)
    up = [nn.ConvTranspose2d(latent, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(doublings - 1):
        up += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU()]
        width //= 2
    up += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
    down = [nn.Conv2d(channels, f, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(doublings - 1):
        down += [nn.Conv2d(width, width * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(width * 2), nn.LeakyReLU(0.2)]
        width *= 2
    down += [nn.Conv2d(width, 1, 4, 1, 0, bias=False)]

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(*up)

        def forward(self, z):
            return self.main(z[:, :, None, None])

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(*down)

        def forward(self, x):
            return self.main(x).reshape(x.shape[0])

    net = nn.Module()
    net.generator, net.discriminator = Generator(), Discriminator()
    return net


def cyclegan(nn, channels, f, blocks):
    norm, pad = nn.InstanceNorm2d, nn.ReflectionPad2d

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            half = lambda: [pad(1), nn.Conv2d(c, c, 3), norm(c)]  # noqa: E731
            self.conv_block = nn.Sequential(*half(), nn.ReLU(), *half())

        def forward(self, x):
            return x + self.conv_block(x)

    class Network(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.model = nn.Sequential(*layers)

        def forward(self, x):
            return self.model(x)

    def generator():
        layers, c = [pad(3), nn.Conv2d(channels, f, 7), norm(f), nn.ReLU()], f
        for _ in range(2):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), norm(2 * c), nn.ReLU()]
            c *= 2
        layers += [Block(c) for _ in range(blocks)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1), norm(c // 2), nn.ReLU()]
            c //= 2
        return Network([*layers, pad(3), nn.Conv2d(c, channels, 7), nn.Tanh()])

    def discriminator():
        layers, c = [nn.Conv2d(channels, f, 4, 2, 1), nn.LeakyReLU(0.2)], f
        for n in (1, 2, 3):
            wider = f * 2**n
            layers += [nn.Conv2d(c, wider, 4, 2 if n < 3 else 1, 1), norm(wider), nn.LeakyReLU(0.2)]
            c = wider
        return Network([*layers, nn.Conv2d(c, 1, 4, 1, 1)])

    net = nn.Module()
    net.G_a, net.G_b, net.D_a, net.D_b = generator(), generator(), discriminator(), discriminator()
    return net


def stargan(nn, size, channels, labels, f, blocks, d_layers):
    import torch

    norm = lambda c: nn.InstanceNorm2d(c, affine=True, track_running_stats=True)  # noqa: E731

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            conv = lambda: nn.Conv2d(c, c, 3, 1, 1, bias=False)  # noqa: E731
            self.main = nn.Sequential(conv(), norm(c), nn.ReLU(), conv(), norm(c))

        def forward(self, x):
            return x + self.main(x)

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            c, layers = f, [nn.Conv2d(channels + labels, f, 7, 1, 3, bias=False), norm(f), nn.ReLU()]
            for _ in range(2):
                layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), norm(2 * c), nn.ReLU()]
                c *= 2
            layers += [Block(c) for _ in range(blocks)]
            for _ in range(2):
                layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), norm(c // 2), nn.ReLU()]
                c //= 2
            self.main = nn.Sequential(*layers, nn.Conv2d(c, channels, 7, 1, 3, bias=False), nn.Tanh())

        def forward(self, x, c):
            return self.main(torch.cat([x, c[:, :, None, None].expand(*c.shape, *x.shape[2:])], 1))

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            c, layers = f, [nn.Conv2d(channels, f, 4, 2, 1), nn.LeakyReLU(0.01)]
            for _ in range(1, d_layers):
                layers += [nn.Conv2d(c, 2 * c, 4, 2, 1), nn.LeakyReLU(0.01)]
                c *= 2
            self.main = nn.Sequential(*layers)
            self.conv1 = nn.Conv2d(c, 1, 3, 1, 1, bias=False)
            self.conv2 = nn.Conv2d(c, labels, size // 2**d_layers, bias=False)

        def forward(self, x):
            h = self.main(x)
            return self.conv1(h), self.conv2(h).flatten(1)

    net = nn.Module()
    net.generator, net.discriminator = Generator(), Discriminator()
    return net


def progressive_gan(nn, F, size, channels, fmap_base, fmap_max):
    import torch

    top = int(math.log2(size))
    nf = lambda stage: max(1, min(fmap_base // 2**stage, fmap_max))  # noqa: E731

    class Conv(nn.Module):
        def __init__(self, i, o, k, gain=HE):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(o, i, k, k)), nn.Parameter(torch.zeros(o))
            self.scale, self.padding = gain / math.sqrt(i * k * k), k // 2

        def forward(self, x):
            return F.conv2d(x, self.weight * self.scale, self.bias, 1, self.padding)

    class Linear(nn.Module):
        def __init__(self, i, o, gain=HE, bias=None):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(o, i)), nn.Parameter(torch.zeros(bias or o))
            self.scale, self.repeats = gain / math.sqrt(i), o // (bias or o)

        def forward(self, x):
            return F.linear(x, self.weight * self.scale, self.bias.repeat_interleave(self.repeats))

    def pixel_norm(x):
        return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = Linear(nf(0), nf(1) * 16, HE / 4, nf(1))
            self.blocks, self.rgb = nn.ModuleDict(), nn.ModuleDict()
            for r in range(2, top + 1):
                first = [] if r == 2 else [Conv(nf(r - 2), nf(r - 1), 3)]
                self.blocks[str(2**r)] = nn.ModuleList([*first, Conv(nf(r - 1), nf(r - 1), 3)])
                self.rgb[str(2**r)] = Conv(nf(r - 1), channels, 1, 1.0)

        def forward(self, z):
            act = lambda x: pixel_norm(F.leaky_relu(x, 0.2))  # noqa: E731
            x = act(self.dense(pixel_norm(z)).reshape(len(z), -1, 4, 4))
            for r in range(2, top + 1):
                x = x if r == 2 else F.interpolate(x, scale_factor=2)
                for conv in self.blocks[str(2**r)]:
                    x = act(conv(x))
            return self.rgb[str(size)](x)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks, self.rgb = nn.ModuleDict(), nn.ModuleDict()
            for r in range(top, 1, -1):
                self.rgb[str(2**r)] = Conv(channels, nf(r - 1), 1)
                if r > 2:
                    self.blocks[str(2**r)] = nn.ModuleList(
                        [Conv(nf(r - 1), nf(r - 1), 3), Conv(nf(r - 1), nf(r - 2), 3)]
                    )
            self.conv = Conv(nf(1) + 1, nf(1), 3)
            self.dense0, self.dense1 = Linear(nf(1) * 16, nf(0)), Linear(nf(0), 1, 1.0)

        def forward(self, x):
            h = F.leaky_relu(self.rgb[str(size)](x), 0.2)
            for r in range(top, 2, -1):
                for conv in self.blocks[str(2**r)]:
                    h = F.leaky_relu(conv(h), 0.2)
                h = F.avg_pool2d(h, 2)
            N, C, H, W = h.shape
            y = h.reshape(4, N // 4, C, H, W)
            y = y - y.mean(0, keepdim=True)
            deviation = (y.square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
            maps = deviation.reshape(1, -1, 1, 1, 1).expand(4, N // 4, 1, H, W).reshape(N, 1, H, W)
            h = F.leaky_relu(self.conv(torch.cat([h, maps], 1)), 0.2)
            return self.dense1(F.leaky_relu(self.dense0(h.flatten(1)), 0.2)).reshape(N)

    net = nn.Module()
    net.generator, net.discriminator = Generator(), Discriminator()
    return net


def nade(nn, F, D, H, form):
    """form "loop": a walk over the variables; "masked": all D hidden vectors of an image at once, as sums over a mask."""
    import torch

    class NADE(nn.Module):
        def __init__(self):
            super().__init__()
            self.W, self.V = nn.Parameter(torch.zeros(H, D)), nn.Parameter(torch.zeros(D, H))
            self.b, self.c = nn.Parameter(torch.zeros(D)), nn.Parameter(torch.zeros(H))
            self.register_buffer("mask", torch.ones(D, D).tril(-1))  # [i, j]: does variable i see variable j

        def logits(self, x):
            if form == "masked":
                a = (self.mask * x[:, None]) @ self.W.T + self.c  # (B, D, D) @ (D, H)
                return (a.sigmoid() * self.V).sum(-1) + self.b
            a, ys = self.c.expand(len(x), H), []
            for i in range(D):
                ys.append(torch.sigmoid(a) @ self.V[i] + self.b[i])
                a = a + x[:, i : i + 1] * self.W[:, i]
            return torch.stack(ys, 1)

        def log_prob(self, x):
            return -F.binary_cross_entropy_with_logits(self.logits(x), x, reduction="none").sum(1)

    return NADE()


def pixelrnn(nn, F, layers, h, maps):
    """Diagonal BiLSTM layers for binary images: a step a diagonal, all images and rows at once."""
    import torch

    class Masked(nn.Conv2d):
        def __init__(self, i, o, k, centre):
            super().__init__(i, o, k, padding=k // 2)
            mask = torch.ones(o, i, k, k)
            mask[:, :, k // 2 + 1 :] = 0
            mask[:, :, k // 2, k // 2 + centre :] = 0  # centre 0: mask A, 1: mask B
            self.register_buffer("mask", mask)

        def forward(self, x):
            return F.conv2d(x, self.weight * self.mask, self.bias, 1, self.padding)

    class Diagonal(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_to_state = nn.Conv2d(2 * h, 4 * h, 1)  # one colour: its mask hides nothing
            self.state_to_state = nn.Parameter(torch.zeros(4 * h, h, 2))

        def forward(self, x):
            v = self.input_to_state(x)  # (N, 4h, H, W)
            N, _, H, W = v.shape
            wide = F.pad(v, (0, H)).reshape(N, 4 * h, -1)[:, :, : H * (W + H - 1)]
            wide = wide.reshape(N, 4 * h, H, W + H - 1).permute(3, 0, 2, 1).contiguous()  # row r moved right by r
            inside = torch.zeros(W + H - 1, 1, H, 1, dtype=v.dtype)
            for r in range(H):
                inside[r : r + W, 0, r] = 1
            weight = self.state_to_state.permute(2, 1, 0).reshape(2 * h, 4 * h)  # rows: from above, then from the left
            state = cell = v.new_zeros(N, H, h)
            states = []
            for s in range(W + H - 1):
                above = F.pad(state, (0, 0, 1, 0))[:, :-1]
                gates = wide[s] + torch.cat([above, state], 2) @ weight
                i, f, g, o = gates.chunk(4, 2)
                cell = (f.sigmoid() * cell + i.sigmoid() * g.tanh()) * inside[s]
                state = o.sigmoid() * cell.tanh()
                states.append(state)
            y = F.pad(torch.stack(states, 3).permute(0, 2, 1, 3), (0, 1))  # (N, h, H, W + H - 1), one place more
            flat = y.reshape(N, h, -1)
            return torch.stack([flat[:, :, r * (W + H + 1) : r * (W + H + 1) + W] for r in range(H)], 2)

    class BiLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = Diagonal(), Diagonal()

        def forward(self, x):
            back = self.right(x.flip(3)).flip(3)
            return self.left(x) + F.pad(back, (0, 0, 1, 0))[:, :, :-1]

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = BiLSTM(), Masked(h, 2 * h, 1, 1)

        def forward(self, x):
            return x + self.out(self.inner(x))

    class PixelRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Masked(1, 2 * h, 7, 0)
            self.layers = nn.ModuleList([Layer() for _ in range(layers)])
            self.head = nn.ModuleList([Masked(2 * h, maps, 1, 1), Masked(maps, maps, 1, 1)])
            self.last = Masked(maps, 1, 1, 1)

        def log_prob(self, x):
            y = self.first(x * 2 - 1)
            for layer in self.layers:
                y = layer(y)
            for conv in self.head:
                y = conv(F.relu(y))
            y = self.last(F.relu(y))
            return -F.binary_cross_entropy_with_logits(y, x, reduction="none").sum((1, 2, 3))

    return PixelRNN()
