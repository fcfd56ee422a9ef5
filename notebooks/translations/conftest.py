"""A translated notebook is not run again: a test says that its code and its outputs are those of the lesson."""

from __future__ import annotations

collect_ignore_glob = ["*/*.ipynb"]
