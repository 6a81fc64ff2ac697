package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
)

// shelf is a store in memory, for faults that a real one does not have on demand. Real
// ones: TestAlteredArtifactsAreFoundInARealStore.
type shelf struct {
	objects map[string]string
	// cut is how many bytes are missing at the end of each body.
	cut  int
	fail error
	// opened counts, and read counts bytes.
	opened, read int
}

func (s *shelf) Open(_ context.Context, _, key string) (io.ReadCloser, int64, error) {
	s.opened++
	if s.fail != nil {
		return nil, 0, s.fail
	}
	text, there := s.objects[key]
	if !there {
		return nil, 0, ErrMissing
	}
	return io.NopCloser(reads{bytes.NewReader([]byte(text)[:len(text)-s.cut]), s}), int64(len(text)), nil
}

type reads struct {
	io.Reader
	of *shelf
}

func (r reads) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.of.read += n
	return n, err
}

func (s *shelf) List(_ context.Context, _, prefix string, most int) ([]string, error) {
	if s.fail != nil {
		return nil, s.fail
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, prefix) && len(keys) <= most {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func at(t *testing.T, key string) artifact.Location {
	t.Helper()
	l, err := artifact.InS3("s3", "b").At(key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sealed is the seal of a text, stored and recorded so many minutes ago.
func sealed(t *testing.T, key, text string, ago int) Seal {
	t.Helper()
	then := time.Unix(1e9, 0).Add(-time.Duration(ago) * time.Minute)
	return Seal{
		Name: key, UID: text, Location: at(t, key), SHA256: artifact.DigestOfText(text), Size: int64(len(text)),
		Run: provenance.Run{Finished: then, Recorded: then},
	}
}

// tree is the seal of a directory, and its files.
func tree(t *testing.T, key string, files map[string]string) (Seal, content.Files) {
	t.Helper()
	var list []content.File
	size := 0
	for path, text := range files {
		size += len(text)
		list = append(list, content.File{Path: path, SHA256: artifact.DigestOfText(text)})
	}
	sorted, err := content.NewFiles(list)
	if err != nil {
		t.Fatal(err)
	}
	digest := sorted.Tree()
	return Seal{Name: key, UID: key, Location: at(t, key), SHA256: digest, Tree: digest, Size: int64(size)}, sorted
}

func TestAnObjectIsHeldToItsLastSeal(t *testing.T) {
	last, before := sealed(t, "a", "second", 1), sealed(t, "a", "first", 2)
	for name, c := range map[string]struct {
		store shelf
		want  Reason
		fails bool
	}{
		"what was sealed last":         {store: shelf{objects: map[string]string{"a": "second"}}, want: ReasonIntact},
		"something else":               {store: shelf{objects: map[string]string{"a": "secund"}}, want: ReasonChanged},
		"more of it":                   {store: shelf{objects: map[string]string{"a": "second and more"}}, want: ReasonChanged},
		"less of it":                   {store: shelf{objects: map[string]string{"a": "sec"}}, want: ReasonChanged},
		"nothing in it":                {store: shelf{objects: map[string]string{"a": ""}}, want: ReasonChanged},
		"nothing":                      {store: shelf{objects: map[string]string{"b": "second"}}, want: ReasonMissing},
		"what was sealed before":       {store: shelf{objects: map[string]string{"a": "first"}}, want: ReasonRolledBack},
		"a connection that breaks":     {store: shelf{objects: map[string]string{"a": "second"}, cut: 2}, want: ReasonUnreadable, fails: true},
		"a store that does not answer": {store: shelf{fail: errors.New("timeout")}, want: ReasonUnreadable, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			places := Places([]Seal{before, last})
			if len(places) != 1 {
				t.Fatalf("want one place, got %+v", places)
			}
			f, err := Comparison{Place: places[0]}.Run(t.Context(), &c.store)
			if f.Reason != c.want || (err != nil) != c.fails {
				t.Errorf("want %s, got %+v, %v", c.want, f, err)
			}
			if f.Altered() != (c.want == ReasonChanged || c.want == ReasonMissing || c.want == ReasonRolledBack) {
				t.Errorf("%s is altered: %t", f.Reason, f.Altered())
			}
		})
	}
}

// TestTheLastSealIsTheGates: a record may come late, and two in one second. What the pod that
// ran last stored has to lie there.
func TestTheLastSealIsTheGates(t *testing.T) {
	at := func(clock string) time.Time {
		then, err := time.Parse(time.TimeOnly, clock)
		if err != nil {
			t.Fatal(err)
		}
		return then
	}
	for name, c := range map[string]struct{ a, b provenance.Run }{
		"a record that came late": {
			provenance.Run{Created: at("09:59:00"), Finished: at("10:00:00"), Recorded: at("10:05:00")},
			provenance.Run{Created: at("10:01:00"), Finished: at("10:02:00"), Recorded: at("10:02:05")},
		},
		"two in one second": {
			provenance.Run{Created: at("10:00:00"), Finished: at("10:01:00"), Recorded: at("10:02:00")},
			provenance.Run{Created: at("10:00:00"), Finished: at("10:01:30"), Recorded: at("10:02:00")},
		},
		"a node's clock that is an hour late": {
			provenance.Run{Created: at("10:00:00"), Finished: at("10:01:00"), Recorded: at("10:01:05")},
			provenance.Run{Created: at("10:02:00"), Finished: at("09:03:00"), Recorded: at("10:03:05")},
		},
		"one after the other": {
			provenance.Run{Created: at("10:00:00"), Finished: at("10:01:00"), Recorded: at("10:01:05")},
			provenance.Run{Created: at("10:02:00"), Finished: at("10:03:00"), Recorded: at("10:03:05")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Neither names nor the order in which they come decide.
			for _, names := range [][2]string{{"x", "y"}, {"y", "x"}} {
				a, b := sealed(t, "a", "first", 0), sealed(t, "a", "second", 0)
				a.Name, b.Name, a.UID, b.UID = names[0], names[1], names[0], names[1]
				a.Run, b.Run = c.a, c.b
				for _, seals := range [][]Seal{{a, b}, {b, a}} {
					place := Places(seals)[0]
					for text, want := range map[string]Reason{"second": ReasonIntact, "first": ReasonRolledBack, "third": ReasonChanged} {
						f, err := Comparison{Place: place}.Run(t.Context(), &shelf{objects: map[string]string{"a": text}})
						if err != nil || f.Reason != want {
							t.Errorf("what lies there is %s, and %s: %v", text, f.Reason, err)
						}
					}
				}
			}
		})
	}
}

func TestADirectoryIsHeldToItsTree(t *testing.T) {
	seal, files := tree(t, "d/", map[string]string{"x": "1", "sub/y": "2"})
	for name, c := range map[string]struct {
		objects map[string]string
		below   []artifact.Location
		bare    bool // its record does not list the files
		want    Reason
		says    string
	}{
		"as it was sealed":                     {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "dx": "3"}, want: ReasonIntact},
		"the same, its files not listed":       {objects: map[string]string{"d/x": "1", "d/sub/y": "2"}, bare: true, want: ReasonIntact},
		"with a console's folders":             {objects: map[string]string{"d/": "", "d/sub/": "", "d/x": "1", "d/sub/y": "2"}, want: ReasonIntact},
		"a file changed":                       {objects: map[string]string{"d/x": "1", "d/sub/y": "3"}, want: ReasonChanged, says: `"sub/y" was changed`},
		"a file missing":                       {objects: map[string]string{"d/x": "1"}, want: ReasonMissing, says: `"sub/y" is missing`},
		"a file more":                          {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "d/z": "3"}, want: ReasonChanged, says: unsealed},
		"a file more, its files not listed":    {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "d/z": "3"}, bare: true, want: ReasonChanged},
		"nothing":                              {objects: map[string]string{}, want: ReasonMissing},
		"names that no directory has":          {objects: map[string]string{"d/x": "1", "d/x/z": "2"}, bare: true, want: ReasonChanged},
		"others in place of one":               {objects: map[string]string{"d/x": "1", "d/x/z": "2"}, want: ReasonMissing, says: `"sub/y" is missing`},
		"what another step stored below it":    {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "d/z": "3"}, below: []artifact.Location{at(t, "d/z")}, want: ReasonIntact},
		"a directory of another's below it":    {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "d/e/z": "3"}, below: []artifact.Location{at(t, "d/e/")}, want: ReasonIntact},
		"beside another's, a file more":        {objects: map[string]string{"d/x": "1", "d/sub/y": "2", "d/z": "3", "d/w": "4"}, below: []artifact.Location{at(t, "d/z")}, want: ReasonChanged, says: unsealed},
		"a file that another step stored, too": {objects: map[string]string{"d/x": "1", "d/sub/y": "2"}, below: []artifact.Location{at(t, "d/x")}, want: ReasonUnknown},
		"another's, its files not listed":      {objects: map[string]string{"d/x": "1", "d/sub/y": "2"}, below: []artifact.Location{at(t, "d/z")}, bare: true, want: ReasonUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			cmp := Comparison{Place: Places([]Seal{seal})[0], Files: files, Below: c.below}
			if c.bare {
				cmp.Files = nil
			}
			f, err := cmp.Run(t.Context(), &shelf{objects: c.objects})
			if err != nil || f.Reason != c.want || !strings.Contains(f.Message, c.says) {
				t.Errorf("want %s (%s), got %+v, %v", c.want, c.says, f, err)
			}
		})
	}
}

