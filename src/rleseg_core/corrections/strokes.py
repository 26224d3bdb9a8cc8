"""``strokes.jsonl``, ``marks.jsonl``: what was painted or marked and is not in the log yet."""

from dataclasses import dataclass
from pathlib import Path

from rleseg_core.corrections.delta import Correction
from rleseg_core.corrections.gate import WriterGate
from rleseg_core.corrections.history import Covered, History, read_content
from rleseg_core.corrections.records import Frames, checked_runs, count
from rleseg_core.files.lines import LineFile, read_lines, to_line


@dataclass(frozen=True)
class Stroke:
    """A stroke that was painted.

    Parameters
    ----------
    number : int
        It rises with each stroke of the session; records of the log name the last that they have.
    fresh : bool
        Whether it starts from the labels of the log, because earlier ones could not be written.
    correction : Correction
        Its pixels.
    """

    number: int
    fresh: bool
    correction: Correction


class StrokeFile:
    """Writes strokes, which the end of the program cannot undo then; a power cut can.

    Parameters
    ----------
    path : Path
        The file.
    history : History
        What the log says, which numbers its records.
    gate : WriterGate
        The right to write; a stroke on a session that was closed takes it for a moment.
    """

    def __init__(self, path: Path, history: History, gate: WriterGate):
        self.path = path
        self._file = LineFile(path)
        self._history, self._gate = history, gate

    def append(self, stroke: Stroke) -> None:
        """Write a stroke.

        Raises
        ------
        OSError
            If the disk is full, or the file cannot be written to.
        DataError
            If the session was closed, and another program has it open or changed it.
        """
        fields = {
            "stroke": stroke.number,
            "frame": stroke.correction.frame,
            "after": self._history.number,
            "fresh": stroke.fresh,
            "runs": stroke.correction.to_text(),
        }
        with self._gate.writing():
            self._file.append(to_line(fields))
            self._file.commit()
        if not self._gate.held:
            self.close()

    def clear(self) -> None:
        """Remove all strokes: the log has them."""
        self._file.clear()

    def close(self) -> None:
        """Close the file; the next stroke opens it again."""
        self._file.close()


def read_strokes(path: Path, frames: Frames, covered: Covered) -> tuple[int, list[Stroke]]:
    """Number of the last stroke, and the strokes that are not in the log.

    Raises
    ------
    DataError
        If a whole line has a missing or impossible field.
    """
    last, strokes = max(covered.last.values(), default=0), []
    content = read_content(path) if path.exists() or path.is_symlink() else b""
    for line, fields in read_lines(content):
        if fields is None:
            continue  # the one that was being written when the program ended
        where = f"{path}, line {line}"
        frame = count(fields, "frame", where, end=frames.shape[0])
        correction = checked_runs(fields, frame, frames, where)
        number = count(fields, "stroke", where)
        stroke = Stroke(number, fields.get("fresh") is True, correction)
        last = max(last, number)
        # a version that knows no such strokes: what it recorded later includes them
        in_log = count(fields, "after", where, start=-1) < covered.last_without
        if not in_log and number > covered.last.get(frame, 0):
            strokes.append(stroke)
    return last, sorted(strokes, key=lambda stroke: stroke.number)
