"""Make the pictures, tables and token strings of docs/tokenization.md from the code itself.

python scripts/make_token_pictures.py            # docs/images/tokens-*.png, and fill in the page
python scripts/make_token_pictures.py --out DIR  # the pictures only, somewhere else
"""

import argparse
from pathlib import Path

import token_pictures_cost as cost
import token_pictures_image as image
import token_pictures_video as video
from token_words import filled

from rleseg_core.files import whole_file

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "tokenization.md"

PICTURES = {
    "runs": image.draw_runs,
    "orders": image.draw_orders,
    "classes": image.draw_classes,
    "starts": image.draw_starts,
    "tiling": image.draw_tiling,
    "changes": image.draw_changes,
    "blocks": image.draw_blocks,
    "heads": image.draw_heads,
    "volume": video.draw_volume,
    "time": video.draw_time,
    "tracks": video.draw_tracks,
    "subsampling": cost.draw_subsampling,
    "budget": cost.draw_budget,
    "vocabulary": cost.draw_vocabulary,
    "published": cost.draw_published,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="folder of the pictures; the page is left alone")
    arguments = parser.parse_args()
    folder = arguments.out or DOCS / "images"
    for name, draw in PICTURES.items():
        path = folder / f"tokens-{name}.png"
        draw(path)
        print(path, f"{path.stat().st_size / 1000:.0f} kB")
    if arguments.out is None:
        text = filled(PAGE.read_text(encoding="utf-8"))
        with whole_file(PAGE) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
