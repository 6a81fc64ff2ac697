//go:build e2e

package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/trace"
)

const (
	programEnv = "ARGOSEAL_BROWSER"
	// picturesEnv is a folder for the screenshots.
	picturesEnv = "ARGOSEAL_BROWSER_PICTURES"
)

// seen is what a browser made of a page.
type seen struct {
	picture image.Image
	// console is what the page's console says, and asked are the hosts that anything was asked of.
	console, asked []string
}

var saysConsole = regexp.MustCompile(`:CONSOLE[:(].*`)

// open shows a page in a window of a size, to nobody. All that it asks of any host comes to
// a proxy of the test's, which gives nothing.
func open(t *testing.T, page, picture string, dark bool, width, height string) seen {
	t.Helper()
	program := os.Getenv(programEnv)
	if program == "" {
		t.Fatalf("%s does not say where Chromium is: make browser", programEnv)
	}
	var mu sync.Mutex
	var s seen
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		s.asked = append(s.asked, r.Host)
		mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
	})}
	served := make(chan error, 1)
	go func() { served <- proxy.Serve(listener) }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--log-level=0",
		"--proxy-server=http://" + listener.Addr().String(), "--proxy-bypass-list=<-loopback>", "--force-device-scale-factor=1",
		"--window-size=" + width + "," + height, "--screenshot=" + picture,
	}
	if dark {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	}
	said, err := exec.CommandContext(ctx, program, append(args, "file://"+page)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, said)
	}
	_ = proxy.Close()
	<-served
	for lines := bufio.NewScanner(bytes.NewReader(said)); lines.Scan(); {
		if line := saysConsole.FindString(lines.Text()); line != "" {
			s.console = append(s.console, line)
		}
	}
	raw, err := os.ReadFile(picture)
	if err != nil {
		t.Fatalf("no screenshot: %v\n%s", err, said)
	}
	if s.picture, err = png.Decode(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	s.asked = slices.DeleteFunc(s.asked, ofBrowser)
	return s
}

// ofBrowser are hosts that Chromium itself asks, whatever it shows.
func ofBrowser(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return slices.Contains([]string{"accounts.google.com", "clients2.google.com", "update.googleapis.com", "content-autofill.googleapis.com", "optimizationguide-pa.googleapis.com", "www.google.com"}, name)
}

// dots counts those of one colour.
func dots(picture image.Image, hex string) (n int) {
	var want color.RGBA
	for i, to := range []*uint8{&want.R, &want.G, &want.B} {
		for _, digit := range hex[1+2*i : 3+2*i] {
			*to = *to<<4 | uint8(strings.IndexRune("0123456789abcdef", digit))
		}
	}
	want.A = 255
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			if color.RGBAModel.Convert(picture.At(x, y)) == want {
				n++
			}
		}
	}
	return n
}

// colours are those of a page's boxes by their kind, in light or in dark, as its style has
// them.
func colours(t *testing.T, page string, dark bool) map[string]string {
	t.Helper()
	variables := regexp.MustCompile(`--(sealed|source|external|broken|step): (#[0-9a-f]{6})`).FindAllStringSubmatch(page, -1)
	if len(variables) != 10 {
		t.Fatalf("the page has %d colours", len(variables))
	}
	found := map[string]string{}
	for i, m := range variables {
		if (i >= 5) == dark {
			found[m[1]] = m[2]
		}
	}
	return found
}

// release is a page about a release that has something of every kind.
func release(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/release.json")
	if err != nil {
		t.Fatal(err)
	}
	var g trace.Graph
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := g.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// stored writes a page to a file.
func stored(t *testing.T, page string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// picture is where a screenshot goes.
func picture(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv(picturesEnv)
	if dir == "" {
		dir = t.TempDir()
	}
	return filepath.Join(dir, name+".png")
}

// least is how many dots of its colour a box has at least: three sides of its border, where
// the key to the colours below has 121 in all.
const least = 2*(230+62) + 230

// notDrawn names the kinds of boxes that a picture does not have, of those that the page has.
func notDrawn(picture image.Image, page string, colours map[string]string) (missing []string) {
	for kind, colour := range colours {
		if boxes, n := strings.Count(page, `<rect class="`+kind+`"`), dots(picture, colour); n < boxes*least || boxes == 0 {
			missing = append(missing, fmt.Sprintf("%s (%d boxes, %d dots of %s)", kind, boxes, n, colour))
		}
	}
	slices.Sort(missing)
	return missing
}

func TestATraceIsDrawn(t *testing.T) {
	page := release(t)
	for name, dark := range map[string]bool{"light": false, "dark": true} {
		s := open(t, stored(t, page), picture(t, "trace-"+name), dark, "1560", "1400")
		if missing := notDrawn(s.picture, page, colours(t, page, dark)); len(missing) > 0 {
			t.Errorf("%s: these are not seen: %v", name, missing)
		}
		if len(s.console) > 0 || len(s.asked) > 0 {
			t.Errorf("%s: the console says %q, and it asked %q", name, s.console, s.asked)
		}
	}
	// Without the drawing it would be noticed.
	begin, end := strings.Index(page, `<div class="draw">`), strings.Index(page, `<p class="key">`)
	s := open(t, stored(t, page[:begin]+page[end:]), picture(t, "without"), false, "1560", "1400")
	if missing := notDrawn(s.picture, page, colours(t, page, false)); len(missing) != 5 {
		t.Errorf("without a drawing only these are missed: %v", missing)
	}
}

// TestATraceAsksNobody: names in it are anybody's. Whatever they are, the page loads nothing
// and runs nothing; what does is noticed.
func TestATraceAsksNobody(t *testing.T) {
	golden, err := os.ReadFile("../../pkg/trace/testdata/trace.html")
	if err != nil {
		t.Fatal(err)
	}
	if s := open(t, stored(t, string(golden)), picture(t, "golden"), false, "1200", "800"); len(s.console) > 0 || len(s.asked) > 0 {
		t.Errorf("the console says %q, and it asked %q", s.console, s.asked)
	}
	const spy = `<img src="http://argoseal.test/spy.png"><script>console.error("it ran")</script>`
	// If a name were not quoted, the page's policy would stop it, and its console say so.
	guarded := strings.Replace(string(golden), "<h2>Steps</h2>", spy, 1)
	s := open(t, stored(t, guarded), picture(t, "guarded"), false, "1200", "800")
	if len(s.asked) > 0 || len(s.console) == 0 || strings.Contains(strings.Join(s.console, ""), `"it ran"`) {
		t.Errorf("with its policy the page asks %q, and its console says %q", s.asked, s.console)
	}
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
	s = open(t, stored(t, policy.ReplaceAllString(guarded, "")), picture(t, "unguarded"), false, "1200", "800")
	if !slices.Contains(s.asked, "argoseal.test") || !strings.Contains(strings.Join(s.console, ""), `"it ran"`) {
		t.Errorf("without its policy the page asks %q, and its console says %q: nobody would notice", s.asked, s.console)
	}
}
