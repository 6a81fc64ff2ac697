package measurement

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

// logged encodes a measurement that no message holds: what the message says of
// it, and the log as a sidecar writes it, with what it says beside.
func logged(t *testing.T, m Measurement) (*Logged, string) {
	t.Helper()
	message, whole, err := m.Encode(MaxMessage)
	if err != nil || whole == "" {
		t.Fatal(err, whole)
	}
	_, l, err := Decode(message)
	if err != nil || l == nil {
		t.Fatal(err, message)
	}
	var log strings.Builder
	log.WriteString(`{"level":"INFO","msg":"watching"}` + "\n")
	if err := WriteLog(&log, whole); err != nil {
		t.Fatal(err)
	}
	return l, log.String() + message
}

// large is a measurement of 300 outputs: its log has 6 frames.
func large() Measurement { return outputs(300) }

func TestALogLooksLikeThis(t *testing.T) {
	m := outputs(3)
	message, log, err := m.Encode(MinMessage)
	want := `argoseal/1 3 2Gj8hJ3nUEAZg4GHlX8jFibSeBkZMDUDOTUhUmldGag
+ 354 PStztLQR6I03q5C2mWZqUiASANZPLB1yvYWJ1AzSzQo
`
	if err != nil || message != want {
		t.Errorf("the message is\n%s%v", message, err)
	}
	var out strings.Builder
	want = "argoseal-log/1 1 " + base64.RawURLEncoding.EncodeToString([]byte(log)) + "\n"
	if err := WriteLog(&out, log); err != nil || out.String() != want {
		t.Errorf("the log is\n%s%v", out.String(), err)
	}
	if got := mustEncode(t, m); got != log {
		t.Errorf("the log has\n%s\nwant what a longer message would\n%s", log, got)
	}
}

func TestALineOfALogIsHalfOfWhatRuntimesKeepWhole(t *testing.T) {
	_, log := logged(t, large())
	for line := range strings.Lines(log) {
		if len(line) > 8<<10+len(frameMagic)+8 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if n := strings.Count(log, "\n"+frameMagic); n != 6 {
		t.Errorf("there are %d frames", n)
	}
}

func TestALogGivesWhatWasMeasured(t *testing.T) {
	sum, files := measureFiles(t, contenttest.Directory(t, map[string]string{"a": "x", "b/c": "y"}))
	var list content.Files
	for i := range 2000 {
		list = append(list, content.File{Path: fmt.Sprintf("folder/file-%04d", i), SHA256: contenttest.SumOfX})
	}
	big := Entry{Output: "big", Found: Bytes{Sum: content.Sum{Form: content.FormDirectory, SHA256: list.Tree(), Tree: list.Tree()}, Files: list}}
	for title, m := range map[string]Measurement{
		"many outputs":          large(),
		"as many as there are":  outputs(1024),
		"a large directory":     {big, {Output: "small", Found: Bytes{Sum: sum, Files: files}}},
		"outputs with problems": append(large(), Entry{Output: "gone", Found: Problem{Code: reason.OutputAbsent}}),
	} {
		t.Run(title, func(t *testing.T) {
			l, log := logged(t, m)
			for how, r := range map[string]io.Reader{
				"whole": strings.NewReader(log), "in bytes": iotest.OneByteReader(strings.NewReader(log)),
				"among others": strings.NewReader(strings.Repeat("x", 300_000) + "\n" + strings.ReplaceAll(log, "\n", "\n{}\n")),
			} {
				got, err := l.Find(r)
				if err != nil || !reflect.DeepEqual(got, m) {
					t.Errorf("%s: %d entries, %v", how, len(got), err)
				}
			}
		})
	}
}

func TestAMessageHasAllEntriesIfThereIsRoom(t *testing.T) {
	sum, files := measureFiles(t, contenttest.Directory(t, map[string]string{"a": "x", "b/c": "y"}))
	m := Measurement{{Output: "dir", Found: Bytes{Sum: sum, Files: files}}, {Output: "other", Found: Bytes{Sum: content.Sum{Form: content.FormTar, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}}}}
	whole := mustEncode(t, m)
	bare := Measurement{{Output: "dir", Found: Bytes{Sum: sum}}, m[1]}
	message, log, err := m.Encode(len(whole) - 1)
	got, l, decoding := Decode(message)
	if err != nil || decoding != nil || log != whole || l == nil || !reflect.DeepEqual(got, bare) {
		t.Errorf("got %+v, %v, %v", got, err, decoding)
	}
	message, _, err = m.Encode(MinMessage)
	if got, l, decoding := Decode(message); err != nil || decoding != nil || l == nil || got != nil {
		t.Errorf("without room: %+v, %v, %v", got, err, decoding)
	}
}

func TestWhatNoLogHoldsIsTooLarge(t *testing.T) {
	if _, _, err := outputs(1024).Encode(MinMessage); err != nil {
		t.Errorf("as many outputs as a template can have: %v", err)
	}
	if _, _, err := outputs(MaxLogged / 100).Encode(MaxMessage); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	var m Measurement
	for i := range 3 {
		var files content.Files
		for n := range 1500 {
			files = append(files, content.File{Path: fmt.Sprintf("%s-%04d", strings.Repeat("n", 240), n), SHA256: contenttest.SumOfX})
		}
		sum := content.Sum{Form: content.FormDirectory, SHA256: files.Tree(), Tree: files.Tree()}
		m = append(m, Entry{Output: fmt.Sprint("directory-", i), Found: Bytes{Sum: sum, Files: files}})
	}
	l, log := logged(t, m)
	got, err := l.Find(strings.NewReader(log))
	if err != nil || len(got) != 3 || bytesIn(got[0]).Files == nil || bytesIn(got[1]).Files == nil || bytesIn(got[2]).Files != nil || bytesIn(got[2]).Sum != bytesIn(m[2]).Sum {
		t.Errorf("what files there is no room for: %v", err)
	}
}

// frames are the lines of the log that are frames.
func frames(log string) (list []string) {
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, frameMagic) {
			list = append(list, line)
		}
	}
	return list
}

