package main

import (
	"strings"
	"testing"
)

// How long nobody knows that a key is gone is bounded, and so is what probes cost.
func TestProbesOfTheKeyServiceAreBounded(t *testing.T) {
	for given, fine := range map[string]bool{"999ms": false, "1s": true, "2m": true, "121s": false, "0": false, "-1s": false} {
		c := command()
		c.SetArgs([]string{"kms-plugin", "--listen=none", "--key=none", "--probe=" + given})
		err := c.ExecuteContext(t.Context())
		if err == nil || strings.HasPrefix(err.Error(), "--probe") == fine {
			t.Errorf("with %s it says %v", given, err)
		}
	}
}
