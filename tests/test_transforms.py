"""Transforms: against torchvision and by hand, boxes and masks with the images, the same bits for any number of workers."""

import numpy as np
import pytest

import fastdl as fd
from fastdl import kernels
from fastdl.data import CutMix, DataLoader, TensorDataset
from fastdl.data import transforms as T
from fastdl.data.transforms.geometry import places
from fastdl.data.transforms.texture import blur
from fastdl.kernels.warp import warp_forward

X = np.random.default_rng(0).random((6, 3, 20, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def tv():
    """torchvision.transforms.functional; the operators that its import looks for are declared where they are missing."""
    torch = pytest.importorskip("torch", reason="the comparison with torchvision needs torch")
    try:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:  # they are there
        pass
    return pytest.importorskip("torchvision.transforms.functional", reason="torchvision is not installed")


def torched(function, x, *args, **kwargs):
    import torch

    return function(torch.tensor(np.ascontiguousarray(x)), *args, **kwargs).numpy()


def rng(seed=0):
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------------------------- resampling


def test_warp_by_hand():
    x = np.array([[[[1.0, 2.0], [3.0, 5.0]]]])
    grid = np.array([[[[0.5, 0.5], [0, 1], [-0.5, 0], [1.25, 1.25]]]])
    with kernels.use("naive"):
        got = warp_forward(x, grid)
    np.testing.assert_allclose(got[0, 0, 0], [2.75, 2, 0.5, 5 * 0.75 * 0.75])
    with pytest.raises(ValueError, match=r"needs a grid of shape \(1, OH, OW, 2\)"):
        warp_forward(x, np.zeros((2, 1, 1, 2)))


def test_warp_equals_grid_sample():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    grid = rng().uniform(-0.2, 1.2, (6, 9, 7, 2)).astype(np.float32)
    got = warp_forward(X, grid * np.float32([20, 24]) - np.float32(0.5))
    want = torch.nn.functional.grid_sample(torch.tensor(X), torch.tensor(grid[..., ::-1] * 2 - 1), align_corners=False)
    np.testing.assert_allclose(got, want.numpy(), atol=3e-5)


@pytest.mark.parametrize(
    ("angle", "translate", "scale", "shear"),
    [
        (30, (0, 0), 1.0, (0, 0)),
        (-75, (3, -2), 0.8, (10, 0)),
        (0, (-4, 5), 1.3, (0, 0)),
        (15, (1, 2), 1.1, (12, -20)),
        (180, (0, 0), 1.0, (0, 15)),
    ],
)
def test_affine_equals_torchvision(angle, translate, scale, shear, tv):
    from torchvision.transforms import InterpolationMode

    matrix = T.affine_matrix((20, 24), [angle] * 6, np.array([translate] * 6), np.full(6, scale), np.array([shear] * 6))
    got = T.resample(X, matrix, (20, 24), antialias=False)
    want = torched(tv.affine, X, angle, list(translate), scale, list(shear), InterpolationMode.BILINEAR)
    np.testing.assert_allclose(got, want, atol=2e-4)


def test_neighbours_are_one_resampling():
    parts = [
        T.RandomAffine(20, (0.1, 0.1)),
        T.RandomCrop(18, 2),
        T.RandomHorizontalFlip(),
        T.RandomAffine(0, scale=(0.8, 1.2)),
    ]
    together = T.Compose(parts)
    assert len(together._steps) == 1
    got = together(X, rng=rng(4))
    one_by_one = X
    generator = rng(4)
    for part in parts:
        one_by_one = part(one_by_one, rng=generator)
    assert got.shape == one_by_one.shape == (6, 3, 18, 18)
    smooth = blur(X, np.full(6, 3.0), 6)  # of a smooth image both are the same in the interior, up to interpolation
    generator = rng(4)
    a, b = together(smooth, rng=rng(4)), smooth
    for part in parts:
        b = part(b, rng=generator)
    assert np.abs(a - b)[:, :, 7:11, 7:11].max() < 0.02
    # different fills do not mix
    assert len(T.Compose([T.RandomAffine(5, fill=0.5), T.RandomAffine(5)])._steps) == 2
    assert len(T.Compose([T.RandomCrop(20, 4), T.RandomHorizontalFlip()])._steps) == 2  # exact as they are


@pytest.mark.parametrize(("transform", "axis"), [(T.RandomHorizontalFlip(1.0), 3), (T.RandomVerticalFlip(1.0), 2)])
def test_flips_are_exact(transform, axis):
    np.testing.assert_array_equal(transform(X), np.flip(X, axis))
    matrix, size = transform.draw(X.shape, rng())
    np.testing.assert_allclose(T.resample(X, matrix, size), np.flip(X, axis), atol=1e-6)
    none = type(transform)(0.0)
    np.testing.assert_array_equal(none(X), X)


def test_crops_are_windows_of_the_padded_image():
    bytes_ = (X * 255).astype(np.uint8)
    got = T.RandomCrop((12, 30), padding=4, fill=7)(bytes_, rng=rng(1))
    assert got.dtype == np.uint8 and got.shape == (6, 3, 12, 30)
    padded = np.pad(bytes_, ((0, 0), (0, 0), (4, 4), (4, 4)), constant_values=7)
    corners = set()
    for n in range(6):
        found = [
            (i, j) for i in range(17) for j in range(3) if np.array_equal(padded[n, :, i : i + 12, j : j + 30], got[n])
        ]
        assert len(found) == 1
        corners.add(found[0])
    assert len(corners) > 3  # one place an image
    np.testing.assert_array_equal(T.CenterCrop(10)(X), X[:, :, 5:15, 7:17])
    assert T.CenterCrop(30)(X).shape == (6, 3, 30, 30)
    with pytest.raises(ValueError, match="does not fit into images"):
        T.RandomCrop(21)(X)


def test_resize_keeps_means_and_ramps():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32) / 31, (2, 1, 32, 32))
    small = T.Resize(8)(ramp)
    np.testing.assert_allclose(small[0, 0, 0], (np.arange(8) * 4 + 1.5) / 31, atol=1e-5)  # means of four columns
    assert T.Resize((5, 7))(X).shape == (6, 3, 5, 7)
    assert T.Resize(10)(X).shape == (6, 3, 10, 12)
    large = T.Resize((40, 48))(X)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    want = torch.nn.functional.interpolate(torch.tensor(X), (40, 48), mode="bilinear", align_corners=False).numpy()
    np.testing.assert_allclose(large, want, atol=1e-5)


