#include "mask.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

// DuckDB's C API as far as the function needs it: handles are pointers.
extern uint64_t duckdb_data_chunk_get_size(void *chunk);
extern void *duckdb_data_chunk_get_vector(void *chunk, uint64_t column);
extern void *duckdb_vector_get_data(void *vector);
extern void duckdb_scalar_function_set_error(void *info, const char *error);

typedef struct {
	uint64_t number; // 0: free
	uint64_t n;
	tarn_mask_file *files;
} slot;

// A mask's number is its slot and above it a count, which makes it unlike those of
// the masks that had the slot before.
enum { SLOT_BITS = 20 };

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static slot *slots;
static uint64_t slot_count;
static uint64_t given;

uint64_t tarn_mask_add(tarn_mask_file *files, uint64_t n) {
	pthread_rwlock_wrlock(&lock);
	uint64_t at = 0;
	while (at < slot_count && slots[at].number != 0) {
		at++;
	}
	if (at == slot_count) {
		uint64_t more = slot_count == 0 ? 16 : 2 * slot_count;
		slot *grown = more > (1 << SLOT_BITS) ? NULL : calloc(more, sizeof(slot));
		if (grown == NULL) {
			pthread_rwlock_unlock(&lock);
			free(files);
			return 0;
		}
		for (uint64_t i = 0; i < slot_count; i++) {
			grown[i] = slots[i];
		}
		free(slots);
		slots = grown;
		slot_count = more;
	}
	uint64_t number = ++given << SLOT_BITS | at;
	slots[at] = (slot){number, n, files};
	pthread_rwlock_unlock(&lock);
	return number;
}

// find gives the slot of a mask, NULL where it is gone; the lock is held.
static slot *find(uint64_t mask) {
	uint64_t at = mask & ((1 << SLOT_BITS) - 1);
	if (mask == 0 || at >= slot_count || slots[at].number != mask) {
		return NULL;
	}
	return &slots[at];
}

void tarn_mask_remove(uint64_t mask) {
	pthread_rwlock_wrlock(&lock);
	slot *s = find(mask);
	slot gone = {0};
	if (s != NULL) {
		gone = *s;
		*s = (slot){0};
	}
	pthread_rwlock_unlock(&lock);
	free(gone.files);
}

void tarn_mask_function(void *info, void *input, void *output) {
	uint64_t size = duckdb_data_chunk_get_size(input);
	const uint64_t *masks = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 0));
	const uint64_t *file = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 1));
	const int64_t *row = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, 2));
	bool *live = duckdb_vector_get_data(output);
	const char *error = NULL;
	pthread_rwlock_rdlock(&lock);
	const slot *s = NULL;
	for (uint64_t i = 0; i < size; i++) {
		if (s == NULL || s->number != masks[i]) {
			s = find(masks[i]);
			if (s == NULL) {
				error = "the mask of replaced rows is gone";
				break;
			}
		}
		if (file[i] >= s->n || row[i] < 0 || (uint64_t)row[i] >= s->files[file[i]].rows) {
			error = "a file has more rows than its table says";
			break;
		}
		const uint64_t *bits = s->files[file[i]].bits;
		live[i] = bits == NULL || (bits[row[i] >> 6] >> (row[i] & 63) & 1) == 0;
	}
	pthread_rwlock_unlock(&lock);
	if (error != NULL) {
		duckdb_scalar_function_set_error(info, error);
	}
}
