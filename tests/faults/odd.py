"""Odd values and bytes, drawn by hypothesis, for all that comes from outside."""

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

many = settings(
    max_examples=int(os.environ.get("CATALOG_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""CATALOG_FUZZ_EXAMPLES=5000 searches longer."""

few = settings(many, max_examples=max(1, many.max_examples // 4))

numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**63), 0.5, 1e308]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), True, False]),
    st.integers(-100, 10_000),
)
texts = st.one_of(
    st.sampled_from(["", "\0", "\ud800", "../../x", "/etc/passwd", "F32", "x" * 5000, "日"]),
    st.text(max_size=20),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
deep = st.sampled_from(["[", '{"a":', "[" * 900 + "]" * 900, "[" * 100_000, '{"a":' * 100_000])


@st.composite
def mutated(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """The object with one to three of its values, at any depth, replaced or left out."""
    changed: dict[str, Any] = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        at: Any = changed
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inside = at[key]
            if isinstance(inside, (dict, list)) and inside and draw(st.booleans()):
                at = inside
                continue
            if isinstance(at, dict) and draw(st.integers(0, 4)) == 0:
                del at[key]
            else:
                at[key] = draw(values)
            break
    return changed


def cut_or_flipped(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes cut short, with a byte flipped, or with some inserted."""
    at = st.integers(0, len(data) - 1)
    return st.one_of(
        at.map(lambda i: data[:i]),
        st.tuples(at, st.integers(1, 255)).map(
            lambda c: data[: c[0]] + bytes([data[c[0]] ^ c[1]]) + data[c[0] + 1 :]
        ),
        st.tuples(at, st.binary(max_size=8)).map(lambda c: data[: c[0]] + c[1] + data[c[0] :]),
    )
