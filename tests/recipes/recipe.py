"""The code in a recipe, taken from its page: what a reader sees is what a test runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["RECIPES", "code", "program"]

RECIPES = sorted(
    path for path in (Path(__file__).parents[2] / "docs" / "recipes").glob("*.md") if path.stem != "README"
)


def code(recipe: str, language: str) -> list[str]:
    """Return the blocks of this language, in their order."""
    (page,) = (path for path in RECIPES if path.stem == recipe)
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def program(recipe: str) -> dict[str, Any]:
    """Execute the Python of a recipe, all blocks as one program, and return its names."""
    names: dict[str, Any] = {"__name__": recipe}
    exec(compile("\n".join(code(recipe, "python")), f"{recipe}.md", "exec", dont_inherit=True), names)
    return names
