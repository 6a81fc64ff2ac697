package encryption_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// What no API server takes, or takes for something else, is no plugin.
func TestWhatIsAPlugin(t *testing.T) {
	good := encryption.Plugin{Name: "argoseal", Endpoint: "unix:///run/argoseal-kms/kms.sock", Timeout: 3 * time.Second}
	for what, change := range map[string]func(*encryption.Plugin){
		"no name":              func(p *encryption.Plugin) { p.Name = "" },
		"a colon":              func(p *encryption.Plugin) { p.Name = "a:b" },
		"a line":               func(p *encryption.Plugin) { p.Name = "a\n" },
		"a long name":          func(p *encryption.Plugin) { p.Name = strings.Repeat("a", 64) },
		"no socket":            func(p *encryption.Plugin) { p.Endpoint = "" },
		"TCP":                  func(p *encryption.Plugin) { p.Endpoint = "tcp://127.0.0.1:1" },
		"a relative path":      func(p *encryption.Plugin) { p.Endpoint = "unix://run/kms.sock" },
		"a socket of nobody's": func(p *encryption.Plugin) { p.Endpoint = "unix:///@kms" },
		"another way there":    func(p *encryption.Plugin) { p.Endpoint = "unix:///run/../tmp/kms.sock" },
		"a query":              func(p *encryption.Plugin) { p.Endpoint = "unix:///run/kms.sock?x" },
		"a long path":          func(p *encryption.Plugin) { p.Endpoint = "unix:///" + strings.Repeat("a", 107) },
		"no timeout":           func(p *encryption.Plugin) { p.Timeout = 0 },
		"a negative timeout":   func(p *encryption.Plugin) { p.Timeout = -1 },
		"a long timeout":       func(p *encryption.Plugin) { p.Timeout = time.Minute },
	} {
		p := good
		change(&p)
		if k, err := p.Key(); !errors.Is(err, encryption.ErrPlugin) {
			t.Errorf("%s: %v, %v", what, k, err)
		}
	}
	for what, change := range map[string]func(*encryption.Plugin){
		"as it is":    func(*encryption.Plugin) {},
		"one letter":  func(p *encryption.Plugin) { p.Name = "K" },
		"a long name": func(p *encryption.Plugin) { p.Name = strings.Repeat("a", 63) },
		"a long path": func(p *encryption.Plugin) { p.Endpoint = "unix:///" + strings.Repeat("a", 106) },
		"30 s":        func(p *encryption.Plugin) { p.Timeout = 30 * time.Second },
	} {
		p := good
		change(&p)
		if k, err := p.Key(); err != nil || k.String() != "kms/"+p.Name || k.Kept() || !k.Created().IsZero() {
			t.Errorf("%s: %v, %v", what, k, err)
		}
	}
	// A name that looks like one of ours says nothing of an age.
	if r := (encryption.Ref{Provider: encryption.KMS, Name: "r7-20260101t000000z-00"}); r.Rotation() != 0 || !r.Created().IsZero() {
		t.Errorf("%s is of rotation %d, made at %s", r, r.Rotation(), r.Created())
	}
}

// A plugin is not put at another socket under its name: what lies under it might be
// another's.
func TestOneNameIsOnePlugin(t *testing.T) {
	w := settledWorld("k", "k", "kk", 'k')
	want := wants['k']
	if step := encryption.Next(w.observed(t), want); step.Action != encryption.Rest {
		t.Fatalf("%s: %s", step.Reason, step.Message)
	}
	for what, change := range map[string]func(*encryption.Plugin){
		"another socket":  func(p *encryption.Plugin) { p.Endpoint = "unix:///other.sock" },
		"another timeout": func(p *encryption.Plugin) { p.Timeout = time.Second },
	} {
		want.Plugin = wants['k'].Plugin
		change(&want.Plugin)
		if step := encryption.Next(w.observed(t), want); step.Action != encryption.Halt || step.Reason != encryption.KeysDiffer {
			t.Errorf("%s: %s %s", what, step.Reason, step.Message)
		}
	}
	want.Plugin = encryption.Plugin{}
	if step := encryption.Next(w.observed(t), want); step.Action != encryption.Halt || step.Reason != encryption.PluginUnusable {
		t.Errorf("without any: %s %s", step.Reason, step.Message)
	}
}

