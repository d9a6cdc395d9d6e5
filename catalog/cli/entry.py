"""Where the process begins: Ctrl-C during the imports ends it without a word."""

import signal


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from catalog.cli.main import main as run_and_exit

    run_and_exit()
