package walls

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const probeVariable = "TARN_TEST_WALLS"

func TestMain(m *testing.M) {
	switch os.Getenv(probeVariable) {
	case "probe":
		os.Exit(probeMain())
	case "lacking":
		os.Exit(lackingMain())
	}
	os.Exit(m.Run())
}

// ground is what a probe works on: its lake and scratch, and what is not its own.
type ground struct {
	Lake, Scratch, Outside, Socket string
	Parent                         int
}

// answers are what a confined process could do: "" is done, else the error. Where a
// wall was the reason the error is theWall.
type answers struct {
	Report   Report
	Log      string
	Refused  map[string]string
	Allowed  map[string]string
	Threads  map[string]string // socket() on threads that were there before the walls
	Environ  []string
	Accepted string
}

// probeMain is the confined process.
func probeMain() int {
	var g ground
	if err := json.NewDecoder(os.Stdin).Decode(&g); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	inherited, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	const threads = 8
	ask, told, ready := make(chan struct{}), make(chan error, threads), make(chan struct{}, threads)
	for range threads {
		go func() {
			runtime.LockOSThread() // and never unlocked: a thread of its own
			ready <- struct{}{}
			<-ask
			_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			told <- err
		}()
	}
	for range threads {
		<-ready
	}
	var said strings.Builder
	a := answers{Refused: map[string]string{}, Allowed: map[string]string{}, Threads: map[string]string{}, Environ: os.Environ()}
	a.Report = Raise(Plan{DataLimitBytes: 2 << 30, OOMScore: 900, ReadDirs: []string{g.Lake}, WriteDirs: []string{g.Scratch}},
		slog.New(slog.NewTextHandler(&said, nil)))
	a.Log = said.String()
	close(ask)
	for i := range threads {
		a.Threads[fmt.Sprint(i)] = text(<-told)
	}
	for name, try := range forbidden(g) {
		a.Refused[name] = word(try())
	}
	for name, try := range needed(g) {
		a.Allowed[name] = text(try())
	}
	c, err := inherited.Accept()
	if err == nil {
		var b []byte
		b, err = io.ReadAll(c)
		a.Accepted = string(b)
	}
	a.Allowed["accept"] = text(err)
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

const theWall = "refused by a wall"

// word tells a wall's refusal from other errors. A move between folders that Landlock
// refuses reads as one between disks.
func word(err error) string {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EXDEV) {
		return theWall
	}
	return text(err)
}

