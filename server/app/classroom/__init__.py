"""One server for a class: the teacher watches every connection live, and can slow one down or cut it."""

from __future__ import annotations

from .classroom import Classroom

__all__ = ["Classroom"]
