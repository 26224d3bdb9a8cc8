"""Residual backbones: ResNet v1.5 with torchvision's parameter names, and a light one."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rleseg_core.model.config_parts import BackboneConfig
from rleseg_core.parallel.collectives import mean_over_processes, n_processes

Norm = Callable[[int], nn.Module]
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def group_norm(channels: int) -> nn.Module:
    """Group normalisation with about sixteen channels a group."""
    groups = max(1, channels // 16)
    return nn.GroupNorm(groups if channels % groups == 0 else 1, channels)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation as TensorFlow does it: the running variance is the biased one.

    In training, a frozen one (its weight needs no gradient) uses its running averages and leaves
    them alone, as in Keras.

    Parameters
    ----------
    channels : int
        C.
    evaluation : {'moving', 'batch'}
        The statistics that evaluation uses; see `BackboneConfig.bn_eval`. Evaluation updates
        nothing, while the published implementation goes on updating the averages.
    """

    def __init__(self, channels: int, evaluation: str = "moving") -> None:
        super().__init__(channels, eps=1e-5, momentum=0.1)
        self.evaluation = evaluation

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        learns = self.training and self.weight.requires_grad
        if not learns and (self.training or self.evaluation == "moving"):
            mean, var = self.running_mean, self.running_var
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        if learns and n_processes() > 1:
            y, mean, var = self._by_all_batches(x)
        else:
            y, mean, var = self._by_batch(x, exact=not learns)
        if learns:
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean), 0.1)
                self.running_var.lerp_(var.to(self.running_var), 0.1)
                self.num_batches_tracked.add_(1)
        return y

    def _by_all_batches(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`_by_batch` with the statistics over all processes, whose batches are of one size."""
        assert self.running_mean is not None
        var, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        off = mean - self.running_mean  # small: its square takes no digits from the variance
        off, square = mean_over_processes(torch.stack((off, var + off.square())))
        mean, var = off + self.running_mean, square - off.square()
        scale = self.weight * torch.rsqrt(var + self.eps)
        y = x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
        return y.to(x.dtype), mean, var

    def _by_batch(self, x: Tensor, *, exact: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The batch normalised with its own statistics, its mean, and its biased variance."""
        if exact and x.device.type == "cpu" and x.dtype == self.weight.dtype:
            # the fused kernel below is five times as fast to learn with, and less exact
            var, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            scale = self.weight * torch.rsqrt(var + self.eps)
            y = x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
            return y, mean, var
        mean, var = torch.zeros(2, x.shape[1], device=x.device)
        y = F.batch_norm(x, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        n = x.numel() // x.shape[1]
        return y, mean, var * ((n - 1) / n)


def norm_of(config: BackboneConfig) -> Norm:
    """The constructor of a backbone's normalisation layers."""
    if config.norm == "group":
        return group_norm
    return partial(BatchNorm, evaluation=config.bn_eval)


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
    """The feature maps of an image at three or four strides.

    Parameters
    ----------
    config : BackboneConfig
        'bottleneck': 7×7 stem and maximum pool, strides from 4, values as `BackboneConfig.stem`
        says. 'basic': 3×3 stem, strides from 2, values centred.
    """

    _mean: Tensor
    _deviation: Tensor

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        norm, width = norm_of(config), config.widths[0]
        self.deep, self.stem = config.kind == "bottleneck", config.stem
        for name, values in (("_mean", IMAGENET_MEAN), ("_deviation", IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.conv1 = conv(3, width, 7 if self.deep else 3, 2)
        self.bn1 = norm(width)
        channels, outputs = width, []
        for k, (width, n_blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
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
        """Images (B, 3, P, P) in [0, 1] to the outputs of the stages, finest first."""
        if self.training and images.device.type == "cpu" and n_processes() == 1:
            # a fifth faster to learn with; the gradients of several processes lie otherwise
            images = images.contiguous(memory_format=torch.channels_last)
        if not self.deep:
            x = F.relu(self.bn1(self.conv1(4 * images - 2)))
        elif self.stem == "published":
            x = same_max_pool(F.relu(self.bn1(self.conv1(images))))
        else:
            x = self.conv1((images - self._mean) / self._deviation)
            x = F.max_pool2d(F.relu(self.bn1(x)), 3, 2, padding=1)
        features = []
        for k in range(1, len(self.channels) + 1):
            x = self.get_submodule(f"layer{k}")(x)
            features.append(x)
        return features
