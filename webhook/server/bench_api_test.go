package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

// Benchmarks have the API server of a scene answer from a process of its own: else its
// CPU time would count as the webhook's.

const (
	// answersAlone is set in the environment of that process.
	answersAlone = "ARGOSEAL_TEST_ANSWERS"
	// countPath is where it says how many requests it has had, without this one.
	countPath = "/count"
)

// known is what such an API server knows.
type known struct {
	Answers  map[string][]byte
	Versions map[string]string
	Seals    []v1alpha1.ArtifactSeal
}

func TestMain(m *testing.M) {
	if os.Getenv(answersAlone) == "" {
		os.Exit(m.Run())
	}
	if err := answerAlone(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answerAlone reads what it is to know, says where it listens, and ends when nobody can write to
// it any more.
func answerAlone(in io.Reader, out io.Writer) error {
	var all known
	stream := json.NewDecoder(in)
	if err := stream.Decode(&all); err != nil {
		return err
	}
	api := &fakeAPI{answers: all.Answers, versions: all.Versions, seals: all.Seals}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == countPath {
			_, _ = fmt.Fprint(w, api.count.Load())
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer server.Close()
	if _, err := fmt.Fprintln(out, server.Listener.Addr()); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// alone gives what the scene's API server knows to a process of its own, which answers from
// then on.
func (w *scene) alone(b *testing.B) {
	b.Helper()
	process := exec.CommandContext(b.Context(), os.Args[0])
	process.Env = append(os.Environ(), answersAlone+"=1")
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	check(b, err)
	out, err := process.StdoutPipe()
	check(b, err)
	check(b, process.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = process.Wait()
	})
	check(b, json.NewEncoder(in).Encode(known{Answers: w.api.answers, Versions: w.api.versions, Seals: w.api.seals}))
	var address string
	_, err = fmt.Fscanln(out, &address)
	check(b, err)
	w.answering(address)
	w.count = func() int64 {
		answer, err := http.Get("http://" + address + countPath) //nolint:noctx // a test's own, on this machine
		check(b, err)
		defer func() { _ = answer.Body.Close() }()
		raw, err := io.ReadAll(answer.Body)
		check(b, err)
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		check(b, err)
		return n
	}
}

// answering has the scene's clients ask at another address from then on.
func (w *scene) answering(address string) {
	w.address.Store(&address)
	w.server.CloseClientConnections() // they would go on there
}
