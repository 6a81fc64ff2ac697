package seal_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/seal"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
)

func TestALogNeedsAURLAndATimeout(t *testing.T) {
	for name, c := range map[string]struct {
		url     string
		timeout time.Duration
	}{
		"no URL":               {"", time.Second},
		"no scheme":            {"localhost:3003", time.Second},
		"no host":              {"http://:3003", time.Second},
		"no timeout":           {"http://localhost:3003", 0},
		"a timeout below zero": {"http://localhost:3003", -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := seal.NewRekorV2(c.url, c.timeout); err == nil {
				t.Error("made a client")
			}
		})
	}
}

func TestARekorThatMisbehavesIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"it has the entry already": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusConflict) }, seal.ErrDuplicate},
		"it is overloaded":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusServiceUnavailable) }, nil},
		"it answers with an essay": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("409 ", 1<<20), 500) }, nil},
		"it answers nonsense":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); _, _ = fmt.Fprint(w, "yes") }, nil},
		"it answers nothing":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); _, _ = fmt.Fprint(w, "{}") }, nil},
		"it does not answer": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server sees the client leave only after that
			<-r.Context().Done()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			log, err := seal.NewRekorV2(server.URL, 200*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: sealtest.NewLog(t).TrustedRoot})
			envelope, err := notary.Sign(t.Context(), sealtest.Payload(t, "s3://minio/b/k", artifact.Digest(strings.Repeat("a", 64))))
			if err != nil {
				t.Fatal(err)
			}
			bundle, err := notary.Record(t.Context(), envelope)
			if err == nil {
				t.Fatalf("got a bundle: %s", bundle)
			}
			if c.want == nil && errors.Is(err, seal.ErrDuplicate) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}
