package measurement

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/argoseal/argoseal/pkg/artifact"
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

// MessageLimit is how many bytes of a termination message the kubelet keeps in
// a pod with that many containers of all kinds.
func MessageLimit(containers int) int {
	if containers < 1 {
		containers = 1
	}
	return min(MaxMessage, maxMessages/containers)
}

// Encode writes the termination message, of at most limit bytes, and what goes to
// the log beside it. If the message has room for everything, the log gets nothing.
// Else the log gets the whole measurement, with as many images and then files as fit
// into MaxLogged bytes. The message says so, with all entries and their images, with all
// entries alone or, if there is no room for them either, with none. If MaxLogged bytes
// have no room for the entries, it fails with ErrTooLarge.
//
// Message and logText begin with a header, because the kubelet cuts silently: the
// number of entries, and the SHA-256 of what follows. Then comes one line an entry,
// which gives the form if it is not FormTar. Below it the images follow that are in the
// output, each with a mark, and the files of a directory, indented. The message's last
// line says what is in the log.
func (m Measurement) Encode(limit int) (message, logText string, err error) {
	if err := m.validate(); err != nil {
		return "", "", err
	}
	limit = min(limit, MaxMessage)
	message, all, err := m.text(limit)
	if err == nil && all {
		return message, "", nil
	}
	if logText, _, err = m.text(MaxLogged); err != nil {
		return "", "", err
	}
	logged := newLogged(logText).line()
	count := strconv.Itoa(len(m))
	for _, lines := range []string{m.lines(true), m.lines(false), ""} {
		if message = withHeader(count, lines+logged); len(message) <= limit {
			break
		}
	}
	return message, logText, nil
}

// text is the measurement in so many bytes: with the images that there is room for and
// then the files, and whether these are all.
func (m Measurement) text(limit int) (text string, all bool, err error) {
	count := strconv.Itoa(len(m))
	need := len(withHeader(count, m.lines(false)))
	if need > limit {
		return "", false, fmt.Errorf("%w: %d outputs need %d bytes, %d are kept", ErrTooLarge, len(m), need, limit)
	}
	all = true
	fit := func(more string) string {
		if need+len(more) > limit {
			all = false
			return ""
		}
		need += len(more)
		return more
	}
	images := make([]string, len(m))
	for i, e := range m {
		images[i] = fit(e.images())
	}
	var body strings.Builder
	for i, e := range m {
		body.WriteString(e.line() + images[i] + fit(indented(e.files())))
	}
	return withHeader(count, body.String()), all, nil
}

// lines are the entries without their files, and with their images or without.
func (m Measurement) lines(images bool) string {
	var b strings.Builder
	for _, e := range m {
		b.WriteString(e.line())
		if images {
			b.WriteString(e.images())
		}
	}
	return b.String()
}

// Decode reads a termination message strictly. A message that Encode would not have
// written, byte for byte, is MeasurementIncomplete; an empty one is
// MeasurementMissing. A message that says why there is no measurement is a refusal
// with the code in it. If there is more of the measurement in the log, Decode says
// what. Then the measurement has no files, or is nil if the message has no entries.
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

// withHeader puts the header before a body.
func withHeader(count, body string) string {
	sum := sha256.Sum256([]byte(body))
	return messageMagic + " " + count + " " + base64.RawURLEncoding.EncodeToString(sum[:]) + "\n" + body
}

// Limits of what a sidecar writes to its log because no message holds it.
const (
	// MaxLogged is the longest measurement in a log, in bytes.
	MaxLogged = 1 << 20
	// MaxLog is how much of a log is read. It has room for the longest measurement
	// in frames, which takes a third more, and for the other lines of a sidecar
	// with 1024 outputs. The kubelet begins another file at 10 MiB unless it is
	// told otherwise.
	MaxLog = 4 << 20
	// frameSize is how many bytes are in a frame: in base64 they are 8 KiB, half
	// of what container runtimes write as one line.
	frameSize = 6 << 10
)

const (
	// frameMagic begins the line of a frame. It is no artifact's name, so no line
	// of a measurement begins like that, nor does one of JSON.
	frameMagic = "argoseal-log/1 "
	// loggedMark begins the line of a message that says what is in the log.
	loggedMark = "+"
)

// ErrLogShort says that a log ends before the last frame. There may be more of
// it later.
var ErrLogShort = errors.New("the log ends before the end of the measurement")

// Logged is what a termination message says of a measurement that is in the
// sidecar's log. The message is the kubelet's word, so the log need not be
// trusted.
type Logged struct {
	// Size and SHA256 are those of the whole measurement, as it is encoded.
	Size   int
	SHA256 artifact.Digest
	// entries are what the message has of it: all entries without their files, with
	// images or without any, or none.
	entries Measurement
	count   int
}

func newLogged(measurement string) *Logged {
	sum := sha256.Sum256([]byte(measurement))
	return &Logged{Size: len(measurement), SHA256: artifact.Digest(hex.EncodeToString(sum[:]))}
}