// Whoever may store something in a sealed directory does not keep others from being
// compared: no more of it is read than was sealed.
func TestOfADirectoryNoMoreIsReadThanWasSealed(t *testing.T) {
	seal, files := tree(t, "d/", map[string]string{"a": "1", "z": strings.Repeat("2", 1000)})
	for name, c := range map[string]struct {
		add  map[string]string
		want Reason
		says string // to the operator
	}{
		"as it was sealed":   {nil, ReasonIntact, ""},
		"a huge file more":   {map[string]string{"d/b": strings.Repeat("x", 1<<20)}, ReasonChanged, `it is file "b"`},
		"one that grew":      {map[string]string{"d/a": strings.Repeat("x", 1<<20)}, ReasonChanged, "more lies there than the 1001 bytes"},
		"many that are long": {map[string]string{"d/b": strings.Repeat("x", 900), "d/c": strings.Repeat("x", 900), "d/d": strings.Repeat("x", 900)}, ReasonChanged, `it is file "b"`},
	} {
		for _, listed := range []content.Files{files, nil} {
			t.Run(name, func(t *testing.T) {
				store := &shelf{objects: map[string]string{"d/a": "1", "d/z": strings.Repeat("2", 1000)}}
				maps.Copy(store.objects, c.add)
				f, err := Comparison{Place: Places([]Seal{seal})[0], Files: listed}.Run(t.Context(), store)
				says := c.says
				if listed == nil && c.want == ReasonChanged {
					says = "more lies there"
				}
				if err != nil || f.Reason != c.want || !strings.Contains(f.Detail, says) {
					t.Errorf("want %s (%s), got %+v, %v", c.want, says, f, err)
				}
				if store.read > 1001+1 {
					t.Errorf("%d bytes were read of a directory of 1001", store.read)
				}
			})
		}
	}
}

