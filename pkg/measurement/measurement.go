package measurement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/image/oci"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/text"
)

// Entry is what the sidecar saw of one output.
type Entry struct {
	// Output is the name of the template's output artifact.
	Output string
	// Found is Bytes or a Problem. Without either it is no entry.
	Found Found
}

// Found is what there is to say of an output: Bytes, or the Problem that it has.
type Found interface {
	validate() error
	// spell gives what follows the output's name in its line.
	spell() string
}

// Bytes are what is stored of an output.
type Bytes struct {
	content.Sum
	// Images are the container images that lie whole in it, if it is an OCI image
	// layout or an archive of one, unless there are too many.
	Images oci.Images
	// Files are those of a directory that was stored without an archive, unless
	// there are too many.
	Files content.Files
}

// Problem is why there are no digests of an output.
type Problem struct {
	// Code is OutputAbsent, OutputUnreadable, MeasurementIncomplete or Internal.
	Code reason.Code
	// Note says which file and what is wrong with it, for people; it may be empty.
	Note string
}

// Measurement is what the sidecar saw of all outputs of a pod. It proves
// nothing by itself; the notary trusts it because the kubelet carried it.
type Measurement []Entry

// validate wants entries, each for another output.
func (m Measurement) validate() error {
	if len(m) == 0 {
		return errors.New("a measurement needs at least one entry")
	}
	seen := make(map[string]bool, len(m))
	for _, e := range m {
		if err := e.validate(); err != nil {
			return err
		}
		if seen[e.Output] {
			return fmt.Errorf("output %q is there twice", e.Output)
		}
		seen[e.Output] = true
	}
	return nil
}

// decodeEntries reads entries, each with its images and then its files.
func decodeEntries(lines []string) (Measurement, error) {
	var m Measurement
	for _, line := range lines {
		if image, marked := strings.CutPrefix(line, imageMark); marked && len(m) > 0 {
			i, err := oci.ParseLine(image)
			if err != nil {
				return nil, err
			}
			last := &m[len(m)-1]
			b, stored := last.Found.(Bytes)
			if !stored || b.Files != nil {
				return nil, fmt.Errorf("output %q has a problem and images, or images after files", last.Output)
			}
			b.Images = append(b.Images, i)
			last.Found = b
			continue
		}
		if file, indented := strings.CutPrefix(line, fileIndent); indented && len(m) > 0 {
			f, err := content.ParseFile(file)
			if err != nil {
				return nil, err
			}
			last := &m[len(m)-1]
			b, stored := last.Found.(Bytes)
			if !stored {
				return nil, fmt.Errorf("output %q has a problem and files", last.Output)
			}
			b.Files = append(b.Files, f)
			last.Found = b
			continue
		}
		e, err := decodeEntry(line)
		if err != nil {
			return nil, err
		}
		m = append(m, e)
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, m.validate()
}

func decodeEntry(line string) (Entry, error) {
	fields := strings.Split(line, " ")
	e := Entry{Output: fields[0]}
	var err error
	switch {
	case len(fields) >= 2 && strings.HasPrefix(fields[1], problemMark):
		e.Found, err = decodeFault(fields[1][len(problemMark):], fields[2:])
	case len(fields) == 4, len(fields) == 5:
		e.Found, err = decodeBytes(fields[1:])
	default:
		err = fmt.Errorf("%.80q is not an entry", line)
	}
	if err != nil {
		return Entry{}, err
	}
	return e, e.validate()
}

// decodeFault reads a problem's code, and its note if there is one.
func decodeFault(code string, words []string) (Found, error) {
	p := Problem{Code: reason.Code(code), Note: strings.Join(words, " ")}
	if len(words) > 0 && p.Note == "" {
		return nil, fmt.Errorf("the problem %.80q has an empty note", code)
	}
	return p, nil
}

// decodeBytes reads size and two digests. Behind these stands the form, if it is
// not the usual one, or the digest that an archive has without exec bits, if that
// is another.
func decodeBytes(fields []string) (Found, error) {
	b := Bytes{Sum: content.Sum{Form: content.FormTar}}
	var err error
	if b.Size, err = strconv.ParseInt(fields[0], 10, 64); err != nil || strconv.FormatInt(b.Size, 10) != fields[0] {
		return nil, fmt.Errorf("%.40q is not a size", fields[0])
	}
	if b.SHA256, err = artifact.ParseCompact(fields[1]); err != nil {
		return nil, err
	}
	if b.Tree, err = artifact.ParseCompact(fields[2]); err != nil {
		return nil, err
	}
	if len(fields) < 4 {
		return b, nil
	}
	plain, found := strings.CutPrefix(fields[3], plainMark)
	if found {
		b.Plain, err = artifact.ParseCompact(plain)
		if err != nil {
			return nil, err
		}
	} else {
		if b.Form = content.Form(fields[3]); b.Form == content.FormTar {
			return nil, fmt.Errorf("%.80q is the form that is meant without one", fields[3])
		}
	}
	return b, nil
}

// line is the entry's own, without its images and files.
func (e Entry) line() string { return e.Output + " " + e.Found.spell() + "\n" }

const (
	// fileIndent begins the line of a file.
	fileIndent = " "
	// imageMark begins the line of an image. No name of an output has it.
	imageMark = "*"
)

// images are the lines of the entry's images.
func (e Entry) images() string {
	var b strings.Builder
	if stored, ok := e.Found.(Bytes); ok {
		for _, i := range stored.Images {
			b.WriteString(imageMark + i.Line() + "\n")
		}
	}
	return b.String()
}

func indented(list content.Files) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(fileIndent + f.Line())
	}
	return b.String()
}