func raw(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func readAll(path string) func() error {
	return func() error { _, err := os.ReadFile(path); return err }
}

// forbidden is everything that must fail.
func forbidden(g ground) map[string]func() error {
	file := filepath.Join(g.Lake, "base.parquet")
	parent := fmt.Sprintf("/proc/%d/", g.Parent)
	return map[string]func() error{
		"read /etc/passwd":       readAll("/etc/passwd"),
		"read the home":          func() error { _, err := os.ReadDir("/root"); return err },
		"list the root":          func() error { _, err := os.ReadDir("/"); return err },
		"read outside":           readAll(filepath.Join(g.Outside, "secret")),
		"read the program":       readAll("/proc/self/exe"),
		"by the root of its own": readAll("/proc/self/root/etc/passwd"),
		"by its working folder":  readAll("/proc/self/cwd/walls.go"),
		"the parent's secrets":   readAll(parent + "environ"),
		"the parent's memory":    readAll(parent + "mem"),
		"the parent's files":     func() error { _, err := os.ReadDir(parent + "fd"); return err },
		"a link out of scratch":  readAll(filepath.Join(g.Scratch, "way-out")),
		"write outside":          func() error { return os.WriteFile(filepath.Join(g.Outside, "new"), nil, 0o600) },
		"create in the lake":     func() error { return os.WriteFile(filepath.Join(g.Lake, "new"), nil, 0o600) },
		"overwrite in the lake":  func() error { return os.WriteFile(file, []byte("gone"), 0o600) },
		"append in the lake":     func() error { _, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0); return err },
		"truncate in the lake":   func() error { return os.Truncate(file, 0) },
		"remove from the lake":   func() error { return os.Remove(file) },
		"rename in the lake":     func() error { return os.Rename(file, file+"x") },
		"rename out of the lake": func() error { return os.Rename(file, filepath.Join(g.Scratch, "mine")) },
		"link out of the lake":   func() error { return os.Link(file, filepath.Join(g.Scratch, "mine")) },
		"make a folder in it":    func() error { return os.Mkdir(filepath.Join(g.Lake, "folder"), 0o700) },
		"chmod in the lake":      func() error { return os.Chmod(file, 0o777) },
		"chown in the lake":      func() error { return os.Chown(file, os.Getuid(), os.Getgid()) },
		"touch in the lake":      func() error { return os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) },
		"xattr in the lake":      func() error { return unix.Setxattr(file, "user.x", []byte("y"), 0) },
		"a pipe in scratch":      func() error { return unix.Mkfifo(filepath.Join(g.Scratch, "pipe"), 0o600) },
		"TCP out":                func() error { _, err := net.Dial("tcp", "127.0.0.1:9"); return err },
		"TCP in":                 func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"UDP":                    func() error { _, err := net.Dial("udp", "127.0.0.1:9"); return err },
		"unix socket":            func() error { _, err := net.Dial("unix", g.Socket); return err },
		"socketpair":             func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"exec":                   func() error { return exec.Command("/bin/true").Run() },
		"exec in place":          func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"fork":                   func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
		"clone3":                 func() error { var a [88]byte; return raw(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&a[0])), 88) },
		"ptrace":                 func() error { return unix.PtraceAttach(g.Parent) },
		"read another's memory":  func() error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(g.Parent)) },
		"signal the parent":      func() error { return unix.Kill(g.Parent, 0) },
		"signal the group":       func() error { return unix.Kill(0, 0) },
		"signal by descriptor":   func() error { _, err := unix.PidfdOpen(g.Parent, 0); return err },
		"raise its memory limit": func() error {
			return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		},
		"limit the parent": func() error { return unix.Prlimit(g.Parent, unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1}, nil) },
		"io_uring":         func() error { var p [120]byte; return raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p[0]))) },
		"bpf":              func() error { return raw(unix.SYS_BPF) },
		"perf":             func() error { return raw(unix.SYS_PERF_EVENT_OPEN) },
		"keyctl":           func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); return err },
		"mount":            func() error { return unix.Mount("none", g.Scratch, "tmpfs", 0, "") },
		"unshare":          func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"chroot":           func() error { return unix.Chroot(g.Scratch) },
		"setuid":           func() error { return raw(unix.SYS_SETUID, 0) },
	}
}

// needed is everything that must go on.
func needed(g ground) map[string]func() error {
	file := filepath.Join(g.Scratch, "file")
	return map[string]func() error{
		"read the lake":      readAll(filepath.Join(g.Lake, "base.parquet")),
		"list the lake":      func() error { _, err := os.ReadDir(g.Lake); return err },
		"a part of the lake": readAll(filepath.Join(g.Lake, "base", "far.parquet")), // on another disk
		"a link to the lake": readAll(filepath.Join(g.Scratch, "way-in")),
		"read of itself":     readAll("/proc/self/status"),
		"random numbers":     func() error { _, err := unix.Getrandom(make([]byte, 8), 0); return err },
		"its limits":         func() error { var l unix.Rlimit; return unix.Getrlimit(unix.RLIMIT_DATA, &l) },
		"a signal to itself": func() error { return unix.Kill(os.Getpid(), 0) },
		"write to nowhere":   func() error { return os.WriteFile(os.DevNull, []byte("x"), 0) },
		"rename in scratch":  func() error { return errors.Join(os.WriteFile(file, []byte("x"), 0o600), os.Rename(file, file+"2")) },
		"folders in scratch": func() error {
			d := filepath.Join(g.Scratch, "d")
			return errors.Join(os.Mkdir(d, 0o700), os.RemoveAll(d))
		},
		"shorten in scratch":  func() error { return shorten(file + "3") },
		"symlinks in scratch": func() error { return os.Symlink(file, file+"4") },
		"new threads":         newThreads,
	}
}

