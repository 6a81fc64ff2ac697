package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// cgroupLimit has the bytes that this container may have, or the word max.
	cgroupLimit = "/sys/fs/cgroup/memory.max"
	// garbagePercent is how much garbage may wait, of what is in use: a seal makes some
	// 300 KiB, and looking for it after every few megabytes is a fifth of all work.
	garbagePercent = 400
)

// spendMemory lets garbage wait as long as there is room: up to four fifths of what the
// container may have, of which the rest is for what Go does not count. Who sets GOGC or
// GOMEMLIMIT knows better.
func spendMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	raw, err := os.ReadFile(cgroupLimit)
	if err != nil {
		return
	}
	if limit, ok := memoryLimit(string(raw)); ok {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(garbagePercent)
	}
}

// memoryLimit is four fifths of what a cgroup's file says; false if that is no limit.
func memoryLimit(text string) (int64, bool) {
	bytes, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || bytes <= 0 {
		return 0, false
	}
	return bytes / 5 * 4, true
}
