package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerationChangesWithEachLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, generationFile)
	if err := writeGeneration(dir, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a file without a name")
	}
	var files []os.FileInfo
	for _, name := range []string{"one", "one", "two"} {
		if err := writeGeneration(dir, name); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != name+"\n" {
			t.Errorf("%q, %v", text, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, info)
	}
	if !os.SameFile(files[0], files[1]) || os.SameFile(files[1], files[2]) {
		t.Error("a watch would be told of nothing, or of too much")
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if writeGeneration(filepath.Join(dir, "file"), "three") == nil {
		t.Error("no error where no directory can be")
	}
}

func TestIsGeneration(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "0af-Z": true, strings.Repeat("a", 64): true,
		strings.Repeat("a", 65): false, "a\nb": false, "a/b": false, "ä": false,
	} {
		if isGeneration(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