def test_random_resized_crop_takes_windows_of_the_asked_area_and_shape():
    transform = T.RandomResizedCrop(16, scale=(0.2, 0.6), ratio=(0.5, 2.0))
    matrix, size = transform.draw((4000, 3, 64, 96), rng())
    assert size == (16, 16)
    w, h = matrix[:, 0, 0] * 16, matrix[:, 1, 1] * 16
    area = w * h / (64 * 96)
    assert 0.19 < area.min() < 0.22 and 0.55 < area.max() < 0.61 and abs(area.mean() - 0.4) < 0.02
    assert 0.48 < (w / h).min() < 0.55 and 1.8 < (w / h).max() < 2.1
    x, y = matrix[:, 0, 2], matrix[:, 1, 2]
    assert x.min() >= 0 and (x + w).max() <= 96 and y.min() >= 0 and (y + h).max() <= 64
    # no window fits: the largest central one
    matrix, _ = T.RandomResizedCrop(8, scale=(1, 1), ratio=(1, 1)).draw((1, 3, 10, 40), rng())
    np.testing.assert_allclose(matrix[0], [[10 / 8, 0, 15], [0, 10 / 8, 0]])
    whole = T.RandomResizedCrop((20, 24), scale=(1, 1), ratio=(1.2, 1.2))(X)
    np.testing.assert_allclose(whole, X, atol=1e-6)


# --------------------------------------------------------------------------------------------------- boxes and masks


def scene(seed):
    """One rectangle an image as mask (N, H, W) and box."""
    r = rng(seed)
    masks, boxes = np.zeros((8, 96, 128), np.uint8), []
    for n in range(8):
        x, y = r.integers(20, 60), r.integers(20, 45)
        w, h = r.integers(30, 50), r.integers(25, 40)
        masks[n, y : y + h, x : x + w] = 3
        boxes.append(np.array([[x, y, x + w, y + h]], np.float32))
    return masks, boxes


def box_of(mask):
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return np.zeros(4)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