// TestOfADirectoryNoMoreIsAskedForThanWasSealed: empty objects cost no bytes, and each a
// request. Where its record lists what was sealed, nothing else is asked for.
func TestOfADirectoryNoMoreIsAskedForThanWasSealed(t *testing.T) {
	texts := map[string]string{"a": "1", "m": "2", "z": "3"}
	seal, files := tree(t, "d/", texts)
	for name, c := range map[string]struct {
		more int
		gone string
		want Reason
		says string
	}{
		"as it was sealed":     {0, "", ReasonIntact, ""},
		"with others":          {1000, "", ReasonChanged, unsealed},
		"with others, one off": {1000, "z", ReasonMissing, `"z" is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			store := &shelf{objects: map[string]string{}}
			for path, text := range texts {
				store.objects["d/"+path] = text
			}
			for n := range c.more {
				store.objects[fmt.Sprintf("d/b%d", n)] = ""
			}
			delete(store.objects, "d/"+c.gone)
			f, err := Comparison{Place: Places([]Seal{seal})[0], Files: files}.Run(t.Context(), store)
			if err != nil || f.Reason != c.want || !strings.Contains(f.Message, c.says) {
				t.Errorf("got %+v, %v", f, err)
			}
			if store.opened > len(files) {
				t.Errorf("%d objects were asked for", store.opened)
			}
		})
	}
}

// Whoever has a seal of a place may have chosen it so that it is somebody else's. He reads
// what the seals of the place have, and nothing else of what lies there.
func TestAMessageHasNothingThatTheSealDoesNotHave(t *testing.T) {
	dir, files := tree(t, "d/", map[string]string{"a": "1", "known": "2"})
	object, before := sealed(t, "o", "guess", 1), sealed(t, "o", "earlier", 2)
	secret := "s3cret-payroll"
	digest := string(artifact.DigestOfText(secret))[:16]
	for name, c := range map[string]struct {
		objects map[string]string
		listed  content.Files
		message string // what he may read
		detail  string // what the operator does
	}{
		"another object":           {map[string]string{"o": secret}, nil, elsewise, digest},
		"a larger one":             {map[string]string{"o": strings.Repeat(secret, 100)}, nil, elsewise, "more than the"},
		"one of its own":           {map[string]string{"o": "earlier"}, nil, "sealed before", ""},
		"a file more":              {map[string]string{"d/a": "1", "d/known": "2", "d/" + secret: ""}, files, unsealed, secret},
		"a large file more":        {map[string]string{"d/a": "1", "d/known": "2", "d/" + secret: strings.Repeat("x", 100)}, files, unsealed, secret},
		"files, no list":           {map[string]string{"d/" + secret: "3"}, nil, elsewise, "its digest is"},
		"larger files, no list":    {map[string]string{"d/" + secret: strings.Repeat("x", 100)}, nil, elsewise, secret},
		"a file of its own":        {map[string]string{"d/a": "9", "d/known": "2"}, files, `"a" was changed`, string(artifact.DigestOfText("9"))[:16]},
		"names of no directory":    {map[string]string{"d/" + secret: "", "d/" + secret + "/x": ""}, nil, elsewise, secret},
		"files of none of its own": {map[string]string{"d/" + secret: "3"}, files, `"a" is missing`, ""},
		"a file of its own, gone":  {map[string]string{"d/a": "1"}, files, `"known" is missing`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			place := Places([]Seal{object, before})[0]
			if _, is := c.objects["o"]; !is {
				place = Places([]Seal{dir})[0]
			}
			if place.Location.Key == "o" && c.message != "sealed before" {
				place.Seals[0].Size = int64(len(secret)) // as he likes
			}
			f, err := Comparison{Place: place, Files: c.listed}.Run(t.Context(), &shelf{objects: c.objects})
			if err != nil || !f.Altered() || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Detail, c.detail) {
				t.Errorf("got %+v, %v", f, err)
			}
			for _, its := range []string{secret, digest, string(artifact.DigestOfText("9"))[:16], fmt.Sprint(len(secret))} {
				if strings.Contains(f.Message, its) {
					t.Errorf("it says %q", f.Message)
				}
			}
		})
	}
}

// A directory with very many files, and as many places of others below it, takes about the
// time that it takes with one such place.
func TestManyPlacesBelowADirectoryTakeNoLong(t *testing.T) {
	const n = 50_000
	seal, files := tree(t, "d/", map[string]string{"x": "1"})
	store := &shelf{objects: map[string]string{"d/x": "1"}}
	var all []artifact.Location
	for i := range n {
		key := fmt.Sprintf("d/y/%06d", i)
		store.objects[key] = ""
		all = append(all, at(t, key))
	}
	takes := func(below ...artifact.Location) time.Duration {
		began := time.Now()
		f, err := Comparison{Place: Places([]Seal{seal})[0], Files: files, Below: below}.Run(t.Context(), store)
		if err != nil || f.Reason != ReasonIntact {
			t.Errorf("got %+v, %v", f, err)
		}
		return time.Since(began)
	}
	// All with all are 2.5 billion comparisons, some hundred times as long.
	one, many := takes(at(t, "d/y/")), takes(all...)
	if many > 5*time.Second && many > 50*one {
		t.Errorf("it took %s with %d places, %s with one", many, n, one)
	}
}

// Places of others are found as if each was asked.
func TestPlacesOfOthersAreFound(t *testing.T) {
	var all []artifact.Location
	for _, key := range []string{"d/e/", "d/e/f/", "d/e/f/g", "d/e-", "d/h", "d/h/i/", "d/z/", "d/é/"} {
		all = append(all, at(t, key))
	}
	p := placesOf(all)
	for _, key := range []string{"d/", "d/a", "d/e", "d/e/", "d/e/f", "d/e/f/g", "d/e/f/g/h", "d/e/x", "d/e-", "d/e-x", "d/h", "d/h/", "d/h/i/j", "d/h/x", "d/y", "d/z/x", "d/zz", "d/é/x", "d/ê/x", "e"} {
		want := slices.ContainsFunc(all, func(l artifact.Location) bool {
			return key == l.Key || l.Kind == artifact.KindPrefix && strings.HasPrefix(key, l.Key)
		})
		if p.have(key) != want {
			t.Errorf("%s: want %t", key, want)
		}
	}
}

// What several steps filled is not compared, and said to be unknown: nobody reads it.
func TestASharedDirectoryIsNotCompared(t *testing.T) {
	seal, _ := tree(t, "d/", map[string]string{"x": "1"})
	seal.Shared = true
	store := &shelf{objects: map[string]string{"d/x": "2"}}
	if f, err := (Comparison{Place: Places([]Seal{seal})[0]}).Run(t.Context(), store); err != nil || f.Reason != ReasonUnknown || store.opened != 0 {
		t.Errorf("got %+v, %v, %d objects opened", f, err, store.opened)
	}
}

func TestPlacesBelowAPrefix(t *testing.T) {
	var seals []Seal
	for _, key := range []string{"d/", "d/a", "d/e/", "d/e/f", "da", "c", "e/"} {
		seals = append(seals, sealed(t, key, key, 0))
	}
	other := sealed(t, "d/x", "x", 0)
	other.Location = artifact.InS3("elsewhere", "b")
	if l, err := other.Location.At("d/x"); err == nil {
		other.Location = l
	}
	below := NewIndex(Places(append(seals, other))).Below(Key{Location: at(t, "d/")})
	var keys []string
	for _, l := range below {
		keys = append(keys, l.Key)
	}
	if want := []string{"d/a", "d/e/", "d/e/f"}; !slices.Equal(keys, want) {
		t.Errorf("want %v, got %v", want, keys)
	}
}

// Whoever may write to the bucket may also run steps, and have them seal what he put there.
// That speaks for his namespace, and neither hides what became of another's nor what lies
// in another's directory.
func TestAnotherNamespaceSpeaksForNobody(t *testing.T) {
	ours, theirs := sealed(t, "a", "ours", 2), sealed(t, "a", "theirs", 1)
	ours.Namespace, theirs.Namespace = "ours", "theirs"
	tree, files := tree(t, "d/", map[string]string{"x": "1"})
	tree.Namespace = "ours"
	planted := sealed(t, "d/z", "planted", 1)
	planted.Namespace = "theirs"
	store := &shelf{objects: map[string]string{"a": "theirs", "d/x": "1", "d/z": "planted"}}
	places := Places([]Seal{ours, theirs, tree, planted})
	index := NewIndex(places)
	want := map[Key]Reason{
		{"ours", at(t, "a")}: ReasonChanged, {"theirs", at(t, "a")}: ReasonIntact,
		{"ours", at(t, "d/")}: ReasonChanged, {"theirs", at(t, "d/z")}: ReasonIntact,
	}
	if len(places) != len(want) {
		t.Fatalf("want %d places, got %+v", len(want), places)
	}
	for _, p := range places {
		c := Comparison{Place: p}
		if p.Location.Kind == artifact.KindPrefix {
			c.Files, c.Below = files, index.Below(p.Key)
		}
		if f, err := c.Run(t.Context(), store); err != nil || f.Reason != want[p.Key] {
			t.Errorf("%s of %s: want %s, got %+v, %v", p.Location, p.Namespace, want[p.Key], f, err)
		}
	}
}
