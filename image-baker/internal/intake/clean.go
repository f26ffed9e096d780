package intake

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"
	"time"
)

type kind byte

const (
	absent kind = iota
	directory
	impliedDirectory // made because something lies in it; may still be stated
	nonDirectory     // file, link, device, FIFO
)

type cleaner struct {
	out     *tar.Writer
	limits  Limits
	seen    map[string]kind
	summary Summary
}

// Clean reads source (plain or compressed tar) and writes its harmless form to target. A
// *RefusedError says that the tarball is at fault; target then holds only part of it.
func Clean(source io.Reader, target io.Writer, limits Limits) (Summary, error) {
	plain, closePlain, err := decompress(source)
	if err != nil {
		return Summary{}, err
	}
	defer closePlain()
	bounded := &boundedReader{source: plain, left: limits.Bytes + streamSlack}
	c := &cleaner{
		out:    tar.NewWriter(target),
		limits: limits,
		seen:   map[string]kind{"": impliedDirectory},
	}
	in := tar.NewReader(bounded)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Summary{}, unreadable(err)
		}
		if err := c.take(header, in); err != nil {
			return Summary{}, err
		}
	}
	if c.summary.Entries == 0 {
		return Summary{}, refuse("", "it holds no entries")
	}
	return c.summary, c.out.Close()
}

func (c *cleaner) take(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil // comments, such as git's commit id
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if name == "" && header.Typeflag != tar.TypeDir {
		return refuse(header.Name, "the root must be a directory")
	}
	if err := c.implyParents(header, name); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeLink {
		return c.link(header, name)
	}
	clean, dropped, err := entryFor(name, header)
	if err != nil {
		return err
	}
	if err := c.claim(header.Name, name, clean.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	if clean.Size > c.limits.Bytes-c.summary.Bytes {
		return refuse(header.Name, "with it the content is larger than %d bytes", c.limits.Bytes)
	}
	c.summary.Bytes += clean.Size
	c.summary.DroppedXattrs += dropped
	if name == "" {
		clean.Name = "./"
	}
	if err := c.out.WriteHeader(clean); err != nil {
		return err
	}
	if _, err := io.Copy(c.out, content); err != nil {
		return unreadable(err)
	}
	return nil
}

// implyParents states the directories that lead to name, as tar would have made them. A parent
// that is a symbolic link is refused rather than followed.
func (c *cleaner) implyParents(header *tar.Header, name string) error {
	parent := parentOf(name)
	if c.seen[parent] == directory || c.seen[parent] == impliedDirectory {
		return nil
	}
	sofar := ""
	for part := range strings.SplitSeq(parent, "/") {
		sofar = path.Join(sofar, part)
		switch c.seen[sofar] {
		case directory, impliedDirectory:
			continue
		case nonDirectory:
			return refuse(header.Name, "%q is not a directory", sofar)
		}
		if err := c.count(header.Name); err != nil {
			return err
		}
		c.seen[sofar] = impliedDirectory
		implied := &tar.Header{
			Typeflag: tar.TypeDir, Name: sofar, Mode: 0o755, Format: tar.FormatPAX,
			ModTime: time.Unix(0, 0), AccessTime: time.Unix(0, 0), ChangeTime: time.Unix(0, 0),
		}
		if err := c.out.WriteHeader(implied); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) link(header *tar.Header, name string) error {
	to, err := cleanName(header.Linkname)
	if err != nil {
		return refuse(header.Name, "the name it links to leaves the image or is too long")
	}
	if c.seen[to] != nonDirectory {
		return refuse(header.Name, "it links to %.200q, which is no file before it", header.Linkname)
	}
	if header.Size != 0 {
		return refuse(header.Name, "only a file may have content")
	}
	if err := c.claim(header.Name, name, false); err != nil {
		return err
	}
	return c.out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeLink, Name: name, Linkname: to, Format: tar.FormatPAX, ModTime: time.Unix(0, 0),
	})
}

// claim records name, which nothing but a directory may have been before.
func (c *cleaner) claim(raw, name string, isDirectory bool) error {
	before := c.seen[name]
	switch {
	case !isDirectory && before == absent:
		c.seen[name] = nonDirectory
	case isDirectory && before != nonDirectory:
		c.seen[name] = directory
		if before != absent && name != "" {
			return nil // counted when it was implied or first stated
		}
	default:
		return refuse(raw, "the name is taken by an entry before it")
	}
	return c.count(raw)
}

func (c *cleaner) count(raw string) error {
	if c.summary.Entries >= c.limits.Entries {
		return refuse(raw, "there are more than %d entries", c.limits.Entries)
	}
	c.summary.Entries++
	return nil
}

// unreadable blames the tarball for what reading it gave, unless it is a fault of our own pipe.
func unreadable(err error) error {
	var refused *RefusedError
	if errors.As(err, &refused) || errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return refuse("", "it cannot be read: %v", err)
}
