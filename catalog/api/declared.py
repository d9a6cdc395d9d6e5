"""Methods whose keyword parameters are the fields of a dataclass."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from catalog.errors import UsageError

_Fields = ParamSpec("_Fields")
_Self = TypeVar("_Self")
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


def by_fields_of(
    declared: Callable[_Fields, _Asked],
) -> Callable[[Callable[[_Self, _Asked], _Answer]], Callable[Concatenate[_Self, _Fields], _Answer]]:
    """A method of one argument, a `declared`, as one that takes the fields of it.

    `help` shows each with its type and default, and what the docstring of `declared` says of them.
    A name that is none of them raises UsageError.
    """
    fields = inspect.signature(declared).parameters

    def decorated(
        method: Callable[[_Self, _Asked], _Answer],
    ) -> Callable[Concatenate[_Self, _Fields], _Answer]:
        @functools.wraps(method)
        def asking(self: _Self, /, *args: _Fields.args, **given: _Fields.kwargs) -> _Answer:
            for name in given:
                if name not in fields:
                    raise UsageError(
                        f"{method.__name__} takes no {name}. It takes: {', '.join(fields)}."
                    )
            return method(self, declared(*args, **given))

        itself, _ = inspect.signature(method).parameters.values()
        shown: Any = asking
        shown.__signature__ = inspect.signature(method).replace(
            parameters=[itself, *fields.values()]
        )
        own, of_fields = (inspect.cleandoc(each.__doc__ or "") for each in (method, declared))
        shown.__doc__ = f"{own}\n\n{of_fields}"
        return asking

    return decorated
