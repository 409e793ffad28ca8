"""A digest of an answer that does not depend on the order of its rows.

Each row is hashed by itself and the hashes are added up, so double rows count. Systems
give numbers in types of their own (a sum of decimals is a decimal of 38 digits here, a
double there), so every number counts to 9 digits. Names of columns do not count.
"""
import datetime
import hashlib


def digest(answer):
    """answer is a pyarrow table or a list of rows."""
    rows = answer if isinstance(answer, list) else zip(*(column.to_pylist() for column in answer.columns))
    total = 0
    for row in rows:
        text = "\x1f".join(text_of(value) for value in row)
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return f"{total % 2**64:016x}"


def text_of(value):
    if value is None:
        return "\x00"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, bytes):
        return "s" + value.decode("utf-8", "backslashreplace")
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=None)
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return f"{float(value) + 0.0:.9g}"
