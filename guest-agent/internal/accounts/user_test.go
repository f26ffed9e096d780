package accounts

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMemberships(t *testing.T) {
	file := "root:x:0:\nsudo:x:27:bunker\nvideo:x:44:a, bunker ,b\nbunker:x:1000:bunker\nbad\nnegative:x:-1:bunker\n" +
		"huge:x:4294967296:bunker\nbunkers:x:50:bunkerx\nlast:x:60:bunker"
	if got := membershipsOf(file, "bunker", 1000); !reflect.DeepEqual(got, []uint32{27, 44, 60}) {
		t.Errorf("groups %v", got)
	}
}

func TestLookup(t *testing.T) {
	directory := &Directory{GroupFile: filepath.Join(t.TempDir(), "group")}
	if user, ok := directory.Lookup("root"); !ok || user.UID != 0 || user.Home != "/root" {
		t.Errorf("root: %+v", user)
	}
	if user, ok := directory.Lookup("bunker"); !ok || user.UID != 1000 || user.GID != 1000 || user.Groups != nil || user.Home != "/home/bunker" {
		t.Errorf("bunker without a group file: %+v", user)
	}
	for i, group := range []string{"a:x:7:bunker\n", "a:x:7:bunker\nb:x:8:bunker\n"} {
		must(t, os.WriteFile(directory.GroupFile, []byte(group), 0o644))
		if user, _ := directory.Lookup("bunker"); len(user.Groups) != i+1 {
			t.Errorf("groups %v", user.Groups)
		}
	}
	for _, name := range []string{"", "daemon", "0", "Root"} {
		if _, ok := directory.Lookup(name); ok {
			t.Errorf("%q is a user", name)
		}
	}
}

// rights are what the kernel judges the calling thread by.
func rights(t *testing.T) (effective int, groups []int, capabilities uint32) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Error(err)
	}
	groups, err := unix.Getgroups()
	if err != nil {
		t.Error(err)
	}
	return unix.Geteuid(), groups, data[0].Effective | data[1].Effective
}

func TestDoTakesTheUsersRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, nil, 0o600))
	user := User{Name: "bunker", UID: 1000, GID: 1000, Groups: []uint32{27}}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() { // on threads of their own, all the time
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for {
				select {
				case <-stop:
					return
				default:
					if id, _, capabilities := rights(t); id != 0 || capabilities == 0 {
						t.Error("another thread has lost its rights")
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for range 200 {
		err := user.Do(func() error {
			if id, groups, capabilities := rights(t); id != 1000 || len(groups) != 1 || groups[0] != 27 || capabilities != 0 {
				t.Errorf("inside: user %d, groups %v, capabilities %x", id, groups, capabilities)
			}
			_, err := unix.Open(secret, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			return err
		})
		if err != unix.EACCES {
			t.Fatalf("reading root's file: %v", err)
		}
		if id, groups, capabilities := rights(t); id != 0 || capabilities == 0 || len(groups) == 1 && groups[0] == 27 {
			t.Fatalf("afterwards: user %d, groups %v, capabilities %x", id, groups, capabilities)
		}
	}
	close(stop)
	others.Wait()
}

func TestDoAsRootChangesNothing(t *testing.T) {
	called := false
	must(t, User{Name: "root"}.Do(func() error { called = true; return nil }))
	if !called {
		t.Error("not called")
	}
}
