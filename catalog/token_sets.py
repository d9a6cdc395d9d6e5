"""Sets of tokens by name, each as a regular expression that a whole piece must match."""

from typing import Final

_WEEKDAYS: Final = "(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)days?)"
# Those that are also other words count only in capitals.
_MONTHS: Final = (
    "(?i:january|february|april|june|july|september|october|november|december)"
    "|March|MARCH|May|MAY|August|AUGUST"
)

TOKEN_SETS: Final = {
    name: rf"^\s*(?:{pattern})\s*$"
    for name, pattern in (
        ("digits", r"\d+"),
        ("months", _MONTHS),
        ("weekdays", _WEEKDAYS),
        ("quotes", "[\"'“”‘’„‚«»‹›`´]+"),
    )
}
"""Numbers in digits, the names of months and of days, quotation marks; blanks around count not."""
