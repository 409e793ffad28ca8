#ifndef TARN_MASK_H
#define TARN_MASK_H

#include <stdint.h>

// A mask says which rows of a list of files are dead: a bit a row, files in the
// order in which the scan lists them. It does not change once it is added.
typedef struct {
	uint64_t rows;        // of the file; bits has one for each
	const uint64_t *bits; // from the lowest bit of the first word on; NULL: none is dead
} tarn_mask_file;

// tarn_mask_add takes over a list of files (of malloc) and gives the mask's
// number, which is never given twice; 0 when there is no memory. What the files
// point to stays the caller's, and must stay until the mask is removed.
uint64_t tarn_mask_add(tarn_mask_file *files, uint64_t n);

// tarn_mask_remove forgets a mask: no call of the function reads it any more. A
// number that is not there is passed over.
void tarn_mask_remove(uint64_t mask);

// tarn_mask_function is a duckdb_scalar_function_t:
// (mask UBIGINT, file_index UBIGINT, file_row_number BIGINT) -> BOOLEAN, true for
// a row that is not dead.
void tarn_mask_function(void *info, void *input, void *output);

#endif
