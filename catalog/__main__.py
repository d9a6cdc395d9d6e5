"""`python -m catalog`."""

from catalog.cli.main import main

main()
