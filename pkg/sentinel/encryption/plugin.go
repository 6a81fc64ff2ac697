package encryption

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserver "k8s.io/apiserver/pkg/apis/apiserver/v1"
)

// Plugin is a KMS v2 plugin, as the API server's file has it. What it encrypts with is
// its own: a file that names it holds no secret.
type Plugin struct {
	// Name stands before each object in etcd. One name is one plugin for good.
	Name string
	// Endpoint is the socket, unix:///PATH, as the API server sees it.
	Endpoint string
	// Timeout of a call.
	Timeout time.Duration
}

// pluginTimeout is what the API server takes where its file has none.
const pluginTimeout = 3 * time.Second

// maxPluginTimeout bounds how long a read of a Secret waits for a plugin.
const maxPluginTimeout = 30 * time.Second

// maxSocket is how long the path of a socket may be: the kernel's sun_path has 108 bytes.
const maxSocket = 107

// pluginName is narrower than what the API server takes, which is anything without a
// colon.
var pluginName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// ErrPlugin says that no API server should be given a plugin like this.
var ErrPlugin = errors.New("it is no KMS v2 plugin at a socket")

// Key is the plugin as something to write with.
func (p Plugin) Key() (Key, error) {
	socket, isUnix := strings.CutPrefix(p.Endpoint, "unix://")
	switch {
	case !pluginName.MatchString(p.Name):
		return Key{}, fmt.Errorf("%w: its name is not 1 to 63 letters, digits, dots, dashes and underscores", ErrPlugin)
	// The API server takes /@ for a socket that is no file, so that it has no owner.
	case !isUnix || !path.IsAbs(socket) || path.Clean(socket) != socket || strings.HasPrefix(socket, "/@") || len(socket) > maxSocket || strings.ContainsAny(socket, "?#%"):
		return Key{}, fmt.Errorf("%w: its endpoint is not unix:///PATH, of %d bytes at most", ErrPlugin, maxSocket)
	case p.Timeout <= 0 || p.Timeout > maxPluginTimeout:
		return Key{}, fmt.Errorf("%w: its timeout is not above 0 and up to %s", ErrPlugin, maxPluginTimeout)
	}
	return Key{Ref: Ref{Provider: KMS, Name: p.Name}, plugin: p}, nil
}

func (p Plugin) render() *apiserver.KMSConfiguration {
	return &apiserver.KMSConfiguration{APIVersion: "v2", Name: p.Name, Endpoint: p.Endpoint, Timeout: &metav1.Duration{Duration: p.Timeout}}
}

// parsePlugin takes over a plugin of somebody's, if it is one that we would set up.
func parsePlugin(c apiserver.KMSConfiguration) ([]Key, error) {
	if c.APIVersion != "v2" || c.CacheSize != nil {
		return nil, fmt.Errorf("%w: it has a KMS provider that is not of version v2", ErrForeign)
	}
	p := Plugin{Name: c.Name, Endpoint: c.Endpoint, Timeout: pluginTimeout}
	if c.Timeout != nil {
		p.Timeout = c.Timeout.Duration
	}
	k, err := p.Key()
	if err != nil {
		return nil, fmt.Errorf("%w: it has a KMS provider, and %w", ErrForeign, err)
	}
	return []Key{k}, nil
}

// Plugins says whether a plugin is among the keys.
func (c Config) Plugins() bool {
	return slices.ContainsFunc(c.keys, func(k Key) bool { return k.Provider == KMS })
}

// usable holds everything back while a server cannot use a plugin of its file, or while
// the plugins of one name do not write with one key: then nobody knows whether each reads
// what the others write. Every server has to run with its file. Plugins that nobody wants
// or writes with, and that no object lies under, hold back nothing: else one that is gone
// for good could never leave.
func usable(o Observed, w Want, all []Key) (Step, bool) {
	if plugins := slices.DeleteFunc(slices.Clone(all), func(k Key) bool { return k.Provider != KMS }); idle(o, w, plugins) {
		if o.Scan == nil {
			return scanFirst, false
		}
		if !slices.ContainsFunc(plugins, func(k Key) bool { return o.Scan.Under(k.Ref) > 0 }) {
			return clash(w, all)
		}
	}
	var unusable, differ []string
	for _, s := range o.Servers {
		if s.PluginProblem != "" {
			unusable = append(unusable, s.Name+": "+s.PluginProblem)
		}
	}
	for _, k := range all {
		if k.Provider != KMS {
			continue
		}
		written := w.Provider == KMS && w.Plugin.Name == k.Name
		ids := map[string]string{}
		for _, s := range o.Servers {
			if !s.File.Reads(k.Ref) {
				continue
			}
			written = written || s.File.WriteRef() == k.Ref
			id := s.KeyIDs[k.Name]
			if id == "" && s.PluginProblem == "" {
				unusable = append(unusable, fmt.Sprintf("%s: it does not say which key plugin %s writes with (apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds)", s.Name, k.Name))
			}
			ids[id] = s.Name
		}
		if written && len(ids) > 1 {
			differ = append(differ, k.Name)
		}
	}
	switch {
	case len(unusable) > 0:
		return halt(PluginUnusable, "%s", strings.Join(unusable, "; ")), false
	case len(differ) > 0:
		return halt(PluginKeysDiffer, "the servers' plugins of one name write with different keys: %s. Each has to read with the next key before any writes with it; servers ask once a minute", strings.Join(differ, ", ")), false
	}
	return clash(w, all)
}

// idle says whether there are plugins, and nobody wants or writes with any.
func idle(o Observed, w Want, plugins []Key) bool {
	named := func(k Key) bool {
		return w.SatisfiedBy(k.Ref) || slices.ContainsFunc(o.Servers, func(s Server) bool { return s.File.WriteRef() == k.Ref })
	}
	return len(plugins) > 0 && !slices.ContainsFunc(plugins, named)
}

// clash holds back a plugin that is wanted under the name of another.
func clash(w Want, all []Key) (Step, bool) {
	if w.Provider != KMS {
		return Step{}, true
	}
	wanted, err := w.Plugin.Key()
	if err != nil {
		return halt(PluginUnusable, "what is wanted is none: %v", err), false
	}
	if _, err := (Config{keys: all}).has(wanted); err != nil {
		return halt(KeysDiffer, "%s is in files with another endpoint or timeout: one name is one plugin, so give this one another", wanted.Ref), false
	}
	return Step{}, true
}
