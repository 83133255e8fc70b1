"""What the reference leaves out of the sources' docstrings, for mkdocstrings.

What belongs here: leaving out what is said to those who change a module and helps nobody who uses it. What
never does: texts; those are the docstrings.
"""

from __future__ import annotations

from typing import Any

import griffe


class ForReaders(griffe.Extension):
    """The header of each module says what belongs into the file: that paragraph goes."""

    def on_module(self, *, mod: griffe.Module, **_: Any) -> None:
        if mod.docstring is not None:
            paragraphs = mod.docstring.value.split("\n\n")
            kept = [text for text in paragraphs if not text.lstrip().startswith("What belongs here")]
            mod.docstring.value = "\n\n".join(kept)
