package intake

import (
	"encoding/binary"
	"strings"
	"testing"
)

func TestWhichAttributesAreKept(t *testing.T) {
	records := map[string]string{
		paxXattr + "security.capability":    "cap",
		paxXattr + "user.mime_type":         "text",
		paxXattr + "user.overlay.opaque":    "y",
		paxXattr + "trusted.overlay.opaque": "y",
		paxXattr + "security.selinux":       "label",
		"path":                              "not an attribute",
	}
	kept, dropped, err := keptXattrs("f", records)
	if err != nil || dropped != 3 || len(kept) != 2 {
		t.Errorf("kept %v, dropped %d, %v", kept, dropped, err)
	}
}

func TestAttributesThatDoNotFitAreRefused(t *testing.T) {
	big := strings.Repeat("b", 1000)
	if _, _, err := keptXattrs("f", map[string]string{paxXattr + "user.a": "small", paxXattr + "user.b": big}); err != nil {
		t.Errorf("one in the block: %v", err)
	}
	if _, _, err := keptXattrs("f", map[string]string{paxXattr + "user.a": big, paxXattr + "user.b": big}); err == nil {
		t.Error("two in the block were accepted")
	}
	if _, _, err := keptXattrs("f", map[string]string{paxXattr + "user.a": strings.Repeat("b", 5000)}); err == nil {
		t.Error("more than a block was accepted")
	}
}

func TestACLsAreStoredAsExt4Does(t *testing.T) {
	exchange := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range [][3]uint32{{1, 6, 0xffffffff}, {2, 7, 1000}, {0x20, 4, 0xffffffff}} {
		exchange = binary.LittleEndian.AppendUint16(exchange, uint16(entry[0]))
		exchange = binary.LittleEndian.AppendUint16(exchange, uint16(entry[1]))
		exchange = binary.LittleEndian.AppendUint32(exchange, entry[2])
	}
	disk, ok := diskACL(string(exchange))
	want := "\x01\x00\x00\x00" + "\x01\x00\x06\x00" + "\x02\x00\x07\x00\xe8\x03\x00\x00" + "\x20\x00\x04\x00"
	if !ok || disk != want {
		t.Errorf("got %q, %v", disk, ok)
	}
	for _, bad := range []string{"", "\x02\x00\x00", "\x01\x00\x00\x00", string(exchange[:len(exchange)-1])} {
		if _, ok := diskACL(bad); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}
