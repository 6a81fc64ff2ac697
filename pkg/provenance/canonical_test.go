package provenance

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// Statements of earlier releases were spelled by another implementation of RFC 8785, and
// are built again by this one.
func TestTheCanonicalFormIsThatOfAnotherImplementation(t *testing.T) {
	odd := []string{
		"", "<&>", "\"\\/", "\b\f\n\r\t\x00\x1f\x7f", "\u2028\u2029", "é", "e\u0301", "\ufb33", "\U0001f600", "\ue000", "𐀀", "ﬀ", "a b", "10", "9", "{\"a\":1}", "\u0080",
	}
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string { return odd[random.IntN(len(odd))] + odd[random.IntN(len(odd))] }
	var value func(depth int) *structpb.Value
	value = func(depth int) *structpb.Value {
		switch n := random.IntN(7); {
		case n == 0 && depth > 0:
			var list []*structpb.Value
			for range random.IntN(4) {
				list = append(list, value(depth-1))
			}
			return structpb.NewListValue(&structpb.ListValue{Values: list})
		case n <= 2 && depth > 0:
			fields := map[string]*structpb.Value{}
			for range random.IntN(6) {
				fields[text()] = value(depth - 1)
			}
			return structpb.NewStructValue(&structpb.Struct{Fields: fields})
		case n == 3:
			numbers := []float64{0, 1, -1, 0.1, 1e21, 1e-7, 1 << 53, 123456789012345680000, 5e-324, 1.7976931348623157e308, random.Float64() * 1e6}
			return structpb.NewNumberValue(numbers[random.IntN(len(numbers))])
		case n == 4:
			return structpb.NewBoolValue(random.IntN(2) == 0)
		case n == 5:
			return structpb.NewNullValue()
		}
		return structpb.NewStringValue(text())
	}
	for i := range 2000 {
		predicate := &structpb.Struct{Fields: map[string]*structpb.Value{"a": value(4), text(): value(3)}}
		got, err := canonical(&intoto.Statement{Type: text() + "x", Subject: []*intoto.ResourceDescriptor{{Name: text()}}}, predicate)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jsoncanonicalizer.Transform(got)
		if err != nil {
			t.Fatalf("%v of %s", err, got)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("statement %d\n%s\nis by the other\n%s", i, got, want)
		}
	}
	payload := build(t, example())
	if want, err := jsoncanonicalizer.Transform(payload); err != nil || !bytes.Equal(payload, want) {
		t.Errorf("the example is by the other %s, %v", want, err)
	}
}
