"""Scores of many images: of each, of all pixels together, and over the images."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from rleseg_core.drawing.charts import Histogram, save_histograms
from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import ImageMetric, Masks
from rleseg_core.evaluation.counts import ImageCounts
from rleseg_core.evaluation.scores import (
    AGNOSTIC,
    CLASS_METRICS,
    Scores,
    mean_number,
    plain_number,
    score,
)
from rleseg_core.outputs import Output, new_output, table_with

MEAN, WITH_BACKGROUND = "mean", "with background"
"""Names of the averages over classes, beside the names of classes."""

POOLED, MEAN_OF_IMAGES, MEDIAN_OF_IMAGES = "pooled", "mean of images", "median of images"
"""Names of the rows that summarize all images, beside the names of images."""

ScoreRow = Mapping[str, float]
"""Scores by the name of their metric, nan where there is nothing to score."""

_FIRST_COLUMNS = ("image", "class")  # of a table, before the scores
_COUNT = "n_"  # names of counts begin so; no averages are made of them
_BINS = tuple(range(0, 101, 5))  # of Dice, in percent


def table_output(path: str | Path) -> Output:
    """A table of scores as an output, which `check_outputs` compares with the inputs of a call."""
    return Output(Path(path), "a table of scores (CSV)", table_with(*_FIRST_COLUMNS))


@dataclass(kw_only=True)
class Evaluation:
    """Scores of predicted masks, image by image and over all.

    Parameters
    ----------
    class_names : tuple of str
        Names of the classes from 1 on.
    agnostic : str
        Name of all classes taken for one; it is scored where there are several.
    metrics : tuple of ImageMetric
        What masks are scored by beside the classes of their pixels; see `IMAGE_METRICS`.

    Raises
    ------
    DataError
        If two names are the same.
    """

    class_names: tuple[str, ...]
    agnostic: str = AGNOSTIC
    metrics: tuple[ImageMetric, ...] = ()
    _images: dict[str, ImageCounts] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        names = [*self.class_names, MEAN, WITH_BACKGROUND]
        if self._several:
            names.append(self.agnostic)
        if twice := {name for name in names if names.count(name) > 1}:
            raise DataError(
                f"two rows of scores would be called {min(twice)!r}; give the classes, and all of "
                "them as one, names of their own"
            )

    def add(self, image: str, truth: Masks, predicted: Masks) -> None:
        """Score one more image, by its name.

        Raises
        ------
        DataError
            If the masks do not fit each other or the classes.
        """
        self._images[image] = ImageCounts.of(truth, predicted, len(self.class_names), self.metrics)

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return len(self._images)

    def pooled_scores(self) -> Scores:
        """Scores of all pixels of all images together."""
        return self._scores(self._pooled())

    def tables(self) -> dict[str, dict[str, ScoreRow]]:
        """Scores of each image and of what stands for all, each by the names of classes.

        Returns
        -------
        dict of str to dict of str to mapping
            For each image by its name, 'pooled' (all pixels together), 'mean of images' and 'median
            of images' (over those for which a score is not nan): scores of each class, of all as
            one, and 'mean' and 'with background', the averages without and with the background.
        """
        tables = {image: self._rows(counts) for image, counts in self._images.items()}
        images = list(tables.values())
        tables[POOLED] = self._rows(self._pooled())
        tables[MEAN_OF_IMAGES] = _over_images(images, np.mean)
        tables[MEDIAN_OF_IMAGES] = _over_images(images, np.median)
        return tables

    def to_json(self) -> dict[str, object]:
        """Scores of all pixels together, and those over images; nan as None."""
        tables = {
            name: {key: _plain(row) for key, row in table.items()}
            for name, table in self.tables().items()
        }
        pooled = tables[POOLED]
        values: dict[str, object] = {
            "classes": {name: pooled[name] for name in self.class_names},
            "mean_dice": pooled[MEAN]["dice"],
            "pixel_accuracy": pooled[WITH_BACKGROUND]["pixel_accuracy"],
            "mean": pooled[MEAN],
            "with_background": pooled[WITH_BACKGROUND],
            "over_images": {"mean": tables[MEAN_OF_IMAGES], "median": tables[MEDIAN_OF_IMAGES]},
        }
        if self._several:
            values["agnostic"] = {self.agnostic: pooled[self.agnostic]}
        return values

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a row for each image and class, then those for all images, whole or not at all.

        An older table is replaced only with `overwrite`; any other file never.

        Columns are `image`, `class`, `n_pixels` (of the truth) and one for each score; what is nan,
        or is not known of a class, stays empty.
        """
        tables = self.tables()
        columns = list(dict.fromkeys(key for row in tables[POOLED].values() for key in row))
        columns = ["n_pixels", *(key for key in columns if key != "n_pixels")]
        with (
            new_output(table_output(path), overwrite=overwrite) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, [*_FIRST_COLUMNS, *columns], restval="")
            writer.writeheader()
            for image, table in tables.items():
                for name, row in table.items():
                    known = {k: v for k, v in _plain(row).items() if v is not None}
                    writer.writerow({"image": image, "class": name, **known})
        return Path(path)

    def save_plot(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a PNG of the distribution of Dice over the images, a histogram for each class.

        An older PNG is replaced only with `overwrite`; any other file never.
        """
        tables = self.tables()
        histograms = []
        for name, pooled in tables[POOLED].items():
            if name in (MEAN, WITH_BACKGROUND):
                continue
            dice = [tables[image][name]["dice"] for image in self._images]
            known = [100 * value for value in dice if not np.isnan(value)]
            note = f"pooled {_percent(pooled['dice'])}"
            if known:
                note += f", median {np.median(known):.1f}, worst {min(known):.1f}"
            if len(known) < len(dice):
                note += f", {len(dice) - len(known)} without any"
            counts = np.histogram(known, _BINS)[0].tolist()
            histograms.append(Histogram(name, note, counts))
        noun = "image" if self.n_images == 1 else "images"
        return save_histograms(
            path,
            histograms,
            _BINS,
            title=f"Dice of {self.n_images} {noun}, in percent",
            marks=(20, 40, 60, 80, 100),
            letters="left",
            overwrite=overwrite,
        )

    @property
    def _several(self) -> bool:
        return len(self.class_names) > 1

    def _pooled(self) -> ImageCounts:
        if not self._images:
            raise DataError("there are no images to score; add at least one")
        first, *others = self._images.values()
        for counts in others:
            first = first + counts
        return first

    def _scores(self, counts: ImageCounts) -> Scores:
        return score(counts.confusion, self.class_names, self.agnostic)

    def _rows(self, counts: ImageCounts) -> dict[str, ScoreRow]:
        """Scores that follow from counts, by the names of classes and averages."""
        scores = self._scores(counts)
        rows = list(scores.classes)
        if self._several:
            rows.append(scores.agnostic)
        others = counts.scores()
        table: dict[str, ScoreRow] = {}
        for index, row in enumerate(rows):
            of_class: dict[str, float] = {"n_pixels": row.n_pixels}
            of_class |= {metric: float(getattr(row, metric)) for metric in CLASS_METRICS}
            of_class |= {metric: values[index] for metric, values in others.items()}
            table[row.name] = of_class
        n_classes = len(self.class_names)
        table[MEAN] = asdict(scores.mean) | {
            metric: mean_number(values[:n_classes])
            for metric, values in others.items()
            if not metric.startswith(_COUNT)
        }
        table[WITH_BACKGROUND] = asdict(scores.with_background) | {
            "pixel_accuracy": scores.pixel_accuracy
        }
        return table


def _over_images(
    images: Sequence[Mapping[str, ScoreRow]], average: Callable[[list[float]], np.floating]
) -> dict[str, ScoreRow]:
    """Averages of every score over the images in which it is not nan; counts are left out."""
    return {
        name: {
            metric: _of_known(average, [image[name][metric] for image in images])
            for metric in images[0][name]
            if not metric.startswith(_COUNT)
        }
        for name in images[0]
    }


def _of_known(average: Callable[[list[float]], np.floating], values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(average(known)) if known else float("nan")


def _plain(row: ScoreRow) -> dict[str, float | int | None]:
    return {
        metric: int(value) if metric.startswith(_COUNT) else plain_number(value)
        for metric, value in row.items()
    }


def _percent(value: float) -> str:
    return "nowhere" if np.isnan(value) else f"{100 * value:.1f}"
