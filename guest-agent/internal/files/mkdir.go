package files

import (
	"path"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
)

const parentMode = 0o755

// Mkdir makes a directory and its missing parents. It is content with a directory that exists.
// Errors are *fault.Error.
func Mkdir(user accounts.User, dir string, mode uint32) (entry Entry, err error) {
	err = user.Do(func() error {
		if err := mkdir(dir, mode); err != nil {
			return err
		}
		entry, err = entryAt(unix.AT_FDCWD, dir, dir)
		return err
	})
	return entry, explain(err, dir)
}

func mkdir(dir string, mode uint32) error {
	if err := existingDir(dir); err == nil || err != unix.ENOENT {
		return err
	}
	made, err := makeParents(path.Dir(dir))
	if err == nil {
		err = unix.Mkdir(dir, mode&0o777)
		switch {
		case err == unix.EEXIST:
			return existingDir(dir)
		case err == nil && mode != mode&0o777&^0o022:
			// What the agent's umask or mkdir itself has kept back.
			err = unix.Chmod(dir, mode)
		}
	}
	if err != nil {
		undo(made)
	}
	return err
}

// existingDir says nil if a directory, or a link to one, is at path.
func existingDir(dir string) error {
	var info unix.Stat_t
	err := unix.Stat(dir, &info)
	if err == unix.ENOENT && unix.Lstat(dir, &info) == nil {
		return fault.Conflict("FILE_EXISTS", "%s exists: a symbolic link that leads nowhere", dir)
	}
	if err == nil && info.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fault.Conflict("FILE_EXISTS", "%s exists and is not a directory", dir)
	}
	return err
}

// makeParents makes dir and what is missing above it. It returns what it made, outermost first.
func makeParents(dir string) (made []string, err error) {
	var missing []string
	for at := dir; ; at = path.Dir(at) {
		var info unix.Stat_t
		err := unix.Stat(at, &info)
		if err == nil {
			if info.Mode&unix.S_IFMT != unix.S_IFDIR {
				return nil, unix.ENOTDIR
			}
			break
		}
		if err != unix.ENOENT || at == "/" {
			return nil, err
		}
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		switch err := unix.Mkdir(missing[i], parentMode); err {
		case nil:
			made = append(made, missing[i])
		case unix.EEXIST: // somebody else was quicker
		default:
			undo(made)
			return nil, err
		}
	}
	return made, nil
}

// undo removes directories that makeParents made, as far as they are still empty.
func undo(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		if unix.Rmdir(made[i]) != nil {
			return
		}
	}
}
