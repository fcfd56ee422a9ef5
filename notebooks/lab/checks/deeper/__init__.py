"""The checks of the exercises in the notebooks of ``deeper/``; a lesson's module offers them."""
