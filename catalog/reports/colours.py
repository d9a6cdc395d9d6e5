"""The colour of every IO class, the same in figures, pages and reports.

They are those of Okabe and Ito, which people with any colour vision tell apart.
"""

from typing import Final

from catalog.taxonomy import FUNCTIONAL_ROLES, IO_CLASSES

CLASS_COLOURS: Final = dict(
    zip(
        IO_CLASSES,
        ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#d0d0d0"),
        strict=True,
    )
)
"""The conditional classes are the lighter."""

VECTOR_COLOURS: Final = {"gate": "#009e73", "in": "#0072b2", "out": "#d55e00"}
"""The colour of each weight vector where vectors are drawn."""

POST_COLOURS: Final = {"p": "230 105 26", "n": "43 123 186"}
"""Red, green and blue of a positive and a negative post, laid thinly over any background."""

ROLE_COLOURS: Final = dict(
    zip(
        FUNCTIONAL_ROLES,
        ("#cc79a7", "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#d0d0d0"),
        strict=True,
    )
)
"""The colour of every functional role where roles are told apart."""
