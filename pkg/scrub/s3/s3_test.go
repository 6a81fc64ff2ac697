package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/argoseal/argoseal/pkg/scrub"
)

// open opens an object of a server that answers so. Real stores:
// TestAlteredArtifactsAreFoundInARealStore in cmd/argoseal-scrubber.
func open(t *testing.T, handler http.HandlerFunc) (io.ReadCloser, int64, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := New(Options{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), Region: "us-east-1", Insecure: true,
		Credentials: credentials.NewStaticV4("a", "b", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return s.Open(ctx, "bucket", "key")
}

// What stops sending is given up, and is no changed artifact.
func TestAStoreThatStopsSendingIsGivenUp(t *testing.T) {
	ends := make(chan struct{})
	t.Cleanup(func() { close(ends) })
	body, size, err := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-ends:
		case <-r.Context().Done():
		}
	})
	if err != nil || size != 10 {
		t.Fatalf("got %d bytes, %v", size, err)
	}
	body.(*slowly).idle = 100 * time.Millisecond
	if _, err := io.ReadAll(body); !errors.Is(err, errIdle) {
		t.Errorf("want %v, got %v", errIdle, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

// Only what the store says is not there is missing: a refusal is none, nor a store that is
// in trouble.
func TestOnlyWhatIsNotThereIsMissing(t *testing.T) {
	for code, missing := range map[string]bool{"NoSuchKey": true, "NoSuchBucket": true, "AccessDenied": false, "InvalidAccessKeyId": false} {
		status := http.StatusForbidden
		if missing {
			status = http.StatusNotFound
		}
		_, _, err := open(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code></Error>`)
		})
		if err == nil || errors.Is(err, scrub.ErrMissing) != missing {
			t.Errorf("%s: %v", code, err)
		}
	}
}
