//go:build duckdb_arrow

package duck

// #include <stdlib.h>
// #include "mask.h"
import "C"

import (
	"runtime"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"tarn/internal/lake"
)

// LiveFunction is the SQL function that reads a RowMask:
//
//	_tarn_live(mask UBIGINT, file_index UBIGINT, file_row_number BIGINT) BOOLEAN
//
// It is false for the rows that the mask marks as dead; DuckDB's read_parquet
// gives the other two arguments. It is in C, as it is called for every row of a
// scan: a row costs it about 2 ns, where a call of Go would cost 50 or more and
// get_bit over a BIT costs 12.
const LiveFunction = "_tarn_live"

// registerLive makes LiveFunction known to the instance.
func (c *Conn) registerLive() error {
	f := duckdb.CreateScalarFunction()
	defer duckdb.DestroyScalarFunction(&f)
	duckdb.ScalarFunctionSetName(f, LiveFunction)
	for _, t := range []duckdb.Type{duckdb.TypeUBigInt, duckdb.TypeUBigInt, duckdb.TypeBigInt} {
		logical := duckdb.CreateLogicalType(t)
		duckdb.ScalarFunctionAddParameter(f, logical)
		duckdb.DestroyLogicalType(&logical)
	}
	result := duckdb.CreateLogicalType(duckdb.TypeBoolean)
	defer duckdb.DestroyLogicalType(&result)
	duckdb.ScalarFunctionSetReturnType(f, result)
	duckdb.ScalarFunctionSetFunction(f, unsafe.Pointer(C.tarn_mask_function))
	if duckdb.RegisterScalarFunction(c.conn, f) == duckdb.StateError {
		return lake.Errorf(lake.CodeInternal, "DuckDB did not take the function %s", LiveFunction)
	}
	return nil
}

// MaskedFile says which rows of a file are dead: a bit a row, from the lowest bit
// of the first word on; nil: none is. Its words must not change while a RowMask
// of it lives.
type MaskedFile struct {
	Rows int64
	Dead []uint64
}

// RowMask marks rows of a list of files as dead, for LiveFunction. Free ends it.
type RowMask struct {
	Number uint64 // LiveFunction's first argument
	words  runtime.Pinner
}

// NewRowMask makes a mask of files in the order in which a scan lists them.
func NewRowMask(files []MaskedFile) (*RowMask, error) {
	m := &RowMask{}
	list := (*C.tarn_mask_file)(C.calloc(C.size_t(max(len(files), 1)), C.size_t(unsafe.Sizeof(C.tarn_mask_file{}))))
	to := unsafe.Slice(list, len(files))
	for i, f := range files {
		to[i].rows = C.uint64_t(f.Rows)
		if len(f.Dead) == 0 && f.Rows == 0 || f.Dead == nil {
			continue
		}
		if int64(len(f.Dead))*64 < f.Rows {
			m.words.Unpin()
			C.free(unsafe.Pointer(list))
			return nil, lake.Errorf(lake.CodeInternal, "a mask of %d rows has %d words", f.Rows, len(f.Dead))
		}
		m.words.Pin(&f.Dead[0])
		to[i].bits = (*C.uint64_t)(unsafe.Pointer(&f.Dead[0]))
	}
	if m.Number = uint64(C.tarn_mask_add(list, C.uint64_t(len(files)))); m.Number == 0 {
		m.words.Unpin()
		return nil, lake.Errorf(lake.CodeOutOfMemory, "no memory for a mask of %d files", len(files))
	}
	return m, nil
}

// Free ends the mask. A query that still reads it fails. It can be called twice.
func (m *RowMask) Free() {
	C.tarn_mask_remove(C.uint64_t(m.Number))
	m.words.Unpin()
}
