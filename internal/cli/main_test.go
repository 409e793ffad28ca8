package cli_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"tarn/internal/cli"
)

// The test binary, started again with a command of tarn, is tarn. Flags of a
// test begin with a dash, commands do not; worker processes get no environment
// by which it could be told.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(cli.Main("test"))
	}
	os.Exit(m.Run())
}

const testMemory = 8 << 30

// outcome is what a program said and how it ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a program inside this process: no environment but env, no input.
func run(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	return runWith(t.Context(), env, "", args...)
}

func runWith(ctx context.Context, env map[string]string, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := program(env, stdin, &stdout, &stderr, args...).Run(ctx)
	return outcome{code, stdout.String(), stderr.String()}
}

type writer interface{ Write([]byte) (int, error) }

func program(env map[string]string, stdin string, stdout, stderr writer, args ...string) *cli.Program {
	return &cli.Program{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: stdout, Stderr: stderr,
		Env:     func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Memory:  testMemory,
		Version: "v0.0.0-test",
	}
}

// buffer is read while a program still writes it.
type buffer struct {
	mu struct {
		sync.Mutex
		b bytes.Buffer
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.b.String()
}
