package intake

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

const (
	paxXattr = "SCHILY.xattr."
	aclName  = "system.posix_acl_"
	// What an inode of 256 bytes has room for (104 bytes less the two end marks).
	inodeRoom = 96
	blockRoom = 4096 - 36
)

// keptXattrs returns the attributes that the image may carry and how many were left out.
//
// Kept are capabilities, ACLs (in ext4's own encoding) and user attributes. Everything else is
// dropped: `trusted.*` and `user.overlay.*` would speak to the overlay that the image becomes the
// lower layer of, labels belong to the policy of another machine.
func keptXattrs(entry string, records map[string]string) (map[string]string, int, error) {
	kept := map[string]string{}
	dropped := 0
	for key, value := range records {
		name, found := strings.CutPrefix(key, paxXattr)
		switch {
		case !found:
			continue
		case name == aclName+"access" || name == aclName+"default":
			if acl, ok := diskACL(value); ok {
				kept[key] = acl
			} else {
				return nil, 0, refuse(entry, "its attribute %q is not a valid ACL", name)
			}
		case name == "security.capability", isUserXattr(name):
			kept[key] = value
		default:
			dropped++
		}
	}
	return kept, dropped, checkRoom(entry, kept)
}

func isUserXattr(name string) bool {
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") && len(name) <= maxComponent &&
		!strings.HasPrefix(name, "user.overlay.") && strings.IndexByte(name, 0) < 0
}

// checkRoom refuses what the image writer cannot store faithfully. It takes attributes in the order
// of their names and puts each into the inode if it fits, else into one block. That block must be
// sorted for the kernel to find anything in it, which the writer only manages for a single one.
func checkRoom(entry string, kept map[string]string) error {
	inode, block := inodeRoom, 0
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		size := (len(storedName(key))+3)&^3 + 16 + (len(kept[key])+3)&^3
		if size <= inode {
			inode -= size
			continue
		}
		block++
		if size > blockRoom || block > 1 {
			return refuse(entry, "its extended attributes are too large")
		}
	}
	return nil
}

// storedName is what remains of a kept attribute's name on disk, where its prefix is a number.
func storedName(key string) string {
	name := strings.TrimPrefix(key, paxXattr)
	for _, prefix := range []string{aclName + "access", aclName + "default", "user.", "security."} {
		if rest, found := strings.CutPrefix(name, prefix); found {
			return rest
		}
	}
	return name
}

// diskACL turns the attribute's exchange format (version 2, 8 bytes an entry) into the one that
// ext4 stores (version 1, 4 bytes an entry unless it names a user or group).
func diskACL(value string) (string, bool) {
	const (
		header   = 4
		entry    = 8
		version  = 2
		user     = 0x02
		group    = 0x08
		maxItems = 32
	)
	if len(value) < header || (len(value)-header)%entry != 0 || (len(value)-header)/entry > maxItems ||
		binary.LittleEndian.Uint32([]byte(value)) != version {
		return "", false
	}
	out := binary.LittleEndian.AppendUint32(nil, 1)
	for rest := []byte(value[header:]); len(rest) > 0; rest = rest[entry:] {
		out = append(out, rest[:4]...)
		if tag := binary.LittleEndian.Uint16(rest); tag == user || tag == group {
			out = append(out, rest[4:entry]...)
		}
	}
	return string(out), true
}
