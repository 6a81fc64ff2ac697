package artifact

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	// maxName is the longest artifact name: Argo's own suffix ".tmpdir" still
	// makes a file name of it.
	maxName = 248
	// maxNote bounds the free text of a problem message.
	maxNote = 160
)

const (
	messageMagic = "argoseal/1"
	// problemCount stands where the count would, in a message that says why
	// there is no measurement.
	problemCount = "!"
)

// ErrTooLarge says that the entries of a measurement do not fit.
var ErrTooLarge = errors.New("measurement has no room")

// Entry is what the sidecar saw of one output. Problem is set exactly when
// there are no digests.
type Entry struct {
	// Output is the name of the template's output artifact.
	Output string
	// Sum is what its stored bytes are.
	Sum
	// Files are those of a directory that was stored without an archive, unless
	// there are too many.
	Files Files
	// Problem says why there are no digests: OutputAbsent, OutputUnreadable,
	// MeasurementIncomplete or Internal.
	Problem reason.Code
}

// Measurement is what the sidecar saw of all outputs of a pod. It proves
// nothing by itself; the notary believes it because the kubelet carried it.
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
	if message = sealed(count, m.lines()+logged); len(message) > limit {
		message = sealed(count, logged)
	}
	return message, log, nil
}

// text is the measurement in so many bytes: with the files that there is room
// for, and whether these are all.
func (m Measurement) text(limit int) (text string, all bool, err error) {
	count := strconv.Itoa(len(m))
	need := len(sealed(count, m.lines()))
	if need > limit {
		return "", false, fmt.Errorf("%w: %d outputs need %d bytes, %d are kept", ErrTooLarge, len(m), need, limit)
	}
	var body strings.Builder
	all = true
	for _, e := range m {
		body.WriteString(e.line())
		files := indented(e.Files)
		if need+len(files) > limit {
			all = false
			continue
		}
		need += len(files)
		body.WriteString(files)
	}
	return sealed(count, body.String()), all, nil
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

func indented(list Files) string {
	var b strings.Builder
	for _, f := range list {
		b.WriteString(fileIndent + f.line())
	}
	return b.String()
}

// EncodeProblem writes the termination message of a sidecar that has no
// measurement, and says why. Decoding it gives a refusal with this code:
// MeasurementIncomplete, or Internal for any other. It always fits into
// MinMessage bytes.
func EncodeProblem(code reason.Code, format string, args ...any) string {
	if code != reason.MeasurementIncomplete {
		code = reason.Internal
	}
	note := strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	if len(note) > maxNote {
		note = note[:maxNote]
	}
	return sealed(problemCount, string(code)+" "+note+"\n")
}

// DecodeMeasurement reads a termination message strictly: anything that Encode
// would not have written byte for byte is MeasurementIncomplete, nothing at
// all is MeasurementMissing, and a message that says why there is no
// measurement is a refusal with the code that it gives. If there is more of the
// measurement in the log, it says what; then the measurement has no files, or is
// nil if the message has none of it.
func DecodeMeasurement(message string) (Measurement, *Logged, error) {
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
	if sealed(count, body) != text {
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
			f, err := parseFile(file)
			if err != nil {
				return nil, err
			}
			m[len(m)-1].Files = append(m[len(m)-1].Files, f)
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

func decodeProblem(lines []string) error {
	code, note, found := strings.Cut(lines[0], " ")
	c := reason.Code(code)
	switch {
	case len(lines) != 1 || !found || len(note) > maxNote || strings.ContainsFunc(note, unprintable):
		return errors.New("message does not say in one line why there is no measurement")
	case c != reason.MeasurementIncomplete && c != reason.Internal:
		return fmt.Errorf("message gives the unknown problem %.40q", code)
	}
	return reason.New(c, "%s", note)
}

func unprintable(r rune) bool { return r < 0x20 || r > 0x7e }

func decodeEntry(line string) (Entry, error) {
	fields := strings.Split(line, " ")
	e := Entry{Output: fields[0]}
	var err error
	switch {
	case len(fields) == 2 && strings.HasPrefix(fields[1], "!"):
		e.Problem = reason.Code(fields[1][1:])
	case len(fields) == 4, len(fields) == 5:
		if e.Size, err = strconv.ParseInt(fields[1], 10, 64); err != nil || strconv.FormatInt(e.Size, 10) != fields[1] {
			return e, fmt.Errorf("%.40q is not a size", fields[1])
		}
		if e.SHA256, err = expand(fields[2]); err != nil {
			return e, err
		}
		if e.Tree, err = expand(fields[3]); err != nil {
			return e, err
		}
		e.Form = FormTar
		if len(fields) == 5 {
			if e.Form = Form(fields[4]); e.Form == FormTar {
				return e, fmt.Errorf("%.80q gives the form that is meant without one", line)
			}
		}
	default:
		return e, fmt.Errorf("%.80q is not an entry", line)
	}
	return e, e.validate()
}

// line is the entry's own, without its files.
func (e Entry) line() string {
	if e.Problem != "" {
		return fmt.Sprintf("%s !%s\n", e.Output, e.Problem)
	}
	line := fmt.Sprintf("%s %d %s %s", e.Output, e.Size, compact(e.SHA256), compact(e.Tree))
	if e.Form != FormTar {
		line += " " + string(e.Form)
	}
	return line + "\n"
}

func (e Entry) validate() error {
	if err := CheckName(e.Output); err != nil {
		return err
	}
	switch e.Problem {
	case "":
		if err := e.Validate(); err != nil {
			return fmt.Errorf("output %q: %w", e.Output, err)
		}
	case reason.OutputAbsent, reason.OutputUnreadable, reason.MeasurementIncomplete, reason.Internal:
		if e.Sum != (Sum{}) {
			return fmt.Errorf("output %q: both a problem and digests", e.Output)
		}
	default:
		return fmt.Errorf("output %q: %.40q is not a problem of an output", e.Output, e.Problem)
	}
	return e.validateFiles()
}

// validateFiles wants the files to be those of the tree.
func (e Entry) validateFiles() error {
	if len(e.Files) == 0 {
		return nil
	}
	if err := e.Files.validate(); err != nil {
		return fmt.Errorf("output %q: %w", e.Output, err)
	}
	if !e.Form.IsDirectory() || e.Files.Tree() != e.Tree {
		return fmt.Errorf("output %q: these are not its files", e.Output)
	}
	return nil
}

// CheckName allows what Argo allows in an artifact's name, and dots.
// Such a name is one file name and one field of a measurement's line.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || name == "." || name == ".." {
		return fmt.Errorf("artifact name %.80q is empty, too long or reserved", name)
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("artifact name %.80q has other characters than letters, digits, '-', '_' and '.'", name)
		}
	}
	return nil
}

// sealed puts the header before a body.
func sealed(count, body string) string {
	sum := sha256.Sum256([]byte(body))
	return messageMagic + " " + count + " " + base64.RawURLEncoding.EncodeToString(sum[:]) + "\n" + body
}

// compact spells a digest in 43 characters. It is only used on valid ones.
func compact(d Digest) string {
	raw, err := hex.DecodeString(string(d))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// expand reads what compact wrote, and nothing else.
func expand(s string) (Digest, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) != sha256.Size || base64.RawURLEncoding.EncodeToString(raw) != s {
		return "", fmt.Errorf("%.60q is not a digest", s)
	}
	return Digest(hex.EncodeToString(raw)), nil
}
