"""One column, taken for what it is, fitted and read again."""

import pandas as pd

from xent.tables.kinds import typed, understand


def one(values, **options):
    """What a column `x` of these values is taken for."""
    (column,) = understand(pd.DataFrame({"x": pd.Series(values)}), **options)
    return column


def fit(values, column=None, **options):
    column = column or one(values, **options)
    return typed(pd.DataFrame({"x": pd.Series(values)}), [column], where="t.csv", fitting=True)["x"]


def predict(column, values, **options):
    return typed(pd.DataFrame({"x": pd.Series(values)}), [column], where="n.csv", fitting=False, **options)[
        "x"
    ]


def repeated(*values):
    """Enough rows, so that texts repeat and are no names."""
    return list(values) * 10
