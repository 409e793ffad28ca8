# tarn: `make demo` shows it, `make test` tests it, `make build` makes bin/tarn.
# Needs Go, make, and a C and C++ compiler. Modules come from the Go module proxy.

GO          ?= go
TAGS        := duckdb_arrow
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SCALE       ?= 1
# Where goroutines share what they have; the others would only be slower.
RACED       := $(addprefix ./internal/,access audit certs foreign store store/bucket store/diskcache catalog delta change query results cache compaction worker serving job engine httpapi icebergrest handover client)

.PHONY: help build demo bench peers test race lint clean tools

help:
	@echo "make build   bin/tarn"
	@echo "make demo    a guided tour on 2,467,000 rows (SCALE=0.02 makes it short)"
	@echo "make bench   tarn beside plain DuckDB on this machine, some minutes (SCALE=0.1 makes it short)"
	@echo "make peers   tarn beside its peers, half an hour; writes docs/PERFORMANCE.md (needs Python 3.11)"
	@echo "make test    all tests that need no other program"
	@echo "make race    short tests with the race detector, where goroutines share something"
	@echo "make lint    gofmt, go vet, staticcheck"
	@echo "make clean   bin/ and the demo's lake"

build: tools
	@mkdir -p bin
	$(GO) build -tags $(TAGS) -ldflags "-X main.version=$(VERSION)" -o bin/tarn ./cmd/tarn

demo: build
	./bin/tarn demo --scale $(SCALE)

bench: build
	./bin/tarn bench --scale $(SCALE)

peers: build
	./bench/run

test: tools
	$(GO) test -timeout 60m -tags $(TAGS) ./...

race: tools
	$(GO) test -race -short -timeout 45m -tags $(TAGS) $(RACED)

lint: tools
	@unformatted=$$(gofmt -l cmd internal); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -tags $(TAGS) ./...
	$(GO) run $(STATICCHECK) -tags $(TAGS) ./...

clean:
	rm -rf bin demo-lake

# What the build needs, said in words before the compiler says it in its own.
tools:
	@command -v $(GO) >/dev/null 2>&1 || { \
	  echo "tarn needs Go 1.26 or newer to build, and '$(GO)' is not on the PATH."; \
	  echo "Get it from https://go.dev/dl/ and try again."; exit 1; }
	@cc=$$($(GO) env CC); set -- $$cc; command -v "$$1" >/dev/null 2>&1 || { \
	  echo "tarn needs a C compiler to link DuckDB, and '$$1' is not on the PATH."; \
	  echo "Debian, Ubuntu: apt install build-essential. Fedora: dnf install gcc-c++. macOS: xcode-select --install."; exit 1; }
	@cxx=$$($(GO) env CXX); set -- $$cxx; command -v "$$1" >/dev/null 2>&1 || { \
	  echo "tarn needs a C++ compiler to link DuckDB, and '$$1' is not on the PATH."; \
	  echo "Debian, Ubuntu: apt install build-essential. Fedora: dnf install gcc-c++. macOS: xcode-select --install."; exit 1; }
	@test "$$($(GO) env CGO_ENABLED)" = 1 || { \
	  echo "tarn links DuckDB through cgo, and CGO_ENABLED is 0. Run: CGO_ENABLED=1 make"; exit 1; }