@pytest.mark.parametrize(
    "transform",
    [
        T.RandomHorizontalFlip(1.0),
        T.RandomVerticalFlip(),
        T.RandomCrop((90, 110), 4),
        T.CenterCrop((80, 100)),
        T.Resize((192, 200)),
        T.RandomResizedCrop((128, 160), scale=(0.6, 1.0)),
        T.RandomAffine(0, (0.1, 0.1), (0.9, 1.2)),
        T.RandomAffine(25, (0.05, 0.05), (0.9, 1.2), shear=10),
        T.Compose([T.RandomAffine(10), T.RandomHorizontalFlip(), T.RandomCrop((90, 110))]),
        T.ElasticTransform(60.0, 8.0),
        T.RandomApply([T.RandomAffine(15)], 0.5),
        T.ColorJitter(0.2),
    ],
    ids=lambda t: type(t).__name__,
)
def test_boxes_and_masks_move_with_the_image(transform):
    masks, boxes = scene(2)
    images = (masks[:, None] == 3).astype(np.float32)
    moved, new_boxes, new_masks = transform(images, boxes=boxes, masks=masks, rng=rng(5))
    assert new_masks.dtype == np.uint8 and new_masks.shape == (8, *moved.shape[2:])
    assert set(np.unique(new_masks)) <= {0, 3}
    for n in range(8):
        assert iou(new_boxes[n][0], box_of(new_masks[n])) >= (0.9 if "Elastic" in repr(transform) else 0.95)
        if not isinstance(transform, T.ColorJitter):
            a, b = moved[n, 0] > 0.5, new_masks[n] == 3
            assert (a & b).sum() >= 0.97 * (a | b).sum()
    only = transform(images, boxes=boxes, rng=rng(5))
    np.testing.assert_array_equal(only[1][3], new_boxes[3])
    several = np.stack([masks, 3 - masks], 1)
    _, both = transform(images, masks=several, rng=rng(5))
    np.testing.assert_array_equal(both[:, 0], new_masks)


def test_a_box_that_leaves_has_no_area():
    _, boxes = T.CenterCrop(4)(X, boxes=[np.array([[0, 0, 3, 3], [9, 9, 13, 11]])] * 6)
    area = (boxes[0][:, 2] - boxes[0][:, 0]) * (boxes[0][:, 3] - boxes[0][:, 1])
    np.testing.assert_array_equal(area, [0, 3 * 2])
    np.testing.assert_array_equal(boxes[0][1], [0, 1, 3, 3])


# ------------------------------------------------------------------------------------------------------------ colour


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_equals_torchvision(name, factor, tv):
    factor = factor / 2 - 0.4 if name == "hue" else factor
    got = getattr(T, f"adjust_{name}")(X, np.full(6, factor))
    want = torched(getattr(tv, f"adjust_{name}"), X, factor)
    tolerance = (
        2e-3 if name in ("contrast", "saturation") else 1e-5
    )  # torchvision's weights of grey are 0.2989 0.587 0.114
    np.testing.assert_allclose(got, want, atol=tolerance)


def test_every_image_gets_its_own_jitter():
    same = np.repeat(X[:1], 50, 0)
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    out = jitter(same, rng=rng())
    assert out.min() >= 0 and out.max() <= 1 and len({o.tobytes() for o in out}) == 50
    np.testing.assert_array_equal(T.ColorJitter()(X), X)
    grey = T.ColorJitter(0.4, 0.4, 0.4, 0.1)(X[:, :1], rng=rng())
    assert grey.shape == (6, 1, 20, 24)
    with pytest.raises(ValueError, match=r"hue must lie in -0\.5\.\.0\.5"):
        T.ColorJitter(hue=0.6)


def test_grey():
    g = T.Grayscale()(X)
    np.testing.assert_allclose(g[:, 0], 0.299 * X[:, 0] + 0.587 * X[:, 1] + 0.114 * X[:, 2], rtol=1e-5)
    np.testing.assert_array_equal(T.Grayscale(3)(X), np.repeat(g, 3, 1))
    out = T.RandomGrayscale(0.3)(np.repeat(X, 100, 0), rng=rng())
    greyed = (out[:, 0] == out[:, 1]).all((1, 2))
    assert 0.2 < greyed.mean() < 0.4
    np.testing.assert_array_equal(out[~greyed], np.repeat(X, 100, 0)[~greyed])


