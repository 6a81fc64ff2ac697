// Argoseal-webhook admits workflow pods: it adds the signing sidecar, refuses
// what consumes artifacts without provenance, and keeps its own serving
// certificate. It holds no signing key and reads no tenant's Secret.
package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/argoseal/argoseal/pkg/program"
)

// version is set at link time.
var version = "devel"

func main() {
	limitMemory(os.Getenv("ARGOSEAL_MEMORY_LIMIT"))
	limitGarbage()
	program.Main(command())
}

// limitMemory makes the collector work harder from nine tenths of the container's
// memory (in bytes) on: beyond all of it the kernel kills the program. An
// operator's GOMEMLIMIT stays.
func limitMemory(limit string) {
	bytes, err := strconv.ParseInt(limit, 10, 64)
	if _, set := os.LookupEnv("GOMEMLIMIT"); set || err != nil || bytes <= 0 {
		return
	}
	debug.SetMemoryLimit(bytes / 10 * 9)
}

// limitGarbage lets garbage wait for collection, while there is little of it or of what is
// kept: see garbagePercent. An operator's GOGC stays.
func limitGarbage() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	adjustGarbage()
	go func() {
		for range time.Tick(time.Second) {
			adjustGarbage()
		}
	}()
}

// adjustGarbage goes by what was kept when garbage was collected last.
func adjustGarbage() {
	now := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	if want := garbagePercent(now[0].Value.Uint64()); now[1].Value.Uint64() != want {
		debug.SetGCPercent(int(want)) // it stops the program for a moment
	}
}

const (
	// garbageRoom is for the garbage of some 200 admissions, in bytes. A collection costs by
	// what is kept, so with few megabytes of garbage it would be a third of all work.
	garbageRoom = 64 << 20
	// leastGarbage and mostGarbage bound the garbage, in percent of what is kept.
	leastGarbage, mostGarbage = 50, 400
)

// garbagePercent is how much garbage there may be beside so many bytes that are kept, in
// percent of these: garbageRoom, or half as much as is kept where that is more.
func garbagePercent(kept uint64) uint64 {
	return min(max(100*garbageRoom/max(kept, 1), leastGarbage), mostGarbage)
}