func shorten(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(100), f.Truncate(10), f.Sync(), f.Close())
}

// newThreads makes threads, each of which must be behind the walls as well.
func newThreads() error {
	out := make(chan error, 16)
	for range cap(out) {
		go func() {
			runtime.LockOSThread()
			_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err == nil {
				out <- errors.New("a new thread is outside the walls")
				return
			}
			out <- nil
		}()
	}
	var errs []error
	for range cap(out) {
		errs = append(errs, <-out)
	}
	return errors.Join(errs...)
}

// TestWalls tries everything from within a process that is really confined.
func TestWalls(t *testing.T) {
	g := ground{Lake: t.TempDir(), Scratch: t.TempDir(), Outside: t.TempDir(), Parent: os.Getpid()}
	put := func(dir, name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put(g.Lake, "base.parquet", "rows")
	put(g.Outside, "secret", "of the operator")
	for name, target := range map[string]string{"way-out": filepath.Join(g.Outside, "secret"), "way-in": filepath.Join(g.Lake, "base.parquet")} {
		if err := os.Symlink(target, filepath.Join(g.Scratch, name)); err != nil {
			t.Fatal(err)
		}
	}
	far := t.TempDir()
	put(far, "far.parquet", "rows")
	if err := os.Symlink(far, filepath.Join(g.Lake, "base")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "w") // a short path, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	g.Socket = filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: g.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := probe(t, g, l)

	if a.Report.LandlockABI == 0 || !a.Report.Seccomp {
		for _, l := range a.Report.Lacking {
			if !strings.Contains(a.Log, l) {
				t.Errorf("the log does not say %q", l)
			}
		}
		t.Skipf("this kernel lacks a wall: %v", a.Report.Lacking)
	}
	if len(a.Report.Lacking) > 0 || (a.Report.DataLimitBytes != 2<<30) != RaceDetector || a.Report.OOMScore != 900 || !a.Report.NoCoreFiles || !a.Report.DiesWithParent {
		t.Errorf("%+v\n%s", a.Report, a.Log)
	}
	t.Logf("Landlock ABI %d", a.Report.LandlockABI)
	for name, err := range a.Refused {
		if err != theWall && name != "clone3" {
			t.Errorf("%s: %s", name, cmp.Or(err, "it could"))
		}
	}
	for name, err := range a.Allowed {
		if err != "" {
			t.Errorf("it could not: %s: %s", name, err)
		}
	}
	for n, err := range a.Threads {
		if err == "" {
			t.Errorf("thread %s of before the walls opened a socket", n)
		}
	}
	if a.Refused["clone3"] != unix.ENOSYS.Error() {
		t.Errorf("clone3: %s", a.Refused["clone3"])
	}
	if len(a.Environ) != 1 || a.Accepted != "hello" {
		t.Errorf("environment %q, accepted %q", a.Environ, a.Accepted)
	}
	if b, err := os.ReadFile(filepath.Join(g.Lake, "base.parquet")); err != nil || string(b) != "rows" {
		t.Errorf("the lake has now %q, %v", b, err)
	}
}

// probe runs the confined process.
func probe(t *testing.T, g ground, l *net.UnixListener) (a answers) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", g.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	cmd := exec.Command(exe)
	cmd.Env = []string{probeVariable + "=probe"}
	cmd.Stdin = strings.NewReader(string(in))
	cmd.ExtraFiles = []*os.File{file}
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, said.String())
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return a
}
