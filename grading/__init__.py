"""For a teacher: the lessons without their solutions, and the grades of a class."""

from __future__ import annotations
