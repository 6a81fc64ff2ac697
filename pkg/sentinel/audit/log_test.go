package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

// line is an event as the API server writes it, so long before now.
func line(ago time.Duration, user, verb, namespace, name string, more ...string) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"ResponseComplete","requestURI":"/","verb":%q,
"user":{"username":%q,"groups":["system:authenticated","dba"]},"objectRef":{"resource":"secrets","namespace":%q,"name":%q,"apiVersion":"v1"},
"requestReceivedTimestamp":%q,"stageTimestamp":%q,"annotations":{"authorization.k8s.io/decision":"allow"}%s}`,
		verb, user, namespace, name, stamp(ago), stamp(ago), strings.Join(more, ""))
}

func stamp(ago time.Duration) string { return now.Add(-ago).Format("2006-01-02T15:04:05.000000Z07:00") }

// logOf are events, with one at the begin and one at the end of two months.
func logOf(t *testing.T, events ...string) *audit.Log {
	t.Helper()
	l := audit.NewLog()
	events = append([]string{line(2*month, "x", "get", "x", "x")}, append(events, line(0, "x", "get", "x", "x"))...)
	for i := range events {
		events[i] = strings.ReplaceAll(events[i], "\n", "")
	}
	if err := l.Read(strings.NewReader(strings.Join(events, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	day = 24 * time.Hour
	api = "system:serviceaccount:team:api"
)

func TestUnused(t *testing.T) {
	account := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "team", Name: "api"}
	group := rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "dba"}
	named := rule("", "secrets", "get", "db")
	impersonated := strings.Replace(line(day, "admin", "get", "team", "db"), `"objectRef"`, `"impersonatedUser":{"username":"jo","groups":["g"]},"objectRef"`, 1)
	for name, c := range map[string]struct {
		subject   rbacv1.Subject
		namespace string
		rule      rbacv1.PolicyRule
		event     string
		want      string // the verbs that are unused
	}{
		"used":                            {jo, "team", named, line(day, "jo", "get", "team", "db"), ""},
		"never":                           {jo, "team", named, "", "get"},
		"used too long ago":               {jo, "team", named, line(month+day, "jo", "get", "team", "db"), "get"},
		"used by another":                 {jo, "team", named, line(day, "mo", "get", "team", "db"), "get"},
		"another Secret":                  {jo, "team", named, line(day, "jo", "get", "team", "other"), "get"},
		"another namespace":               {jo, "team", named, line(day, "jo", "get", "free", "db"), "get"},
		"another verb":                    {jo, "team", named, line(day, "jo", "list", "team", ""), "get"},
		"refused":                         {jo, "team", named, strings.Replace(line(day, "jo", "get", "team", "db"), `"allow"`, `"forbid"`, 1), "get"},
		"another resource":                {jo, "team", named, strings.Replace(line(day, "jo", "get", "team", "db"), `"secrets"`, `"configmaps"`, 1), "get"},
		"by somebody acting as them":      {jo, "team", named, impersonated, ""},
		"acting as somebody is not using": {rbacv1.Subject{Kind: "User", Name: "admin"}, "team", named, impersonated, "get"},
		"a ServiceAccount":                {account, "team", named, line(day, api, "get", "team", "db"), ""},
		"one of the same name":            {account, "team", named, line(day, "system:serviceaccount:free:api", "get", "team", "db"), "get"},
		"a group":                         {group, "team", named, line(day, "anybody", "get", "team", "db"), ""},
		"everywhere":                      {jo, "", rule("", "secrets", "get"), line(day, "jo", "get", "free", "any"), ""},
		"one verb of three":               {jo, "team", rule("", "secrets", "get,list,watch"), line(day, "jo", "get", "team", "any"), "list,watch"},
		"one verb of all":                 {jo, "team", rule("", "secrets", "*"), line(day, "jo", "watch", "team", ""), "get,list"},
		"a list of one name":              {jo, "team", rule("", "secrets", "list", "db"), line(day, "jo", "list", "team", ""), ""},
		"no right to read is not unused":  {jo, "team", rule("", "secrets", "delete", "db"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var events []string
			if c.event != "" {
				events = append(events, c.event)
			}
			r := run(bound(c.namespace, c.subject, c.rule), audit.Options{Log: logOf(t, events...)})
			if r.UnusedUnknown != "" {
				t.Fatalf("unknown: %s", r.UnusedUnknown)
			}
			got := ""
			for _, f := range r.Findings {
				if f.Kind == audit.Unused {
					got, _, _ = strings.Cut(f.What, " ")
					if !strings.Contains(f.What, "30 days") {
						t.Errorf("%q does not say how long", f.What)
					}
				}
			}
			if got != c.want {
				t.Errorf("unused %q, want %q", got, c.want)
			}
		})
	}
}

// A grant that a SecretAccess gives may be unused, too.
func TestAnUnusedGrantOfASecretAccess(t *testing.T) {
	if r := run(guarded(), audit.Options{Log: logOf(t)}); strings.Join(kinds(r), " ") != "Unused" {
		t.Errorf("found %v", kinds(r))
	}
}

// What a log cannot tell is not told.
func TestAShortLogTellsNothing(t *testing.T) {
	c := bound("team", jo, rule("", "secrets", "get", "db"))
	short := audit.NewLog()
	if err := short.Read(strings.NewReader(strings.ReplaceAll(line(day, "x", "get", "x", "x")+"\n", "\n", "") + "\n" + strings.ReplaceAll(line(0, "x", "get", "x", "x"), "\n", ""))); err != nil {
		t.Fatal(err)
	}
	blind := audit.NewLog()
	for _, ago := range []time.Duration{2 * month, 0} {
		if err := blind.Read(strings.NewReader(strings.ReplaceAll(strings.Replace(line(ago, "x", "get", "x", "x"), `"secrets"`, `"pods"`, 1), "\n", ""))); err != nil {
			t.Fatal(err)
		}
	}
	for want, log := range map[string]*audit.Log{
		"no audit log": nil, "no events": audit.NewLog(), "covers 24h0m0s only": short, "no reads of Secrets": blind,
	} {
		r := run(c, audit.Options{Log: log})
		if !strings.Contains(r.UnusedUnknown, want) || len(r.Findings) != 0 {
			t.Errorf("%q: unknown %q, findings %v", want, r.UnusedUnknown, r.Findings)
		}
	}
}

// What is no event might have been a use.
func TestALogThatCannotBeReadIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":          "{",
		"another object":   `{"kind":"Pod","apiVersion":"v1"}`,
		"no time":          `{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","user":{"username":"x"}}`,
		"nobody":           `{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","requestReceivedTimestamp":"2026-01-01T00:00:00Z"}`,
		"an event of ours": `{"kind":"Event","apiVersion":"v1","verb":"get","user":{"username":"x"},"requestReceivedTimestamp":"2026-01-01T00:00:00Z"}`,
		"a line too long":  `{"kind":"` + strings.Repeat("x", 9<<20) + `"}`,
	} {
		if err := audit.NewLog().Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := audit.NewLog().Read(strings.NewReader("\n\n")); err != nil {
		t.Errorf("empty lines: %v", err)
	}
}
