package sbom

import (
	"strings"
	"testing"
)

const (
	spdx    = `{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[{"name":"a"},{"name":"b"}],"files":[{"fileName":"c"}]}`
	cyclone = `{"$schema":"x","bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"a"}]}`
)

func TestWhatADocumentIs(t *testing.T) {
	for text, want := range map[string]Document{
		spdx:                    {SPDX, "2.3", 3},
		cyclone:                 {CycloneDX, "1.6", 1},
		" \n" + cyclone + "\n ": {CycloneDX, "1.6", 1},
		strings.Replace(cyclone, "1.6", "1.10", 1): {CycloneDX, "1.10", 1},
		// What has no packages inside is named all the same.
		`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"weights"}}}`: {CycloneDX, "1.6", 1},
	} {
		if got, err := Parse([]byte(text)); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   "",
		"no JSON":                   "SPDXVersion: SPDX-2.3",
		"a list":                    "[" + spdx + "]",
		"null":                      "null",
		"any object":                "{}",
		"half of one":               spdx[:len(spdx)-1],
		"two":                       spdx + spdx,
		"both formats":              `{"bomFormat":"CycloneDX",` + spdx[1:],
		"a field twice":             `{"packages":[],` + spdx[1:],
		"another spelling":          strings.Replace(spdx, "spdxVersion", "SPDXVersion", 1),
		"no text":                   strings.Replace(spdx, `"SPDX-2.3"`, "2.3", 1),
		"no version":                strings.Replace(cyclone, `"specVersion":"1.6",`, "", 1),
		"a null for a version":      strings.Replace(spdx, `"SPDX-2.3"`, "null", 1),
		"SPDX 2.2":                  strings.Replace(spdx, "2.3", "2.2", 1),
		"CycloneDX 1.3":             strings.Replace(cyclone, "1.6", "1.3", 1),
		"CycloneDX 2":               strings.Replace(cyclone, "1.6", "2.0", 1),
		"another bomFormat":         strings.Replace(cyclone, `"CycloneDX"`, `"cyclonedx"`, 1),
		"no packages":               `{"spdxVersion":"SPDX-2.3"}`,
		"an empty list of packages": `{"spdxVersion":"SPDX-2.3","packages":[],"files":null}`,
		"no components":             `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`,
		"components that are none":  `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[1]}`,
		"components of an object":   `{"bomFormat":"CycloneDX","specVersion":"1.6","components":{"a":1}}`,
		"a null for a package":      `{"spdxVersion":"SPDX-2.3","packages":[null]}`,
		"a null for a component":    `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{},null]}`,
		"a null for what it is of":  `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":null}}`,
		"metadata that is a list":   `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":[],"components":[{}]}`,
		"no UTF-8":                  strings.Replace(spdx, "DOCUMENT", "\xff", 1),
		"too many bytes":            strings.Repeat(" ", MaxDocument) + spdx,
	} {
		if d, err := Parse([]byte(text)); err == nil || d != (Document{}) {
			t.Errorf("%s is read as %+v", name, d)
		}
	}
}

func TestFormatsAreKnownByTheirTypes(t *testing.T) {
	for _, f := range Formats {
		if f.MediaType() == "" || f.PredicateType() == "" || FormatOf(f.MediaType()) != f || FormatOf(f.MediaType()+"; version=1.6") != f {
			t.Errorf("%s is not known again", f)
		}
	}
	for _, other := range []string{"", ";", "application/json", "application/spdx", "application/vnd.cyclonedx+xml", "text/spdx"} {
		if f := FormatOf(other); f != "" {
			t.Errorf("%q is %s", other, f)
		}
	}
	if Format("").MediaType() != "" || Format("x").PredicateType() != "" {
		t.Error("no format has types")
	}
}

// FuzzParse: whatever is read as a document is one of a known format, with something in it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{spdx, cyclone, "{}", "[", `{"spdxVersion":"SPDX-2.3","packages":[{}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := Parse(raw)
		if err == nil && (d.Format.MediaType() == "" || d.Version == "" || d.Parts < 1) || err != nil && d != (Document{}) {
			t.Errorf("%q is read as %+v, %v", raw, d, err)
		}
	})
}
