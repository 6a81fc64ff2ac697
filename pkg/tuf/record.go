package tuf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// maxRecord bounds what of a record is parsed, in bytes: what a ConfigMap may have.
const maxRecord = 1 << 20

// Record is what is kept of a repository beside what follows it. Both are one object, so that
// neither is ever newer than the other.
type Record struct {
	// URL is where the repository was read.
	URL string `json:"url"`
	// Read is when it was read and verified last.
	Read time.Time `json:"read"`
	// Target is the file as it was followed last.
	Target []byte `json:"target,omitempty"`
	State
}

// ParseRecord reads a record; nothing is none yet. What it does not know it refuses: a record
// that was misread would let an older repository pass.
func ParseRecord(raw []byte) (Record, error) {
	var r Record
	switch {
	case len(raw) == 0:
		return r, nil
	case len(raw) > maxRecord:
		return r, fmt.Errorf("record of the TUF repository has %d bytes, at most %d are allowed", len(raw), maxRecord)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("record of the TUF repository: %w", err)
	}
	return r, nil
}

// JSON is the record as ParseRecord reads it.
func (r Record) JSON() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record of the TUF repository: %w", err)
	}
	return raw, nil
}
