"""Files that are whole or absent, and temporary ones that never stay."""

from rleseg_core.files.clock import time_stamp
from rleseg_core.files.kinds import check_regular, kind_of
from rleseg_core.files.whole import check_writable, mode_of_new_files, naming, whole_file
from rleseg_core.files.work import WorkFolder, remove_leftovers, work_folder, writer_of

__all__ = [
    "WorkFolder",
    "check_regular",
    "check_writable",
    "kind_of",
    "mode_of_new_files",
    "naming",
    "remove_leftovers",
    "time_stamp",
    "whole_file",
    "work_folder",
    "writer_of",
]
