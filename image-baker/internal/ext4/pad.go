// Package ext4 puts the last touch to the image that tar2ext4 wrote.
package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	superOffset     = 1024
	superSize       = 1024
	descriptorSize  = 32
	descriptorTable = blockSize // the block after the super block's
	blockSize       = 4096
	magic           = 0xef53
)

// PadInodeBitmaps marks the bits of each inode bitmap that stand for no inode as used. The library
// leaves them clear, which the kernel does not mind but e2fsck reports, and an image that the
// checker reports on is one that nobody can tell from a broken one.
func PadInodeBitmaps(image io.ReadWriteSeeker) error {
	super := make([]byte, superSize)
	if err := readAt(image, superOffset, super); err != nil {
		return fmt.Errorf("super block: %w", err)
	}
	inodes := binary.LittleEndian.Uint32(super[0:])
	perGroup := binary.LittleEndian.Uint32(super[40:])
	if binary.LittleEndian.Uint16(super[56:]) != magic || perGroup == 0 || perGroup > blockSize*8 {
		return errors.New("not the file system that was written")
	}
	padding := make([]byte, blockSize)
	for group := range inodes / perGroup {
		descriptor := make([]byte, descriptorSize)
		if err := readAt(image, descriptorTable+int64(group)*descriptorSize, descriptor); err != nil {
			return fmt.Errorf("group %d: %w", group, err)
		}
		bitmap := int64(binary.LittleEndian.Uint32(descriptor[4:])) * blockSize
		if err := readAt(image, bitmap, padding); err != nil {
			return fmt.Errorf("inode bitmap of group %d: %w", group, err)
		}
		for bit := perGroup; bit < blockSize*8; bit++ {
			padding[bit/8] |= 1 << (bit % 8)
		}
		if err := writeAt(image, bitmap, padding); err != nil {
			return fmt.Errorf("inode bitmap of group %d: %w", group, err)
		}
	}
	return nil
}

func readAt(image io.ReadWriteSeeker, offset int64, p []byte) error {
	if _, err := image.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(image, p)
	return err
}

func writeAt(image io.ReadWriteSeeker, offset int64, p []byte) error {
	if _, err := image.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err := image.Write(p)
	return err
}
