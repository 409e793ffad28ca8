package engine_test

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// numberFrom is how much a test does that has a long form: as usual, or what the
// variable of the environment says.
func numberFrom(t *testing.T, variable string, usual int) int {
	return from(t, variable, usual, strconv.Atoi)
}

// timeFrom is numberFrom of how long it does so.
func timeFrom(t *testing.T, variable string, usual time.Duration) time.Duration {
	return from(t, variable, usual, time.ParseDuration)
}

func from[T any](t *testing.T, variable string, usual T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return v
}
