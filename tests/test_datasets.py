"""The real data sets: found, verified, split without a leak, and refused in one line where they are not there."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl.data import BOOK_GROUPS, DataLoader, Table, _files, tables
from fastdl.data._split import held_out
from fastdl.data.photos import FILES as PHOTOS

ROOT = Path(__file__).parents[1] / "datasets"
in_checkout = pytest.mark.skipif(not ROOT.is_dir(), reason="datasets/ of the checkout is not there")
SOURCES = [
    p for p in sorted(Path(fastdl.data.__file__).parent.glob("*.py")) if re.search(r"^FILES? =", p.read_text(), re.M)
]


# ---------------------------------------------------------------------------------------------------------- the files


@in_checkout
def test_manifest_names_every_file_with_its_checksum_and_licence():
    files = json.loads((ROOT / "fastdl_datasets" / "manifest.json").read_text())["files"]
    there = {
        str(p.relative_to(ROOT / "fastdl_datasets"))
        for p in (ROOT / "fastdl_datasets").rglob("*")
        if p.is_file() and p.suffix in (".npz", ".gz", ".png", ".jpg", ".json") and p.name != "manifest.json"
    }
    assert there == set(files)
    licences = (ROOT / "fastdl_datasets" / "LICENSES.md").read_text()
    for name, entry in files.items():
        data = (ROOT / "fastdl_datasets" / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"]), name
        assert entry["licence"] and entry["origin"] and f"`{name}`" in licences


@in_checkout
def test_loaders_expect_the_files_of_the_manifest():
    files = json.loads((ROOT / "fastdl_datasets" / "manifest.json").read_text())["files"]
    expected = {}
    for source in SOURCES:
        expected.update(re.findall(r'"([\w/]+\.[\w.]+)", "([0-9a-f]{64})"', source.read_text()))
    expected.update(PHOTOS.values())
    assert expected == {name: entry["sha256"] for name, entry in files.items()}


@in_checkout
@pytest.mark.slow
def test_wheel_holds_all_files(tmp_path):
    shutil.copytree(ROOT, tmp_path / "datasets")
    code = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path / "datasets", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    site = tmp_path / "site"
    shutil.unpack_archive(next(tmp_path.glob("*.whl")), site, "zip")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    manifest = json.loads((site / "fastdl_datasets" / "manifest.json").read_text())
    assert manifest["version"] == version
    for name, entry in manifest["files"].items():
        assert (site / "fastdl_datasets" / name).stat().st_size == entry["bytes"]


def test_files_that_are_missing_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "folders", lambda: [tmp_path])
    with pytest.raises(FileNotFoundError, match=r"x\.gz is not installed; pip install fastdl-datasets .* FASTDL_HOME"):
        _files.find("x.gz", "0" * 64)
    (tmp_path / "x.gz").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"x\.gz is damaged or another version \(sha256 ba7816bf8f01"):
        _files.find("x.gz", "0" * 64)
    assert _files.find("x.gz", hashlib.sha256(b"abc").hexdigest()) == tmp_path / "x.gz"


def test_home_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTDL_HOME", str(tmp_path))
    assert _files.folders()[0] == tmp_path
    monkeypatch.delenv("FASTDL_HOME")
    assert tmp_path not in _files.folders()


# ----------------------------------------------------------------------------------------------------- what is in them


def keys(part, column):
    return set(getattr(part, column))


@pytest.mark.parametrize(
    "name, sizes, column",
    [
        ("emoji", (1722, 189), "name"),
        ("bible_en_es", (29535, 1541), "english"),
        ("django_pairs", (4671, 527), "english"),
        ("cmudict", (118323, 6244), "word"),
        ("sentiment", (8484, 2121), "text"),
        ("kjv_verses", (21973, 2435), "text"),
        ("chorales", (329, 34), "name"),
    ],
)
def test_splits_are_fixed_and_share_nothing(name, sizes, column):
    split = getattr(fastdl.data, name)()
    assert (len(split.train), len(split.test)) == sizes
    assert not keys(split.train, column) & keys(split.test, column)
    assert getattr(fastdl.data, name)() is split  # read once
    for values in split.train.columns.values():
        assert isinstance(values, tuple) or (values.dtype != object and not values.flags.writeable)


def test_emoji():
    train, test = fastdl.data.emoji()
    assert train.google.dtype == train.twitter.dtype == np.uint8 and train.google.shape == (1722, 32, 32, 4)
    assert [fastdl.data.emoji_categories()[i] for i in test.category_id] == list(test.category)
    assert [fastdl.data.emoji_subcategories()[i] for i in test.subcategory_id] == list(test.subcategory)
    assert "man dancing" not in test.name or "woman dancing" not in train.name
    x = fastdl.data.composite(train.google[:3], (0, 255, 0))
    assert x.shape == (3, 3, 32, 32) and x.dtype == np.float32
    clear = train.google[:3, ..., 3] == 0
    assert clear.any() and (x[:, 1][clear] == 1).all() and (x[:, 0][clear] == 0).all()
    solid = train.google[:3, ..., 3] == 255
    np.testing.assert_allclose(x[:, 2][solid], train.google[:3, ..., 2][solid] / np.float32(255), rtol=1e-6)
    with pytest.raises(ValueError, match="RGBA"):
        fastdl.data.composite(np.zeros((2, 2, 3), np.uint8))


def test_running_text():
    train, test = fastdl.data.kjv()
    assert len(train) + len(test) == 4_161_722 and len(set(train + test)) == 73
    assert train.startswith("In the beginning God") and test.endswith("Amen.") and train.endswith("\n")
    near, scored = fastdl.data.kjv(900_000, 40_000)
    assert train.endswith(near) and test.startswith(scored) and (len(near), len(scored)) == (900_000, 40_000)
    # single characters, counted on the one part and scored on the other: the published 4.407 bits a character
    seen = {c: near.count(c) + 1 / 73 for c in set(near + scored)}
    bits = -sum(np.log2(seen[c] / (len(near) + 1)) * scored.count(c) for c in seen) / len(scored)
    assert bits == pytest.approx(4.407, abs=5e-4)
    train, test = fastdl.data.pride_and_prejudice()
    assert "It is a truth universally acknowledged" in train and len(train) + len(test) == 684_767


def test_verses_have_their_books():
    train, _ = fastdl.data.kjv_verses()
    assert set(train.book.tolist()) == set(range(1, 67))
    assert train.book[train.testament == 2].min() == 40
    groups = {BOOK_GROUPS[g] for g in train.group[train.book == 19]}  # the Psalms
    assert groups == {"poetry"} and BOOK_GROUPS[train.group[train.book == 45][0]] == "letters"


def test_sentences_and_ratings():
    train, test = fastdl.data.sentiment()
    for part in (train, test):
        assert part.rating.dtype == np.float32 and part.rating.min() >= -4 and part.rating.max() <= 4
        assert 0.48 < part.positive.mean() < 0.51  # both classes equally often, in both parts
    assert "best" in "".join(t for t, r in zip(train.text, train.rating, strict=True) if r > 3.5)


def test_pronunciations():
    train, test = fastdl.data.cmudict()
    assert len({p for row in train.phonemes + test.phonemes for p in row}) == 39
    both = dict(zip(train.word + test.word, train.phonemes + test.phonemes, strict=True))
    assert both["PHONEME"] == tuple("F OW N IY M".split())
    stressed = fastdl.data.cmudict(stress=True, letters_only=False)
    assert len(stressed.train) + len(stressed.test) == 133_784
    assert {p for row in stressed.train.phonemes for p in row} > {"AH0", "AH1"}


def test_chorales_in_other_keys_stay_together():
    train, test = fastdl.data.chorales()
    place = {**dict.fromkeys(train.name, "train"), **dict.fromkeys(test.name, "test")}
    assert place["bwv244.15"] == place["bwv244.17"]  # the same setting a semitone apart
    for pitches in train.pitches + test.pitches:
        assert pitches.dtype == np.uint8 and pitches.shape[1] == 4 and pitches.max() <= 81


def test_messages_of_one_language():
    train, test = fastdl.data.django_pairs("ja")
    assert len(train) + len(test) == 775 and set(train.language) == {"ja"}
    with pytest.raises(ValueError, match="no language 'ko'; there are de, es, fr, it, ja, nl, pt_BR"):
        fastdl.data.django_pairs("ko")


def test_photos_and_textures():
    pytest.importorskip("PIL")
    photos = fastdl.data.photos()
    assert len(photos) == 13 and photos["coffee"].shape == (400, 600, 3) and photos["camera"].shape == (512, 512)
    with pytest.raises(KeyError, match=r"no photograph 'lena'"):
        photos["lena"]
    with pytest.raises(ValueError, match="read-only"):
        photos["camera"][0, 0] = 0
    train, test = fastdl.data.texture_patches()
    assert train.tensors[0].shape == (1395, 1, 32, 32) and np.bincount(test.tensors[1].array).tolist() == [128] * 3
    np.testing.assert_allclose(test.tensors[0].array[128, 0] * 255, photos["grass"][:32, 256:288], rtol=1e-6)


def test_kept_arrays_are_read_only_and_can_be_learned_from():
    pytest.importorskip("PIL")
    train, _ = fastdl.data.texture_patches()
    x, y = train.tensors
    with pytest.raises(ValueError, match="read-only"):
        x.array[0] = 0
    layer = fastdl.nn.Sequential(
        fastdl.nn.Conv2d(1, 2, 3), fastdl.nn.ReLU(), fastdl.nn.Flatten(), fastdl.nn.Linear(1800, 3)
    )
    fastdl.nn.functional.cross_entropy(layer(x), y).backward()
    assert np.isfinite(layer[0].weight.grad.array).all()


def test_published_figures_of_models():
    figures = fastdl.data.model_figures()
    assert len(figures) == 121 and figures["vgg16"]["num_params"] == 138_357_544


def test_tables_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    for name in ("breast_cancer", "wine", "iris"):
        source = getattr(datasets, f"load_{name}")()
        train, test = getattr(tables, name)()
        x = np.concatenate([train.tensors[0].array, test.tensors[0].array])
        assert np.sort(x, 0) == pytest.approx(np.sort(source.data, 0), rel=1e-6)
        assert np.bincount(train.tensors[1].array).min() > 3 * np.bincount(test.tensors[1].array).min()
    train, test = tables.diabetes()
    source = datasets.load_diabetes()
    np.testing.assert_allclose(test.tensors[0].array[0], source.data[2], atol=1e-7)
    assert test.tensors[1].array[0, 0] == source.target[2]
    assert tables.linnerud().train.tensors[1].shape == (16, 3)


# ------------------------------------------------------------------------------------------------------------- helpers


def test_held_out_by_group_and_stratum():
    mask = held_out(["a", "b", "a", "c", "d", "b"], every=2)
    assert mask.tolist() == [False, True, False, False, True, True]
    mask = held_out(list(range(8)), every=4, strata=list("xxxxyyyy"))
    assert mask.tolist() == [False, False, True, False] * 2


def test_table():
    table = Table(x=np.arange(4), word=("a", "b", "c", "d"))
    assert table.where(table.x % 2 == 1).word == ("b", "d") and table.where([3, 0]).x.tolist() == [3, 0]
    assert repr(table) == "Table of 4 rows: x, word"
    batch = next(iter(DataLoader(table, batch_size=3)))
    assert batch.x.tolist() == [0, 1, 2] and batch.word == ["a", "b", "c"]
    with pytest.raises(AttributeError, match="no column 'y'; there are x, word"):
        _ = table.y
    with pytest.raises(ValueError, match=r"same length; got \{'a': 2, 'b': 1\}"):
        Table(a=[1, 2], b=[1])