// WriteLog writes an encoded measurement to a log: a line a frame, each with its
// number and at most 6 KiB of the measurement.
func WriteLog(w io.Writer, measurement string) error {
	for n := 1; measurement != ""; n++ {
		size := min(len(measurement), frameSize)
		if _, err := io.WriteString(w, frame(n, measurement[:size])); err != nil {
			return fmt.Errorf("writing the measurement to the log: %w", err)
		}
		measurement = measurement[size:]
	}
	return nil
}

func frame(n int, content string) string {
	return frameMagic + strconv.Itoa(n) + " " + base64.RawURLEncoding.EncodeToString([]byte(content)) + "\n"
}

// Find reads a log to its end and gives the measurement in it. It passes over other
// lines. The frames have to be those that WriteLog writes for this very
// measurement, each once and in order; else it is MeasurementIncomplete.
// ErrLogShort, and errors of the reader, may pass.
func (l *Logged) Find(log io.Reader) (Measurement, error) {
	lines := &logLines{r: bufio.NewReaderSize(io.LimitReader(log, MaxLog+1), 2*frameSize)}
	var found strings.Builder
	for n := 1; ; {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF) && found.Len() < l.Size:
			return nil, fmt.Errorf("%w: %d of %d bytes are there", ErrLogShort, found.Len(), l.Size)
		case errors.Is(err, io.EOF):
			return l.decode(found.String())
		case err != nil:
			return nil, err
		case !bytes.HasPrefix(line, []byte(frameMagic)):
			continue
		}
		content, err := l.content(n, found.Len(), line)
		if err != nil {
			return nil, err
		}
		found.Write(content)
		n++
	}
}

// content is what the nth frame has to hold, of which so many bytes are known.
func (l *Logged) content(n, known int, line []byte) ([]byte, error) {
	_, text, _ := strings.Cut(string(line[len(frameMagic):]), " ")
	content, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(text, "\n"))
	if err != nil || known == l.Size || len(content) != min(frameSize, l.Size-known) || frame(n, string(content)) != string(line) {
		return nil, incomplete("after %d frames and %d of %d bytes the log goes on with %.40q", n-1, known, l.Size, line)
	}
	return content, nil
}

// decode reads a measurement that was in a log: the one that the message speaks
// of, and says the same.
func (l *Logged) decode(text string) (Measurement, error) {
	if there := newLogged(text); there.Size != l.Size || there.SHA256 != l.SHA256 {
		return nil, incomplete("what is in the log is not what was measured: its SHA-256 is %s, the message says %s", there.SHA256, l.SHA256)
	}
	m, more, err := decodeWithin(text, MaxLogged)
	switch {
	case err != nil:
		return nil, err
	case more != nil || len(m) != l.count:
		return nil, incomplete("the log has %d entries, the message counts %d", len(m), l.count)
	case l.entries != nil && m.lines(false) != l.entries.lines(false), l.entries.lines(true) != l.entries.lines(false) && m.lines(true) != l.entries.lines(true):
		return nil, incomplete("the log says something else than the message")
	}
	return m, nil
}

func incomplete(format string, args ...any) error {
	return reason.New(reason.MeasurementIncomplete, format, args...)
}

// logLines cuts a log into lines.
type logLines struct {
	r    *bufio.Reader
	read int
}

// next gives a line with its end. Of a line that is longer than any frame it gives
// the beginning. A last line without an end does not count. The result is valid
// until the next call.
func (l *logLines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.read += len(line)
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line[:len(frameMagic)])
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		var rest []byte
		rest, err = l.r.ReadSlice('\n')
		l.read += len(rest)
	}
	if l.read > MaxLog {
		return nil, incomplete("the log has more than %d bytes", MaxLog)
	}
	return line, err
}

// line is what a message says of it.
func (l *Logged) line() string {
	return loggedMark + " " + strconv.Itoa(l.Size) + " " + artifact.CompactDigest(l.SHA256) + "\n"
}

// take notes what the message has of the measurement.
func (l *Logged) take(count string, m Measurement) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || strconv.Itoa(n) != count {
		return fmt.Errorf("%.20q is not a number of entries", count)
	}
	if m != nil && len(m) != n || slices.ContainsFunc(m, func(e Entry) bool { return e.files() != nil }) {
		return fmt.Errorf("message has neither all %d entries, without files, nor none", n)
	}
	l.entries, l.count = m, n
	return nil
}

// parseLogged reads what line wrote.
func parseLogged(line string) (*Logged, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 3 || fields[0] != loggedMark {
		return nil, fmt.Errorf("%.80q does not say what is in the log", line)
	}
	size, err := strconv.Atoi(fields[1])
	if err != nil || strconv.Itoa(size) != fields[1] || size < 1 || size > MaxLogged {
		return nil, fmt.Errorf("%.40q is not the size of a measurement in a log", fields[1])
	}
	sum, err := artifact.ParseCompact(fields[2])
	return &Logged{Size: size, SHA256: sum}, err
}
