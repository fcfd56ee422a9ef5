"""The lessons as slides that need no network: ``python -m docs.slides build/slides``.

``outlines/`` says, in plain text, which cells of a lesson become slides and what each slide says in its one line at the
top. All the rest comes from the lesson and from the teacher's guide: the code, the outputs, the pictures, the
predictions, the quiz, and in the speaker's notes what the lesson explains and what the guide has for this place.
"""

from __future__ import annotations
