package files

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCheckPath(t *testing.T) {
	for given, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a", "//a//b/./c": "/a/b/c", "/a/..b/...": "/a/..b/...", "/ä \n": "/ä \n", "/\xff": "/\xff",
	} {
		if got, err := CheckPath("path", given); err != nil || got != want {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	for _, bad := range []string{
		"", "a", "./a", "~/a", "/..", "/a/../b", "/a/..", "/a\x00b", "/" + strings.Repeat("x", 256), strings.Repeat("/aa", 1400),
	} {
		_, err := CheckPath("path", bad)
		expect(t, err, 422, "VALIDATION_ERROR")
	}
}

func TestCheckMode(t *testing.T) {
	for given, want := range map[string]uint32{"0644": 0o644, "755": 0o755, "0": 0, "7777": 0o7777, "04755": 0o4755} {
		if got, err := CheckMode("mode", given); err != nil || got != want {
			t.Errorf("%q: %o, %v", given, got, err)
		}
	}
	for _, bad := range []string{"", "8", "0o644", "rw-r--r--", "-1", "10000", "17777777777777"} {
		_, err := CheckMode("mode", bad)
		expect(t, err, 422, "VALIDATION_ERROR")
	}
}

func TestTimestamp(t *testing.T) {
	for at, want := range map[unix.Timespec]string{
		{Sec: 0, Nsec: 0}:                     "1970-01-01T00:00:00.000000Z",
		{Sec: 1_800_000_000, Nsec: 123456789}: "2027-01-15T08:00:00.123456Z",
		{Sec: -1 << 50}:                       "0001-01-01T00:00:00.000000Z",
		{Sec: 1 << 50}:                        "9999-12-31T23:59:59.000000Z",
	} {
		if got := timestamp(at); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
		if _, err := time.Parse(time.RFC3339Nano, timestamp(at)); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsOfTheKernel(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		status int
		code   string
	}{
		unix.ENOENT: {404, "FILE_NOT_FOUND"}, unix.ENOTDIR: {404, "FILE_NOT_FOUND"}, unix.EISDIR: {409, "FILE_IS_DIRECTORY"},
		unix.ENOTEMPTY: {409, "FILE_IS_DIRECTORY"}, unix.EEXIST: {409, "FILE_EXISTS"}, unix.EACCES: {403, "FILE_PERMISSION_DENIED"},
		unix.EPERM: {403, "FILE_PERMISSION_DENIED"}, unix.EROFS: {403, "FILE_PERMISSION_DENIED"}, unix.ENOSPC: {507, "FILE_NO_SPACE"},
		unix.EDQUOT: {507, "FILE_NO_SPACE"}, unix.ENAMETOOLONG: {422, "VALIDATION_ERROR"}, unix.ELOOP: {422, "VALIDATION_ERROR"},
		unix.EBUSY: {422, "VALIDATION_ERROR"}, unix.EIO: {500, "INTERNAL_ERROR"},
	} {
		expect(t, explain(errno, "/x"), want.status, want.code)
	}
}
