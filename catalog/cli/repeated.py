"""Options that were given twice though they take one value: Click would keep the last of them."""

from collections import Counter

import click


def refuse_repeated(group: click.Context, command: click.Command, arguments: list[str]) -> None:
    """Refuse a single-valued option that stands more than once in a command's arguments.

    A plain flag says twice the same and is let through; what cannot be parsed is left to Click.

    Raises:
        click.UsageError: it names the option.
    """
    context = click.Context(
        command, parent=group, info_name=command.name, **command.context_settings
    )
    # No option has a blank after its dashes: `-- a comment` is SQL.
    words = [f"\n{word}" if word.startswith("-- ") else word for word in arguments]
    try:
        _, _, given = command.make_parser(context).parse_args(words)
    except click.UsageError:
        return
    for option, n in Counter(each for each in given if isinstance(each, click.Option)).items():
        says_the_same = option.is_flag and not option.secondary_opts
        if n > 1 and not (option.multiple or option.count or says_the_same):
            names = " / ".join([*option.opts, *option.secondary_opts])
            raise click.UsageError(f"{names} takes one value and was given {n} times.", context)
