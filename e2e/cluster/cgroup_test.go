//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestParseMounts(t *testing.T) {
	got := parseMounts(`22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 22 0:26 / /mnt/with\040space rw master:1 propagate_from:2 - tmpfs tmpfs rw
a line that is none
`)
	want := []mountPoint{{"/", "ext4"}, {"/sys/fs/cgroup/unified", "cgroup2"}, {"/mnt/with space", "tmpfs"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Only a whole path element counts: another cluster's cgroup begins alike.
func TestInCgroup(t *testing.T) {
	for content, want := range map[string]bool{
		"0::/argoseal\n":      true,
		"0::/argoseal/host\n": true,
		"4:memory:/user\n3:pids:/argoseal/kubepods/x\n": true,
		"0::/argoseal-1234/host\n":                      false,
		"0::/user/argoseal\n":                           false,
		"0::/\n":                                        false,
		"":                                              false,
	} {
		if got := inCgroup(content, "argoseal"); got != want {
			t.Errorf("%q: %v", content, got)
		}
	}
}
