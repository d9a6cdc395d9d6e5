"""`python -m catalog`."""

from catalog.cli.entry import main

main()