def test_normalize_and_to_float():
    y = T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])(X)
    np.testing.assert_allclose(y[:, 1], (X[:, 1] - 0.4) / 0.3, rtol=1e-5, atol=1e-6)
    bytes_ = (X * 255).astype(np.uint8)
    np.testing.assert_allclose(T.ToFloat()(bytes_), bytes_ / 255, rtol=1e-6)
    with pytest.raises(TypeError, match=r"put ToFloat\(\) before it"):
        T.Normalize(0.5, 0.5)(bytes_)
    with pytest.raises(ValueError, match="2 means do not fit"):
        T.Normalize([0.5, 0.4], [0.2, 0.3])(X)
    with pytest.raises(ValueError, match="std must be positive"):
        T.Normalize(0.5, 0)


# ----------------------------------------------------------------------------------------------------------- texture


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.7), (9, 2.0)])
def test_blur_equals_torchvision(size, sigma, tv):
    want = torched(tv.gaussian_blur, X, size, sigma)
    np.testing.assert_allclose(T.GaussianBlur(size, sigma)(X), want, atol=1e-5)


def test_blur_draws_a_width_for_each_image():
    same = np.repeat(X[:1], 20, 0)
    out = T.GaussianBlur(5, (0.3, 2.0))(same, rng=rng())
    assert len({o.tobytes() for o in out}) == 20
    with pytest.raises(ValueError, match="odd"):
        T.GaussianBlur(4)
    with pytest.raises(ValueError, match="too large for images"):
        T.GaussianBlur(41)(X)


def test_noise():
    flat = np.full((10, 3, 64, 64), 0.5, np.float32)
    y = T.GaussianNoise(0.02, 0.1)(flat, rng=rng()) - flat
    assert abs(y.mean() - 0.02) < 0.002 and abs(y.std() - 0.1) < 0.002
    assert T.GaussianNoise(sigma=3.0)(flat).max() == 1 and T.GaussianNoise(sigma=3.0, clip=False)(flat).max() > 2


def test_erasing():
    flat = np.full((2000, 2, 32, 40), 0.5, np.float32)
    y = T.RandomErasing(0.6, scale=(0.1, 0.3), value=2.0)(flat, rng=rng())
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    share = (y[:, 0] == 2).mean((1, 2))
    done = share > 0
    assert 0.55 < done.mean() < 0.65
    assert share[done].min() > 0.09 and share[done].max() < 0.32 and abs(share[done].mean() - 0.2) < 0.02
    for n in np.nonzero(done)[0][:50]:  # one rectangle each
        x0, y0, x1, y1 = box_of(y[n, 0] == 2)
        assert (y[n, 0, y0:y1, x0:x1] == 2).all()
    noisy = T.RandomErasing(1.0, value="random")(flat[:5], rng=rng())
    assert (noisy != 0.5).any() and noisy[noisy != 0.5].std() > 0.9


def test_cutout():
    flat = np.ones((500, 1, 28, 28), np.float32)
    y = T.Cutout(10)(flat, rng=rng())
    area = (y == 0).sum((1, 2, 3))
    assert area.max() == 100 and 25 <= area.min() < 60  # it may reach over the border
    assert (T.Cutout(10, p=0.5)(flat, rng=rng()) == 0).any((1, 2, 3)).mean() == pytest.approx(0.5, abs=0.1)


def test_elastic():
    np.testing.assert_allclose(T.ElasticTransform(alpha=0.0)(X), X, atol=1e-6)
    grid = T.ElasticTransform(30.0, 4.0).draw((20, 1, 28, 28), rng())
    shift = grid - places(np.tile(np.eye(2, 3), (20, 1, 1)), (28, 28))
    assert 0.5 < np.abs(shift).mean() < 3  # pixels
    assert np.abs(np.diff(shift, axis=1)).max() < 1  # smooth: nothing folds
    with pytest.raises(ValueError, match="sigma positive"):
        T.ElasticTransform(1, 0)


# --------------------------------------------------------------------------------------------------- calling and seeds

