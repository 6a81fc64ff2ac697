package measurement

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/reason"
)

// Limits of a measurement.
const (
	// MaxMessage is the longest termination message that the kubelet keeps of
	// one container, in bytes. It keeps the last ones and cuts silently.
	MaxMessage = 4096
	// maxMessages is what the kubelet keeps of all containers of one pod.
	maxMessages = 12288
	// DefaultMessage is what fits whatever is in the pod, up to 12 containers.
	DefaultMessage = 1024
	// MinMessage is room for a header and one line that says what is wrong.
	MinMessage = 256
)

const (
	messageMagic = "argoseal/1"
	// problemMark begins what is wrong with an output.
	problemMark = "!"
	// plainMark begins the tree digest of an archive with executable files, as it
	// would be without their exec bits.
	plainMark = "+"
)

// ErrTooLarge says that the entries of a measurement do not fit.
var ErrTooLarge = errors.New("measurement has no room")

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

// MessageLimit is how many bytes of a termination message the kubelet keeps in
// a pod with that many containers of all kinds.
func MessageLimit(containers int) int {
	if containers < 1 {
		containers = 1
	}
	return min(MaxMessage, maxMessages/containers)
}

// Encode writes the termination message, and what goes to the log beside it:
// nothing if the message has room for all of it, below limit bytes. If it does
// not, the log has the whole measurement, as far as MaxLogged bytes have room for
// its files, and the message says so, with all entries or, where there is no room
// for these either, without any. It fails with ErrTooLarge if MaxLogged bytes
// have no room for the entries.
//
// Message and log are a header with the number of entries and the SHA-256 of
// what follows, because the kubelet cuts silently, then one line an entry, which
// gives the form if it is not FormTar. Below the line of a directory its files
// follow, indented. The message's last line says what is in the log.
func (m Measurement) Encode(limit int) (message, log string, err error) {
	if err := m.validate(); err != nil {
		return "", "", err
	}
	limit = min(limit, MaxMessage)
	message, all, err := m.text(limit)
	if err == nil && all {
		return message, "", nil
	}
	if log, _, err = m.text(MaxLogged); err != nil {
		return "", "", err
	}
	logged := newLogged(log).line()
	count := strconv.Itoa(len(m))
	if message = withHeader(count, m.lines()+logged); len(message) > limit {
		message = withHeader(count, logged)
	}
	return message, log, nil
}

// text is the measurement in so many bytes: with the files that there is room
// for, and whether these are all.
func (m Measurement) text(limit int) (text string, all bool, err error) {
	count := strconv.Itoa(len(m))
	need := len(withHeader(count, m.lines()))
	if need > limit {
		return "", false, fmt.Errorf("%w: %d outputs need %d bytes, %d are kept", ErrTooLarge, len(m), need, limit)
	}
	var body strings.Builder
	all = true
	for _, e := range m {
		body.WriteString(e.line())
		files := indented(e.files())
		if need+len(files) > limit {
			all = false
			continue
		}
		need += len(files)
		body.WriteString(files)
	}
	return withHeader(count, body.String()), all, nil
}

// lines are the entries without their files.
func (m Measurement) lines() string {
	var b strings.Builder
	for _, e := range m {
		b.WriteString(e.line())
	}
	return b.String()
}

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

// fileIndent begins the line of a file.
const fileIndent = " "

func indented(list content.Files) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(fileIndent + f.Line())
	}
	return b.String()
}

// Decode reads a termination message strictly: anything that Encode
// would not have written byte for byte is MeasurementIncomplete, nothing at
// all is MeasurementMissing, and a message that says why there is no
// measurement is a refusal with the code that it gives. If there is more of the
// measurement in the log, it says what; then the measurement has no files, or is
// nil if the message has none of it.
func Decode(message string) (Measurement, *Logged, error) {
	if message == "" {
		return nil, nil, reason.New(reason.MeasurementMissing, "the termination message is empty")
	}
	return decodeWithin(message, MaxMessage)
}

func decodeWithin(text string, limit int) (Measurement, *Logged, error) {
	m, logged, err := decode(text, limit)
	var refusal *reason.Error
	if errors.As(err, &refusal) {
		return nil, nil, refusal
	}
	if err != nil {
		return nil, nil, reason.Wrap(reason.MeasurementIncomplete, err, "%v", err)
	}
	return m, logged, nil
}

func decode(text string, limit int) (Measurement, *Logged, error) {
	if len(text) > limit {
		return nil, nil, fmt.Errorf("measurement has %d bytes, at most %d are kept", len(text), limit)
	}
	head, body, found := strings.Cut(text, "\n")
	fields := strings.Split(head, " ")
	if !found || len(fields) != 3 || fields[0] != messageMagic {
		return nil, nil, errors.New("message does not begin with the header of a measurement")
	}
	count := fields[1]
	if withHeader(count, body) != text {
		return nil, nil, errors.New("checksum of the message does not match, it was cut or altered")
	}
	if !strings.HasSuffix(body, "\n") {
		return nil, nil, errors.New("message does not end with a line")
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if count == problemCount {
		return nil, nil, decodeProblem(lines)
	}
	var logged *Logged
	if last := len(lines) - 1; strings.HasPrefix(lines[last], loggedMark) {
		var err error
		if logged, err = parseLogged(lines[last]); err != nil {
			return nil, nil, err
		}
		lines = lines[:last]
	}
	m, err := decodeEntries(lines)
	if err != nil {
		return nil, nil, err
	}
	if logged == nil {
		return m, nil, countIs(count, len(m))
	}
	return m, logged, logged.take(count, m)
}

// countIs wants a header to count so many entries.
func countIs(count string, entries int) error {
	if count != strconv.Itoa(entries) || entries == 0 {
		return fmt.Errorf("header counts %.20q entries, there are %d", count, entries)
	}
	return nil
}

// decodeEntries reads entries and their files.
func decodeEntries(lines []string) (Measurement, error) {
	var m Measurement
	for _, line := range lines {
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

// decodeBytes reads size, two digests and the form, if it is not the usual one, or the
// digest that an archive has without exec bits, if it is another.
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

// line is the entry's own, without its files.
func (e Entry) line() string { return e.Output + " " + e.Found.spell() + "\n" }

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

// validate wants a sum, and the files to be those of its tree.
func (b Bytes) validate() error {
	if err := b.Validate(); err != nil {
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

// withHeader puts the header before a body.
func withHeader(count, body string) string {
	sum := sha256.Sum256([]byte(body))
	return messageMagic + " " + count + " " + base64.RawURLEncoding.EncodeToString(sum[:]) + "\n" + body
}
