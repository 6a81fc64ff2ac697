package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/argoseal/argoseal/pkg/verify"
)

// trustReport is what trust show -o json prints. Fields may be added; none is renamed.
type trustReport struct {
	Domains []domainReport `json:"domains"`
	// Problem is what the programs cannot use, and go on without.
	Problem string `json:"problem,omitempty"`
}

type domainReport struct {
	Name     string   `json:"name"`
	Builders []string `json:"builders"`
	// Reproduces: it is trusted about second runs, where a policy names it.
	Reproduces bool `json:"reproduces,omitempty"`
	// Describes: it is trusted about SBOMs, where a policy names it.
	Describes bool `json:"describes,omitempty"`
	// Attests are builders of others, where a policy names the domain.
	Attests []string      `json:"attests,omitempty"`
	Logs    int           `json:"logs"`
	Trusted []trustedItem `json:"trusted"`
	// Follows is the TUF repository that the trusted root follows; null: none.
	Follows *followReport `json:"follows,omitempty"`
}

// trustedItem is a signer, a log or an authority.
type trustedItem struct {
	Kind        string     `json:"kind"`
	ID          string     `json:"id"`
	From        *time.Time `json:"from,omitempty"`
	Until       *time.Time `json:"until,omitempty"`
	Compromised *time.Time `json:"compromisedFrom,omitempty"`
}

func showDomains(w io.Writer, output string, domains []verify.Domain, follows map[string]*followReport, problem error) error {
	var r trustReport
	for _, d := range domains {
		one, err := reportOf(d)
		if err != nil {
			return err
		}
		one.Follows = follows[d.Name]
		r.Domains = append(r.Domains, one)
	}
	if problem != nil {
		r.Problem = problem.Error()
	}
	if output == "json" {
		return writeIndented(w, r)
	}
	return writeTrust(w, r)
}

func reportOf(d verify.Domain) (domainReport, error) {
	r := domainReport{Name: d.Name, Builders: d.Builders, Reproduces: d.Reproduces, Describes: d.Describes, Attests: d.Attests, Logs: d.Logs}
	item := func(kind, id string, from, until, compromised time.Time) {
		r.Trusted = append(r.Trusted, trustedItem{Kind: kind, ID: id, From: some(from), Until: some(until), Compromised: some(compromised)})
	}
	for _, k := range d.Keys {
		item("key", k.Hint, k.Start, k.End, k.Compromised)
	}
	for _, i := range d.Identities {
		subject := i.Subject
		if i.SubjectPattern != nil {
			subject = i.SubjectPattern.String()
		}
		if i.SourceRepository != "" {
			subject += " for " + i.SourceRepository
		}
		item("identity", subject+" by "+i.Issuer, i.Start, i.End, time.Time{})
	}
	parsed, err := root.NewTrustedRootFromJSON(d.TrustedRoot)
	if err != nil {
		return r, err
	}
	for id, log := range parsed.RekorLogs() {
		item("log", log.BaseURL+" "+id, log.ValidityPeriodStart, log.ValidityPeriodEnd, time.Time{})
	}
	for _, authority := range parsed.TimestampingAuthorities() {
		if tsa, ok := authority.(*root.SigstoreTimestampingAuthority); ok {
			item("timestamps", tsa.URI, tsa.ValidityPeriodStart, tsa.ValidityPeriodEnd, time.Time{})
		}
	}
	for _, authority := range parsed.FulcioCertificateAuthorities() {
		if ca, ok := authority.(*root.FulcioCertificateAuthority); ok {
			item("certificates", ca.URI, ca.ValidityPeriodStart, ca.ValidityPeriodEnd, time.Time{})
		}
	}
	slices.SortStableFunc(r.Trusted, func(a, b trustedItem) int { return strings.Compare(a.Kind+a.ID, b.Kind+b.ID) })
	return r, nil
}

func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func writeTrust(w io.Writer, r trustReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	say := func(t *time.Time, otherwise string) string {
		if t == nil {
			return otherwise
		}
		return t.UTC().Format(time.RFC3339)
	}
	row("DOMAIN", "WHAT", "ID", "FROM", "UNTIL", "NOTE")
	for _, d := range r.Domains {
		for _, b := range d.Builders {
			row(d.Name, "builder", b, "-", "-", "")
		}
		for _, b := range d.Attests {
			row(d.Name, "attests", b, "-", "-", "trusted about what this builder made, where a policy names it")
		}
		if d.Reproduces {
			row(d.Name, "reproduces", "-", "-", "-", "trusted about second runs, where a policy names it")
		}
		if d.Describes {
			row(d.Name, "describes", "-", "-", "-", "trusted about SBOMs, where a policy names it")
		}
		if f := d.Follows; f != nil {
			row(d.Name, "follows", f.URL, "-", say(f.until(), "-"), f.note(time.Now()))
		}
		for _, i := range d.Trusted {
			note := ""
			if i.Compromised != nil {
				note = "compromised from " + say(i.Compromised, "") + ": only what is proven older counts"
			}
			row(d.Name, i.Kind, i.ID, say(i.From, "-"), say(i.Until, "-"), note)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if r.Problem != "" {
		_, err := fmt.Fprintf(w, "\nNot used: %s\n", printable(strings.ReplaceAll(r.Problem, "\n", "; ")))
		return err
	}
	return nil
}
