package process

import (
	"fmt"
	"testing"
)

func TestManyQuickCommands(t *testing.T) {
	table := newTable(t)
	for i := range 500 {
		exec, err := table.Start(fmt.Sprint("e", i), program("/bin/true"))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			exec.Settle()
		}
		follow(t, exec.Log.ReadOldest()).expectExit(t, 0)
	}
}
