"""A Python session for a test: it runs the code in each line of its standard input (a
JSON text) and answers a line of JSON with what the code left in `out`, or with the error."""

import json
import os
import sys
import traceback

from answers import *
from engines import *
from trinoclient import trino_attached


def rows_of(table, **scan):
    """The rows of a PyIceberg table as JSON texts, sorted."""
    found = table.scan(**scan).to_arrow().to_pylist()
    return sorted(json.dumps(list(r.values()), default=str) for r in found)


session = dict(globals())
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what engines say of themselves, the JVM of Spark too, is no answer
sys.stdout = sys.stderr
for line in sys.stdin:
    session["out"] = None
    try:
        exec(json.loads(line), session)
        answer = {"out": session["out"]}
    except BaseException as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e), "trace": traceback.format_exc()}
    answers.write(json.dumps(answer, default=str) + "\n")
    answers.flush()
