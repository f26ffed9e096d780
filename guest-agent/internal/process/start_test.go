package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/frames"
)

func TestOutputAndExitCode(t *testing.T) {
	got := run(t, newTable(t), "e", shell("echo out; echo err >&2; exit 3"))
	got.expectExit(t, 3)
	if got.stdout != "out\n" || got.stderr != "err\n" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
	if got.started != 1 || got.kinds[0] != frames.Started || got.kinds[len(got.kinds)-1] != frames.Exit {
		t.Errorf("frames %v", got.kinds)
	}
	if got.exit.Signal != nil || got.exit.TimedOut {
		t.Errorf("exit %+v", got.exit)
	}
}

func TestManyQuickCommands(t *testing.T) {
	table := newTable(t)
	for i := range 300 {
		exec, err := table.Start(fmt.Sprint("e", i), shell("echo hi; exit 7"))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			exec.Settle()
		}
		got := follow(t, exec.Log.ReadOldest())
		got.expectExit(t, 7)
		if got.stdout != "hi\n" {
			t.Fatalf("command %d: stdout %q", i, got.stdout)
		}
	}
}

func TestMuchOutputArrivesWhole(t *testing.T) {
	for _, chunk := range []string{"10", "8192", "1M"} {
		table := newTable(t)
		size := 20 << 20
		if chunk == "10" {
			size = 1 << 20
		}
		script := fmt.Sprintf("yes 0123456789abcde | head -c %d | dd bs=%s 2>/dev/null; exit 5", size, chunk)
		got := run(t, table, "e", shell(script))
		got.expectExit(t, 5)
		if len(got.stdout) != size || got.gap != 0 {
			t.Fatalf("pieces of %s: %d bytes, gap %d", chunk, len(got.stdout), got.gap)
		}
		if strings.Trim(got.stdout[:1600], "0123456789abcde\n") != "" || !strings.HasPrefix(got.stdout[size-16:], "0123456789abcde") {
			t.Fatalf("pieces of %s: the bytes are wrong", chunk)
		}
	}
}

func TestOutputBeforeTheExitPrecedesIt(t *testing.T) {
	// Nobody reads while the command runs, and it leaves more than the log likes to take.
	table := newTable(t)
	exec, err := table.Start("e", shell("head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2"))
	if err != nil {
		t.Fatal(err)
	}
	got := follow(t, exec.Log.ReadOldest())
	got.expectExit(t, 0)
	if len(got.stdout) != 60000 || len(got.stderr) != 60000 {
		t.Fatalf("%d and %d bytes", len(got.stdout), len(got.stderr))
	}
}

func TestUnreadOutputStopsTheCommandNotTheAgent(t *testing.T) {
	table := newTable(t)
	exec, err := table.Start("e", shell("head -c 10000000 /dev/zero; echo end >&2"))
	if err != nil {
		t.Fatal(err)
	}
	exec.Settle()
	eventually(t, "the window to fill", func() bool { return exec.Log.Room(0) != nil })
	if _, end, _ := exec.Log.Span(); end > 1<<20 {
		t.Fatalf("%d bytes are kept for a reader that does not come", end)
	}
	if exec.Status() != nil {
		t.Fatal("the command has ended")
	}
	got := follow(t, exec.Log.ReadOldest())
	got.expectExit(t, 0)
	if len(got.stdout) != 10000000 || got.stderr != "end\n" {
		t.Fatalf("%d bytes, stderr %q", len(got.stdout), got.stderr)
	}
}

func TestCommandsThatCannotRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "echo", 0o644)
	badInterpreter := write("bad", "#!/no/such/interpreter\n", 0o755)
	noFormat := write("noformat", "\x01\x02\x03", 0o755)
	for name, c := range map[string]struct {
		argv []string
		code int
		says string
	}{
		"unknown name":        {[]string{"no-such-program"}, 127, "not found"},
		"empty name":          {[]string{""}, 127, "not found"},
		"unknown path":        {[]string{"/no/such/program"}, 127, "not found"},
		"below a file":        {[]string{plain + "/x"}, 127, "not found"},
		"not executable":      {[]string{plain}, 126, "permission denied"},
		"directory":           {[]string{dir}, 126, "permission denied"},
		"missing interpreter": {[]string{badInterpreter}, 127, "interpreter"},
		"no format":           {[]string{noFormat}, 126, "exec format error"},
		"too long":            {[]string{"/bin/true", strings.Repeat("x", 1<<20)}, 126, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, newTable(t), "e", program(c.argv...))
			got.expectExit(t, c.code)
			if !strings.Contains(got.stderr, c.says) || got.started != 0 {
				t.Errorf("stderr %q, started %d", got.stderr, got.started)
			}
		})
	}
}

