"""Reads a Parquet file as a stranger would: says its types and its values, as JSON."""
import json
import sys

import pyarrow.parquet as pq


def text(value):
    if not value.is_valid:
        return None
    if str(value.type) == "timestamp[ns]":  # more than a datetime holds
        return str(value.value)
    return str(value.as_py())


table = pq.read_table(sys.argv[1])
json.dump({
    "types": [f"{f.name}: {f.type}" for f in table.schema],
    "rows": list(zip(*[[text(v) for v in column] for column in table.columns])),
}, sys.stdout)
