"""Residual trunks: ResNet v1.5 with torchvision's parameter names, and a light one."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config import ModelConfig

Norm = Callable[[int], nn.Module]


def group_norm(channels: int) -> nn.Module:
    """Group normalisation with about sixteen channels a group."""
    groups = max(1, channels // 16)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


NORMS: dict[str, Norm] = {"batch": partial(nn.BatchNorm2d, eps=1e-5), "group": group_norm}


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias that keeps the size, or divides it by the stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))


class Bottleneck(nn.Module):
    """1×1, 3×3 with the stride (v1.5), 1×1 to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm, *, project: bool) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = conv(inputs, width, 1), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), norm(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), norm(outputs)
        self.downsample = _shortcut(inputs, outputs, stride, norm) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, the first with the stride."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm, *, project: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3), norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


def same_max_pool(x: Tensor) -> Tensor:
    """3×3 maximum with stride 2, padded below and right first, as the published weights expect."""
    (top, bottom), (left, right) = (
        (0, 1) if side % 2 == 0 else (1, 1) for side in (x.shape[-2], x.shape[-1])
    )
    return F.max_pool2d(F.pad(x, (left, right, top, bottom), value=float("-inf")), 3, 2)


class ResNet(nn.Module):
    """The feature maps of an image at four strides.

    Parameters
    ----------
    config : ModelConfig
        'bottleneck': 7×7 stem and maximum pool, strides 4 to 32, values as they come (the paper).
        'basic': 3×3 stem, strides 2 to 16, values centred.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        norm, width = NORMS[config.trunk_norm], config.trunk_widths[0]
        self.deep = config.trunk == "bottleneck"
        self.conv1 = conv(3, width, 7 if self.deep else 3, 2)
        self.bn1 = norm(width)
        channels, outputs = width, []
        for k, (width, n_blocks) in enumerate(
            zip(config.trunk_widths, config.trunk_blocks, strict=True)
        ):
            stride = 1 if k == 0 else 2
            block = Bottleneck if self.deep else BasicBlock
            stage = nn.Sequential()
            for i in range(n_blocks):
                step = stride if i == 0 else 1
                project = i == 0 and (self.deep or step > 1 or channels != width)
                stage.append(block(channels, width, step, norm, project=project))
                channels = width * block.expansion
            self.add_module(f"layer{k + 1}", stage)
            outputs.append(channels)
        self.channels = tuple(outputs)
        self._initialise()

    def _initialise(self) -> None:
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            elif isinstance(part, Bottleneck | BasicBlock):
                last = part.bn3 if isinstance(part, Bottleneck) else part.bn2
                nn.init.zeros_(last.get_parameter("weight"))  # each block begins as its shortcut

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, P, P) in [0, 1] to the outputs of the four stages, finest first."""
        if self.deep:
            x = same_max_pool(F.relu(self.bn1(self.conv1(images))))
        else:
            x = F.relu(self.bn1(self.conv1(4 * images - 2)))
        features = []
        for k in range(1, 5):
            x = self.get_submodule(f"layer{k}")(x)
            features.append(x)
        return features
