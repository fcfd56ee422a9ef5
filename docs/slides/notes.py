"""The speaker's notes: the minutes, what the guide has for a question or an exercise, and what the lesson explains.

Prose that is not on a slide is in the notes of the slide that needs it: what stands in the lesson above its cell leads
to it, and what stands below its cell concludes it.
"""

from __future__ import annotations

import re
from collections import Counter
from html import escape

from markdown_it import MarkdownIt

from .guide import Guide
from .lesson import Cell, Lesson
from .outline import Slide
from .plan import Plan

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
LONGEST_NAME = 40  # characters of the line by which a teacher finds a cell
PAUSE = re.compile(r"^.*\bThis is (?:a|the first|the second) good place to pause.*(?:\n.+)*", re.MULTILINE)
"""The paragraph that tells a reader where to pause, and how to come back."""


class Notes:
    """The notes of a deck; what a short deck leaves out is not in its notes."""

    def __init__(
        self, lesson: Lesson, guide: Guide, outline: list[Slide], plan: Plan, kept: set[str] | None = None
    ) -> None:
        self.lesson = lesson
        self.guide = guide
        self.timed: set[str] = set()
        self.helpers = dict(guide.rows("helper"))
        self.outline = outline
        self.kept = kept
        """The sections of a short deck, or None for the full one."""
        self.plan = plan
        self.ends = self._ends()
        self.runs = self._runs()
        self.names = self._names()

    def of(self, place: int, number: int) -> str:
        """Return the notes of a slide as HTML, by its place in the outline and its number; ask in their order."""
        if not self._keeps(number):
            return ""  # what it would explain is explained on a slide that is kept
        slide = self.outline[place]
        told = bool(slide.cells) and not {"quiz", "summary"} & set(slide.keys)
        asked, explained = self._prediction(slide) if "predict" in slide.keys else ("", "")
        # above all else, because they are said first: the window of the notes is small
        parts = [f"<p><b>Before they answer:</b> {_inline(line)}</p>" for line in slide.keys.get("first", [])]
        parts.append(asked)
        parts += [f"<p><b>{_inline(line)}</b></p>" for line in slide.keys.get("say", [])]
        if "exercise" in slide.keys:
            parts.append(self._exercise(slide))
        elif told:
            parts.append(self._cells(place))
        parts.append(self.row(number))
        if place == 0:
            parts.append(self._opening())
        if told:
            parts.append(self._minutes(slide.cells[-1]))
        parts += [*self._explained(slide), explained]
        leads, follows = self._around(place) if told else ([], [])
        follows.append(self._below(place))
        lead = f"What leads here{self._warning(place)}"
        for name, prose in ((lead, leads), ("Then", follows)):
            if written := "\n\n".join(filter(None, prose)):
                parts.append(f"<p><b>{name}:</b></p>{MARKDOWN.render(written)}")
        return "".join(parts)

    def _warning(self, place: int) -> str:
        """Say of the lesson's prose at a slide that it may answer this vote, or the next one."""
        if self.outline[place].asks:
            return ", for you alone"
        kept = (one for number, one in enumerate(self.outline[place + 1 :], place + 2) if self._keeps(number))
        following = next(kept, None)
        return " (don't give the next vote away)" if following and following.asks else ""

    def _keeps(self, number: int) -> bool:
        return self.kept is None or number in self.plan.slides

    def row(self, number: int) -> str:
        """Return the row of the plan that begins at the slide with this number."""
        row = self.plan.starts.get(number)
        return f"<p>The plan: <b>{row[0]} minutes</b>, from {row[-2]} on. {_inline(row[-1])}</p>" if row else ""

    def _ends(self) -> list[int]:
        """The place in the lesson at which each slide ends."""
        ends: list[int] = []
        for slide in self.outline:
            places = [self.lesson.ids.index(one) for one in slide.cells if one in self.lesson.ids]
            end = max(places, default=ends[-1] if ends else 0)
            if "exercise" in slide.keys:
                solutions = (place for place, cell in enumerate(self.lesson.cells) if place > end and _solves(cell))
                end = next(solutions, end)
            if "quiz" in slide.keys or "summary" in slide.keys:
                end = len(self.lesson.cells)
            ends.append(max(end, ends[-1] if ends else 0))
        return ends

    def _cells(self, place: int) -> str:
        """Which cells to run at a slide, by what they begin with; those that answer a question come after the vote."""
        slide = self.outline[place]
        cells = [cell for cell in self.lesson.cells if self.runs.get(cell.id) == place and self._taught(cell)]
        if slide.asks:  # in JupyterLab the answer stands below them
            kept = any(each == place - 1 for each in self.runs.values()) and not self.outline[place - 1].asks
            order = " (first the cells of the slide before, if you kept them)" if kept else ""
            return self._named(f"After their answers{order}, run", cells)
        shown = {*slide.ids("shows"), *slide.ids("output"), *slide.ids("chart")}
        first = next((place for place, cell in enumerate(cells) if cell.id in shown), len(cells))
        return self._named("Run", cells[:first]) + self._named("Then run", cells[first:])  # some need an earlier one

    def _runs(self) -> dict[str, int]:
        """The place of the slide at which each code cell is run: the next one of its section, or its last."""
        places = [place for place, slide in enumerate(self.outline) if self._runs_cells(place, slide)]
        runs = {one: place for place in places for one in self.outline[place].ids("runs")}
        skipped = {one for slide in self.outline for one in slide.ids("skips")}
        for number, cell in enumerate(self.lesson.cells):
            if cell.id in runs or cell.id in skipped:
                continue
            here = [each for each in places if self._section(each) == self.lesson.section(cell.id)]
            if cell.cell_type == "code" and here and not cell.id.startswith("exercise-"):
                runs[cell.id] = next((each for each in here if self.ends[each] >= number), here[-1])
        return runs

    def _runs_cells(self, place: int, slide: Slide) -> bool:
        return bool(slide.cells) and self._keeps(place + 1) and not {"exercise", "quiz", "summary"} & set(slide.keys)

    def _section(self, place: int) -> str:
        return self.lesson.section(self.outline[place].cells[-1])

    def _around(self, number: int) -> tuple[list[str], list[str]]:
        """The prose between the slide before and this one, without what concludes the one before.

        First what leads here; then, of a prediction, what follows its vote.
        """
        first, last = self.ends[number - 1] + 1, self.ends[number]
        asked = self.outline[number].one("predict")
        vote = self.lesson.ids.index(asked) if asked else last
        leads: list[str] = []
        follows: list[str] = []
        for place in range(first, last + 1):
            cell = self.lesson.cells[place]
            if cell.cell_type == "markdown" and _explains(cell) and self._taught(cell):
                prose = self._parted(place)[1] if place == first else cell.source
                (follows if place > vote else leads).append(_plain(prose).strip())
        return leads, follows

    def _below(self, number: int) -> str:
        """What concludes a slide: the beginning of the prose that follows its cell."""
        place = self.ends[number] + 1
        if number == 0 or place >= len(self.lesson.cells) or self.ends[number - 1 : number + 2].count(place - 1) > 1:
            return ""
        cell = self.lesson.cells[place]
        explains = cell.cell_type == "markdown" and _explains(cell)
        return _plain(self._parted(place)[0]).strip() if explains else ""

    def _taught(self, cell: Cell) -> bool:
        return self.kept is None or self.lesson.section(cell.id) in self.kept

    def _parted(self, place: int) -> tuple[str, str]:
        """What concludes the cell above, and what leads to the next: parted at a heading, or after a paragraph."""
        source = self.lesson.cells[place].source
        if (heading := re.search(r"^##+ ", source, re.MULTILINE)) is not None:
            return source[: heading.start()], source[heading.start() :]
        if place + 1 < len(self.lesson.cells) and self.lesson.cells[place + 1].source.startswith("## "):
            return source, ""  # the section ends here
        first, _, rest = source.partition("\n\n")
        return (first, rest) if rest and not first.endswith((":", "?")) else ("", source)

    def _opening(self) -> str:
        goals = re.search(r"^You will\n\n(.+?)(?=\n\n)", self.lesson.cells[0].source, re.MULTILINE | re.DOTALL)
        told = self.guide.introduction() if self.kept is not None else ""
        drawing = MARKDOWN.render(self.guide.drawing())
        aims = "<p>The aims, at the top of the notebook. Don't read them aloud: they hint at some votes. You will</p>"
        return f"{aims}{MARKDOWN.render(goals[1] if goals else '')}{MARKDOWN.render(told)}{drawing}"

    def _minutes(self, cell_id: str) -> str:
        """The minutes of a section, once."""
        section = self.lesson.section(cell_id)
        minutes = self.guide.minutes(section or "opening")
        if section in self.timed or not minutes:
            return ""
        self.timed.add(section)
        return f"<p>{escape(section) or 'Opening'}: <b>{minutes} minutes</b> alone, a third more with a class</p>"

    def _explained(self, slide: Slide) -> list[str]:
        """What the guide says of each helper, on the first slide that has its name."""
        cells = [self.lesson[one] for one in slide.cells if one in self.lesson.ids]
        seen = "\n".join([*slide.text, *(cell.source for cell in cells if cell.cell_type == "code")])
        new = [name for name in self.helpers if re.search(rf"\b{name.strip('`')}\b", seen)]
        return [f"<p>{_inline(f'{name}: {self.helpers.pop(name)}')}</p>" for name in new]

    def _names(self) -> dict[str, str]:
        """Each cell's name: its first line that isn't an import and that no other cell has, as far as it fits."""
        lines: dict[str, list[str]] = {}
        for cell in self.lesson.cells:
            written = [line.strip() for line in cell.source.splitlines() if line.strip()]
            if cell.cell_type == "code" and written:
                told = [_short(line) for line in written if not line.startswith(("import ", "from ", "@"))]
                lines[cell.id] = told or written[:1]
        cells_with = Counter(line for told in lines.values() for line in set(told))
        return {one: next((line for line in told if cells_with[line] == 1), told[0]) for one, told in lines.items()}

    def _named(self, title: str, cells: list[Cell]) -> str:
        """Return cells by their names, or nothing if there are none."""
        names = " · ".join(f"<code>{escape(self.names[cell.id])}</code>" for cell in cells)
        return f"<p><b>{title}:</b> {names}</p>" if names else ""

    def _prediction(self, slide: Slide) -> tuple[str, str]:
        """What to ask, expect and say, and the lesson's own explanation."""
        cell = slide.one("predict")
        row = self.guide.prediction(self.lesson.section(cell).split(" ")[0])
        told = "".join(
            f"<p><b>{key}:</b> {_inline(row[key])}</p>" for key in ("Ask", "You will hear", "Say", "It shows")
        )
        return told, MARKDOWN.render(self.lesson.prediction(cell).explanation)

    def _exercise(self, slide: Slide) -> str:
        title, task = self.lesson.exercise(slide.one("exercise"))
        rows = "".join(
            f"<li>{_inline(f'{wrote}. The check: {said}. Say: {answer}')}</li>"
            for wrote, said, answer in self.guide.wrong_answers(title.split(" ")[1])
        )
        alone = f"<p>Alone: <b>{self.guide.minutes(title)} minutes</b>. The slide has the minutes for a class.</p>"
        begin = self.lesson.ids.index(slide.one("exercise"))
        end = next(place for place, cell in enumerate(self.lesson.cells) if place > begin and _solves(cell))
        cells = [cell for cell in self.lesson.cells[begin:end] if cell.cell_type == "code"]
        prefix = f"exercise-{title.split(' ')[1]}-"
        solved = [cell for cell in self.lesson.cells[end:] if cell.cell_type == "code" and cell.id.startswith(prefix)]
        run = self._named("Run", cells) + self._named("With the solution, run", solved)
        return f"{alone}{run}{MARKDOWN.render(task)}<p><b>Expect</b></p><ul>{rows}</ul>"


def _inline(text: str) -> str:
    return str(MARKDOWN.renderInline(text))


def _short(line: str) -> str:
    return line.rstrip(":") if len(line) <= LONGEST_NAME else f"{line[:LONGEST_NAME]}…"


def _solves(cell: Cell) -> bool:
    return "solution" in cell.metadata.get("tags", [])


def _explains(cell: Cell) -> bool:
    """Whether it explains; a prediction and a hint have notes of their own."""
    return cell.metadata.get("slideshow", {}).get("slide_type") != "notes" and "**Predict.**" not in cell.source


def _plain(source: str) -> str:
    """Prose without headings, tables and exercises, and with the words of a picture instead of it."""
    source = re.sub(r"!\[(.+?)\]\(.+?\)", r"\1", source.partition("### Exercise")[0], flags=re.DOTALL)
    source = PAUSE.sub("", source)
    return "\n".join(line for line in source.splitlines() if not line.startswith(("#", "|")))
