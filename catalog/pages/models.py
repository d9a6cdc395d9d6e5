"""The model that texts of readers run through."""

from typing import TYPE_CHECKING

from catalog.api import Catalog

if TYPE_CHECKING:
    from catalog.texts import Texts


class LoadedModel:
    """The model asked for last: it stays loaded, and no other one does.

    Whoever asks is alone: pages that run a model are made one at a time.
    """

    def __init__(self) -> None:
        self._texts: Texts | None = None

    def texts(self, catalog: Catalog, model: str | None) -> "Texts":
        """What runs texts through an entry's model, which must be on this machine.

        Raises:
            NotFoundError, UsageError: no such model, or it is not clear which.
        """
        asked = catalog.texts(model, may_download=False)
        if self._texts is None or self._texts.entry != asked.entry:
            self._texts = asked
        return self._texts
