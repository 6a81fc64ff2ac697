package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
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
	return storeOf(t, handler).Open(brief(t), "bucket", "key")
}

// brief ends before a test does.
func brief(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// storeOf is a server that answers so.
func storeOf(t *testing.T, handler http.HandlerFunc) *Store {
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
	return s
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

// What comes byte by byte would take for ever; what comes at all fast is read to its end.
func TestAStoreThatDribblesIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		piece int
		pause time.Duration
		idle  time.Duration
		want  error
	}{
		"byte by byte": {1, 20 * time.Millisecond, 300 * time.Millisecond, errSlow},
		"in pieces":    {32 << 10, 10 * time.Millisecond, 5 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 256 << 10
			body, _, err := open(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
				for sent := 0; sent < size && r.Context().Err() == nil; sent += c.piece {
					_, _ = io.WriteString(w, strings.Repeat("x", c.piece))
					_ = http.NewResponseController(w).Flush()
					time.Sleep(c.pause)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = body.Close() }()
			body.(*slowly).idle = c.idle
			if text, err := io.ReadAll(body); !errors.Is(err, c.want) || c.want == nil && (err != nil || len(text) != size) {
				t.Errorf("%d bytes, %v, want %v", len(text), err, c.want)
			}
		})
	}
}

// A list that does not end, and a refusal that does not, are given up: neither says that
// something is missing.
func TestAnswersWithoutAnEndAreGivenUp(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("list-type") {
			_, _ = io.WriteString(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	s := storeOf(t, endless)
	s.opening, s.listing = 300*time.Millisecond, 300*time.Millisecond
	began := time.Now()
	keys, err := s.List(brief(t), "bucket", "d/", 10)
	if err == nil {
		t.Errorf("a list without an end has %v", keys)
	}
	if _, _, err := s.Open(brief(t), "bucket", "key"); err == nil || errors.Is(err, scrub.ErrMissing) {
		t.Errorf("a refusal without an end: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("both take %s", took)
	}
}

// A list is read to its end, or to one more than are wanted.
func TestAListEndsWhereItMay(t *testing.T) {
	s := storeOf(t, func(w http.ResponseWriter, _ *http.Request) {
		var all strings.Builder
		for i := range 20 {
			all.WriteString("<Contents><Key>d/" + strconv.Itoa(i) + "</Key></Contents>")
		}
		_, _ = io.WriteString(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>`+all.String()+`</ListBucketResult>`)
	})
	for most, want := range map[int]int{100: 20, 20: 20, 5: 6} {
		if keys, err := s.List(brief(t), "bucket", "d/", most); err != nil || len(keys) != want {
			t.Errorf("of 20, where %d are wanted, %d are read, %v", most, len(keys), err)
		}
	}
}
