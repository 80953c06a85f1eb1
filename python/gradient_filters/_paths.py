"""What may be where something is to be written."""

import stat
from pathlib import Path


def is_no_file(path: Path) -> bool:
    """Whether something is there that no finished file may take the place of, such as a pipe, a terminal or /dev/null."""
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)
