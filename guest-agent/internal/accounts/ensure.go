package accounts

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/textfile"
)

// Ensure makes the bunker user exist under root ("/" in a machine): its lines in the account
// files and its home. What an image has put in the way is replaced where that is possible; an
// error says what could not be, and the machine goes on with the numeric id alone.
func Ensure(root string) error {
	shell := LoginShell(root)
	etc := filepath.Join(root, "etc")
	id := strconv.Itoa(BunkerID)
	passwd := BunkerName + ":x:" + id + ":" + id + "::" + BunkerHome + ":" + shell
	group := BunkerName + ":x:" + id + ":"
	return errors.Join(
		ensureDir(etc),
		ensureLine(filepath.Join(etc, "passwd"), passwd, isBunkerPasswd, "root:x:0:0:root:/root:"+shell),
		ensureLine(filepath.Join(etc, "group"), group, isBunkerGroup, "root:x:0:"),
		ensureShadow(filepath.Join(etc, "shadow")),
		ensureHome(root),
	)
}

// LoginShell is the best shell that there is under root.
func LoginShell(root string) string {
	if info, err := os.Stat(filepath.Join(root, "bin/bash")); err == nil && info.Mode().IsRegular() {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// isBunkerPasswd says whether a line of /etc/passwd is what the bunker user must be.
func isBunkerPasswd(fields []string) bool {
	id := strconv.Itoa(BunkerID)
	return len(fields) >= 7 && fields[2] == id && fields[3] == id && fields[5] == BunkerHome
}

func isBunkerGroup(fields []string) bool {
	return len(fields) >= 4 && fields[2] == strconv.Itoa(BunkerID)
}

// ensureLine puts line into an account file unless a right one is there. It goes before any other
// owner of the id, because the first line with an id gives that id its name. A file that does not
// exist gets first as well.
func ensureLine(path, line string, right func([]string) bool, first string) error {
	text, err := textfile.Read(path)
	if err != nil {
		text = first + "\n"
	}
	updated, changed := withLine(text, line, right)
	if err == nil && !changed {
		return nil
	}
	return textfile.Replace(path, updated, 0o644)
}

// withLine returns text with line in it, and whether that is a change.
func withLine(text, line string, right func([]string) bool) (string, bool) {
	id := strconv.Itoa(BunkerID)
	var kept []string
	at := -1
	for old := range strings.Lines(text) {
		old = strings.TrimRight(old, "\n")
		fields := strings.Split(old, ":")
		if fields[0] == BunkerName {
			if right(fields) && at < 0 {
				return text, false
			}
			continue // a wrong one
		}
		if at < 0 && len(fields) > 2 && fields[2] == id {
			at = len(kept)
		}
		kept = append(kept, old)
	}
	if at < 0 {
		at = len(kept)
	}
	kept = append(kept[:at], append([]string{line}, kept[at:]...)...)
	return strings.Join(kept, "\n") + "\n", true
}

// ensureShadow adds a locked entry if the image keeps shadow passwords: without one, PAM takes the
// account for expired.
func ensureShadow(path string) error {
	text, err := textfile.Read(path)
	if err != nil {
		return nil // no shadow file: nothing to keep in step with
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, BunkerName+":") {
			return nil
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	var info unix.Stat_t
	if err := unix.Stat(path, &info); err != nil {
		return err
	}
	mode := os.FileMode(info.Mode & 0o777)
	if err := textfile.Replace(path, text+BunkerName+":*:19000:0:99999:7:::\n", mode); err != nil {
		return err
	}
	return os.Chown(path, int(info.Uid), int(info.Gid))
}

func ensureHome(root string) error {
	home := filepath.Join(root, BunkerHome)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	if err := ensureDir(home); err != nil {
		return err
	}
	var info unix.Stat_t
	if err := unix.Lstat(home, &info); err != nil {
		return err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR || info.Uid == BunkerID {
		return nil
	}
	return os.Lchown(home, BunkerID, BunkerID)
}

func ensureDir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
