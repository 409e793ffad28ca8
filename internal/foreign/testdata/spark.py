"""Tables that Spark writes into a folder as a Hadoop catalog, with merge-on-read deletes. Prints
for each how many rows it has, and their ids' sum."""

import json
import sys

from pyspark.sql import SparkSession

folder, jars = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "1")
    .config("spark.sql.codegen.wholeStage", "false")
    .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    .config("spark.jars", jars)
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.h", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.h.type", "hadoop")
    .config("spark.sql.catalog.h.warehouse", folder)
    .getOrCreate()
)
out = {}
for version in (1, 2, 3):
    for name, partitioned in (("plain", ""), ("parts", "PARTITIONED BY (region, bucket(2, id))")):
        table = "h.s.%s%d" % (name, version)
        spark.sql(
            "CREATE TABLE %s (id BIGINT NOT NULL, region STRING) USING iceberg %s TBLPROPERTIES ('format-version' = '%d',"
            " 'write.delete.mode' = 'merge-on-read', 'write.update.mode' = 'merge-on-read', 'write.metadata.compression-codec' = '%s')"
            % (table, partitioned, version, "gzip" if partitioned else "none")
        )
        spark.sql("INSERT INTO %s SELECT id, if(id %% 3 = 0, null, 'r' || id %% 2) FROM range(100)" % table)
        spark.sql("INSERT INTO %s SELECT id, 'r 1' FROM range(100, 120)" % table)
        if version > 1:
            spark.sql("DELETE FROM %s WHERE id %% 10 = 0" % table)
            spark.sql("UPDATE %s SET region = 'new' WHERE id = 7" % table)
            spark.sql("DELETE FROM %s WHERE id IN (11, 111)" % table)
        spark.sql("ALTER TABLE %s ADD COLUMN more STRING" % table)
        rows, total = spark.sql("SELECT count(*), sum(id) FROM %s" % table).first()
        out["%s%d" % (name, version)] = [rows, total]
print("\n" + json.dumps(out))
