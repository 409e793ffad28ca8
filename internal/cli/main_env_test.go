package cli

import (
	"os"
	"testing"
)

// Processes that a command starts do not get its token.
func TestTheTokenIsNotHandedOn(t *testing.T) {
	t.Setenv("TARN_TOKEN", "tarn_x")
	t.Setenv("TARN_LISTEN", "127.0.0.1:1")
	env := takeToken()
	if v, ok := env("TARN_TOKEN"); v != "tarn_x" || !ok {
		t.Errorf("the command has %q, %v", v, ok)
	}
	if v, ok := env("TARN_LISTEN"); v != "127.0.0.1:1" || !ok {
		t.Errorf("another setting is %q, %v", v, ok)
	}
	if v, ok := os.LookupEnv("TARN_TOKEN"); ok {
		t.Errorf("the environment still has %q", v)
	}
	if _, ok := takeToken()("TARN_TOKEN"); ok {
		t.Error("there is none any more")
	}
}
