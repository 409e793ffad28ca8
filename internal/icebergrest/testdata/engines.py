"""How each engine attaches to a tarn server's Iceberg catalog: with a token, where the
server asks for one, and for a lake in a bucket with s3, the endpoint and keys that the
engine itself goes there with."""

import glob
import os


def pyiceberg(uri, token="", s3=None, **more):
    from pyiceberg.catalog import load_catalog

    if token:
        more["token"] = token
    if s3:
        more |= {"s3.endpoint": s3["url"], "s3.access-key-id": s3["key"], "s3.secret-access-key": s3["secret"], "s3.region": s3["region"]}
    return load_catalog("tarn", type="rest", uri=uri, **more)


def duckdb_attached(uri, token="", s3=None):
    """DuckDB with the extensions out of their wheels, and the catalog attached as lake."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for name in ("httpfs", "avro", "iceberg"):
        package = __import__("duckdb_extension_" + name)
        found = glob.glob(os.path.join(os.path.dirname(package.__file__), "**", name + ".duckdb_extension*"), recursive=True)
        con.execute("LOAD '%s'" % found[0])
    if s3:
        con.execute(
            "CREATE SECRET bucket (TYPE s3, KEY_ID '%s', SECRET '%s', REGION '%s', ENDPOINT '%s', URL_STYLE 'path', USE_SSL false)"
            % (s3["key"], s3["secret"], s3["region"], s3["url"].removeprefix("http://"))
        )
    if token:
        con.execute("CREATE SECRET s (TYPE iceberg, TOKEN '%s')" % token)
        con.execute("ATTACH '' AS lake (TYPE iceberg, ENDPOINT '%s', SECRET s, DEFAULT_SCHEMA 'main')" % uri)
    else:
        con.execute("ATTACH '' AS lake (TYPE iceberg, ENDPOINT '%s', AUTHORIZATION_TYPE 'none', DEFAULT_SCHEMA 'main')" % uri)
    return con


def spark_started(jars):
    """A Spark session; starting one takes ten seconds, so that tests share it. It compiles
    nothing: with few rows that takes twice as long as the queries themselves. Its JVM has no
    second compiler, leaves room for what the first one makes, and does not verify classes."""
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote")
        .config("spark.jars", ",".join(jars))
        .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
        .getOrCreate()
    )


def spark_attach(spark, name, uri, token="", s3=None):
    """Attaches a catalog by a name that Spark has not used yet, and uses it."""
    options = {"type": "rest", "uri": uri, "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO"}
    if s3:
        options |= {
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": s3["url"],
            "s3.path-style-access": "true",
            "s3.access-key-id": s3["key"],
            "s3.secret-access-key": s3["secret"],
            "client.region": s3["region"],
        }
    if token:
        options["token"] = token
    spark.conf.set("spark.sql.catalog." + name, "org.apache.iceberg.spark.SparkCatalog")
    for key, value in options.items():
        spark.conf.set("spark.sql.catalog.%s.%s" % (name, key), value)
    spark.sql("USE %s.main" % name)


def polars_storage(s3):
    """polars reads files by its own means, not by PyIceberg's."""
    if not s3:
        return None
    return {
        "aws_endpoint_url": s3["url"],
        "aws_allow_http": "true",
        "aws_access_key_id": s3["key"],
        "aws_secret_access_key": s3["secret"],
        "aws_region": s3["region"],
    }


def chdb_attached(uri, token="", s3=None):
    """ClickHouse with the catalog attached as lake. It reads local files below its working
    folder alone, so that the session moves to /."""
    from chdb import session

    os.chdir("/")
    s = session.Session()
    s.query("SET allow_database_iceberg = 1")
    s.query("SET group_by_use_nulls = 1, join_use_nulls = 1")  # as SQL has it
    keys, more = "", ""
    if s3:
        keys = ", '%s', '%s'" % (s3["key"], s3["secret"])
        more = ", storage_endpoint = '%s/%s'" % (s3["url"], s3["bucket"])
    if token:
        more += ", catalog_credential = 'any:%s'" % token
    s.query(
        "CREATE DATABASE lake ENGINE = DataLakeCatalog('%s/v1'%s) SETTINGS catalog_type = 'rest', warehouse = 'tarn', vended_credentials = false%s"
        % (uri, keys, more)
    )
    return s
