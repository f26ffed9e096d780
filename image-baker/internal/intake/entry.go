package intake

import (
	"archive/tar"
	"time"
)

const (
	permissionBits = 0o7777
	maxID          = 1<<32 - 2 // the last one means "no change" to the kernel
	maxMajor       = 1<<12 - 1
	maxMinor       = 1<<20 - 1
	maxTime        = 0x37fffffff // ext4's last second
)

// entryFor gives the header under which a tarball's entry goes into the image: a fresh one, made of
// checked fields only. Sparse files become plain ones, whose holes the image file has again.
func entryFor(name string, from *tar.Header) (*tar.Header, int, error) {
	to := &tar.Header{
		Typeflag: from.Typeflag,
		Name:     name,
		Mode:     from.Mode & permissionBits,
		Uid:      from.Uid,
		Gid:      from.Gid,
		ModTime:  clampTime(from.ModTime),
		Format:   tar.FormatPAX,
	}
	to.AccessTime, to.ChangeTime = to.ModTime, to.ModTime
	if from.Uid < 0 || from.Uid > maxID || from.Gid < 0 || from.Gid > maxID {
		return nil, 0, refuse(from.Name, "its owner %d:%d is out of range", from.Uid, from.Gid)
	}
	switch from.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		to.Typeflag = tar.TypeReg
		to.Size = from.Size
	case tar.TypeDir, tar.TypeFifo:
	case tar.TypeSymlink:
		if err := checkTarget(from); err != nil {
			return nil, 0, err
		}
		to.Linkname = from.Linkname
	case tar.TypeChar, tar.TypeBlock:
		if from.Devmajor < 0 || from.Devmajor > maxMajor || from.Devminor < 0 || from.Devminor > maxMinor {
			return nil, 0, refuse(from.Name, "its device number %d:%d is out of range", from.Devmajor, from.Devminor)
		}
		to.Devmajor, to.Devminor = from.Devmajor, from.Devminor
	default:
		return nil, 0, refuse(from.Name, "its type %q is not one a root file system has", from.Typeflag)
	}
	if from.Size < 0 || to.Size == 0 && from.Size != 0 {
		return nil, 0, refuse(from.Name, "only a file may have content")
	}
	xattrs, dropped, err := keptXattrs(from.Name, from.PAXRecords)
	if err != nil {
		return nil, 0, err
	}
	to.PAXRecords = xattrs
	return to, dropped, nil
}

// checkTarget accepts any target a symbolic link can have: it is only ever followed inside the
// machine, never here.
func checkTarget(from *tar.Header) error {
	if from.Linkname == "" || len(from.Linkname) > maxPath {
		return refuse(from.Name, "its target must have 1 to %d bytes", maxPath)
	}
	for i := range len(from.Linkname) {
		if from.Linkname[i] == 0 {
			return refuse(from.Name, "its target holds a NUL byte")
		}
	}
	return nil
}

// clampTime keeps times to what ext4 can say without a sign.
func clampTime(t time.Time) time.Time {
	switch {
	case t.Unix() < 0:
		return time.Unix(0, 0)
	case t.Unix() > maxTime:
		return time.Unix(maxTime, 0)
	}
	return t
}
