package server

import (
	"bytes"
	"encoding/json"
)

// headSize is how much of a request is read before anything is decided. An API server
// writes the namespace behind names of kinds and the object's own, before the object.
const headSize = 4 << 10

// namespaceOf is the namespace of an AdmissionReview that begins so; empty if it does not
// say: what we are asked about is in namespaces, and before it an API server writes kinds,
// and the object's name. One that leaves no room for it is none that anything may have.
func namespaceOf(head []byte) string {
	d := json.NewDecoder(bytes.NewReader(head))
	if !enter(d) || !skipTo(d, "request") || !enter(d) || !skipTo(d, "namespace") {
		return ""
	}
	if value, err := d.Token(); err == nil {
		namespace, _ := value.(string)
		return namespace
	}
	return ""
}

// enter says whether an object begins.
func enter(d *json.Decoder) bool {
	t, err := d.Token()
	return err == nil && t == json.Delim('{')
}

// skipTo reads an object to the value of a field.
func skipTo(d *json.Decoder, field string) bool {
	for {
		name, err := d.Token()
		if err != nil || name == json.Delim('}') {
			return false
		}
		if name == field {
			return true
		}
		for depth := 0; ; {
			t, err := d.Token()
			if err != nil {
				return false
			}
			switch t {
			case json.Delim('{'), json.Delim('['):
				depth++
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
			if depth == 0 {
				break
			}
		}
	}
}
