"""Images of cultures in phase contrast, bright field and fluorescence."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rleseg_core.data.synthetic.config import CultureConfig, Kind, Modality
from rleseg_core.data.synthetic.culture import AnyBody, Culture
from rleseg_core.data.synthetic.dish import Dish
from rleseg_core.data.synthetic.nuclei import Nuclei
from rleseg_core.data.synthetic.painting import assign, patch_of

_MODALITIES: dict[Kind, dict[Modality, float]] = {
    "rods": {"phase": 0.7, "bright_field": 0.15, "fluorescence": 0.15},
    "yeast": {"phase": 0.5, "bright_field": 0.45, "fluorescence": 0.05},
    "nuclei": {"fluorescence": 1.0},
    "spread": {"phase": 0.85, "bright_field": 0.15},
}


@dataclass(frozen=True)
class _Optics:
    """How one culture is seen; lengths in pixels."""

    ground: float  # grey level of the background
    contrast: float  # grey levels of a phase of 1
    near: float  # strength of the halo close to a body
    near_width: float
    rim: float  # how much stronger it is outside of bodies than inside
    far: float  # strength of its wide part, which makes the middle of a crowd lighter
    far_width: float
    focus: float  # of bright field: positive, bodies are bright with dark rims
    haze: float  # of fluorescence: share of light that comes from out of focus
    glow: float  # and of that of cytoplasm
    blur: float
    noise: float

    @classmethod
    def draw(
        cls, kind: Kind, modality: Modality, radius: float, rng: np.random.Generator
    ) -> "_Optics":
        """Optics as one meets them with cells of a kind."""
        between = rng.uniform
        sharp = {"rods": 0.75, "yeast": 0.19, "nuclei": 0.3, "spread": 0.2}[kind]
        if kind == "yeast" and modality == "bright_field":
            sharp = 0.11
        ground = between(45, 150)
        contrast = between(0.35, 0.9) * ground
        if modality == "fluorescence":
            ground = between(2, 30)
            contrast = between(60, 220) if rng.random() < 0.85 else between(25, 60)
        return cls(
            ground=ground,
            contrast=contrast,
            near=between(0.4, 1.0) + (0.2 if kind in ("spread", "yeast") else 0.0),
            near_width=max(0.9, sharp * radius * between(0.8, 1.3)),
            rim=between(1.0, 1.6) if kind == "spread" else between(1.4, 4.0),
            far=between(0.2, 0.75) if kind == "rods" else between(0.15, 0.5),
            far_width=max(2.0, between(1.3, 2.6) * (radius if kind == "rods" else 0.5 * radius)),
            focus=between(0.6, 1.9) * (1 if rng.random() < 0.5 else -1),
            haze=between(0, 0.25),
            glow=between(0, 0.25) * (rng.random() < 0.6),
            blur=between(0.5, 1.1),
            noise=min(between(0.7, 3.2), contrast / 35),  # what is dim is still seen
        )


class Exposure:
    """A field of view of a culture.

    Parameters
    ----------
    config : CultureConfig
        Size of a frame, kind and modality.
    radius : float
        Radius of a typical body, pixels.
    rng : Generator
        Source of all randomness of the images.
    """

    def __init__(self, config: CultureConfig, radius: float, rng: np.random.Generator) -> None:
        self._size = config.size
        self._rng = rng
        known = _MODALITIES[config.kind]
        drawn = rng.choice(len(known), p=list(known.values()))
        self.modality: Modality = config.modality or list(known)[drawn]
        self._optics = _Optics.draw(config.kind, self.modality, radius, rng)
        self._radius = radius
        self._dish = Dish(config.size, radius, rng, walls=config.kind in ("rods", "yeast"))

    def expose(self, culture: Culture[AnyBody]) -> tuple[np.ndarray, np.ndarray]:
        """The image of a culture (Y, X) uint8, and the ids of its bodies (Y, X) int32."""
        patches = [
            patch
            for patch in (patch_of(body, self._size) for body in culture.bodies)
            if patch is not None
        ]
        owner, margin = assign(patches, self._size)
        phase, focused, detail, light = (np.zeros(self._size, np.float32) for _ in range(4))
        for patch in patches:
            own = owner[patch.box] == patch.body.id
            if not own.any():
                continue
            drawn = culture.paint(patch, margin[patch.box])
            height = np.float32(0.25 + 1.0 * patch.body.look[3])  # its own distance from the focus
            phase[patch.box][own] = drawn.phase[own]
            focused[patch.box][own] = height * drawn.phase[own]
            detail[patch.box][own] = drawn.detail[own]
            light[patch.box][own] = drawn.light[own]
        if self.modality == "fluorescence":
            image = self._fluorescence(culture, light)
        elif self.modality == "bright_field":
            image = self._lit(owner, self._bright_field(focused, phase, detail))
        else:
            image = self._lit(owner, self._phase(owner, phase, detail))
        return self._noisy(image), owner

    def drift(self) -> None:
        """Move the floating debris by one frame."""
        self._dish.drift(self._rng)

    def _phase(self, owner: np.ndarray, phase: np.ndarray, detail: np.ndarray) -> np.ndarray:
        optics = self._optics
        near = _blurred(phase, optics.near_width)
        near *= np.where(owner == 0, np.float32(optics.rim), np.float32(1))
        far = _blurred(phase, optics.far_width)
        seen = optics.near * near + optics.far * far - phase + 0.6 * detail
        return optics.contrast * seen

    def _bright_field(
        self, focused: np.ndarray, phase: np.ndarray, detail: np.ndarray
    ) -> np.ndarray:
        optics = self._optics
        width = optics.near_width
        rings = _blurred(focused, 0.6 * width) - _blurred(focused, 1.5 * width)
        wide = _blurred(focused, 1.1 * width) - _blurred(focused, 3.0 * width)
        seen = optics.focus * (1.9 * rings + 0.7 * wide) - 0.06 * phase + 0.25 * detail
        return optics.contrast * seen

    def _fluorescence(self, culture: Culture[AnyBody], light: np.ndarray) -> np.ndarray:
        optics = self._optics
        seen = (1 - optics.haze) * _blurred(light, optics.blur)
        seen += optics.haze * _blurred(light, 1.3 * self._radius)
        if isinstance(culture, Nuclei) and optics.glow:
            seen += optics.glow * culture.glow()
        dust = 0.06 * optics.contrast * np.abs(self._dish.specks(self._size))
        return optics.contrast * seen + dust + optics.ground * self._dish.field

    def _lit(self, owner: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The background with the dish on it, and what is seen of the cells."""
        optics = self._optics
        dish = self._dish.dirt + self._dish.specks(self._size) + (owner == 0) * self._dish.wall
        image = (optics.ground * (1 + 0.25 * dish) + seen) * self._dish.field
        return _blurred(image, optics.blur)

    def _noisy(self, image: np.ndarray) -> np.ndarray:
        optics = self._optics
        image = image * np.float32(1 + self._rng.normal(0, 0.006))
        shot = np.sqrt(np.maximum(image, 0) / 100) + 0.3
        image += optics.noise * shot * self._rng.standard_normal(self._size, dtype=np.float32)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    found: np.ndarray = ndimage.gaussian_filter(values, sigma, truncate=2.5)
    return found
