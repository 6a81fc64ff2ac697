package agent_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
)

// TestAClientIsMadeAnewForRenewedCertificates: each of the three files counts; one that is
// just being replaced does not, nor one that is written anew as it was.
func TestAClientIsMadeAnewForRenewedCertificates(t *testing.T) {
	of := files(keys(t), "sentinel")
	for _, file := range []string{of.CA, of.Cert, of.Key} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		renewed, err := of.Renewed()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- renewed(t.Context(), time.Millisecond) }()
		still(t, ended, os.Remove(file))
		still(t, ended, os.WriteFile(file, raw, 0o600))
		if err := os.WriteFile(file, append(raw, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, agent.ErrRenewed) {
			t.Errorf("%s: %v", file, err)
		}
	}
	renewed, err := of.Renewed()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := renewed(ctx, time.Millisecond); err != nil {
		t.Errorf("the end: %v", err)
	}
	if _, err := files(t.TempDir(), "sentinel").Renewed(); err == nil {
		t.Error("files that are not there can be waited for")
	}
}

// still fails if it has ended some looks later.
func still(t *testing.T, ended chan error, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
}
