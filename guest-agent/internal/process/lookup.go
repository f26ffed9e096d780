package process

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// candidates lists the files that a command name may mean, in the order to try them: itself if it
// has a slash, or else the executable files of that name along path. dir is the command's working
// directory, which relative elements of path refer to.
//
// denied says that a file of the name was seen that nobody may execute.
func candidates(name, path, dir string) (files []string, denied bool) {
	if name == "" {
		return nil, false
	}
	if strings.Contains(name, "/") {
		return []string{name}, false
	}
	for element := range strings.SplitSeq(path, ":") {
		file := filepath.Join(element, name)
		at := file
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
			file = "./" + file // keep execve from reading it as a bare name
		}
		var info unix.Stat_t
		if unix.Stat(at, &info) != nil || info.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if info.Mode&unix.S_IFMT != unix.S_IFREG || info.Mode&0o111 == 0 {
			denied = true
			continue
		}
		files = append(files, file)
	}
	return files, denied
}
