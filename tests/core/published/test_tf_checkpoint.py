import shutil

import numpy as np
import pytest

from rleseg_core.errors import CheckpointError
from rleseg_core.published import read_tf_checkpoint


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    names = [f"model/layer/{k}/kernel" for k in range(120)]
    values = {name: rng.normal(size=(3, k % 4 + 1)) for k, name in enumerate(names)}
    return {name: value.astype(np.float32) for name, value in values.items()} | {
        "global_step": np.array(123, np.int64),
        "model/empty": np.empty((0, 4), np.float32),
        "model/half": np.ones(3, np.float16),
        "optimizer/_variables/1": np.zeros(5, np.float32),
    }


@pytest.fixture
def checkpoint(tmp_path, variables, write_tf_checkpoint):
    return write_tf_checkpoint(tmp_path / "ckpt-123", variables)


@pytest.fixture
def copied(golden_checkpoint, tmp_path):
    """A checkpoint of the published implementation that may be damaged."""
    folder = shutil.copytree(golden_checkpoint("static_tiny_frozen"), tmp_path / "copied")
    for path in folder.iterdir():
        path.chmod(0o644)
    folder.chmod(0o755)
    return folder


def assert_same(values, expected):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert values[name].dtype == value.dtype
        assert values[name].shape == value.shape
        np.testing.assert_array_equal(values[name], value)


@pytest.mark.parametrize("name", ["static_tiny_frozen", "static_tiny_deferred"])
def test_published_checkpoints_are_read_to_the_bit(golden, golden_checkpoint, name):
    expected = {key[2:]: value for key, value in golden(name).items() if key.startswith("w:")}
    folder = golden_checkpoint(name)
    assert_same(read_tf_checkpoint(folder, under="model/"), expected)
    everything = read_tf_checkpoint(folder / "ckpt-123")
    assert everything["global_step"].shape == ()
    assert everything["save_counter"].dtype == np.int64
    assert not any("OBJECT_GRAPH" in key for key in everything)


@pytest.mark.parametrize("n_shards", [1, 3])
def test_round_trip(tmp_path, variables, write_tf_checkpoint, n_shards):
    prefix = write_tf_checkpoint(tmp_path / "ckpt-123", variables, n_shards)
    assert_same(read_tf_checkpoint(prefix), variables)


def test_every_way_to_name_it(checkpoint, variables):
    data = checkpoint.with_name("ckpt-123.data-00000-of-00001")
    index = checkpoint.with_name("ckpt-123.index")
    for path in (checkpoint, str(index), data, checkpoint.parent):
        assert_same(read_tf_checkpoint(path), variables)


def test_the_text_file_names_the_newest(checkpoint, write_tf_checkpoint):
    newest = {"a": np.ones(1, np.float32)}
    write_tf_checkpoint(checkpoint.with_name("ckpt-99"), newest)
    listing = checkpoint.parent / "checkpoint"
    listing.write_text('model_checkpoint_path: "/trained/elsewhere/ckpt-99"\n')
    assert_same(read_tf_checkpoint(checkpoint.parent), newest)
    listing.write_text('model_checkpoint_path: "ckpt-7"\n')
    with pytest.raises(CheckpointError, match="names none of them; give one, such as"):
        read_tf_checkpoint(checkpoint.parent)


def test_only_what_is_asked_for(checkpoint):
    assert list(read_tf_checkpoint(checkpoint, under="model/h")) == ["model/half"]


def test_missing_files_are_named(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"no TensorFlow checkpoint .* is missing; give the"):
        read_tf_checkpoint(tmp_path / "ckpt-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no TensorFlow checkpoint"):
        read_tf_checkpoint(tmp_path / "empty")
    checkpoint.with_name("ckpt-123.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointError, match="data-00000-of-00001 is missing; keep"):
        read_tf_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [b"", b"hello, no checkpoint", bytes(4000)])
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "ckpt-1.index"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the index of a TensorFlow checkpoint"):
        read_tf_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000, -1])
def test_a_truncated_index(copied, kept):
    path = copied / "ckpt-123.index"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is cut short"):
        read_tf_checkpoint(copied)


@pytest.mark.parametrize("kept", [0, 1000, 600_000])
def test_truncated_data(copied, kept):
    path = copied / "ckpt-123.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is cut short: it has"):
        read_tf_checkpoint(copied)


def test_a_flipped_bit_in_the_data_is_noticed(copied):
    path = copied / "ckpt-123.data-00000-of-00001"
    whole = path.read_bytes()
    size = sum(value.nbytes for value in read_tf_checkpoint(copied).values())
    for at in np.random.default_rng(0).integers(0, size, 25).tolist():
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match=r"is damaged at \S+ \(its checksum differs\)"):
            read_tf_checkpoint(copied)


def test_a_flipped_bit_in_the_index_never_changes_a_value(checkpoint, variables):
    path = checkpoint.with_name("ckpt-123.index")
    whole, harmless = path.read_bytes(), 0
    places = np.random.default_rng(0).integers(0, len(whole), 300).tolist()
    for at in [*places, *range(len(whole) - 48, len(whole))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 32]) + whole[at + 1 :])
        try:
            assert_same(read_tf_checkpoint(checkpoint), variables)
        except CheckpointError:
            continue
        harmless += 1
    assert harmless <= 48  # in the footer: the place of the table that is not used, and padding
