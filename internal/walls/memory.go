package walls

import "strings"

// memoryWords are those with which a process ends that ran into its limit: of Go's
// runtime, the C library and C++, in lower case.
var memoryWords = []string{
	"out of memory", "cannot allocate memory", "not enough memory", "bad_alloc", "malloc failed",
	"pthread_create failed", "failed to create new os thread",
}

// OutOfMemory says whether a process's last words, its stderr, are of memory that it
// did not get.
func OutOfMemory(words string) bool {
	words = strings.ToLower(words)
	for _, w := range memoryWords {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}
