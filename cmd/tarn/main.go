// Command tarn is a lakehouse server and its command line.
package main

import (
	"os"

	"tarn/internal/cli"
)

// version is set by the linker (see the Makefile).
var version = "unreleased"

func main() { os.Exit(cli.Main(version)) }
