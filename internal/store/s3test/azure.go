package s3test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// AzuriteVar is the variable of the environment that names the program azurite-blob,
// Microsoft's stand-in for Azure Blob Storage; .ci/run installs it.
const AzuriteVar = "TARN_AZURITE"

// The account of every Azurite, which is in its documentation and no secret.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// StartAzure starts Azurite, has azblob:// lead to it until the test ends, and gives the
// name of an empty container. Where AzuriteVar is not set the test is skipped.
func StartAzure(t testing.TB) (container string) {
	t.Helper()
	program := os.Getenv(AzuriteVar)
	if program == "" {
		t.Skipf("%s names no azurite-blob: npm install azurite, and name node_modules/.bin/azurite-blob", AzuriteVar)
	}
	if testing.Short() {
		t.Skip("a server for Azure is started by tests that are not short")
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("127.0.0.1:%d", port)
	var log bytes.Buffer
	cmd := exec.Command(program, "--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", fmt.Sprint(port))
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = &log, &log
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, cmd, "http://"+host, &log); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_KEY": azureKey, "AZURE_STORAGE_DOMAIN": host,
		"AZURE_STORAGE_PROTOCOL": "http", "AZURE_STORAGE_IS_LOCAL_EMULATOR": "true",
	} {
		t.Setenv(name, value)
	}
	key, err := azblob.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential("http://"+host+"/"+azureAccount, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), "lake", nil); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return "lake"
}
