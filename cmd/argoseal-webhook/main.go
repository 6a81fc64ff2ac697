// Argoseal-webhook admits workflow pods: it adds the signing sidecar, refuses
// what consumes artifacts without provenance, and keeps its own serving
// certificate. It holds no signing key and reads no tenant's Secret.
package main

import (
	"os"
	"runtime/debug"
	"strconv"

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

// limitGarbage lets garbage grow to half of what is kept, where Go's default is as
// much again. This costs little, because what is watched is kept in few objects. An
// operator's GOGC stays.
func limitGarbage() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbagePercent)
	}
}

const garbagePercent = 50
