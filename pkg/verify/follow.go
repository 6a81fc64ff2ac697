package verify

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Followed is a trusted_root.json that keeps up with one that somebody else maintains, and
// may have logs and authorities of its own besides.
type Followed struct {
	// Current is what is trusted now; empty: nothing yet.
	Current []byte
	// Before is what was followed last, Next what is now; Before is empty the first time.
	Before, Next []byte
	// At is now: what Next does not have any more takes no seals from then on.
	At time.Time
}

// Root is Current as it follows Next. What Next has counts as it says, but for an end that
// was earlier and did not come from Before: nothing that somebody here has ended, or that
// had been left out, begins again. What Before has and Next has not ends. All else stays as
// it is. ended are the names of what ends. If nothing changes, it is Current to the byte.
func (f Followed) Root() (made []byte, ended []string, err error) {
	next, err := readTrusted(f.Next)
	if err != nil {
		return nil, nil, fmt.Errorf("the followed trusted root: %w", err)
	}
	current, before := &prototrustroot.TrustedRoot{}, &prototrustroot.TrustedRoot{}
	if len(f.Before) > 0 {
		if before, err = readTrusted(f.Before); err != nil {
			return nil, nil, fmt.Errorf("the trusted root that was followed: %w", err)
		}
	}
	if len(f.Current) > 0 {
		if current, err = readTrusted(f.Current); err != nil {
			return nil, nil, fmt.Errorf("the trusted root: %w", err)
		}
	}
	was := proto.Clone(current)
	w := &follower{end: &protocommon.TimeRange{End: timestamppb.New(f.At)}}
	next.Tlogs = w.logs(current.GetTlogs(), before.GetTlogs(), next.GetTlogs())
	next.Ctlogs = w.logs(current.GetCtlogs(), before.GetCtlogs(), next.GetCtlogs())
	next.CertificateAuthorities = w.authorities(current.GetCertificateAuthorities(), before.GetCertificateAuthorities(), next.GetCertificateAuthorities())
	next.TimestampAuthorities = w.authorities(current.GetTimestampAuthorities(), before.GetTimestampAuthorities(), next.GetTimestampAuthorities())
	if w.err != nil {
		return nil, nil, w.err
	}
	if proto.Equal(was, next) {
		return f.Current, w.ended, nil
	}
	made, err = writeTrusted(next)
	if err == nil && len(made) > maxTrustedRoot {
		err = fmt.Errorf("with what stays it has %d bytes, at most %d are allowed", len(made), maxTrustedRoot)
	}
	return made, w.ended, err
}

// follower joins what is trusted here with what is followed.
type follower struct {
	end   *protocommon.TimeRange
	ended []string
	err   error
}

func (w *follower) logs(current, before, next []*prototrustroot.TransparencyLogInstance) []*prototrustroot.TransparencyLogInstance {
	all := slices.Clone(next)
	for _, log := range current {
		same := func(l *prototrustroot.TransparencyLogInstance) bool {
			return bytes.Equal(l.GetLogId().GetKeyId(), log.GetLogId().GetKeyId())
		}
		key := log.GetPublicKey() // a log without one is not read
		was := only(before, same)
		there := false
		for _, is := range next {
			if same(is) && !bytes.Equal(is.GetPublicKey().GetRawBytes(), key.GetRawBytes()) {
				w.err = fmt.Errorf("the followed trusted root has another key for the log %s (id %x)", log.GetBaseUrl(), log.GetLogId().GetKeyId())
			}
			if same(is) {
				is.PublicKey.ValidFor, there = followed(is.GetPublicKey().GetValidFor(), key.GetValidFor(), was != nil, was.GetPublicKey().GetValidFor()), true
			}
		}
		if there {
			continue
		}
		if was != nil {
			w.noteEnd(log.GetBaseUrl()+" "+hex.EncodeToString(log.GetLogId().GetKeyId()), key.GetValidFor())
			key.ValidFor = endingWith(key.GetValidFor(), w.end)
		}
		for _, is := range next {
			if bytes.Equal(is.GetPublicKey().GetRawBytes(), key.GetRawBytes()) {
				key.ValidFor = endingWith(key.GetValidFor(), is.GetPublicKey().GetValidFor())
			}
		}
		all = append(all, log)
	}
	return all
}

func (w *follower) authorities(current, before, next []*prototrustroot.CertificateAuthority) []*prototrustroot.CertificateAuthority {
	all := slices.Clone(next)
	var kept, ending []*prototrustroot.CertificateAuthority
	for _, authority := range current {
		same := func(a *prototrustroot.CertificateAuthority) bool {
			return proto.Equal(a.GetCertChain(), authority.GetCertChain())
		}
		was := only(before, same)
		there := false
		for _, is := range next {
			if same(is) {
				is.ValidFor, there = followed(is.GetValidFor(), authority.GetValidFor(), was != nil, was.GetValidFor()), true
			}
		}
		if there {
			continue
		}
		if was != nil {
			w.noteEnd(authority.GetUri(), authority.GetValidFor())
			authority.ValidFor = endingWith(authority.GetValidFor(), w.end)
			ending = append(ending, &prototrustroot.CertificateAuthority{CertChain: authority.GetCertChain(), ValidFor: w.end})
		}
		kept, all = append(kept, authority), append(all, authority)
	}
	w.endTogether(kept, slices.Concat(next, ending))
	return all
}

// endTogether ends those of kept that have a key in common with one that ends, and what has
// one in common with these. It comes last: only then all ends are known.
func (w *follower) endTogether(kept, ending []*prototrustroot.CertificateAuthority) {
	for len(ending) > 0 {
		ends := ending[0]
		ending = ending[1:]
		for _, authority := range kept {
			period := endingWith(authority.GetValidFor(), ends.GetValidFor())
			if period == authority.GetValidFor() || !shareKey(ends, authority) {
				continue
			}
			if ends.GetValidFor() == w.end {
				w.noteEnd(authority.GetUri(), authority.GetValidFor())
			}
			authority.ValidFor = period
			ending = append(ending, &prototrustroot.CertificateAuthority{CertChain: authority.GetCertChain(), ValidFor: ends.GetValidFor()})
		}
	}
}

// only is the first that is the same; nil: there is none.
func only[T any](in []*T, same func(*T) bool) *T {
	if i := slices.IndexFunc(in, same); i >= 0 {
		return in[i]
	}
	return nil
}

// noteEnd notes what ends now, and had no earlier end.
func (w *follower) noteEnd(name string, period *protocommon.TimeRange) {
	if end := period.GetEnd(); end == nil || end.AsTime().After(w.end.GetEnd().AsTime()) {
		w.ended = append(w.ended, name)
	}
}

// followed is the period that is followed. An end that is here, and that the one followed
// before did not give, stays if it is earlier.
func followed(next, here *protocommon.TimeRange, known bool, before *protocommon.TimeRange) *protocommon.TimeRange {
	if known && proto.Equal(here.GetEnd(), before.GetEnd()) {
		return next
	}
	return endingWith(next, here)
}
