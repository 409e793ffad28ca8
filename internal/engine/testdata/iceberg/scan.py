"""Prints the rows that PyIceberg's scans give, as canonical JSON texts.

stdin: {"table": metadata file, "filters": [row filter or "", …]}
stdout: [[row, …], …], each list sorted
"""
import json
import sys

from pyiceberg.table import StaticTable

asked = json.load(sys.stdin)
t = StaticTable.from_metadata(asked["table"])
out = []
for f in asked["filters"]:
    found = (t.scan(row_filter=f) if f else t.scan()).to_arrow().to_pylist()
    out.append(sorted(json.dumps(list(row.values()), default=str, separators=(",", ":")) for row in found))
json.dump(out, sys.stdout)
