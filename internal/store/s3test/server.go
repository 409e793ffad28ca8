package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The credentials and region of every Server.
const (
	AccessKey = "tarn-test"
	SecretKey = "tarn-test-secret"
	Region    = "us-east-1"
)

// Server is a running S3 server.
type Server struct {
	URL string // http://127.0.0.1:port
	Dir string // a folder a bucket, a file an object
}

// Start starts a server that ends with the test. Short tests are skipped: the first
// start on a machine builds the server, which takes minutes.
func Start(t testing.TB) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("a real S3 server is started by tests that are not short")
	}
	program, err := build("versitygw", "versitygw")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_REGION", Region)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var last error
	for range 3 { // another process may take the port first
		s, err := start(t, program)
		if err == nil {
			return s
		}
		last = err
	}
	t.Fatal(last)
	return nil
}

func start(t testing.TB, program string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Dir: t.TempDir()}
	var log bytes.Buffer
	cmd := exec.Command(program, "--quiet", "--keep-alive", "--port", strings.TrimPrefix(s.URL, "http://"), "--access", AccessKey, "--secret", SecretKey,
		"--region", Region, "posix", "--sidecar", t.TempDir(), s.Dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	endWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := await(t, cmd, s.URL, &log); err != nil {
		return nil, err
	}
	return s, nil
}

// await waits until a started server answers, and lets it end with the test.
func await(t testing.TB, cmd *exec.Cmd, url string, log *bytes.Buffer) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(30 * time.Second)
	for {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			break
		}
		select {
		case err := <-ended:
			return fmt.Errorf("%s ended: %v: %s", cmd.Path, err, log.String())
		case <-deadline:
			cmd.Process.Kill()
			<-ended
			return fmt.Errorf("%s does not answer: %w: %s", cmd.Path, err, log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// NewBucket makes an empty bucket and gives its name.
func (s *Server) NewBucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("b%d", time.Now().UnixNano())
	if _, err := s.Client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	return name
}

// Client is a plain client of the server.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL), UsePathStyle: true, Region: Region,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}