ALL = [
    T.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5),
    T.RandomCrop(16, 2),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(),
    T.RandomRotation(30),
    T.RandomResizedCrop(16),
    T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    T.RandomGrayscale(0.5),
    T.GaussianBlur(3),
    T.GaussianNoise(),
    T.RandomErasing(),
    T.Cutout(5),
    T.ElasticTransform(20.0),
    T.RandomApply([T.GaussianBlur(5)], 0.5),
    T.Compose([T.RandomAffine(5), T.ColorJitter(0.2), T.RandomErasing()]),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_seeds_types_and_single_images(transform):
    fd.manual_seed(3)
    first = transform(X)
    second = transform(X)
    fd.manual_seed(3)
    np.testing.assert_array_equal(transform(X), first)
    assert not np.array_equal(first, second)
    assert first.dtype == np.float32
    wide = transform(X.astype(np.float64), rng=rng(1))
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, transform(X, rng=rng(1)), atol=1e-4)
    t = transform(fd.tensor(X), rng=rng(2))
    assert isinstance(t, fd.Tensor)
    np.testing.assert_array_equal(t.numpy(), transform(X, rng=rng(2)))
    one = transform(X[0], rng=rng(2))
    assert one.ndim == 3 and one.shape[0] == 3
    before = X.copy()
    transform(X)
    np.testing.assert_array_equal(X, before)  # the input stays
    assert type(transform).__name__ in repr(transform)
    with pytest.raises(ValueError, match="expected images"):
        ALL[0](X[0, 0])


def test_a_loader_gives_the_same_batches_for_any_number_of_workers():
    data = T.TransformedDataset(TensorDataset(X, np.arange(6)), T.Compose(ALL[:3]), batch_transform=CutMix(6))

    def run(workers):
        loader = DataLoader(data, batch_size=4, shuffle=True, seed=5, num_workers=workers)
        return [(x.numpy(), y.numpy()) for epoch in range(2) for x, y in loader]

    alone, threaded = run(0), run(2)
    assert alone[0][0].shape == (4, 3, 16, 16) and alone[0][1].shape == (4, 6)
    for (x, y), (u, v) in zip(alone, threaded, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
    assert not np.array_equal(alone[0][0], alone[2][0])  # another epoch, other numbers


def test_views_for_contrastive_learning():
    data = T.TransformedDataset(TensorDataset(X, np.arange(6)), T.Views(T.RandomResizedCrop(12), 2))
    first, second, y = next(iter(DataLoader(data, batch_size=3, seed=0)))
    assert first.shape == second.shape == (3, 3, 12, 12) and y.shape == (3,)
    assert not np.array_equal(first.numpy(), second.numpy())
    a, b, label = data[2]
    assert a.shape == (3, 12, 12) and label.item() == 2 and not np.array_equal(a.numpy(), b.numpy())


def test_images_of_different_sizes_are_brought_to_one():
    items = [(np.ones((3, h, w), np.float32), n) for n, (h, w) in enumerate([(20, 30), (25, 18), (40, 40)])]
    data = T.TransformedDataset(items, T.RandomResizedCrop(16))
    x, y = next(iter(DataLoader(data, batch_size=3)))
    assert x.shape == (3, 3, 16, 16) and y.numpy().tolist() == [0, 1, 2]
    np.testing.assert_allclose(x.numpy(), 1, rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]"):
        T.RandomHorizontalFlip(1.5)
    with pytest.raises(ValueError, match="translate must be two shares"):
        T.RandomAffine(5, translate=(2, 0))
    with pytest.raises(TypeError, match=r"ToFloat\(\)"):
        T.RandomAffine(5)((X * 255).astype(np.uint8))
    with pytest.raises(ValueError, match="as many arrays of boxes"):
        T.RandomAffine(5)(X, boxes=[np.zeros((1, 4))])
    with pytest.raises(ValueError, match=r"masks .* do not fit"):
        T.RandomAffine(5)(X, masks=np.zeros((6, 20, 20)))
    with pytest.raises(TypeError, match="expected transforms"):
        T.Compose([T.RandomAffine(5), 3])
    with pytest.raises(ValueError, match="changes the shape"):
        T.RandomApply([T.RandomCrop(5)], 1.0)(X)
    with pytest.raises(ValueError, match="takes \\(x, y\\), but the batches have 3 fields"):
        T.TransformedDataset(TensorDataset(X, X, X), batch_transform=CutMix(3)).take([0, 1])
