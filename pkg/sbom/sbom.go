package sbom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"regexp"
	"slices"
	"unicode/utf8"
)

// MaxDocument is the size of the largest document that is read, in bytes.
const MaxDocument = 32 << 20

// Format is a kind of SBOM. The zero value is none.
type Format string

// The formats, as policies spell them.
const (
	SPDX      Format = "spdx"
	CycloneDX Format = "cyclonedx"
)

// Formats are all of them.
var Formats = []Format{SPDX, CycloneDX}

// MediaType is that of a document in JSON, as IANA has it; empty for no format.
func (f Format) MediaType() string {
	switch f {
	case SPDX:
		return "application/spdx+json"
	case CycloneDX:
		return "application/vnd.cyclonedx+json"
	}
	return ""
}

// PredicateType is that of a statement that has a whole document; empty for no format.
// (in-toto attestation framework, predicates spdx and cyclonedx.)
func (f Format) PredicateType() string {
	switch f {
	case SPDX:
		return "https://spdx.dev/Document"
	case CycloneDX:
		return "https://cyclonedx.org/bom"
	}
	return ""
}

// FormatOf is the format that a media type says, with parameters or without; empty for any
// other.
func FormatOf(mediaType string) Format {
	name, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return ""
	}
	for _, f := range Formats {
		if name == f.MediaType() {
			return f
		}
	}
	return ""
}

// Document is what is known of one.
type Document struct {
	Format Format
	// Version of the format, such as 2.3.
	Version string
	// Parts is how many packages, files or components it lists, at least one. What it is
	// about may be among them (SPDX), or is counted beside them (CycloneDX).
	Parts int
}

// spdxVersion is the only one whose JSON this package knows: 2.2 has other fields, and 3 is
// another language.
const spdxVersion = "SPDX-2.3"

var cycloneVersion = regexp.MustCompile(`^1\.([4-9]|[1-9][0-9])$`)

// Parse reads a document. Its own fields have to be spelt exactly and given once: readers
// differ in what they make of others.
func Parse(raw []byte) (Document, error) {
	switch {
	case len(raw) == 0 || len(raw) > MaxDocument:
		return Document{}, fmt.Errorf("it has %d bytes, want 1 to %d", len(raw), MaxDocument)
	case !utf8.Valid(raw):
		return Document{}, errors.New("it is not UTF-8")
	}
	fields, err := object(raw)
	if err != nil {
		return Document{}, fmt.Errorf("it is no JSON object: %w", err)
	}
	_, spdx := fields["spdxVersion"]
	_, cyclone := fields["bomFormat"]
	switch {
	case spdx && cyclone:
		return Document{}, errors.New("it says to be SPDX and CycloneDX at once")
	case spdx:
		return ofSPDX(fields)
	case cyclone:
		return ofCycloneDX(fields)
	}
	return Document{}, errors.New("it is neither SPDX nor CycloneDX in JSON: it has no spdxVersion and no bomFormat")
}

func ofSPDX(fields map[string]json.RawMessage) (Document, error) {
	version, err := text(fields, "spdxVersion")
	if err != nil {
		return Document{}, err
	}
	if version != spdxVersion {
		return Document{}, fmt.Errorf("spdxVersion is %.80q, want %s", version, spdxVersion)
	}
	parts, err := count(fields, 0, "packages", "files")
	if err != nil {
		return Document{}, err
	}
	return Document{SPDX, version[len("SPDX-"):], parts}, nil
}

func ofCycloneDX(fields map[string]json.RawMessage) (Document, error) {
	format, err := text(fields, "bomFormat")
	if err != nil {
		return Document{}, err
	}
	if format != "CycloneDX" {
		return Document{}, fmt.Errorf("bomFormat is %.80q, want CycloneDX", format)
	}
	version, err := text(fields, "specVersion")
	if err != nil {
		return Document{}, err
	}
	if !cycloneVersion.MatchString(version) {
		return Document{}, fmt.Errorf("specVersion is %.80q, want 1.4 or later", version)
	}
	var metadata struct {
		Component *struct{} `json:"component"`
	}
	if raw, there := fields["metadata"]; there {
		if err := json.Unmarshal(raw, &metadata); err != nil {
			return Document{}, errors.New("metadata is no object")
		}
	}
	named := 0
	if metadata.Component != nil {
		named = 1
	}
	parts, err := count(fields, named, "components")
	if err != nil {
		return Document{}, err
	}
	return Document{CycloneDX, version, parts}, nil
}

// object are the fields of a JSON object, each once.
func object(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.Join(err, errors.New("it does not begin with {"))
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if _, twice := fields[name]; !ok || twice {
			return nil, fmt.Errorf("field %.80q is given twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return fields, nil
}

func text(fields map[string]json.RawMessage, name string) (string, error) {
	var s *string
	if raw, there := fields[name]; there {
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("%s is no text", name)
		}
	}
	if s == nil {
		return "", fmt.Errorf("it has no %s", name)
	}
	return *s, nil
}

// count is how many objects these lists have together, and n more.
func count(fields map[string]json.RawMessage, n int, lists ...string) (int, error) {
	for _, name := range lists {
		raw, there := fields[name]
		if !there {
			continue
		}
		var list []*struct{}
		if err := json.Unmarshal(raw, &list); err != nil || slices.Contains(list, nil) {
			return 0, fmt.Errorf("%s is no list of objects", name)
		}
		n += len(list)
	}
	if n == 0 {
		return 0, fmt.Errorf("it lists nothing (%v)", lists)
	}
	return n, nil
}
