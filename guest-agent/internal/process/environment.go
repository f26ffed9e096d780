package process

import (
	"maps"
	"sync"

	"scaibunker/guest-agent/internal/accounts"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var loginShell = sync.OnceValue(func() string { return accounts.LoginShell("/") })

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
