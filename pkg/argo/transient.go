package argo

import "strings"

// transient are the words by which Argo takes an error for one that passes
// (util/errors of v3.7.18 and v4.0.2). The first counts only in a refusal with 403,
// as ours are; the others count in any text.
var transient = []string{
	"exceeded quota",
	"etcdserver: leader changed",
	"etcdserver: request timed out",
	"etcdserver: too many requests",
	"unexpected error when reading response body",
	"stream error when reading response body",
	"Connection closed by foreign host",
	"net/http: TLS handshake timeout",
	"i/o timeout",
	"connection timed out",
	"connection reset by peer",
	"http2: client connection lost",
	"http2: server sent GOAWAY and closed the connection",
	"request did not complete within requested timeout",
	"connect: connection refused",
	"invalid connection",
	"client rate limiter Wait returned an error",
	"upper: no more rows in",
}

// Lasting spells the message of a final refusal so that Argo takes it for final. It
// puts hyphens into the words by which Argo knows errors that pass. A refusal may
// quote such words, in others' errors or in names that users chose, and Argo would
// try the step again for ever.
func Lasting(message string) string {
	// One after the other, because some words begin as others end.
	for _, words := range transient {
		message = strings.ReplaceAll(message, words, strings.ReplaceAll(words, " ", "-"))
	}
	return message
}
