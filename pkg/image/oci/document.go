package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// maxDocument bounds a manifest or index, in bytes. Registries take 4 MiB, and
	// real ones have some KiB; the sidecar that reads them has 64 MiB for all it does.
	maxDocument = 1 << 20
	// maxTokens bounds what a document can become in memory: JSON of two bytes an
	// element becomes a hundred times as large. A manifest of 256 layers has some
	// 3,000 tokens.
	maxTokens = 1 << 15
	// maxDepth bounds the nesting. Manifests have 4 levels.
	maxDepth = 16
	// maxTokensOfAll is how many parts all documents of a layout may have, also those that
	// turn out to be none: each costs time and, for a while, memory.
	maxTokensOfAll = 1 << 18
	// maxDigestText is the length of sha256: and the digest. Others are not looked for.
	maxDigestText = 71
	// maxText bounds each text of a document that is kept. A media type has 255
	// bytes at most (RFC 6838).
	maxText = 255
)

// Media types of an image's config. Whatever has another one is an artifact, such as a
// chart or a signature, and no container image.
var configTypes = []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// document is a manifest, or an index of manifests.
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType"`
	Config        *descriptor  `json:"config"`
	Layers        []descriptor `json:"layers"`
	Manifests     []descriptor `json:"manifests"`
	// ImageLayoutVersion is what oci-layout has.
	ImageLayoutVersion string `json:"imageLayoutVersion"`
}

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	Platform  *platform `json:"platform"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant"`
}

// fields are the names that mean something here or to a runtime.
var fields = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "fsLayers", "subject", "imageLayoutVersion",
	"digest", "size", "platform", "architecture", "os", "variant", "urls", "data",
}

// parse reads a document of which there is one reading only. A manifest that two readers
// read differently would be another image for each: so no name is there twice, and none
// in another spelling, which Go's own reader (and so most runtimes) takes for the same.
// It gives the number of its parts, too, as far as they were read.
func parse(raw []byte) (*document, int, error) {
	parts, err := check(raw)
	if err != nil {
		return nil, parts, err
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, parts, err
	}
	if !d.short() {
		return nil, parts, fmt.Errorf("document has a type or a digest of more than %d bytes", maxText)
	}
	d.forget()
	return &d, parts, nil
}

// forget leaves out digests that are longer than those that are looked for: nothing lies
// there by such a name.
func (d *document) forget() {
	for _, list := range [][]descriptor{d.Layers, d.Manifests} {
		for i := range list {
			if len(list[i].Digest) > maxDigestText {
				list[i].Digest = ""
			}
		}
	}
	if d.Config != nil && len(d.Config.Digest) > maxDigestText {
		d.Config.Digest = ""
	}
}

// short says that no text of the document, which is kept, is long.
func (d *document) short() bool {
	texts := []string{d.MediaType, d.ArtifactType, d.ImageLayoutVersion}
	for _, list := range [][]descriptor{d.Layers, d.Manifests} {
		for i := range list {
			texts = append(texts, list[i].texts()...)
		}
	}
	if d.Config != nil {
		texts = append(texts, d.Config.texts()...)
	}
	return !slices.ContainsFunc(texts, func(t string) bool { return len(t) > maxText })
}

func (d *descriptor) texts() []string {
	texts := []string{d.MediaType, d.Digest}
	if d.Platform != nil {
		texts = append(texts, d.Platform.OS, d.Platform.Architecture, d.Platform.Variant)
	}
	return texts
}

// check reads the JSON token by token, before anything of it is kept.
func check(raw []byte) (parts int, err error) {
	if len(raw) > maxDocument {
		return 0, fmt.Errorf("document has %d bytes, at most %d are read", len(raw), maxDocument)
	}
	type level struct {
		names map[string]bool // of an object; nil for a list
		value bool            // that an object's name has been read, and its value comes
	}
	var levels []level
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	for n := 0; ; n++ {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && n > 0 && len(levels) == 0:
			return n, nil
		case err != nil:
			return n, err
		case n == 0 && token != json.Delim('{'), n > 0 && len(levels) == 0:
			return n, errors.New("document is not one object")
		case n > maxTokens || len(levels) > maxDepth:
			return n, fmt.Errorf("document has more than %d parts, or is deeper than %d", maxTokens, maxDepth)
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if len(levels) > 0 {
			top := &levels[len(levels)-1]
			if top.names != nil && !top.value {
				name, _ := token.(string)
				if err := checkField(name, top.names); err != nil {
					return n, err
				}
				top.value = true
				continue
			}
			top.value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}

func checkField(name string, before map[string]bool) error {
	if before[name] {
		return fmt.Errorf("%.40q is there twice", name)
	}
	before[name] = true
	if slices.ContainsFunc(fields, func(f string) bool { return f != name && strings.EqualFold(f, name) }) {
		return fmt.Errorf("%.40q is another spelling of a field", name)
	}
	return nil
}

// kind is what the document is, as its own fields say: not as whoever refers to it says.
func (d *document) kind() Kind {
	if d.SchemaVersion != 2 || d.Config != nil == (d.Manifests != nil) || d.Manifests != nil && d.Layers != nil {
		return ""
	}
	k := KindOf(d.MediaType)
	if d.MediaType == "" { // an OCI document need not give it
		k = KindIndex
		if d.Config != nil {
			k = KindManifest
		}
	}
	if k.IsIndex() != (d.Manifests != nil) {
		return ""
	}
	return k
}

// isImage says that it is no other artifact.
func (d *document) isImage() bool {
	return d.ArtifactType == "" && (d.Config == nil || slices.Contains(configTypes, d.Config.MediaType))
}

// of is the platform, as far as it is spelled as one.
func (p *platform) of() string {
	if p == nil {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	if !platformPattern.MatchString(s) {
		return ""
	}
	return s
}

// none says that it is for no platform: a builder's own attestations have that.
func (p *platform) none() bool { return p != nil && p.OS == "unknown" }
