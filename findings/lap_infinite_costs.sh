#!/usr/bin/env bash
# lap 0.5.13 beside scipy 1.17.1: infinite costs in a linear assignment.
#
# Expected: infinity forbids a pair. A row that may take no column is left alone (-1), or
# the problem is refused, as scipy refuses it.
# Seen: lap pairs it. For [[1, inf], [2, inf]] both rows get a column and the total is
# inf; which of the two rows gets the forbidden one is no choice of least cost: it is the
# cheap one. With `cost_limit=100` (any limit) the forbidden pair is left out, and the
# cheap row gets its column. A feasible matrix with infinities is solved as scipy does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q lap==0.5.13 scipy==1.17.1 numpy==2.3.5
cd "$work"
"$python" -W ignore - <<'PY'
import lap
import numpy as np
from scipy.optimize import linear_sum_assignment

no = np.inf
costs = np.array([[1, no], [2, no]])
try:
    refused = False
    linear_sum_assignment(costs)
except ValueError as error:
    refused = True
    print('scipy:', error)
total, columns, _ = lap.lapjv(costs)
limited, kept, _ = lap.lapjv(costs, extend_cost=True, cost_limit=100)
print('lap', lap.__version__, 'columns', columns, 'total', total)
print('with cost_limit=100: columns', kept, 'total', limited)
assert refused
assert columns.tolist() == [1, 0] and total == no
assert kept.tolist() == [0, -1] and limited == 1
feasible = np.array([[3, no, 1], [no, no, 2]])
assert lap.lapjv(feasible, extend_cost=True)[1].tolist() == [0, 2]
assert linear_sum_assignment(feasible)[1].tolist() == [0, 2]
PY
