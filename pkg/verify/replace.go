package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Replacement is a trusted_root.json that takes the place of another one.
type Replacement struct {
	Before, Next []byte
	// Until is when the time of what only Before has ends.
	Until time.Time
	// Without are the logs, by id in hex, and the logs and authorities, by URL, of Before
	// that do not count any more.
	Without []string
}

// Root is Next, together with what only Before has, which ends at Until: what was
// sealed under that still counts. No end moves to a later time. What Before has
// ended stays ended if Next has it, too. What Next ends does not come back through
// Before, under another name of its key. An error says what is wrong with either,
// or that Without names something that is not there.
func (r Replacement) Root() ([]byte, error) {
	before, err := readTrusted(r.Before)
	if err != nil {
		return nil, fmt.Errorf("the trusted root before: %w", err)
	}
	next, err := readTrusted(r.Next)
	if err != nil {
		return nil, fmt.Errorf("the new trusted root: %w", err)
	}
	if r.Until.IsZero() {
		return nil, errors.New("what is replaced needs an end of its time")
	}
	k := keeper{until: &protocommon.TimeRange{End: timestamppb.New(r.Until)}, without: map[string]bool{}}
	for _, name := range r.Without {
		k.without[trimmed(name)] = false
	}
	next.Tlogs = k.logs(before.GetTlogs(), next.GetTlogs())
	next.Ctlogs = k.logs(before.GetCtlogs(), next.GetCtlogs())
	next.CertificateAuthorities = k.authorities(before.GetCertificateAuthorities(), next.GetCertificateAuthorities())
	next.TimestampAuthorities = k.authorities(before.GetTimestampAuthorities(), next.GetTimestampAuthorities())
	for name, met := range k.without {
		if !met {
			return nil, fmt.Errorf("the trusted root before has no log and no authority %.200q that the new one lacks", name)
		}
	}
	return writeTrusted(next)
}

// keeper keeps of a trusted root what another one lacks.
type keeper struct {
	until *protocommon.TimeRange
	// without does not stay; what of it was met is true.
	without map[string]bool
}

func trimmed(name string) string { return strings.TrimRight(name, "/") }

// drops says whether something of these names does not stay.
func (k keeper) drops(names ...string) bool {
	dropped := false
	for _, name := range names {
		if _, named := k.without[trimmed(name)]; named {
			k.without[trimmed(name)], dropped = true, true
		}
	}
	return dropped
}

func (k keeper) logs(before, next []*prototrustroot.TransparencyLogInstance) []*prototrustroot.TransparencyLogInstance {
	all := slices.Clone(next)
	for _, log := range before {
		id, key := log.GetLogId().GetKeyId(), log.GetPublicKey() // a log without them is not read
		there := false
		for _, l := range next {
			if bytes.Equal(l.GetLogId().GetKeyId(), id) {
				l.PublicKey.ValidFor, there = endingWith(l.GetPublicKey().GetValidFor(), key.GetValidFor()), true
			}
		}
		if there || k.drops(log.GetBaseUrl(), hex.EncodeToString(id)) {
			continue
		}
		key.ValidFor = endingWith(key.GetValidFor(), k.until)
		for _, l := range next {
			if bytes.Equal(l.GetPublicKey().GetRawBytes(), key.GetRawBytes()) {
				key.ValidFor = endingWith(key.GetValidFor(), l.GetPublicKey().GetValidFor())
			}
		}
		all = append(all, log)
	}
	return all
}

func (k keeper) authorities(before, next []*prototrustroot.CertificateAuthority) []*prototrustroot.CertificateAuthority {
	all := slices.Clone(next)
	for _, authority := range before {
		there := false
		for _, a := range next {
			if proto.Equal(a.GetCertChain(), authority.GetCertChain()) {
				a.ValidFor, there = endingWith(a.GetValidFor(), authority.GetValidFor()), true
			}
		}
		if there || k.drops(authority.GetUri()) {
			continue
		}
		authority.ValidFor = endingWith(authority.GetValidFor(), k.until)
		for _, a := range next {
			if shareKey(a, authority) {
				authority.ValidFor = endingWith(authority.GetValidFor(), a.GetValidFor())
			}
		}
		all = append(all, authority)
	}
	return all
}

// endingWith is a period, until the earlier of its end and another one's.
func endingWith(period, other *protocommon.TimeRange) *protocommon.TimeRange {
	if end := other.GetEnd(); end != nil && (period.GetEnd() == nil || end.AsTime().Before(period.GetEnd().AsTime())) {
		return &protocommon.TimeRange{Start: period.GetStart(), End: end}
	}
	return period
}

// shareKey says whether a key is in certificates of both authorities.
func shareKey(a, b *prototrustroot.CertificateAuthority) bool {
	return slices.ContainsFunc(keysOf(a), func(key string) bool { return slices.Contains(keysOf(b), key) })
}

func keysOf(a *prototrustroot.CertificateAuthority) []string {
	var keys []string
	for _, raw := range a.GetCertChain().GetCertificates() {
		if c, err := x509.ParseCertificate(raw.GetRawBytes()); err == nil { // the whole is read before, and after
			keys = append(keys, string(c.RawSubjectPublicKeyInfo))
		}
	}
	return keys
}

// readTrusted reads a trusted_root.json, bounded and checked as verification has it.
func readTrusted(raw []byte) (*prototrustroot.TrustedRoot, error) {
	if len(raw) > maxTrustedRoot {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(raw), maxTrustedRoot)
	}
	if err := checkTrusted(raw); err != nil {
		return nil, err
	}
	trusted := &prototrustroot.TrustedRoot{}
	if err := protojson.Unmarshal(raw, trusted); err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	return trusted, nil
}
