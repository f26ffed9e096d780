// Package accounts knows the two users that commands and files belong to, and makes sure that the
// unprivileged one exists in whatever image was booted.
package accounts

import (
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/textfile"
)

// The unprivileged user of every bunker.
const (
	BunkerName = "bunker"
	BunkerID   = 1000
	BunkerHome = "/home/bunker"
)

// User is whom a command or a file operation runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
	Home   string
}

// Directory answers who the users are. Its zero value reads /etc/group.
type Directory struct {
	// GroupFile is where group memberships are read; empty means /etc/group.
	GroupFile string

	mu     sync.Mutex
	stamp  unix.Stat_t
	groups []uint32
}

// Lookup returns the user of that name, and whether it is one of the two that there are.
func (d *Directory) Lookup(name string) (User, bool) {
	switch name {
	case "root":
		return User{Name: "root", Home: "/root"}, true
	case BunkerName:
		return User{
			Name: BunkerName, UID: BunkerID, GID: BunkerID, Home: BunkerHome,
			Groups: d.bunkerGroups(),
		}, true
	}
	return User{}, false
}

// bunkerGroups reads the memberships anew only when the file has changed.
func (d *Directory) bunkerGroups() []uint32 {
	path := d.GroupFile
	if path == "" {
		path = "/etc/group"
	}
	var now unix.Stat_t
	if unix.Stat(path, &now) != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := &d.stamp
	if now.Ino == old.Ino && now.Dev == old.Dev && now.Size == old.Size && now.Mtim == old.Mtim && now.Ctim == old.Ctim {
		return d.groups
	}
	text, err := textfile.Read(path)
	if err != nil {
		return nil
	}
	d.stamp, d.groups = now, membershipsOf(text, BunkerName, BunkerID)
	return d.groups
}

// membershipsOf lists the ids of the groups that name a member, except its primary one.
func membershipsOf(groupFile, member string, primary uint32) []uint32 {
	var ids []uint32
	for line := range strings.Lines(groupFile) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 4 || len(ids) >= maxGroups {
			continue
		}
		id, ok := parseID(fields[2])
		if !ok || id == primary {
			continue
		}
		for name := range strings.SplitSeq(fields[3], ",") {
			if strings.TrimSpace(name) == member {
				ids = append(ids, id)
				break
			}
		}
	}
	return ids
}

// maxGroups is far below the kernel's limit and far above what anyone uses.
const maxGroups = 1024
