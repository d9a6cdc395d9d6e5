"""Rich's console as the catalog uses it: what it prints is visible, and it has some width."""

import shutil
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from catalog.visible import visible


class VisibleConsole(Console):
    """Spells out in every text what a terminal would obey or hide; escapes are Rich's alone.

    Who makes texts does so before, so that a column is as wide as what is shown in it; none passes
    by this place. `COLUMNS=0` says, as to other programs, that the width is not known.
    """

    def __init__(self, file: IO[str], **settings: Any) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False, **settings)
        if self.width < 1:
            self.width = shutil.get_terminal_size().columns

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments whose texts are visible."""
        for segment in super().render(renderable, options):
            yield (
                segment
                if segment.control
                else segment._replace(text=visible(segment.text, keep="\n"))
            )
