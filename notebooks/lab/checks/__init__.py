"""Checks of the exercises, a module for each lesson; each check says in one sentence what is still missing."""
