package argo

import (
	"regexp"
	"strings"
)

// serviceVariable matches what the kubelet adds to every container for the
// Services of its namespace.
var serviceVariable = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT|SERVICE_PORT_[A-Z0-9_]+|PORT|PORT_[A-Z0-9_]+)$`)

// expand gives a variable's value as the kubelet gives it to the container:
// $(NAME) is replaced where NAME is defined, $$ becomes $. It reports the first
// NAME that the kubelet could know, and leaves all other references in place,
// as the kubelet does (k8s.io/kubernetes, third_party/forked/golang/expansion).
func expand(value string, defined func(name string) bool) (expanded, reference string) {
	if strings.IndexByte(value, '$') < 0 {
		return value, ""
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '$' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		switch value[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(value[i+2:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := value[i+2 : i+2+end]
			if defined(name) || serviceVariable.MatchString(name) {
				return "", name
			}
			b.WriteString(value[i : i+3+end])
			i += 2 + end
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), ""
}
