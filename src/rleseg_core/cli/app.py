"""The commands put together, and how they end."""

import os
import signal
import sys
import threading
from importlib.metadata import version

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError

from rleseg_core.cli.console import err, notes_on_stderr, print_line
from rleseg_core.cli.errors import refuse_fractions, text_of
from rleseg_core.cli.options import Reporting, default_text, with_option_names
from rleseg_core.cli.retired import with_present_names
from rleseg_core.errors import RlesegError
from rleseg_core.parallel.processes import PEER_IS_GONE, is_peer_failure, report_to_launcher

app = App(
    name="rleseg",
    help="Segment time-lapse images with a model that writes masks as run-length tokens.",
    version=lambda: version("napari-rleseg"),
    default_parameter=Parameter(negative=(), allow_repeating=True, show_default=default_text),
    group_parameters=Group("Options", sort_key=1),
    config=refuse_fractions,
)
tokens = App(
    name="tokens",
    help="Show the vocabularies of schemes and the tokens of masks, and count them.",
    sort_key=20,
)
models = App(
    name="models",
    help="List the installed models, and add those that the authors published.",
    sort_key=21,
)
app.command(tokens)
app.command(models)

_COMMANDS = (
    (app, "demo:demo", "Segment a synthetic time-lapse with the bundled model, and look at it."),
    (
        app,
        "synth:synth",
        "Make a synthetic time-lapse, of two cell classes or of another kind, with its true masks.",
    ),
    (
        app,
        "train:train",
        "Train a model on images and masks, from scratch or from another model.",
    ),
    (
        app,
        "info:info",
        "Show what a file or folder of images or masks holds: series, channels, planes, sizes.",
    ),
    (app, "predict:predict", "Segment a stack, and write its masks to a file."),
    (
        app,
        "measure:measure",
        "Measure objects: size, shape, place and intensities, in pixels and physical units.",
    ),
    (
        app,
        "export:export",
        "Write objects for other programs: COCO, ImageJ, QuPath, Cell Tracking Challenge, PNG.",
    ),
    (
        app,
        "track:track",
        "Link objects of frames into tracks, with divisions and a score for each link.",
    ),
    (
        app,
        "follow:follow",
        "Follow one object through the frames of a stack, from the frame in which it is given.",
    ),
    (
        app,
        "evaluate:evaluate",
        "Score masks against the truth: Dice, IoU, precision and recall of each class.",
    ),
    (
        tokens,
        "tokens.vocab:vocab",
        "Print the vocabulary of a scheme, or compare those of several (Tables 7 to 10).",
    ),
    (tokens, "tokens.encode:encode", "Encode a mask and show its tokens."),
    (
        tokens,
        "tokens.stats:stats",
        "Count the tokens that schemes take for masks (the paper's Tables 3 to 6).",
    ),
    (
        tokens,
        "tokens.recommend:recommend",
        "Recommend a scheme, S and N for masks, with the reasons.",
    ),
    (
        tokens,
        "tokens.fidelity:fidelity",
        "Measure what subsampling, tokens and token budgets leave of masks (Table 11).",
    ),
    (
        models,
        "models.list:list_models",
        "List the installed models: scheme, classes, sizes, where they come from, licence.",
    ),
    (
        models,
        "models.convert:import_model",
        "Make a model file from a checkpoint of the published implementation.",
    ),
    (
        models,
        "models.pull:pull_model",
        "Fetch one of the authors' published models, and make a model file of it.",
    ),
)
for order, (parent, path, line) in enumerate(_COMMANDS):
    # modules are imported when their command runs; a test holds these lines to their docstrings
    name = path.partition(":")[2].removesuffix("_model").removesuffix("_models")
    parent.command(f"rleseg_core.cli.{path}", name=name, help=line, sort_key=order)


@models.default
def _models(reporting: Reporting = Reporting()) -> None:
    from rleseg_core.cli.models.list import list_models

    list_models(reporting)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    # torch's idle threads sleep instead of spinning: on a busy machine that is many times faster,
    # and it must be said before torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    in_main_thread = threading.current_thread() is threading.main_thread()
    # like Ctrl-C: temporary files are removed, and a training run leaves its last checkpoint
    older = signal.signal(signal.SIGTERM, _interrupt) if in_main_thread else None
    try:
        with notes_on_stderr():
            _run(with_present_names(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        sys.exit(130)
    except (RlesegError, OSError, CycloptsError) as error:
        said = with_option_names(text_of(error))
        if not report_to_launcher(said):
            err.print("error: ", style="bold red", end="")
            print_line(said, err)
        sys.exit(2)
    except RuntimeError as error:
        if not is_peer_failure(error):
            raise
        sys.exit(PEER_IS_GONE)  # the launcher tells why the other one has ended
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, older)


def _run(arguments: list[str]) -> None:
    """Run a command; one that starts itself again, in other processes, asks for its `arguments`."""
    command, bound, unparsed = app.parse_args(arguments, exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs, **dict.fromkeys(unparsed, arguments))
    asked_for_nothing = command == app.help_print and not {*app.help_flags} & {*arguments}
    sys.exit(2 if asked_for_nothing else 0)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
