"""Write a deck for each lesson: ``python -m docs.slides build/slides [--author NAME] [--date DATE]``."""

from __future__ import annotations

import argparse
import json
import shutil
from importlib.resources import files
from pathlib import Path
from string import Template

from pygments.formatters import HtmlFormatter

from .deck import Deck
from .lesson import LESSONS, Lesson
from .outline import read

HERE = Path(__file__).resolve().parent
REVEAL = files("sphinx_revealjs") / "_static" / "revealjs"


def write(folder: Path, author: str = "", date: str = "") -> None:
    """Write a full deck for each lesson into this folder, one for its 90-minute plan, and reveal.js beside them."""
    for name in ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "LICENSE"):
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "reveal" / name).write_bytes((REVEAL / name).read_bytes())
    for name in ("deck.css", "deck.js"):
        shutil.copy(HERE / name, folder)
    page = Template((HERE / "deck.html").read_text(encoding="utf-8"))
    fields = json.dumps({"author": author, "date": date}).replace("<", r"\u003c")
    colors = HtmlFormatter(style="default").get_style_defs("pre.code")
    for path in LESSONS:
        for ending, short in (("", False), ("-90-minutes", True)):
            deck = Deck(Lesson(path), read(path.stem), short=short)
            slides = "\n".join(deck.slides())
            html = page.substitute(title=deck.lesson.title, slides=slides, fields=fields, colors=colors)
            (folder / f"{path.stem}{ending}.html").write_text(html, encoding="utf-8")


def main() -> None:
    """Write the decks where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--author", default="", help="stands on the title slides; it can be typed there, too")
    parser.add_argument("--date", default="", help="stands on the title slides; the day on which a deck is opened")
    options = parser.parse_args()
    write(options.folder, options.author, options.date)
    for deck in sorted(options.folder.glob("*.html")):
        print(deck)


if __name__ == "__main__":
    main()
