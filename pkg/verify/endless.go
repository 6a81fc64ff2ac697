package verify

import (
	"fmt"
	"slices"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// WithoutEnds is a root under which keys, identities and logs never end, nobody else has them,
// and those of the installation's domain speak for the builders of before, too: its cluster
// may have had another name. It is for finding what was made once, and never for admitting
// anything.
func (r *Root) WithoutEnds(installed string) (*Root, error) {
	domains := r.Domains()
	for i := range domains {
		d := &domains[i]
		d.Keys, d.Identities = slices.Clone(d.Keys), slices.Clone(d.Identities)
		for k := range d.Keys {
			d.Keys[k].Period, d.Keys[k].Compromised = Period{}, time.Time{}
		}
		for k := range d.Identities {
			d.Identities[k].Period = Period{}
		}
		if len(d.Builders) > 0 && (d.Name == installed || len(domains) == 1) {
			d.Builders, d.AnyBuilder = nil, true
		}
		endless, err := logsWithoutEnds(d.TrustedRoot)
		if err != nil {
			return nil, fmt.Errorf("trusted root of domain %s: %w", d.Name, err)
		}
		d.TrustedRoot = endless
	}
	return New(domains...)
}

// logsWithoutEnds is a trusted root whose logs' keys never end.
func logsWithoutEnds(trustedRoot []byte) ([]byte, error) {
	var r prototrustroot.TrustedRoot
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(trustedRoot, &r); err != nil {
		return nil, err
	}
	for _, l := range r.GetTlogs() {
		if period := l.GetPublicKey().GetValidFor(); period != nil {
			period.End = nil
		}
	}
	return protojson.Marshal(&r)
}
