"""Cellpose 3 trained from scratch, through its own functions."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import CellposeRecipe
from benchmarks.learn_score import Segmented
from benchmarks.learn_train import N_LINES, Clock, Trained, count
from rleseg_core.data import ImageStack

PROBED = 2  # epochs whose cost says how many there will be, after one that is not typical
GREY = [0, 0]  # channels: images are grey, and there are no nuclei beside


class CellposeContender:
    """Runs of Cellpose on the training images of ours, cut and varied by Cellpose itself.

    Parameters
    ----------
    fields : Fields
        What teaches, grey images of one class.
    recipe : CellposeRecipe
        How.
    seed : int
        Of the weights; images are drawn by the number of the epoch.
    device : torch.device
        Where.
    folder : Path
        For its files.
    """

    def __init__(
        self, fields: Fields, recipe: CellposeRecipe, seed: int, device: torch.device, folder: Path
    ) -> None:
        if fields.n_channels > 1 or len(fields.class_names) > 1:
            raise SystemExit("Cellpose is compared on grey images of one class")
        self.fields, self.recipe, self.seed, self.device = fields, recipe, seed, device
        self.folder = folder
        self.n_parameters = 0

    def to_json(self) -> dict[str, object]:
        """Its recipe."""
        return asdict(self.recipe)

    def train(self, minutes: float) -> Trained:
        """Train for a time: flows are computed and a few epochs timed, and the rest follows."""
        from cellpose.dynamics import labels_to_flows

        images, ids = _grey(self.fields)
        some = [one.copy() for one in ids[:2]]  # they are numbered anew in place
        self._epochs(1, images[:2], labels_to_flows(some, device=self.device))  # it compiles
        clock = Clock(self.device)
        flows = labels_to_flows([one.copy() for one in ids], device=self.device)
        before = clock.seconds
        self._epochs(PROBED, images, flows)
        probed = clock.seconds
        cost = (probed - before) / PROBED
        n_epochs = max(1, int((60 * minutes - probed) / cost))
        print(f"cellpose: {n_epochs} epochs of {cost:.2f} s {clock.kind} time", flush=True)
        model, losses = self._epochs(n_epochs, images, flows)
        self.n_parameters = count(model.net)

        def predict(stack: ImageStack, frame: int) -> Segmented:
            found, *_ = model.eval(np.asarray(stack.frame(frame))[..., 0], channels=GREY)
            return Segmented((found > 0).astype(np.uint8), found)

        every = max(1, n_epochs // N_LINES)
        return Trained(
            predict=predict,
            n_steps=n_epochs * -(-self._per_epoch(len(images)) // self.recipe.batch_size),
            minutes=clock.seconds / 60,
            probe_minutes=probed / 60,
            losses=[float(np.mean(losses[k : k + every])) for k in range(0, n_epochs, every)],
        )

    def _per_epoch(self, n_images: int) -> int:
        """Images of an epoch: each once, and a whole batch where there are fewer."""
        return max(n_images, self.recipe.batch_size)

    def _epochs(
        self, n_epochs: int, images: list[np.ndarray], flows: list[np.ndarray]
    ) -> tuple[Any, np.ndarray]:
        """A model of fresh weights that has been trained, and its losses."""
        from cellpose.models import CellposeModel
        from cellpose.train import train_seg

        torch.manual_seed(self.seed)
        model = CellposeModel(pretrained_model=None, device=self.device, mkldnn=False, nchan=2)
        path, losses, _ = train_seg(
            model.net,
            images,
            flows,
            channels=GREY,
            n_epochs=n_epochs,
            save_path=self.folder,
            model_name="cellpose",
            nimg_per_epoch=self._per_epoch(len(images)),
            **asdict(self.recipe),
        )
        trained = CellposeModel(
            pretrained_model=str(path), device=self.device, mkldnn=False, nchan=2
        )
        return trained, losses


def _grey(fields: Fields) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Training images (Y, X) and ids of their objects."""
    images, every = [], []
    for stack in fields.train:
        for frame in stack.frames:
            ids = stack.instance_frame(frame)
            assert ids is not None
            images.append(np.asarray(stack.images.frame(frame))[..., 0])
            every.append(ids)
    return images, every
