package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the program of this process: its arguments, streams, environment
// and signals. The first SIGINT or SIGTERM cancels the command (a server
// drains); the second ends the process at once. A SIGINT that a command takes for
// itself does not count.
func Main(version string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	interrupts := &Interrupts{}
	go func() {
		for s := range signals {
			if s != syscall.SIGINT || !interrupts.taken() {
				break
			}
		}
		if startedByTarn(os.Args) {
			// Ctrl-C and a service manager's stop reach all processes of the group.
			// It is the parent that says when these end: a server that drains still
			// needs its worker.
			for range signals {
			}
		}
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "tarn: ended at once")
		os.Exit(exitFailure)
	}()
	self, err := os.Executable()
	if err != nil {
		return report(os.Stderr, fmt.Errorf("find this program's file, to start it again: %w", err))
	}
	p := &Program{
		Args:  os.Args[1:],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Env: takeToken(), Self: []string{self}, Memory: MachineMemory(), Version: version, Interrupts: interrupts,
	}
	return p.Run(ctx)
}

// takeToken takes the token out of this process's environment, so that the processes
// it starts do not have it, and gives what looks settings up.
func takeToken() func(name string) (string, bool) {
	const name = "TARN_TOKEN"
	token, has := os.LookupEnv(name)
	if has {
		_ = os.Unsetenv(name) // it cannot fail for a name that was found
	}
	return func(asked string) (string, bool) {
		if asked == name {
			return token, has
		}
		return os.LookupEnv(asked)
	}
}

// startedByTarn says whether this is a worker process, which ends when its
// standard input does. (A job is told to end by SIGTERM.)
func startedByTarn(args []string) bool { return len(args) > 1 && args[1] == "worker" }