// files are those that the entry lists.
func (e Entry) files() content.Files {
	b, _ := e.Found.(Bytes)
	return b.Files
}

func (e Entry) validate() error {
	if err := artifact.CheckName(e.Output); err != nil {
		return err
	}
	if e.Found == nil {
		return fmt.Errorf("output %q: neither digests nor a problem", e.Output)
	}
	if err := e.Found.validate(); err != nil {
		return fmt.Errorf("output %q: %w", e.Output, err)
	}
	return nil
}

func (b Bytes) spell() string {
	line := fmt.Sprintf("%d %s %s", b.Size, artifact.CompactDigest(b.SHA256), artifact.CompactDigest(b.Tree))
	switch {
	case b.Form != content.FormTar:
		line += " " + string(b.Form)
	case b.Plain != "":
		line += " " + plainMark + artifact.CompactDigest(b.Plain)
	}
	return line
}

// validate wants a sum, images, and the files to be those of its tree.
func (b Bytes) validate() error {
	if err := b.Validate(); err != nil {
		return err
	}
	if err := b.Images.Validate(); err != nil {
		return err
	}
	if len(b.Files) == 0 {
		return nil
	}
	if err := b.Files.Validate(); err != nil {
		return err
	}
	if !b.Form.IsDirectory() || b.Files.Tree() != b.Tree {
		return errors.New("these are not its files")
	}
	return nil
}

func (p Problem) spell() string {
	return strings.TrimSuffix(problemMark+string(p.Code)+" "+p.Note, " ")
}

func (p Problem) validate() error {
	switch p.Code {
	case reason.OutputAbsent, reason.OutputUnreadable, reason.MeasurementIncomplete, reason.Internal:
	default:
		return fmt.Errorf("%.40q is not a problem of an output", p.Code)
	}
	if !isNote(p.Note) {
		return fmt.Errorf("note %.40q is too long or not printable", p.Note)
	}
	return nil
}

const (
	// problemCount stands where the count would, in a message that says why
	// there is no measurement.
	problemCount = "!"
	// maxNote bounds a note, in bytes, so that an output with a problem needs about
	// as much of a message as one with digests.
	maxNote = 160
)

// NewProblem is a problem whose note may quote what a step named its files.
func NewProblem(code reason.Code, text string) Problem {
	return Problem{Code: code, Note: note(text)}
}

// EncodeProblem writes the termination message of a sidecar that has no
// measurement, with the reason. Decoding the message gives a refusal with this
// code: MeasurementIncomplete, ForeignProcess, or Internal for any other. It always
// fits into MinMessage bytes.
func EncodeProblem(code reason.Code, format string, args ...any) string {
	if !ofMeasurement(code) {
		code = reason.Internal
	}
	return withHeader(problemCount, string(code)+" "+note(fmt.Sprintf(format, args...))+"\n")
}

func decodeProblem(lines []string) error {
	code, text, found := strings.Cut(lines[0], " ")
	c := reason.Code(code)
	switch {
	case len(lines) != 1 || !found || !isNote(text):
		return errors.New("message does not say in one line why there is no measurement")
	case !ofMeasurement(c):
		return fmt.Errorf("message gives the unknown problem %.40q", code)
	}
	return reason.New(c, "%s", text)
}

// ofMeasurement says whether a code can be why there is no measurement.
func ofMeasurement(c reason.Code) bool {
	return c == reason.MeasurementIncomplete || c == reason.ForeignProcess || c == reason.Internal
}

func unprintable(r rune) bool { return r < 0x20 || r > 0x7e }

// note makes one short line of printable ASCII of a text; everything else in it
// is escaped as in Go.
func note(s string) string {
	var b strings.Builder
	for _, r := range text.Prefix(s, maxNote) {
		if unprintable(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(text.Prefix(b.String(), maxNote))
}

// isNote says whether note may have written it.
func isNote(s string) bool {
	return len(s) <= maxNote && !strings.ContainsFunc(s, unprintable) && strings.TrimSpace(s) == s
}
