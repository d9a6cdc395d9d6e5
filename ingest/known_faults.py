"""Versions of transformers that are known to run a model wrongly.

Asked before a model is run: by the activation stage, the roles' start token, `run` and `verify`.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from packaging.version import Version

from catalog.errors import EnvironmentFault, Option


@dataclass(frozen=True)
class KnownFault:
    """A fault of transformers from version `since` until it was `fixed`."""

    model_types: tuple[str, ...]
    since: str
    fixed: str
    what: str

    def concerns(self, model_type: str, installed: str) -> bool:
        """Whether models of that type run wrongly under that version."""
        within = Version(self.since) <= Version(installed) < Version(self.fixed)
        return model_type in self.model_types and within


KNOWN_FAULTS: Final = (
    KnownFault(("olmo3",), "5.0", "5.13", "it applies YaRN to layers of sliding attention too"),
)


def refuse_known_faults(model_type: str, source: str, installed: str | None = None) -> None:
    """Refuse to run a model that transformers would run wrongly; `installed` is its version.

    Raises:
        EnvironmentFault: it would; the message says which version mends it.
    """
    installed = installed or version("transformers")
    for fault in KNOWN_FAULTS:
        if fault.concerns(model_type, installed):
            raise EnvironmentFault(
                f"{source} would be run wrongly by transformers {installed} (model type "
                f"{model_type}: {fault.what}); {fault.fixed} mends it: pip install -U "
                f"'transformers>={fault.fixed}'. What needs no run:",
                " ",
                Option("stages", "weights,vocab"),
                ".",
            )
