"""One server for a class: the teacher sees every connection live, and slows one down or cuts it off."""

from __future__ import annotations

from .classroom import Classroom

__all__ = ["Classroom"]
