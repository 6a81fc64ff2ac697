package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// example is a place of a kind of store with these of its fields, the last of which is a key.
func example(t *testing.T, k StoreKind, endpoint string, fields []string) Place {
	t.Helper()
	values := map[string]string{"endpoint": endpoint}
	for _, f := range fields {
		if values[f] == "" {
			values[f] = "some-" + f
		}
	}
	given := map[string]string{}
	for _, f := range fields {
		given[f] = values[f]
	}
	object, err := json.Marshal(map[string]any{k.Name: given})
	if err != nil {
		t.Fatal(err)
	}
	places, rest, err := TakePlaces(object, strictly)
	if err != nil || len(places) != 1 || string(rest) != "{}" {
		t.Fatalf("%s is %v, and %s is left: %v", object, places, rest, err)
	}
	return places[k.Name]
}

// Whatever is registered as a kind of store says all that has to be known of one.
func TestEveryKindOfStoreIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range StoreKinds() {
		t.Run(k.Name, func(t *testing.T) {
			for _, name := range []string{"name " + k.Name, "title " + k.Title, "URIs " + k.URIScheme, "scheme " + string(k.Scheme)} {
				if seen[name] {
					t.Errorf("two have the %s", name)
				}
				seen[name] = true
			}
			if k.Name == "" || k.Title == "" || k.URIScheme == "" || k.check == nil || len(k.Fields) < 2 || !k.Scheme.Known() {
				t.Fatalf("something is missing: %+v", k)
			}
			if err := strictly([]byte(`{"unheardOf": true}`), k.NewPlace()); err == nil {
				t.Error("a field that Argo does not have is taken")
			}
			for i, field := range k.Fields {
				if less := example(t, k, "https://store.example", slices.Delete(slices.Clone(k.Fields), i, i+1)); less.Full() {
					t.Errorf("without %s a place is full", field)
				}
			}
			var at Location
			err := errors.New("no endpoint will do")
			for _, endpoint := range []string{"https://store.example", "store.example"} {
				place := example(t, k, endpoint, k.Fields)
				if key := "some-" + k.Fields[len(k.Fields)-1]; !place.Full() || place.GetKey() != key {
					t.Fatalf("%+v is not full, or its key is not %s", place, key)
				}
				if at, err = place.In(); err == nil {
					at, err = at.At(place.GetKey())
				}
				if err == nil {
					break
				}
			}
			if err != nil || at.Scheme != k.Scheme || (at.Store == "") != (k.Host != "") {
				t.Fatalf("it lies at %+v: %v", at, err)
			}
			if read, err := ParseLocation(at.URI()); err != nil || read != at || !strings.HasPrefix(at.URI(), k.URIScheme+"://") {
				t.Errorf("%s is read as %+v, %v", at.URI(), read, err)
			}
			if got, err := at.At("a//b"); err != nil || (got.Key == "a/b") != k.CleansKeys {
				t.Errorf("a//b lies at %+v: %v", got, err)
			}
		})
	}
}

// Names of fields are compared as encoding/json does, or a place would be missed that Argo
// sees.
func TestPlacesAreTakenOutOfAnArtifact(t *testing.T) {
	for text, want := range map[string]string{
		`{"name": "a"}`:                                            `{"name": "a"} `,
		`{"name": "a", "s3": {"key": "k"}}`:                        `{"name":"a"} s3=k`,
		`{"S3": {"key": "k"}}`:                                     `{} s3=k`,
		`{"ſ3": {"key": "k"}}`:                                     `{} s3=k`,
		`{"S3": {"key": "k"}, "s3": {"bucket": "b"}}`:              `{} s3=k`,
		`{"S3": {"key": "k"}, "s3": null}`:                         `{} `,
		`{"s3": null, "gcs": {}}`:                                  `{} gcs=`,
		`{"gcs": {"key": "k"}, "azure": {"blob": "l"}, "raw": {}}`: `{"raw":{}} gcs=k azure=l`,
		`{"s3": {"unheardOf": 1}}`:                                 `refused`,
		`{"s3": 1}`:                                                `refused`,
		`null`:                                                     `null `,
		`[]`:                                                       `refused`,
	} {
		places, rest, err := TakePlaces([]byte(text), strictly)
		var found []string
		for _, k := range StoreKinds() {
			if p, given := places[k.Name]; given {
				found = append(found, k.Name+"="+p.GetKey())
			}
		}
		got := string(rest) + " " + strings.Join(found, " ")
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
}
