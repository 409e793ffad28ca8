"""The files of the real-input test, made smaller."""

import shutil

import duckdb


def reduced(source, target):
    """Writes every eighth day's flights and weather, and every fiftieth of the three million
    flights: engines are compared by what is in them, not by their size."""
    for name in ("airlines", "airports", "planes"):
        shutil.copy("%s/%s.csv" % (source, name), target)
    for name in ("weather", "flights"):
        duckdb.sql(
            "COPY (FROM read_csv('%s/%s.csv', all_varchar = true) WHERE day::INT %% 8 = 1) TO '%s/%s.csv'" % (source, name, target, name)
        )
    duckdb.sql(
        "COPY (SELECT * EXCLUDE file_row_number FROM read_parquet('%s/flights-3m.parquet', file_row_number = true)"
        " WHERE file_row_number %% 50 = 1) TO '%s/flights-3m.parquet'" % (source, target)
    )
