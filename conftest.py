"""What holds for every run of pytest, of the tests and of the lessons."""

from __future__ import annotations

import os

os.environ["COURSE_PROGRESS"] = ""  # what a reader has solved is not ours; kernels and servers inherit this
