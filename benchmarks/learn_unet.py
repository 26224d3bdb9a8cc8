"""The U-Nets beside ours: of classes, and of interiors and borders with watershed."""

from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from math import cos, pi

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.learn_data import Fields
from benchmarks.learn_recipe import Recipe, RivalRecipe
from benchmarks.learn_score import Predict, Segmented, with_pieces
from benchmarks.learn_train import Losses, Trained, count, train_for
from benchmarks.learn_watershed import Watershed, choose
from rleseg_core.data import ImageStack, resized_shape
from rleseg_core.data.windows import model_frame
from rleseg_core.devices import multiplies_bf16
from rleseg_core.spec import WindowSpec
from rleseg_core.training.sampling import DrawnBatch, patches_on

NEAR = 2  # pixels: what is as near to two objects lies between them


class UNetContender:
    """Runs of a U-Net of MONAI on the patches that `Ours` sees, with their masks in full.

    Parameters
    ----------
    fields : Fields
        What teaches.
    ours : Recipe
        Decides on the patches.
    recipe : RivalRecipe
        Everything else.
    seed : int
        Of weights and patches.
    device : torch.device
        Where.
    n_parameters : int
        About as many as it shall have.
    """

    name = "unet"
    with_borders = False

    def __init__(
        self,
        fields: Fields,
        ours: Recipe,
        recipe: RivalRecipe,
        seed: int,
        device: torch.device,
        n_parameters: int,
    ) -> None:
        self.fields, self.recipe, self.seed, self.device = fields, recipe, seed, device
        self.spec, side = ours.window_spec(fields), ours.patch
        self.n_channels = min(fields.n_channels, 3)
        self.n_outputs = 1 + len(fields.class_names) + self.with_borders
        self.sampler = ours.sampler(fields, (side, side), seed, with_ids=self.with_borders)
        self.width = width_for(self.net, n_parameters)

    @property
    def n_parameters(self) -> int:
        """Trainable values."""
        return count(self.net(self.width))

    def to_json(self) -> dict[str, object]:
        """Its recipe."""
        return asdict(self.recipe)

    def net(self, width: int) -> nn.Module:
        """The net with that many channels at its first level."""
        return unet(width, self.n_channels, self.n_outputs, self.recipe)

    def train(self, minutes: float) -> Trained:
        """Train for a time."""
        return train_for(minutes, self.begin, self.device, name=self.name)

    def begin(self, n_steps: int) -> Losses:
        """A run with fresh weights."""
        torch.manual_seed(self.seed)
        # channels last: a fifth faster on the CPU
        recipe = self.recipe
        net = self.net(self.width).to(self.device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )

        def rate(step: int) -> float:
            warm = max(1, round(recipe.warm_up * n_steps))
            done = max(0, step - warm) / max(1, n_steps - warm + 1)
            return min((step + 1) / warm, 0.5 + 0.5 * cos(pi * min(1.0, done)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        loss_of = self._loss()
        net.train()
        with ThreadPoolExecutor(1, "patches") as pool:
            coming = pool.submit(self.sampler.batch, 0)
            step = 0
            while step < n_steps:
                images, masks = self._on_device(coming.result())
                step += 1
                coming = pool.submit(self.sampler.batch, step)
                with half_on(self.device, learns=True):
                    logits = net(images)
                loss = loss_of(logits.float(), masks)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                n_steps = (yield float(loss.detach())) or n_steps
        return self._predict(net.eval())

    def _loss(self) -> nn.Module:
        from monai.losses import DiceCELoss

        return DiceCELoss(to_onehot_y=True, softmax=True)

    def _on_device(self, drawn: DrawnBatch) -> tuple[Tensor, Tensor]:
        """Patches (B, C, P, P) in [0, 1] and their masks (B, 1, P, P)."""
        seen = patches_on(drawn, self.device)
        return seen.images[:, 0, : self.n_channels], seen.classes

    def _predict(self, net: nn.Module) -> Predict:
        def predict(stack: ImageStack, frame: int) -> Segmented:
            logits = self._logits(net, stack, frame)
            classes = logits.argmax(0).to(torch.uint8).cpu().numpy()
            return with_pieces(classes, self.fields.smallest)

        return predict

    def _logits(self, net: nn.Module, stack: ImageStack, frame: int) -> Tensor:
        return frame_logits(net, stack, frame, self.spec, self.recipe, self.device)


class WatershedContender(UNetContender):
    """The U-Net with a class for borders, whose interiors grow by watershed.

    Thresholds of its probabilities are chosen on the validation images, after the training and not
    on the clock.
    """

    name = "unet-watershed"
    with_borders = True

    def train(self, minutes: float) -> Trained:
        """Train for a time, then choose the thresholds."""
        return choose(super().train(minutes), self.fields)

    def _loss(self) -> nn.Module:
        from monai.losses import DiceCELoss

        weights = torch.ones(self.n_outputs, device=self.device)
        weights[-1] = self.recipe.border_weight
        return DiceCELoss(to_onehot_y=True, softmax=True, weight=weights)

    def _on_device(self, drawn: DrawnBatch) -> tuple[Tensor, Tensor]:
        seen = patches_on(drawn, self.device)
        assert seen.instances is not None
        masks = with_borders(seen.classes, seen.instances, self.n_outputs - 1)
        return seen.images[:, 0, : self.n_channels], masks

    def _predict(self, net: nn.Module) -> Predict:
        def probabilities(stack: ImageStack, frame: int) -> np.ndarray:
            return self._logits(net, stack, frame).softmax(0).cpu().numpy()

        return Watershed(probabilities, self.fields.smallest)


def unet(width: int, n_channels: int, n_outputs: int, recipe: RivalRecipe) -> nn.Module:
    """MONAI's residual U-Net with `width` channels at its first level, and random weights."""
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=2,
        in_channels=n_channels,
        out_channels=n_outputs,
        channels=tuple(width * 2**level for level in range(recipe.n_levels)),
        strides=(2,) * (recipe.n_levels - 1),
        num_res_units=recipe.n_residual,
        norm="batch",
    )


def width_for(net: Callable[[int], nn.Module], n_parameters: int) -> int:
    """The width with which a net has as nearly as possible so many parameters."""
    widths = range(2, 129)
    above = bisect_left(widths, n_parameters, key=lambda width: count(net(width)))
    nearest = widths[max(0, above - 1) : above + 1]
    return min(nearest, key=lambda width: abs(count(net(width)) - n_parameters))


@torch.inference_mode()
def frame_logits(
    net: nn.Module,
    stack: ImageStack,
    frame: int,
    spec: WindowSpec,
    recipe: RivalRecipe,
    device: torch.device,
) -> Tensor:
    """Logits (n_outputs, Y, X) of a frame in source pixels, from windows that overlap."""
    from monai.inferers import sliding_window_inference

    image = model_frame(stack, frame, spec).image
    with half_on(device):
        logits: Tensor = sliding_window_inference(
            torch.from_numpy(image.transpose(2, 0, 1)).to(device)[None],
            (spec.patch, spec.patch),
            16,
            net,
            overlap=recipe.overlap,
            mode="gaussian",
        )
    return in_source(logits.float(), stack.shape, spec)[0]


def with_borders(classes: Tensor, ids: Tensor, border: int) -> Tensor:
    """Classes with one more for borders: edges of objects, and what lies between two of them.

    Parameters
    ----------
    classes, ids : (B, 1, Y, X) integer tensor
        Class ids and ids of objects.
    border : int
        The id of the class.

    Returns
    -------
    (B, 1, Y, X) tensor
        `border` in pixels of an object that have a neighbour outside of it, corners included, and
        in all pixels that have two objects within `NEAR` pixels in rows and columns.
    """
    known = ids.float()
    nothing = known.max() + 1
    objects = torch.where(known > 0, known, nothing)  # background as the highest
    edge = (known > 0) & (_highest(known, 1) != _lowest(known, 1))
    most, least = _highest(known, NEAR), _lowest(objects, NEAR)
    between = (most > 0) & (least < nothing) & (most != least)
    return torch.where(edge | between, torch.full_like(classes, border), classes)


def _highest(values: Tensor, reach: int) -> Tensor:
    """Maximum of the square around each pixel."""
    return F.max_pool2d(values, 2 * reach + 1, stride=1, padding=reach)


def _lowest(values: Tensor, reach: int) -> Tensor:
    return -_highest(-values, reach)


def in_source(logits: Tensor, shape: tuple[int, ...], spec: WindowSpec) -> Tensor:
    """Logits (1, C, Y, X) in source pixels of those (1, C, y, x) in resized pixels."""
    rows, cols = resized_shape(shape, spec)
    inside = logits[:, :, :rows, :cols]
    if (rows, cols) == shape[1:3]:
        return inside
    return F.interpolate(inside, shape[1:3], mode="bilinear", align_corners=False)


def half_on(device: torch.device, *, learns: bool = False) -> torch.autocast | nullcontext[None]:
    """Bfloat16 where we compute in it: on a GPU, and to learn on a CPU that has units for it."""
    if device.type == "cuda" or (learns and multiplies_bf16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
