"""python -m gradient_filters PROGRAM ARGUMENT…: starts one of the programs in place of Python."""

import os
import sys

from ._programs import program

if len(sys.argv) < 2:
    sys.exit("usage: python -m gradient_filters PROGRAM ARGUMENT…, such as python -m gradient_filters stream-info FILE")
path = program(sys.argv[1])
os.execv(path, [sys.argv[1], *sys.argv[2:]])
