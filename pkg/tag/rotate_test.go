package tag_test

import (
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

// A tag opens wherever a replica has read the Secret within the last hour, and for
// thirty days after it was issued, and there are never more than a few keys.
func TestKeysRotate(t *testing.T) {
	const hour = time.Hour
	begin := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	data, annotations := tag.WithKey(nil, keyID, key), map[string]string(nil)
	type issued struct {
		at    time.Time
		value string
	}
	var tags []issued
	ids := map[string]bool{}
	for now := begin; now.Before(begin.Add(100 * 24 * hour)); now = now.Add(hour) {
		next, notes, changed, err := tag.Rotate(data, annotations, begin, now)
		if err != nil {
			t.Fatal(err)
		}
		before := data
		if changed {
			data, annotations = next, notes
		}
		keys, err := tag.ParseKeys(data)
		if err != nil {
			t.Fatal(err)
		}
		value, err := keys.Issue(sample())
		if err != nil {
			t.Fatal(err)
		}
		late, err := tag.ParseKeys(before)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := late.Open(value); err != nil {
			t.Fatalf("%s: who knows the keys of an hour ago does not open it: %v", now, err)
		} else {
			ids[got.KeyID] = true
		}
		tags = append(tags, issued{now, value})
		for _, i := range tags {
			if !changed {
				break
			}
			if _, err := keys.Open(i.value); err != nil && now.Sub(i.at) <= 30*24*hour {
				t.Fatalf("%s: a tag of %s does not open: %v", now, i.at, err)
			}
		}
		if len(data) > 8 {
			t.Fatalf("%s: there are %d keys", now, len(data)-1)
		}
	}
	if len(ids) < 13 {
		t.Errorf("in a hundred days %d keys issued", len(ids))
	}
	keys, err := tag.ParseKeys(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(tags[0].value); reason.Of(err) != reason.TagInvalid {
		t.Errorf("a key of a hundred days ago opens: %v", err)
	}
}

func TestASecretThatIsNotOursIsNotRotated(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	if _, _, _, err := tag.Rotate(nil, nil, now, now); err == nil {
		t.Error("nothing is rotated")
	}
	if _, _, _, err := tag.Rotate(tag.WithKey(nil, keyID, key), map[string]string{tag.AnnotationMade + keyID: "soon"}, now, now); err == nil {
		t.Error("a time that is none is read")
	}
	if _, _, changed, err := tag.Rotate(tag.WithKey(nil, keyID, key), nil, now, now.Add(time.Hour)); err != nil || changed {
		t.Errorf("a young key is rotated: %t, %v", changed, err)
	}
}
