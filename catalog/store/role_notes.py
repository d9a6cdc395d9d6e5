"""What is worth keeping of a run of the rule for functional roles: counts, and cutoffs in use."""

from typing import Final

import duckdb

from catalog.role_rule import RoleRule

CALL: Final = """
from functional_roles(
    $partition, $moments, $min_kurtosis, $kurtosis, $n_entropy, $iqr_factor, $attention_cutoff,
    $layers_ahead
)
"""
"""The rule's macro; it takes the fields of a RoleRule."""

_COUNTS: Final = """
select functional_role, count(*)
from roles
where functional_role is not null and model = $1
group by functional_role
order by functional_role
"""
_CUTOFFS: Final = """
select
    min(n.vocab_variance) filter (where r.functional_role = 'partition'),
    max(n.vocab_kurtosis) filter (where r.functional_role = 'partition'),
    any_value(r.kurtosis_cutoff)
from roles r
join neurons n using (model, layer, neuron)
where model = $1
"""
_ENTROPY: Final = """
select quantile_cont(null_space_share::double, 0.75) + $2 * (
    quantile_cont(null_space_share::double, 0.75) - quantile_cont(null_space_share::double, 0.25)
)
from neurons
where model = $1
    and layer = (select max(layer) from neurons where model = $1)
"""


def role_notes(
    connection: duckdb.DuckDBPyConnection, model: str, rule: RoleRule
) -> dict[str, object]:
    """Of the table `roles`, which `CALL` filled, for a model of the view `neurons`.

    Returns:
        roles: neurons by role. partition_variance: the least vocabulary variance among partition
        neurons; partition_kurtosis: the highest excess kurtosis among them; kurtosis_cutoff: what
        prediction and suppression neurons exceed; entropy_cutoff: what shares of entropy neurons
        exceed. None where there is none.
    """
    counts = connection.execute(_COUNTS, [model]).fetchall()
    cutoffs = connection.execute(_CUTOFFS, [model]).fetchone() or (None, None, None)
    (entropy,) = connection.execute(_ENTROPY, [model, rule.iqr_factor]).fetchone() or (None,)
    return {
        "roles": dict(counts),
        "partition_variance": cutoffs[0],
        "partition_kurtosis": cutoffs[1],
        "kurtosis_cutoff": cutoffs[2],
        "entropy_cutoff": entropy,
    }
