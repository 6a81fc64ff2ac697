//go:build unix && !linux

package main

import (
	"context"

	"github.com/argoseal/argoseal/e2e/cluster/layout"
	"github.com/argoseal/argoseal/e2e/cluster/part"
)

// up and down are never reached: onThisMachine has refused by then. Building
// tools works on every Unix.

func up(context.Context, layout.Layout, []part.Workload, string) error { return errNotLinux }

func down(context.Context, layout.Layout) error { return errNotLinux }

func raised(layout.Layout) bool { return false }
