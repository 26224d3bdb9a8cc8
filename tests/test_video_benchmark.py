from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.video import MASK, PATCH, STRIDE, Lasting, Replay, movie

from rleseg_core.checkpoints import build_model, new_model
from rleseg_core.inference import PredictOptions, Segmenter
from rleseg_core.reports import product_of
from rleseg_core.spec import MaskSpec, WindowSpec
from rleseg_core.tokens import preset


@pytest.mark.benchmark
def test_windows_that_are_merged_again_are_those_of_a_prediction(tmp_path: Path) -> None:
    stack = movie(1000)
    torch.manual_seed(0)
    info = new_model(
        tmp_path / "model.safetensors",
        size="test",
        scheme=preset("tac"),
        mask_spec=MaskSpec(size=(MASK, MASK), class_names=stack.class_names, n_frames=4),
        window_spec=WindowSpec(patch=PATCH, patch_stride=STRIDE, n_frames=4, frame_stride=4),
        max_tokens=40,
    )
    segmenter = Segmenter(info, build_model(info), "cpu")
    replay = Replay(segmenter, [1000])
    for options in (
        PredictOptions(frame_stride=1, stitch="last", stitch_time="vote", refine=False),
        PredictOptions(frame_stride=2, stitch="weighted", stitch_time="max", refine=False),
    ):
        expected = product_of(segmenter.predict(stack.images, options), lambda _: None)
        np.testing.assert_array_equal(replay.merged(1000, options), expected)


@pytest.mark.benchmark
def test_long_movie_shows_a_short_one_again_and_again() -> None:
    frames = np.asarray(movie(0).images.data)[..., 0]
    lasting = Lasting(30)
    np.testing.assert_array_equal(lasting[25], frames[1])
    np.testing.assert_array_equal(lasting[10:14, 3], frames[[10, 11, 0, 1], 3])
