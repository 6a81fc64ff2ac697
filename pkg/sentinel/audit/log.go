package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

// maxLine bounds an event: the API server's own bound for a request is 3 MiB, and the
// log may have request and response.
const maxLine = 8 << 20

// Log is what an audit log says of reads of Secrets.
type Log struct {
	// From and To are when its first and its last event came.
	From, To time.Time
	uses     map[use]time.Time
}

// use is a read that was allowed.
type use struct{ user, groups, verb, namespace, name string }

// event is what is needed of audit.k8s.io/v1 Event.
type event struct {
	Kind             string    `json:"kind"`
	APIVersion       string    `json:"apiVersion"`
	Verb             string    `json:"verb"`
	User             *identity `json:"user"`
	ImpersonatedUser *identity `json:"impersonatedUser"`
	ObjectRef        *struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		APIGroup    string `json:"apiGroup"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Received    time.Time         `json:"requestReceivedTimestamp"`
	Annotations map[string]string `json:"annotations"`
}

type identity struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

// NewLog is a log without any event.
func NewLog() *Log { return &Log{uses: map[use]time.Time{}} }

// Read adds the events of a file in the format of --audit-log-path, one in a line. What
// is no event is an error: it might have been a use.
func (l *Log) Read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if e.Kind != "Event" || !strings.HasPrefix(e.APIVersion, "audit.k8s.io/") || e.Received.IsZero() || e.User == nil {
			return fmt.Errorf("line %d is no event of an audit log", n)
		}
		l.add(e)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d bytes", n+1, maxLine)
	} else if err != nil {
		return err
	}
	return nil
}

func (l *Log) add(e event) {
	if l.From.IsZero() || e.Received.Before(l.From) {
		l.From = e.Received
	}
	if e.Received.After(l.To) {
		l.To = e.Received
	}
	o := e.ObjectRef
	if o == nil || o.Resource != "secrets" || o.APIGroup != "" || o.Subresource != "" || !slices.Contains(loggedVerbs, e.Verb) ||
		e.Annotations["authorization.k8s.io/decision"] == "forbid" {
		return
	}
	who := e.User
	if e.ImpersonatedUser != nil {
		who = e.ImpersonatedUser
	}
	u := use{who.Username, strings.Join(who.Groups, "\n"), e.Verb, o.Namespace, o.Name}
	if e.Received.After(l.uses[u]) {
		l.uses[u] = e.Received
	}
}

// unknown says why the log does not tell what is unused.
func (l *Log) unknown(after time.Duration) string {
	switch {
	case l == nil:
		return "there is no audit log"
	case l.From.IsZero():
		return "the audit log has no events"
	case l.To.Sub(l.From) < after:
		return fmt.Sprintf("the audit log covers %s only, from %s to %s", days(l.To.Sub(l.From)), l.From.UTC().Format(time.RFC3339), l.To.UTC().Format(time.RFC3339))
	case len(l.uses) == 0:
		return "the audit log has no reads of Secrets at all: does the audit policy record them?"
	}
	return ""
}

// unused are the verbs that a subject has by a rule, and has not used.
func (l *Log) unused(s rbacv1.Subject, h held, verbs []string, after time.Duration) []string {
	since := l.To.Add(-after)
	return slices.DeleteFunc(slices.Clone(verbs), func(verb string) bool {
		for u, last := range l.uses {
			if u.verb == verb && last.After(since) && u.by(s) && u.within(h) {
				return true
			}
		}
		return false
	})
}

func (u use) by(s rbacv1.Subject) bool {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return u.user == "system:serviceaccount:"+s.Namespace+":"+s.Name
	case rbacv1.GroupKind:
		return slices.Contains(strings.Split(u.groups, "\n"), s.Name)
	default:
		return u.user == s.Name
	}
}

// within says whether a rule covers a read. A list of names that is asked for by a
// field selector has no name in the log, and is taken for one that the rule covers.
func (u use) within(h held) bool {
	if h.namespace != "" && u.namespace != h.namespace {
		return false
	}
	return len(h.rule.ResourceNames) == 0 || u.name == "" && u.verb != "get" || slices.Contains(h.rule.ResourceNames, u.name)
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}
