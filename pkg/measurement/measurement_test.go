package measurement

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/content/contenttest"
	"github.com/argoseal/argoseal/pkg/reason"
)

func measurement() Measurement {
	return Measurement{
		{Output: "hello-art", Found: Bytes{Sum: content.Sum{Form: content.FormTar, Size: 141, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfNothing}}},
		{Output: "gone", Found: Problem{Code: reason.OutputAbsent}},
		{Output: "Odd_1.x", Found: Bytes{Sum: content.Sum{Form: content.FormFile, Size: 0, SHA256: contenttest.SumOfNothing, Tree: content.FileTree(contenttest.SumOfNothing)}}},
		{Output: "bad", Found: Problem{Code: reason.OutputUnreadable}},
		{Output: "odd", Found: Problem{Code: reason.OutputUnreadable, Note: `"x\n" has mode 4755`}},
	}
}

func mustEncode(t *testing.T, m Measurement) string {
	t.Helper()
	message, log, err := m.Encode(MaxMessage)
	if err != nil || log != "" {
		t.Fatal(err, log)
	}
	return message
}

func TestAMessageLooksLikeThis(t *testing.T) {
	want := `argoseal/1 5 1HhkVx5EsXsU4rnlCp5RN0LL8nZU5feNqPjwZYRlu_M
hello-art 141 LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU
gone !OutputAbsent
Odd_1.x 0 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU pLeAJKM0ms1PuXNE53DDuvUJFFEKZXY4q4uaUHpWEGo file
bad !OutputUnreadable
odd !OutputUnreadable "x\n" has mode 4755
`
	if got := mustEncode(t, measurement()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDecodeGivesWhatWasEncoded(t *testing.T) {
	want := append(measurement(), Entry{Output: "tools", Found: Bytes{Sum: content.Sum{
		Form: content.FormTar, Size: 2, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfNothing, Plain: contenttest.SumOfX,
	}}})
	got, _, err := Decode(mustEncode(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAMessageThatWasCutIsRefused(t *testing.T) {
	message := mustEncode(t, measurement())
	for i := range len(message) {
		for _, cut := range []string{message[:i], message[i+1:], message[:i] + message[i+1:]} {
			if m, _, err := Decode(cut); err == nil {
				t.Fatalf("cut at %d, decoded as %v", i, m)
			}
		}
	}
}

func TestAMessageThatEncodeWouldNotWriteIsRefused(t *testing.T) {
	entry := "a 1 LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\n"
	if _, _, err := Decode(withHeader("1", entry)); err != nil {
		t.Fatal(err)
	}
	long := ""
	for i := range 200 {
		long += fmt.Sprintf("output-%d !OutputAbsent\n", i)
	}
	for title, message := range map[string]string{
		"more than is kept":         withHeader("200", long),
		"another version":           strings.Replace(withHeader("1", entry), "argoseal/1", "argoseal/2", 1),
		"no entry":                  withHeader("0", ""),
		"an empty line":             withHeader("1", "\n"),
		"more than counted":         withHeader("1", entry+"b !OutputAbsent\n"),
		"fewer than counted":        withHeader("2", entry),
		"a count of another form":   withHeader("01", entry),
		"an output twice":           withHeader("2", entry+entry),
		"a size of another form":    withHeader("1", strings.Replace(entry, " 1 ", " +1 ", 1)),
		"a negative size":           withHeader("1", strings.Replace(entry, " 1 ", " -1 ", 1)),
		"a huge size":               withHeader("1", strings.Replace(entry, " 1 ", " 9223372036854775808 ", 1)),
		"two spaces":                withHeader("1", strings.Replace(entry, " 1 ", "  1 ", 1)),
		"a digest too short":        withHeader("1", strings.Replace(entry, "hSuFU", "hSuF", 1)),
		"an unknown form":           withHeader("1", strings.Replace(entry, "\n", " Tar\n", 1)),
		"a file with another tree":  withHeader("1", strings.Replace(entry, "\n", " file\n", 1)),
		"the form that is meant":    withHeader("1", strings.Replace(entry, "\n", " tar\n", 1)),
		"two forms":                 withHeader("1", strings.Replace(entry, "\n", " file file\n", 1)),
		"the same tree again":       withHeader("1", strings.Replace(entry, "\n", " +47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\n", 1)),
		"another tree too short":    withHeader("1", strings.Replace(entry, "\n", " +47DE\n", 1)),
		"another tree of a zip":     withHeader("1", strings.Replace(entry, "\n", " zip +LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE\n", 1)),
		"trailing bits":             withHeader("1", strings.Replace(entry, "hSuFU", "hSuFV", 1)),
		"a name with a slash":       withHeader("1", "../"+entry),
		"no name":                   withHeader("1", entry[1:]),
		"an unknown problem":        withHeader("1", "a !Sealed\n"),
		"no problem":                withHeader("1", "a !\n"),
		"an empty note":             withHeader("1", "a !Internal \n"),
		"a note that begins later":  withHeader("1", "a !Internal  x\n"),
		"a note that ends later":    withHeader("1", "a !Internal x \n"),
		"a note unprintable":        withHeader("1", "a !Internal \x1b[31m\n"),
		"a note in other letters":   withHeader("1", "a !Internal ü\n"),
		"a note too long":           withHeader("1", "a !Internal "+strings.Repeat("x", maxNote+1)+"\n"),
		"a carriage return":         withHeader("1", strings.Replace(entry, "\n", "\r\n", 1)),
		"no last newline":           withHeader("1", strings.TrimSuffix(entry, "\n")),
		"a wrong checksum":          strings.Replace(withHeader("1", entry), "a 1 ", "a 2 ", 1),
		"an unknown problem of all": withHeader("!", "Sealed all is well\n"),
		"a problem of two lines":    withHeader("!", "Internal x\nInternal y\n"),
		"a problem unprintable":     withHeader("!", "Internal \x1b[31m\n"),
		"free text":                 "sha256:2d71",
	} {
		t.Run(title, func(t *testing.T) {
			m, _, err := Decode(message)
			if m != nil || reason.Of(err) != reason.MeasurementIncomplete {
				t.Errorf("got %v, %v, want MeasurementIncomplete", m, err)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		if m, _, err := Decode(""); m != nil || reason.Of(err) != reason.MeasurementMissing {
			t.Errorf("got %v, %v, want MeasurementMissing", m, err)
		}
	})
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	sum := content.Sum{Form: content.FormTar, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}
	good := Entry{Output: "a", Found: Bytes{Sum: sum}}
	for title, m := range map[string]Measurement{
		"no entry":                   {},
		"an output twice":            {good, good},
		"no name":                    {{Found: Bytes{Sum: sum}}},
		"a newline in a name":        {{Output: "a\nb", Found: Bytes{Sum: sum}}},
		"no digests":                 {{Output: "a"}},
		"half the digests":           {{Output: "a", Found: Bytes{Sum: content.Sum{Form: content.FormTar, SHA256: contenttest.SumOfX}}}},
		"empty digests":              {{Output: "a", Found: Bytes{}}},
		"an empty problem":           {{Output: "a", Found: Problem{}}},
		"no form":                    {{Output: "a", Found: Bytes{Sum: content.Sum{SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}}}},
		"a file's other tree":        {{Output: "a", Found: Bytes{Sum: content.Sum{Form: content.FormFile, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}}}},
		"two digests of a directory": {{Output: "a", Found: Bytes{Sum: content.Sum{Form: content.FormDirectory, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfNothing}}}},
		"another code":               {{Output: "a", Found: Problem{Code: reason.Sealed}}},
		"a note of two lines":        {{Output: "a", Found: Problem{Code: reason.Internal, Note: "x\ny"}}},
		"a size below nothing":       {{Output: "a", Found: Bytes{Sum: content.Sum{Form: content.FormTar, Size: -1, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}}}},
	} {
		t.Run(title, func(t *testing.T) {
			if message, _, err := m.Encode(MaxMessage); err == nil {
				t.Errorf("encoded as %q", message)
			}
		})
	}
}

// outputs is a measurement of so many outputs.
func outputs(n int) Measurement {
	m := make(Measurement, n)
	for i := range m {
		m[i] = Entry{Output: fmt.Sprintf("output-%d", i), Found: Bytes{Sum: content.Sum{Form: content.FormTar, Size: int64(i), SHA256: contenttest.SumOfX, Tree: contenttest.SumOfNothing}}}
	}
	return m
}

func TestEightOutputsFitIntoAnyMessage(t *testing.T) {
	if _, log, err := outputs(8).Encode(DefaultMessage); err != nil || log != "" {
		t.Errorf("outputs of usual names and sizes: %v, in the log %q", err, log)
	}
}

func TestAProblemDecodesAsItsRefusal(t *testing.T) {
	for code, want := range map[reason.Code]reason.Code{
		reason.MeasurementIncomplete: reason.MeasurementIncomplete,
		reason.Internal:              reason.Internal,
		reason.Sealed:                reason.Internal,
	} {
		message := EncodeProblem(code, "it is\n%s", strings.Repeat("ü", 1000))
		m, _, err := Decode(message)
		if m != nil || reason.Of(err) != want || !strings.Contains(err.Error(), `it is\n\u00fc`) {
			t.Errorf("%s: got %v, %v", code, m, err)
		}
		if len(message) > MinMessage {
			t.Errorf("%s: message has %d bytes", code, len(message))
		}
	}
}

func TestMessageLimitIsTheKubelets(t *testing.T) {
	for containers, want := range map[int]int{0: 4096, 1: 4096, 3: 4096, 4: 3072, 5: 2457, 12: 1024, 13: 945} {
		if got := MessageLimit(containers); got != want {
			t.Errorf("%d containers: got %d, want %d", containers, got, want)
		}
	}
}

func TestAMessageListsFiles(t *testing.T) {
	sum, files := measureFiles(t, contenttest.Directory(t, map[string]string{"a": "x", "b/c": "y"}))
	m := Measurement{
		{Output: "dir", Found: Bytes{Sum: sum, Files: files}},
		{Output: "more", Found: Bytes{Sum: sum, Files: files}},
		{Output: "other", Found: Bytes{Sum: content.Sum{Form: content.FormTar, SHA256: contenttest.SumOfX, Tree: contenttest.SumOfX}}},
	}
	message := mustEncode(t, m)
	if got, _, err := Decode(message); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	lie := Measurement{{Output: "dir", Found: Bytes{Sum: sum, Files: files[:1]}}}
	if text, _, err := lie.Encode(MaxMessage); err == nil {
		t.Errorf("another directory's files are encoded: %s", text)
	}
	forged := strings.Replace(message[strings.Index(message, "\n")+1:], " "+files[0].Line(), "", 1)
	if m, _, err := Decode(withHeader("3", forged)); err == nil {
		t.Errorf("half a list is read: %+v", m)
	}
	stray := " " + files[0].Line() + "dir !OutputAbsent\n"
	if m, _, err := Decode(withHeader("1", stray)); err == nil {
		t.Errorf("a file of nothing is read: %+v", m)
	}
	problem := "dir !OutputAbsent\n " + files[0].Line()
	if m, _, err := Decode(withHeader("1", problem)); err == nil {
		t.Errorf("a file of what has a problem is read: %+v", m)
	}
}

func FuzzDecodeMeasurement(f *testing.F) {
	message, _, err := measurement().Encode(MaxMessage)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add(EncodeProblem(reason.Internal, "panic"))
	f.Fuzz(func(t *testing.T, s string) {
		messages := []string{s}
		if _, body, found := strings.Cut(s, "\n"); found { // also what is behind the checksum
			messages = append(messages, withHeader(fmt.Sprint(strings.Count(body, "\n")), body))
		}
		for _, message := range messages {
			m, more, err := Decode(message)
			if err != nil || more != nil {
				continue
			}
			if again, _, err := m.Encode(MaxMessage); err != nil || again != message {
				t.Errorf("decoded %q, encoded %q, %v", message, again, err)
			}
		}
	})
}