func TestNextWithAPlugin(t *testing.T) {
	unusable := func(o *encryption.Observed) { o.Servers[1].PluginProblem = "broken" }
	silent := func(o *encryption.Observed) { o.Servers[1].KeyIDs = nil }
	differ := func(o *encryption.Observed) { o.Servers[1].KeyIDs = map[string]string{"k": "sha256:other"} }
	for what, c := range map[string]struct {
		world  world
		change func(*encryption.Observed)
		reason encryption.Reason
		files  [servers]string
		says   string
	}{
		"it is proven":                             {world: settledWorld("k", "k", "kk", 'k'), reason: encryption.Proven, says: "2 of 2 objects lie under kms/k@sha256:"},
		"it is added for reading":                  {world: settledWorld("a", "a", "aa", 'k'), reason: encryption.ReadKeyAdded, files: [servers]string{"ak", ""}},
		"it is written with":                       {world: settledWorld("ak", "ak", "aa", 'k'), reason: encryption.WriteKeyChanged, files: [servers]string{"ka", ""}},
		"not before every server can use it":       {world: settledWorld("ak", "ak", "aa", 'k'), change: unusable, reason: encryption.PluginUnusable, says: "1: broken"},
		"not before each says with which key":      {world: settledWorld("ak", "ak", "aa", 'k'), change: silent, reason: encryption.PluginUnusable, says: "1: it does not say"},
		"not before that is one key":               {world: settledWorld("ak", "ak", "aa", 'k'), change: differ, reason: encryption.PluginKeysDiffer},
		"nor does it spread":                       {world: settledWorld("ak", "a", "aa", 'k'), change: func(o *encryption.Observed) { o.Servers[0].PluginProblem = "broken" }, reason: encryption.PluginUnusable},
		"what only is read may have several":       {world: settledWorld("ak", "ak", "ak", 'a'), change: differ, reason: encryption.Migrating},
		"nothing is proven without it":             {world: settledWorld("k", "k", "kk", 'k'), change: unusable, reason: encryption.PluginUnusable},
		"an object under the plugin's last key":    {world: settledWorld("k", "k", "Kk", 'k'), reason: encryption.Migrating, says: "1 of 2"},
		"none is taken away for it":                {world: settledWorld("ak", "ak", "aK", 'a'), reason: encryption.Migrating},
		"a plugin that objects lie under is given": {world: settledWorld("a", "ak", "aK", 'a'), reason: encryption.ReadKeySpread, files: [servers]string{"ak", ""}},
		"a plugin that was taken from all files": {
			world: settledWorld("a", "a", "aK", 'a'), change: func(o *encryption.Observed) { o.Kept = []encryption.Key{keys['k']} },
			reason: encryption.ReadKeyRestored, files: [servers]string{"ak", ""},
		},
		"a plugin that nobody knows":  {world: settledWorld("a", "a", "aK", 'a'), reason: encryption.Unreadable, says: "kms/k@sha256:"},
		"it leaves":                   {world: settledWorld("ak", "ak", "aa", 'a'), reason: encryption.OldKeyRemoved, files: [servers]string{"a", ""}},
		"it leaves though it is ill":  {world: settledWorld("ak", "ak", "aa", 'a'), change: unusable, reason: encryption.OldKeyRemoved, files: [servers]string{"a", ""}},
		"and though it is silent":     {world: settledWorld("ak", "ak", "aa", 'a'), change: silent, reason: encryption.OldKeyRemoved, files: [servers]string{"a", ""}},
		"and though one has it alone": {world: settledWorld("ak", "a", "aa", 'a'), change: func(o *encryption.Observed) { o.Servers[0].PluginProblem = "broken" }, reason: encryption.OldKeyRemoved, files: [servers]string{"a", ""}},
		"not before etcd was read": {
			world: settledWorld("ak", "ak", "aa", 'a'), change: func(o *encryption.Observed) { unusable(o); o.Scan = nil }, reason: encryption.Scanning,
		},
		"not before nothing can lie under it": {
			world: settledWorld("ak", "ak", "aa", 'a'), change: func(o *encryption.Observed) { unusable(o); o.Clean = 0 }, reason: encryption.Settling,
		},
		"nor while an old revision may": {
			world: settledWorld("ak", "ak", "aa", 'a'), change: func(o *encryption.Observed) { unusable(o); o.Compacted = false }, reason: encryption.Settling,
		},
		"nor while an object does":     {world: settledWorld("ak", "ak", "ak", 'a'), change: unusable, reason: encryption.PluginUnusable, says: "1: broken"},
		"nor while one writes with it": {world: settledWorld("ka", "ak", "aa", 'a'), change: unusable, reason: encryption.PluginUnusable, says: "1: broken"},
		"nor while another is wanted":  {world: settledWorld("ak", "ak", "aa", 'l'), change: unusable, reason: encryption.ReadKeyAdded, files: [servers]string{"al", ""}},
		"a file that does not load":    {world: world{file: [servers]string{"ak", "a"}, runs: [servers]string{"a", "a"}, refuses: [servers]bool{true, false}, objects: "aa", want: 'k'}, reason: encryption.FileRefused, says: "KMS plugin"},
	} {
		t.Run(what, func(t *testing.T) {
			o := c.world.observed(t)
			if c.change != nil {
				c.change(&o)
			}
			step := encryption.Next(o, wants[c.world.want])
			if step.Action == encryption.AddKey {
				var err error
				if step, err = step.With(keys[c.world.want]); err != nil {
					t.Fatal(err)
				}
			}
			var files [servers]string
			for i := range servers {
				if f, ok := step.Files[name[i]]; ok {
					files[i] = letters(f)
				}
			}
			if step.Reason != c.reason || !strings.Contains(step.Message, c.says) || files != c.files {
				t.Errorf("%s: %s; files %q", step.Reason, step.Message, files)
			}
		})
	}
}

// What is clean was written under one key of the plugin's; while nobody knows which key
// that is, nothing is.
func TestCleanUnderAPlugin(t *testing.T) {
	for what, c := range map[string]struct {
		objects string
		change  func(*encryption.Observed)
		clean   bool
	}{
		"one key":              {objects: "kk", clean: true},
		"an object elsewhere":  {objects: "kK"},
		"a plugin that is ill": {objects: "kk", change: func(o *encryption.Observed) { o.Servers[1].PluginProblem = "broken" }},
		"nobody knows the key": {objects: "", change: func(o *encryption.Observed) { o.Servers[0].KeyIDs, o.Servers[1].KeyIDs = nil, nil }},
		"keys that differ":     {objects: "kk", change: func(o *encryption.Observed) { o.Servers[1].KeyIDs = map[string]string{"k": "other"} }},
	} {
		o := settledWorld("k", "k", c.objects, 'k').observed(t)
		if c.change != nil {
			c.change(&o)
		}
		if write, ok := o.CleanUnder(); ok != c.clean || ok && fmt.Sprint(write) != fmt.Sprint(refOf('k')) {
			t.Errorf("%s: %s, %v", what, write, ok)
		}
	}
}
