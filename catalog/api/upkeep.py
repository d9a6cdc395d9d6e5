"""What checks, hands on and tidies a whole catalog."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.api.opened import Opened
from catalog.store.location import as_location

if TYPE_CHECKING:
    from catalog.queries.verification import Verification
    from catalog.store.compacting import Compacted
    from catalog.store.dropping import Drop
    from catalog.store.reroling import Upgrade


class Upkeep(Opened):
    """A catalog as a file: checked, exported, shrunk, brought up to date."""

    def verify(
        self,
        model: str | None = None,
        *,
        rows: bool = True,
        exemplars: int | None = None,
        published: bool = False,
        corpus: str | None = None,
        device: str = "auto",
        checkpoint: Path | None = None,
    ) -> "list[Verification]":
        """Check digests of `rows`, so many `exemplars`, class counts that were `published`.

        `checkpoint` is where the model lies now, if it was moved since it was ingested.
        `require_agreement` raises what is wrong with the answer.
        """
        from catalog.queries import verification

        checks = []
        if rows:
            checks.append(verification.of_rows(self._handle, model))
        if exemplars is not None:
            drawn = verification.drawn_exemplars(self._handle, model, corpus, exemplars)
            from catalog.ingest.recheck import recheck_exemplars

            checks.append(verification.of_exemplars(*recheck_exemplars(drawn, device, checkpoint)))
        if published:
            checks.append(verification.of_published(self._handle, model))
        return checks

    def require_agreement(self, checks: "Sequence[Verification]") -> None:
        """Raise MismatchError if anything differs in what `verify` answered, or was not checked."""
        from catalog.queries import verification

        verification.require_agreement(self._handle, checks)

    def export(
        self,
        target: str | Path,
        models: Sequence[str] = (),
        file_format: str = "parquet",
        *,
        force: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Write models to a folder or URL: a lake (parquet), text files (csv, jsonl), or a catalog
        file of their own (duckdb); without `models`, all.

        Raises:
            UsageError, AliasTaken, EnvironmentFault: the target cannot be so, or be written.
        """
        from catalog.store.exporting import export

        where = as_location(target)
        export(self._handle, where, models, file_format, force=force, say=say)

    def export_site(
        self,
        target: str | Path,
        model: str | None = None,
        where: str | None = None,
        corpus: str | None = None,
        *,
        force: bool = False,
        yes: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Write the neurons of a model that a condition in SQL over `neurons` holds for as a folder
        of web pages that any host serves: `export_site("site", where="layer = 28")`.

        `force`: a site that is there is written anew. `yes`: thousands of pages are wanted.

        Raises:
            UsageError, SqlError: no neuron, or thousands; the folder holds something else; no
                condition.
        """
        from catalog.sharing.site import export_site

        export_site(
            self._handle, as_location(target), model, where, corpus, force=force, yes=yes, say=say
        )

    def export_exemplars(
        self,
        target: str | Path,
        file_format: str,
        model: str | None = None,
        where: str | None = None,
        corpus: str | None = None,
        *,
        force: bool = False,
        yes: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Write exemplars of chosen neurons as an explainer reads them: neuronpedia or delphi.

        `where`, `force` and `yes` as in `export_site`.

        Raises:
            UsageError, SqlError: no neuron, or thousands; the folder holds something else; no
                condition.
            NotFoundError: there is no exemplar.
        """
        from catalog.sharing.explainers import export_exemplars

        export_exemplars(
            *(self._handle, as_location(target), file_format, model, where, corpus),
            force=force,
            yes=yes,
            say=say,
        )

    def find_drop(
        self, model: str | None = None, corpus: str | None = None, ablation: str | None = None
    ) -> "Drop":
        """What `drop` would take; nothing is changed yet. An `ablation` needs no model."""
        from catalog.store.dropping import find_drop

        return find_drop(self._handle, model, corpus, ablation)

    def drop(self, found: "Drop") -> None:
        """Take an entry, one corpus or one ablation of it, out of the catalog."""
        from catalog.store.dropping import drop

        drop(found)

    def compact(self) -> "Compacted":
        """Rewrite the file to what it holds."""
        from catalog.store.compacting import compact

        return compact(self._handle)

    def upgrade(self) -> "Upgrade":
        """Bring an older catalog up to this version's schema and rule for roles."""
        from catalog.store.reroling import upgrade

        return upgrade(self._handle)
