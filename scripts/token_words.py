"""The tables and token strings of docs/tokenization.md."""

import re
import textwrap
from collections.abc import Callable

from token_examples import STILL, VIDEO, Example, groups_of, runs_of

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import PRESETS, Scheme, Tokenizer, for_classes, preset

FRAMES = (2, 3, 4, 5, 6, 8, 10)
SIDE, VOCAB_LIMIT = 80, 32_000
NBSP = "\u00a0"  # a run is not wrapped


def sizes(name: str, n_classes: int, n_frames: int) -> dict[str, int]:
    """Segments of a vocabulary of masks of 80 × 80, as in Table 8."""
    names = tuple(f"class{k}" for k in range(1, n_classes + 1))
    spec = MaskSpec(size=(SIDE, SIDE), class_names=names, n_frames=n_frames)
    tokenizer = Tokenizer.build(for_classes(preset(name), n_classes), spec, vocab_limit=10**15)
    return {s.name: s.size for s in tokenizer.vocab.segments if s.name != "special"}


def text4seg_text() -> str:
    """The tokens of preset text4seg as Text4Seg's words."""
    tokenizer = STILL.tokenizer("text4seg")
    _, cols = STILL.spec.size
    words = ("others", *STILL.names)
    rows: dict[int, list[str]] = {}
    for run in runs_of(tokenizer, STILL):
        rows.setdefault(run.start // cols, []).append(f"{words[run.label]} *{run.length}")
    return " | ".join(", ".join(row) for row in rows.values())


# preset: when to use it, and where the paper has it
ADVICE = {
    "binary": ("one class", "II, III-A"),
    "multiclass": ("many classes", "II"),
    "lac": ("few classes; a good first choice", "III-C"),
    "bac": (
        "large masks: V does not grow with them; a wrong length moves all that follow",
        "VI",
    ),
    "bac-lac": ("the same, with few classes", "VI"),
    "diff": ("without lengths; a lost change colours all up to the next", "VI"),
    "diff-rows": ("the same, but an error ends with its row", "VI"),
    "cw": ("very many classes, few of them in one mask", "IV-C"),
    "iw": ("instances, not only classes", "IV-D"),
    "multihead": ("a decoder with a head for each field; sequences a K-th as long", "VI, Fig. 19"),
    "text4seg": ("coarse grids for language models; an error ends with its row", "not there"),
    "3d-c": ("two or three frames that have little to do with one another", "IV"),
    "3d-f": ("two or three frames in which little moves", "IV"),
    "tac": ("videos of few classes", "IV-A"),
    "ltac": ("the same, shorter, with few frames", "IV-B"),
    "cw-tac": ("videos of many classes", "IV-A, C"),
    "iw-tac": ("objects followed through a video", "IV-A, D"),
}


def is_video(name: str) -> bool:
    return PRESETS[name].time == "class" or name.startswith("3d")


def example_of(name: str) -> Example:
    """The mask of this page that a preset is shown with."""
    if is_video(name):
        return VIDEO
    return STILL.binary() if name == "binary" else STILL


def write_tokens(*names: str) -> str:
    """The token strings of presets; runs, and the classes that close blocks, between bars."""
    lines = []
    for name in names:
        example = example_of(name)
        tokenizer = example.tokenizer(name)
        groups = groups_of(tokenizer, example)
        n_heads = len(tokenizer.vocab.prompts)
        for head in range(n_heads):
            chips = [g.chips[min(head, len(g.chips) - 1) :] for g in groups]
            chips = [group[:1] for group in chips] if n_heads > 1 else chips
            said = (NBSP.join(str(chip.token) for chip in group) for group in chips)
            title = f"{name}, {tokenizer.vocab.fields[head].name}" if n_heads > 1 else name
            line = f"{title}: {' | '.join(said)}"
            lines += textwrap.wrap(line, 110, subsequent_indent="    ")
    return "\n".join(["```text", *lines, "```"]).replace(NBSP, " ")


def write_words(name: str) -> str:
    """What the tokens of a preset say, a line for each run."""
    example = example_of(name)
    tokenizer = example.tokenizer(name)
    lines = []
    for group in groups_of(tokenizer, example):
        tokens = " ".join(f"{chip.token:3}" for chip in group.chips)
        lines.append(f"{tokens:9}{' | '.join(tokenizer.texts(group.event)) or 'end'}")
    return "\n".join(["```text", *lines, "```"])


def write_text4seg() -> str:
    """The words of Text4Seg, a line for each row of the mask."""
    return "\n".join(["```text", text4seg_text().replace(" | ", " |\n"), "```"])


def write_vocabularies() -> str:
    """V over N for two classes, those over the limit in brackets."""
    names = ("3d-c", "3d-f", "tac", "ltac")
    lines = [f"| N | {' | '.join(names)} |", "|---|---|---|---|---|"]
    for n_frames in FRAMES:
        totals = (sum(sizes(name, 2, n_frames).values()) for name in names)
        cells = (f"{v:,}" if v <= VOCAB_LIMIT else f"({v:,})" for v in totals)
        lines.append(f"| {n_frames} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_presets(kind: str) -> str:
    """The presets for images or for videos, what they choose and what they give."""
    lines = [
        "| preset | chooses | K | V | tokens | for | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = Scheme().to_json()
    for name, scheme in PRESETS.items():
        if is_video(name) != (kind == "video"):
            continue
        chosen = {k: v for k, v in scheme.to_json().items() if v != plain[k]}
        choices = ", ".join(f"`{k}={v!r}`" for k, v in chosen.items()) or "nothing else"
        example = example_of(name)
        tokenizer = example.tokenizer(name)
        n_tokens = f"{tokenizer.count(example.classes, example.instances).n_tokens}"
        if tokenizer.vocab.per_field:
            n_tokens = f"{tokenizer.tokens_per_run} × {n_tokens}"
        use, section = ADVICE[name]
        k, v = tokenizer.tokens_per_run, tokenizer.vocab.size
        lines.append(f"| `{name}` | {choices} | {k} | {v} | {n_tokens} | {use} | {section} |")
    return "\n".join(lines)


MAKERS: dict[str, Callable[..., str]] = {
    "tokens": write_tokens,
    "words": write_words,
    "text4seg": write_text4seg,
    "vocabularies": write_vocabularies,
    "presets": write_presets,
}


def filled(page: str) -> str:
    """The page with everything between its markers made anew."""

    def make(found: re.Match[str]) -> str:
        maker, *arguments = found["what"].split()
        return f"{found['begin']}{MAKERS[maker](*arguments)}\n{found['end']}"

    pattern = r"(?P<begin><!-- made: (?P<what>[^>]*) -->\n).*?(?P<end><!-- end -->)"
    return re.sub(pattern, make, page, flags=re.DOTALL)
