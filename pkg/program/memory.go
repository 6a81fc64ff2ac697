package program

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimit has the bytes that this container may have, or the word max.
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// SpendMemory has garbage collected before the program has more than four fifths of what its
// container may have: the rest is for what Go does not count. Until then so much garbage may
// wait, in percent of what is in use. Who sets GOGC or GOMEMLIMIT knows better.
func SpendMemory(garbagePercent int) {
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
