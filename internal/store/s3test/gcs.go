package s3test

import (
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// StartGCS starts a stand-in for Google Cloud Storage that ends with the test, has
// gs:// lead to it, and gives the name of an empty bucket.
func StartGCS(t testing.TB) (bucket string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a server for Google Cloud Storage is started by tests that are not short")
	}
	program, err := build("fakegcs", "fake-gcs-server")
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("127.0.0.1:%d", port)
	var log bytes.Buffer
	cmd := exec.Command(program, "-scheme", "http", "-host", "127.0.0.1", "-port", fmt.Sprint(port), "-backend", "memory", "-public-host", host)
	cmd.Stdout, cmd.Stderr = &log, &log
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, cmd, "http://"+host+"/storage/v1/b", &log); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+host+"/storage/v1/b?project=tarn", "application/json", strings.NewReader(`{"name":"lake"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("make a bucket: %s", resp.Status)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	return "lake"
}
