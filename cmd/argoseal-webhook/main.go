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

// limitMemory has the program collect its garbage before it has nine tenths of what its
// container may have, in bytes: beyond, the kernel kills it. Who sets GOMEMLIMIT knows
// better.
func limitMemory(limit string) {
	bytes, err := strconv.ParseInt(limit, 10, 64)
	if _, set := os.LookupEnv("GOMEMLIMIT"); set || err != nil || bytes <= 0 {
		return
	}
	debug.SetMemoryLimit(bytes / 10 * 9)
}

// limitGarbage has the program collect its garbage when it is half of what is kept, not
// as much: what is watched is kept in few objects, so that costs little. Who sets GOGC
// knows better.
func limitGarbage() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbagePercent)
	}
}

const garbagePercent = 50
