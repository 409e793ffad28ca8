"""A Python session for a test: it runs the code in each line of its standard input (a
JSON text) and answers a line of JSON with what the code left in `out`, or with the error."""

import json
import os
import sys
import traceback


def pyiceberg(uri, **more):
    from pyiceberg.catalog import load_catalog

    return load_catalog("tarn", type="rest", uri=uri, **more)


def duckdb_attached(uri, token=""):
    """DuckDB with the extensions out of their wheels, and the catalog attached as lake."""
    import glob

    import duckdb

    con = duckdb.connect()
    for name in ("httpfs", "avro", "iceberg"):
        package = __import__("duckdb_extension_" + name)
        found = glob.glob(os.path.join(os.path.dirname(package.__file__), "**", name + ".duckdb_extension*"), recursive=True)
        con.execute("LOAD '%s'" % found[0])
    if token:
        con.execute("CREATE SECRET s (TYPE iceberg, TOKEN '%s')" % token)
        con.execute("ATTACH '' AS lake (TYPE iceberg, ENDPOINT '%s', SECRET s, DEFAULT_SCHEMA 'main')" % uri)
    else:
        con.execute("ATTACH '' AS lake (TYPE iceberg, ENDPOINT '%s', AUTHORIZATION_TYPE 'none', DEFAULT_SCHEMA 'main')" % uri)
    return con


def spark_attached(uri, jars):
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.jars", jars)
        .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
        .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.lake.type", "rest")
        .config("spark.sql.catalog.lake.uri", uri)
        .config("spark.sql.catalog.lake.io-impl", "org.apache.iceberg.hadoop.HadoopFileIO")
        .config("spark.sql.defaultCatalog", "lake")
        .getOrCreate()
    )


def rows_of(table, **scan):
    """The rows of a PyIceberg table as JSON texts, sorted."""
    found = table.scan(**scan).to_arrow().to_pylist()
    return sorted(json.dumps(list(r.values()), default=str) for r in found)


session = dict(globals())
answers = sys.stdout
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
