"""A neuron as a notebook shows it: a short HTML table."""

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from catalog.queries.neuron_record import NeuronRecord

N_TOKENS: Final = 10


def neuron_html(record: "NeuronRecord") -> str:
    """Title, class, cosines and top tokens (basis `unembed`) of a neuron."""
    neuron = record.neuron
    facts = {
        "IO class": ("atypical " if neuron["atypical"] else "") + str(neuron["io_class"]),
        "role": str(neuron["functional_role"]),
        "cos(gate,in), cos(gate,out), cos(in,out)": ", ".join(
            "NULL" if neuron[name] is None else f"{neuron[name]:+.4f}"
            for name in ("cos_gate_in", "cos_gate_out", "cos_in_out")
        ),
    }
    lists: dict[str, list[str]] = {}
    for row in record.tokens:
        if row["basis"] == "unembed" and row["rank"] <= N_TOKENS:
            lists.setdefault(f"w_{row['vector']} {row['sign']}", []).append(row["token"])
    rows = [
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items()
    ]
    for name, tokens in lists.items():
        words = " ".join(f"<code>{escape(token)}</code>" for token in tokens)
        rows.append(f"<tr><th>{escape(name)}</th><td>{words}</td></tr>")
    title = f"{record.id} of {record.model['model']} ({record.model['weights']} weights)"
    return f"<table><caption>{escape(title)}</caption>{''.join(rows)}</table>"