func TestPathIsSearchedLikeAShellDoes(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{
		filepath.Join(first, "denied"):  0o644,
		filepath.Join(second, "denied"): 0o755,
		filepath.Join(second, "found"):  0o755,
		filepath.Join(first, "only"):    0o644,
	} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho $0\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(first, "found"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"denied": second + "/denied\n", "found": second + "/found\n"} {
		command := program(name)
		command.Env["PATH"] = "/no/such/dir:" + first + ":" + second
		got := run(t, newTable(t), name, command)
		got.expectExit(t, 0)
		if got.stdout != want {
			t.Errorf("%s ran %q, want %q", name, got.stdout, want)
		}
	}
	command := program("only")
	command.Env["PATH"] = first
	run(t, newTable(t), "only", command).expectExit(t, 126)
	command = program("./found")
	command.Dir = second
	run(t, newTable(t), "relative", command).expectExit(t, 0)
	command = program("found")
	command.Dir, command.Env["PATH"] = second, "."
	run(t, newTable(t), "relative path", command).expectExit(t, 0)
}

func TestWorkingDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	command := shell("pwd; echo $PWD")
	command.Dir = dir
	if got := run(t, newTable(t), "e", command); got.stdout != dir+"\n"+dir+"\n" {
		t.Errorf("stdout %q", got.stdout)
	}
	command = shell("pwd")
	command.User.Home = "/no/such/home"
	if got := run(t, newTable(t), "e", command); got.stdout != "/\n" {
		t.Errorf("without a home: stdout %q", got.stdout)
	}
	for _, bad := range []string{filepath.Join(dir, "missing"), "/bin/sh"} {
		command := shell("true")
		command.Dir = bad
		table := newTable(t)
		_, err := table.Start("e", command)
		expectFault(t, err, 422, "VALIDATION_ERROR", "cwd")
		if len(table.List()) != 0 {
			t.Error("a command that was refused is listed")
		}
	}
}

func TestEnvironment(t *testing.T) {
	user := accounts.User{Name: "bunker", Home: "/home/bunker"}
	env := Environment(user, map[string]string{"A": "1", "B": "1"}, map[string]string{"B": "2", "HOME": "/x"})
	for name, want := range map[string]string{
		"USER": "bunker", "LOGNAME": "bunker", "HOME": "/x", "LANG": "C.UTF-8", "PATH": defaultPath, "A": "1", "B": "2",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	command := shell("echo $GREETING")
	command.Env["GREETING"] = "hello\nworld"
	if got := run(t, newTable(t), "e", command); got.stdout != "hello world\n" {
		t.Errorf("stdout %q", got.stdout)
	}
}

func TestRunsAsTheUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	table := newTable(t, func(o *Options) { o.KeepUser = false })
	command := shell("id -u; id -g; id -G")
	command.User = accounts.User{Name: "bunker", UID: 1000, GID: 1000, Groups: []uint32{27, 44}, Home: "/"}
	if got := run(t, table, "e", command); got.stdout != "1000\n1000\n1000 27 44\n" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
	secret := t.TempDir()
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	command.Dir = secret
	_, err := table.Start("e2", command)
	expectFault(t, err, 422, "VALIDATION_ERROR", "cwd")
}

func TestOwnSessionAndGroup(t *testing.T) {
	got := run(t, newTable(t), "e", shell("read pid comm state ppid pgrp session rest < /proc/$$/stat; echo $$ $pgrp $session"))
	var pid, group, session int
	if _, err := fmt.Sscan(got.stdout, &pid, &group, &session); err != nil || pid != group || pid != session {
		t.Errorf("pid, group, session: %q", got.stdout)
	}
}

func TestNoDescriptorLeaksIntoTheCommand(t *testing.T) {
	// Those that the test was started with are not the agent's.
	got := run(t, newTable(t), "e", shell("ls -l /proc/self/fd"))
	got.expectExit(t, 0)
	for line := range strings.Lines(got.stdout) {
		_, link, ok := strings.Cut(strings.TrimSpace(line), " -> ")
		if !ok {
			continue
		}
		fields := strings.Fields(line)
		number := fields[len(fields)-3]
		standard := number == "0" || number == "1" || number == "2"
		if strings.HasPrefix(link, "anon_inode:") || strings.HasPrefix(link, "pipe:") && !standard && !inherited(number) {
			t.Errorf("descriptor %s is %s", number, link)
		}
	}
}

// inherited says whether the test process itself got a descriptor from whoever started it.
func inherited(number string) bool {
	n, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

func TestIDsAndLimits(t *testing.T) {
	table := newTable(t, func(o *Options) { o.MaxLive = 2 })
	start := func(id string) error {
		_, err := table.Start(id, shell("exec sleep 1000"))
		return err
	}
	if err := errors.Join(start("a"), start("b")); err != nil {
		t.Fatal(err)
	}
	expectFault(t, start("a"), 409, "NAME_CONFLICT", "")
	expectFault(t, start("c"), 429, "RATE_LIMITED", "")
	if err := table.Forget("a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room for another command", func() bool { return start("c") == nil })
}

func expectFault(t *testing.T, err error, status int, code, field string) {
	t.Helper()
	var problem *fault.Error
	if !errors.As(err, &problem) || problem.Status != status || problem.Code != code || problem.Field != field {
		t.Errorf("error %#v, want %d %s %s", err, status, code, field)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
