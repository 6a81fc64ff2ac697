// Argoseal-sentinel sets up, rotates and proves the encryption of Secrets in
// etcd. Its controller decides; its agents, one on each control-plane node, keep
// the API server's file.
package main

import (
	"github.com/spf13/cobra"

	"github.com/argoseal/argoseal/pkg/program"
)

// version is set at link time.
var version = "devel"

func main() { program.Main(command()) }

func command() *cobra.Command {
	return program.Command("argoseal-sentinel", "Encrypts Secrets in etcd, and keeps who may have them", version,
		controllerCommand(), agentCommand(), restoreCommand(), accessCommand(), kmsCommand())
}
