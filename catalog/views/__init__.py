"""The public views of DESIGN section 3, in `.sql` files applied in the order of their names."""

from importlib.resources import files


def view_scripts() -> list[str]:
    """The SQL of every file, in the order in which it must run."""
    scripts = sorted(
        (file for file in files(__name__).iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    return [script.read_text(encoding="utf-8") for script in scripts]


def macro_scripts() -> list[str]:
    """Those that make macros alone, over the views and not the tables beneath them."""
    return [script for script in view_scripts() if "create or replace view" not in script]
