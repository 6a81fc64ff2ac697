package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		"it takes no such entry":   {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusBadRequest) }, seal.ErrNotLogged},
		"it finds it too large":    {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusRequestEntityTooLarge) }, seal.ErrNotLogged},
		"it wants a rest":          {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusTooManyRequests) }, seal.ErrNotLogged},
		"it did not wait":          {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", 499) }, nil},
		"it hangs up":              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil},
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
			for _, e := range []error{seal.ErrDuplicate, seal.ErrNotLogged} {
				if errors.Is(err, e) != (e == c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestALogMaySayForHowLongItWantsARest(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "0": 0, "-7": 0, "soon": 0, "Wed, 21 Oct 2037 07:28:00 GMT": 0, "99999999999999999999": 0} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			http.Error(w, strings.Repeat("slower ", 1000), http.StatusTooManyRequests)
		}))
		defer server.Close()
		for version, client := range map[string]func(string, time.Duration) (seal.Log, error){"v1": seal.NewRekorV1, "v2": seal.NewRekorV2} {
			log, err := client(server.URL, time.Second)
			must(t, err)
			notary := sealtest.NewNotaryWith(t, sealtest.Backend{Log: log, TrustedRoot: sealtest.NewLog(t).TrustedRoot})
			envelope, err := notary.Sign(t.Context(), payload(t))
			must(t, err)
			_, err = notary.Record(t.Context(), envelope)
			var slow *seal.SlowDownError
			if !errors.As(err, &slow) || slow.After != want || !errors.Is(err, seal.ErrNotLogged) || len(err.Error()) > 1000 {
				t.Errorf("%s, Retry-After %q: %v", version, header, err)
			}
		}
	}
}

func TestWhatWasNotSentWasNotLogged(t *testing.T) {
	log := func(t *testing.T, url string) *sealtest.Notary {
		t.Helper()
		l, err := seal.NewRekorV2(url, 300*time.Millisecond)
		must(t, err)
		return sealtest.NewNotaryWith(t, sealtest.Backend{Log: l, TrustedRoot: sealtest.NewLog(t).TrustedRoot})
	}
	record := func(t *testing.T, ctx context.Context, notary *sealtest.Notary) error {
		t.Helper()
		envelope, err := notary.Sign(t.Context(), payload(t))
		must(t, err)
		_, err = notary.Record(ctx, envelope)
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		if err := record(t, t.Context(), log(t, server.URL)); !errors.Is(err, seal.ErrNotLogged) {
			t.Errorf("got %v, want %v", err, seal.ErrNotLogged)
		}
	})
	t.Run("nobody says who it is", func(t *testing.T) {
		// The listener's queue takes the connection, and TLS never begins.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = listener.Close() }()
		if err := record(t, t.Context(), log(t, "https://"+listener.Addr().String())); !errors.Is(err, seal.ErrNotLogged) {
			t.Errorf("got %v, want %v", err, seal.ErrNotLogged)
		}
	})
	t.Run("there is no time for an answer", func(t *testing.T) {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
		defer server.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		if err := record(t, ctx, log(t, server.URL)); !errors.Is(err, seal.ErrNotLogged) || asked != 0 {
			t.Errorf("got %v, and it was asked %d times", err, asked)
		}
	})
}