// reframed are frames of 1 KiB, from the second on.
func reframed(whole string) (list []string) {
	for n := 2; whole != ""; n++ {
		size := min(len(whole), 1<<10)
		list = append(list, frame(n, whole[:size]))
		whole = whole[size:]
	}
	return list
}

func TestALogThatIsAnotherIsRefused(t *testing.T) {
	l, log := logged(t, large())
	f := frames(log)
	all := strings.Join(f, "")
	other := large()
	for i := range other {
		changed := bytesIn(other[i])
		changed.SHA256 = contenttest.SumOfNothing
		other[i].Found = changed
	}
	_, others := logged(t, other)
	_, whole, err := large().Encode(MaxMessage)
	must(t, err)
	swapped := strings.Join(f[:1], "") + f[2] + f[1] + strings.Join(f[3:], "")
	for title, text := range map[string]string{
		"without its first frame":     strings.Join(f[1:], ""),
		"without a frame":             strings.Join(f[:2], "") + strings.Join(f[3:], ""),
		"in another order":            swapped,
		"with a frame twice":          f[0] + all,
		"with all frames twice":       all + all,
		"with a frame behind":         all + frame(len(f)+1, "x"),
		"with nothing behind":         all + frame(len(f)+1, ""),
		"with another's frames":       strings.Join(frames(others), ""),
		"with another's frame":        f[0] + frames(others)[1] + strings.Join(f[2:], ""),
		"with an altered frame":       strings.Replace(all, f[3], frame(4, strings.Repeat("x", frameSize)), 1),
		"with a short frame":          frame(1, "argoseal/1") + all,
		"in other frames":             frame(1, whole[:10]) + strings.Join(reframed(whole[10:]), ""),
		"with a frame of two lines":   strings.Replace(all, f[0], f[0][:100]+"\n"+f[0][100:], 1),
		"with a number's other form":  strings.Replace(all, frameMagic+"1 ", frameMagic+"01 ", 1),
		"with no number":              frameMagic + "\n" + all,
		"with other base64":           strings.Replace(all, f[5], strings.TrimSuffix(f[5], "\n")+"=\n", 1),
		"with a carriage return":      strings.Replace(all, "\n", "\r\n", 1),
		"with a frame that is longer": frameMagic + "1 " + strings.Repeat("A", 20_000) + "\n" + all,
		"that is longer than is read": all + strings.Repeat("{}\n", MaxLog/3),
		"with a line that is longer":  strings.Repeat("x", MaxLog) + "\n" + all,
	} {
		t.Run(title, func(t *testing.T) {
			m, err := l.Find(strings.NewReader(text))
			if m != nil || reason.Of(err) != reason.MeasurementIncomplete {
				t.Errorf("got %d entries, %v, want MeasurementIncomplete", len(m), err)
			}
		})
	}
}

