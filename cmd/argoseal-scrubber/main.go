// Argoseal-scrubber compares sealed artifacts with what lies in the artifact stores, and
// says which were altered. It is the one program of ours that talks to a store: it reads
// there, and holds no other credential.
package main

import "github.com/argoseal/argoseal/pkg/program"

// version is set at link time.
var version = "devel"

func main() {
	program.Main(program.Command("argoseal-scrubber", "Compares sealed artifacts with what lies in the stores", version, runCommand()))
}
