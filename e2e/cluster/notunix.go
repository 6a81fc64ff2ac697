//go:build !unix

// Command cluster raises a development cluster; see main.go.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "the development cluster needs Linux: "+
		"point KUBECONFIG at a cluster with Argo Workflows, or run this in a Linux virtual machine")
	os.Exit(1)
}