func TestALogThatIsNotAllThereMayComeLater(t *testing.T) {
	l, log := logged(t, large())
	f := frames(log)
	all := strings.Join(f, "")
	for title, text := range map[string]string{
		"empty":                     "",
		"without frames":            "{}\nunable to retrieve container logs for containerd://x",
		"without the last frame":    strings.Join(f[:5], ""),
		"cut in the last frame":     all[:len(all)-10],
		"cut before the last end":   all[:len(all)-1],
		"cut in the middle":         all[:len(all)/2],
		"with frames after a colon": ": " + strings.Join(f, ": "),
	} {
		m, err := l.Find(strings.NewReader(text))
		if m != nil || !errors.Is(err, ErrLogShort) || reason.Of(err) == reason.MeasurementIncomplete {
			t.Errorf("%s: got %d entries, %v, want ErrLogShort", title, len(m), err)
		}
	}
	broken := io.MultiReader(strings.NewReader(all[:len(all)/2]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if m, err := l.Find(broken); m != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("what a reader fails with: %v", err)
	}
}

func TestALogHasToSayWhatTheMessageSays(t *testing.T) {
	m := large()
	_, whole, err := m.Encode(MaxMessage)
	if err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		count string
		body  string
	}{
		"another count":      {"299", ""},
		"another entry":      {"300", strings.Replace(m.lines(false), "output-7 7 ", "output-7 8 ", 1)},
		"another order":      {"300", m[1].line() + m[0].line() + m[2:].lines(false)},
		"the same, for once": {"300", m.lines(false)},
	} {
		l := newLogged(whole)
		var got Measurement
		if c.body != "" {
			var err error
			if got, err = decodeEntries(strings.Split(strings.TrimSuffix(c.body, "\n"), "\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.take(c.count, got); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		must(t, WriteLog(&log, whole))
		found, err := l.Find(strings.NewReader(log.String()))
		if good := strings.HasPrefix(title, "the same"); (err == nil) != good || !good && reason.Of(err) != reason.MeasurementIncomplete {
			t.Errorf("%s: %d entries, %v", title, len(found), err)
		}
	}
}

func TestAMessageAboutALogIsStrict(t *testing.T) {
	message, whole, err := large().Encode(MinMessage)
	if err != nil {
		t.Fatal(err)
	}
	l := newLogged(whole)
	if want := withHeader("300", l.line()); message != want {
		t.Fatalf("got %q, want %q", message, want)
	}
	entry, list := outputs(1).lines(false), content.Files{{Path: "a", SHA256: contenttest.SumOfX}}
	dir := Entry{Output: "dir", Found: Bytes{Sum: content.Sum{Form: content.FormDirectory, SHA256: list.Tree(), Tree: list.Tree()}}}.line()
	for title, message := range map[string]string{
		"no count":              withHeader("0", l.line()),
		"a count below nothing": withHeader("-1", l.line()),
		"a count's other form":  withHeader("0300", l.line()),
		"a count of words":      withHeader("many", l.line()),
		"some of the entries":   withHeader("300", entry+l.line()),
		"entries behind":        withHeader("1", l.line()+entry),
		"files":                 withHeader("1", dir+indented(list)+l.line()),
		"two logs":              withHeader("300", l.line()+l.line()),
		"no size":               withHeader("300", strings.Replace(l.line(), fmt.Sprint(l.Size), "0", 1)),
		"a size's other form":   withHeader("300", strings.Replace(l.line(), fmt.Sprint(l.Size), fmt.Sprint("0", l.Size), 1)),
		"more than a log holds": withHeader("300", strings.Replace(l.line(), fmt.Sprint(l.Size), fmt.Sprint(MaxLogged+1), 1)),
		"a digest too short":    withHeader("300", strings.Replace(l.line(), artifact.CompactDigest(l.SHA256), artifact.CompactDigest(l.SHA256)[1:], 1)),
		"a digest in hex":       withHeader("300", strings.Replace(l.line(), artifact.CompactDigest(l.SHA256), string(l.SHA256), 1)),
		"more on the line":      withHeader("300", strings.Replace(l.line(), "\n", " x\n", 1)),
		"another mark":          withHeader("300", "+"+l.line()),
	} {
		if m, l, err := Decode(message); reason.Of(err) != reason.MeasurementIncomplete {
			t.Errorf("%s: got %v, %+v, %v", title, m, l, err)
		}
	}
}

// A measurement in a log is whole: it says nothing of another one.
func TestALogInALogIsRefused(t *testing.T) {
	message, _, err := large().Encode(MinMessage)
	if err != nil {
		t.Fatal(err)
	}
	l := newLogged(message)
	must(t, l.take("300", nil))
	var log strings.Builder
	must(t, WriteLog(&log, message))
	if m, err := l.Find(strings.NewReader(log.String())); reason.Of(err) != reason.MeasurementIncomplete {
		t.Errorf("got %d entries, %v", len(m), err)
	}
}

func FuzzFind(f *testing.F) {
	small := outputs(3)
	_, whole, err := small.Encode(MinMessage)
	if err != nil {
		f.Fatal(err)
	}
	var log strings.Builder
	if err := WriteLog(&log, whole); err != nil {
		f.Fatal(err)
	}
	f.Add(log.String())
	f.Add(log.String()[:len(log.String())/2])
	f.Fuzz(func(t *testing.T, text string) {
		l := newLogged(whole)
		must(t, l.take("3", nil))
		if m, err := l.Find(strings.NewReader(text)); err == nil && !reflect.DeepEqual(m, small) {
			t.Errorf("found %d other entries", len(m))
		}
	})
}
