package process

import (
	"maps"
	"os"
	"sync"

	"scaibunker/guest-agent/internal/accounts"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var loginShell = sync.OnceValue(func() string {
	if _, err := os.Stat("/bin/bash"); err == nil {
		return "/bin/bash"
	}
	return "/bin/sh"
})

// Environment is what a user's command finds in its environment; later layers win.
func Environment(user accounts.User, layers ...map[string]string) map[string]string {
	env := map[string]string{
		"PATH":    defaultPath,
		"HOME":    user.Home,
		"USER":    user.Name,
		"LOGNAME": user.Name,
		"SHELL":   loginShell(),
		"LANG":    "C.UTF-8",
	}
	for _, layer := range layers {
		maps.Copy(env, layer)
	}
	return env
}
