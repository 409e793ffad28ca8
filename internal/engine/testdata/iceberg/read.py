"""Prints what PyIceberg finds behind metadata files, as canonical JSON.

stdin: {"tables": [metadata file, …], "answers": [Arrow IPC stream file, …]}
stdout: {"tables": [{"fields", "key", "uuid", "version", "records", "scan", "files"}, …],
         "answers": [{"scan", "files"}, …]}

scan holds the rows of a scan, files those of the planned Parquet files, columns
found by field id; both are sorted lists of texts, one a row. A value's text keeps
its kind and all of it, so that 1 and "1", null and "", 0.0 and -0.0 differ, and is
the same whether the value came by PyIceberg or by an Arrow stream. But a scan of
PyIceberg 0.12 makes null lists and maps of structs empty ones (from_arrays of the
offsets alone), so that scan takes the two for one; files does not.
"""
import datetime
import decimal
import json
import sys
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.table import StaticTable
from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
from pyiceberg.table.puffin import PuffinFile
from pyiceberg.types import ListType, MapType, StructType


def field(f):
    return {"id": f.field_id, "name": f.name, "type": kind(f.field_type), "required": f.required, "parts": parts(f.field_type)}


def kind(t):
    return "list" if isinstance(t, ListType) else "struct" if isinstance(t, StructType) else "map" if isinstance(t, MapType) else str(t)


def parts(t):
    if isinstance(t, ListType):
        return [field(t.element_field)]
    if isinstance(t, StructType):
        return [field(f) for f in t.fields]
    if isinstance(t, MapType):
        return [field(t.key_field), field(t.value_field)]
    return []


def loses_null(t):
    return pa.types.is_list(t) and pa.types.is_struct(t.value_type) or pa.types.is_map(t) and pa.types.is_struct(t.item_type)


def value(v, t, exact):
    if isinstance(t, pa.ExtensionType):
        t = t.storage_type
    if v is None and not exact and loses_null(plain(t)):
        v = []
    if v is None:
        return None
    if pa.types.is_struct(t):
        return {"struct": [[f.name, value(v[f.name], f.type, exact)] for f in t]}
    if pa.types.is_map(t):
        return {"map": [[value(k, t.key_type, exact), value(i, t.item_type, exact)] for k, i in v]}
    if is_list(t):
        return {"list": [value(i, t.value_type, exact) for i in v]}
    if isinstance(v, bool) or isinstance(v, int):
        return v
    if isinstance(v, float):
        return {"float": v.hex()}
    if isinstance(v, uuid.UUID):
        return {"bytes": v.bytes.hex()}
    if isinstance(v, bytes):
        return {"bytes": v.hex()}
    if isinstance(v, decimal.Decimal):
        return {"decimal": str(v), "scale": -v.as_tuple().exponent}
    if isinstance(v, datetime.datetime):
        zone = "" if v.tzinfo is None else "Z"
        return {"timestamp": v.replace(tzinfo=None).isoformat() + zone}
    if isinstance(v, (datetime.date, datetime.time)):
        return {type(v).__name__: v.isoformat()}
    if isinstance(v, str):
        return v
    raise TypeError(f"{type(v)} of {t}")


def is_list(t):
    return pa.types.is_list(t) or pa.types.is_large_list(t)


def plain(t):
    return pa.list_(t.value_type) if pa.types.is_large_list(t) else t


def rows(batches, exact):
    """By batches: pyarrow cannot make an empty table with a uuid column."""
    out = []
    for batch in batches:
        columns = [[value(v, c.type, exact) for v in c.to_pylist()] for c in batch.columns]
        out += [json.dumps(row) for row in zip(*columns)]
    return out


def file_rows(t):
    out = []
    for task in t.scan().plan_files():
        dead = set()
        for d in task.delete_files:
            path = d.file_path.removeprefix("file://")
            if path.endswith(".puffin"):
                with open(path, "rb") as f:
                    vectors = deletion_vectors_from_puffin_file(PuffinFile(f.read()))
                assert len(vectors) == 1, "a deletion vector of tarn's is of one data file"
                if vectors[0].referenced_data_file != task.file.file_path:
                    continue  # PyIceberg 0.12 plans it for each data file that is not newer
                assert not dead
                dead.update(vectors[0].to_vector().to_pylist())
                assert len(dead) == d.record_count
                continue
            positions = pq.read_table(path).to_pydict()
            assert set(positions["file_path"]) == {task.file.file_path}, "a delete file of tarn's is of one data file"
            assert not dead.intersection(positions["pos"]) and sorted(positions["pos"]) == positions["pos"]
            dead.update(positions["pos"])
        f = pq.ParquetFile(task.file.file_path.removeprefix("file://"))
        at = {int(field.metadata[b"PARQUET:field_id"]): i for i, field in enumerate(f.schema_arrow)}
        order = [at[field.field_id] for field in t.schema().fields]
        found = rows((batch.select(order) for batch in f.iter_batches()), True)
        assert len(found) == task.file.record_count
        out += [row for at, row in enumerate(found) if at not in dead]
    return out


def read(metadata):
    t = StaticTable.from_metadata(metadata)
    snapshot = t.current_snapshot()
    return {
        "fields": [field(f) for f in t.schema().fields],
        "key": sorted(t.schema().identifier_field_ids),
        "uuid": str(t.metadata.table_uuid),
        "version": t.metadata.format_version,
        "records": int(snapshot.summary["total-records"]) if snapshot else 0,
        "scan": sorted(rows(t.scan().to_arrow_batch_reader(), False)),
        "files": sorted(file_rows(t)),
    }


def answer(path):
    def batches():
        with open(path, "rb") as f:
            yield from pa.ipc.open_stream(f)

    return {"scan": sorted(rows(batches(), False)), "files": sorted(rows(batches(), True))}


asked = json.load(sys.stdin)
json.dump({"tables": [read(m) for m in asked["tables"]], "answers": [answer(a) for a in asked["answers"]]}, sys.stdout)
